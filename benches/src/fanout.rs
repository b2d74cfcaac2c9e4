//! A task and the subscribers that drain it, all on one thread.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use progress_core::{Frame, ProgressTracker, Task};
use tokio::{
    runtime::{Builder, Runtime},
    sync::broadcast,
    task::yield_now,
};
use tokio_stream::wrappers::BroadcastStream;

use crate::{PhotoApproved, PlainEvent};

/// How the subscribers get their events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// From a `BroadcastStream`, the baseline.
    Broadcast,
    /// One by one.
    Next,
    /// As many as there are.
    Batches,
}

/// A publisher and its subscribers, who have all read what there was and sleep.
#[derive(Debug)]
pub struct Fanout {
    runtime: Runtime,
    count: Count,
    subscribers: u64,
    publisher: Publisher,
}

#[derive(Debug)]
enum Publisher {
    Task(Task),
    Channel(Arc<str>, broadcast::Sender<Arc<PlainEvent>>),
}

/// What bursts cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    /// From the first publishing until everybody had everything.
    pub whole: Duration,
    /// In publishing alone.
    pub publishing: Duration,
}

impl Fanout {
    /// Makes a publisher with so many subscribers.
    ///
    /// # Panics
    ///
    /// If there is no room for a runtime or a task.
    #[must_use]
    pub fn new(reading: Reading, subscribers: u64) -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let count = Count::default();
        let publisher = Publisher::new(&runtime, reading, subscribers, &count);
        runtime.block_on(async {
            for _ in 0..2 * subscribers {
                yield_now().await;
            }
        });
        Self {
            runtime,
            count,
            subscribers,
            publisher,
        }
    }

    /// Publishes bursts, each when the one before has reached everybody.
    ///
    /// # Panics
    ///
    /// If an event is refused.
    pub fn run(&self, bursts: u64, burst: u64) -> Spent {
        self.runtime.block_on(async {
            let mut target = self.count.get();
            let mut publishing = Duration::ZERO;
            let start = Instant::now();
            for _ in 0..bursts {
                let before = Instant::now();
                for _ in 0..burst {
                    self.publisher.publish();
                }
                publishing += before.elapsed();
                target += burst * self.subscribers;
                while self.count.get() < target {
                    yield_now().await;
                }
            }
            Spent {
                whole: start.elapsed(),
                publishing,
            }
        })
    }
}

impl Publisher {
    fn new(runtime: &Runtime, reading: Reading, subscribers: u64, count: &Count) -> Self {
        if reading == Reading::Broadcast {
            let (sender, _) = broadcast::channel(256);
            for _ in 0..subscribers {
                runtime.spawn(drain_channel(sender.subscribe(), count.clone()));
            }
            return Self::Channel(Arc::from("bench"), sender);
        }
        let _in_runtime = runtime.enter();
        let tracker = ProgressTracker::new();
        let task = tracker.task("bench").start().unwrap();
        for _ in 0..subscribers {
            let events = tracker.subscribe("bench");
            if reading == Reading::Batches {
                runtime.spawn(drain_batches(events, count.clone()));
            } else {
                runtime.spawn(drain(events, count.clone()));
            }
        }
        Self::Task(task)
    }

    fn publish(&self) {
        match self {
            Self::Task(task) => drop(task.emit(PhotoApproved { photo: 9 }).unwrap()),
            Self::Channel(task_id, sender) => {
                assert!(sender.send(PlainEvent::now(task_id, 0)).is_ok());
            }
        }
    }
}

async fn drain_channel(receiver: broadcast::Receiver<Arc<PlainEvent>>, count: Count) {
    let mut events = BroadcastStream::new(receiver);
    while let Some(Ok(_event)) = events.next().await {
        count.add(1);
    }
}

async fn drain(mut events: progress_core::Subscription, count: Count) {
    while let Some(frame) = events.next().await {
        count.add(is_news(&frame));
    }
}

async fn drain_batches(mut events: progress_core::Subscription, count: Count) {
    let mut frames = Vec::new();
    while events.next_batch(&mut frames).await > 0 {
        count.add(frames.drain(..).map(|frame| is_news(&frame)).sum());
    }
}

fn is_news(frame: &Frame) -> u64 {
    u64::from(frame.event().is_some())
}

/// Deliveries to all subscribers. They share one thread, so that an addition need not be atomic.
#[derive(Debug, Clone, Default)]
struct Count(Arc<AtomicU64>);

impl Count {
    fn add(&self, deliveries: u64) {
        self.0.store(self.get() + deliveries, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
