//! One task, a thousand subscribers that drain it: time per burst, throughput per delivery.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::StreamExt as _;
use progress_benches::PlainEvent;
use progress_core::{EventPayload, Frame, ProgressTracker};
use serde::Serialize;
use tokio::{
    runtime::{Builder, Runtime},
    sync::broadcast,
    task::yield_now,
};
use tokio_stream::wrappers::BroadcastStream;

const SUBSCRIBERS: u64 = 1_000;

#[derive(Serialize)]
struct Ping;

impl EventPayload for Ping {
    const EVENT_TYPE: &'static str = "ping";
}

fn fanout(c: &mut Criterion) {
    let mut group = c.benchmark_group("fanout");
    for burst in [32, 1] {
        group.throughput(Throughput::Elements(burst * SUBSCRIBERS));
        group.bench_function(BenchmarkId::new("broadcast_stream", burst), |b| {
            let (runtime, count) = (new_runtime(), Count::default());
            let sender = broadcast_streams(&runtime, &count);
            let task_id: Arc<str> = Arc::from("bench");
            let send = || sender.send(PlainEvent::now(&task_id, 0)).is_ok();
            b.iter_custom(|iters| time(&runtime, &count, burst, iters, send));
        });
        for batches in [false, true] {
            let name = if batches { "next_batch" } else { "next" };
            group.bench_function(BenchmarkId::new(name, burst), |b| {
                let (runtime, count) = (new_runtime(), Count::default());
                let _in_runtime = runtime.enter();
                let tracker = ProgressTracker::new();
                let task = tracker.task("bench").start().unwrap();
                subscriptions(&runtime, &tracker, &count, batches);
                let emit = || task.emit(Ping).is_ok();
                b.iter_custom(|iters| time(&runtime, &count, burst, iters, emit));
            });
        }
    }
}

/// The time for `iters` bursts, each published when the one before has reached everybody.
fn time(
    runtime: &Runtime,
    count: &Count,
    burst: u64,
    iters: u64,
    publish: impl Fn() -> bool,
) -> Duration {
    runtime.block_on(async {
        // Everybody has read what was there before and sleeps.
        for _ in 0..2 * SUBSCRIBERS {
            yield_now().await;
        }
        let mut target = count.get();
        let start = Instant::now();
        for _ in 0..iters {
            for _ in 0..burst {
                assert!(publish());
            }
            target += burst * SUBSCRIBERS;
            while count.get() < target {
                yield_now().await;
            }
        }
        start.elapsed()
    })
}

fn broadcast_streams(runtime: &Runtime, count: &Count) -> broadcast::Sender<Arc<PlainEvent>> {
    let (sender, _) = broadcast::channel(256);
    for _ in 0..SUBSCRIBERS {
        let mut events = BroadcastStream::new(sender.subscribe());
        let count = count.clone();
        runtime.spawn(async move {
            while let Some(Ok(_event)) = events.next().await {
                count.add(1);
            }
        });
    }
    sender
}

fn subscriptions(runtime: &Runtime, tracker: &ProgressTracker, count: &Count, batches: bool) {
    for _ in 0..SUBSCRIBERS {
        let mut events = tracker.subscribe("bench");
        let count = count.clone();
        if batches {
            runtime.spawn(async move {
                let mut frames = Vec::new();
                while events.next_batch(&mut frames).await > 0 {
                    count.add(frames.drain(..).map(|frame| delivered(&frame)).sum());
                }
            });
        } else {
            runtime.spawn(async move {
                while let Some(frame) = events.next().await {
                    count.add(delivered(&frame));
                }
            });
        }
    }
}

fn delivered(frame: &Frame) -> u64 {
    u64::from(frame.event().is_some())
}

fn new_runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// Deliveries of all subscribers. They share one thread, so that an addition need not be atomic.
#[derive(Clone, Default)]
struct Count(Arc<AtomicU64>);

impl Count {
    fn add(&self, deliveries: u64) {
        self.0.store(self.get() + deliveries, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

criterion_group! {
    name = benches;
    config = progress_benches::criterion();
    targets = fanout
}
criterion_main!(benches);
