//! Two nodes: one works, the other one watches.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use progress_benches::events::now_us;
use progress_core::{EventPayload, Frame, ProgressTracker, Task};
use progress_redis::RedisTransport;
use serde::Serialize;
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc,
};

use crate::broker::Broker;

/// A node with a thread of its own.
pub(crate) struct Node {
    pub(crate) runtime: Runtime,
    pub(crate) tracker: ProgressTracker,
}

impl Node {
    pub(crate) fn start(broker: &Broker) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let tracker = {
            let _entered = runtime.enter();
            let transport = RedisTransport::builder(broker.server.url()).build();
            ProgressTracker::builder()
                .transport(transport.expect("its URL is one"))
                .build()
        };
        Self { runtime, tracker }
    }

    /// Starts so many tasks and waits until Redis has them.
    pub(crate) fn tasks(&self, count: usize) -> Vec<Task> {
        self.runtime.block_on(async {
            let mut tasks = Vec::with_capacity(count);
            for _ in 0..count {
                let id = progress_core::TaskId::random();
                let task = self.tracker.task(id).start_confirmed().await;
                tasks.push(task.expect("its id is new"));
            }
            tasks
        })
    }

    /// Watches tasks from now on, and counts what comes.
    pub(crate) fn watch(&self, tasks: &[Task]) -> Watched {
        let _entered = self.runtime.enter();
        let seen = Arc::new(Seen::default());
        let (ready, mut all_ready) = mpsc::unbounded_channel();
        for task in tasks {
            let mut frames = self.tracker.subscribe(task.id().clone());
            let (seen, ready) = (Arc::clone(&seen), ready.clone());
            self.runtime.spawn(async move {
                let mut batch = Vec::new();
                while frames.next_batch(&mut batch).await > 0 {
                    for frame in batch.drain(..) {
                        match frame {
                            Frame::Verdict(_) => drop(ready.send(())),
                            Frame::Event(delivered) => seen.take(&delivered.event),
                            Frame::Gap(_) => drop(seen.gaps.fetch_add(1, Ordering::Relaxed)),
                            _ => {}
                        }
                    }
                }
            });
        }
        self.runtime.block_on(async {
            for _ in tasks {
                all_ready.recv().await.expect("each is found");
            }
        });
        Watched(seen)
    }
}

/// What has come to a node.
#[derive(Default)]
struct Seen {
    measured: AtomicU64,
    gaps: AtomicU64,
    latencies: std::sync::Mutex<Vec<f64>>,
}

impl Seen {
    fn take(&self, event: &progress_core::Event) {
        let progress_core::Data::Custom(custom) = event.data() else {
            return;
        };
        let json = custom.data.json();
        let sent = json.find(SENT).map(|at| &json[at + SENT.len()..]);
        let sent = sent.and_then(|text| text.split([',', '}']).next()?.parse::<u64>().ok());
        if let Some(sent) = sent.filter(|sent| *sent > 0) {
            let late = now_us().saturating_sub(sent) as f64 / 1_000.0;
            self.latencies.lock().expect("no panic").push(late);
        }
        self.measured.fetch_add(1, Ordering::Release);
    }
}

pub(crate) struct Watched(Arc<Seen>);

impl Watched {
    pub(crate) fn count(&self) -> u64 {
        self.0.measured.load(Ordering::Acquire)
    }

    pub(crate) fn gaps(&self) -> u64 {
        self.0.gaps.load(Ordering::Relaxed)
    }

    /// Waits until so many have come.
    pub(crate) fn until(&self, count: u64) {
        while self.count() < count {
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Milliseconds from publishing to the watcher, of all that said when they were sent.
    pub(crate) fn latencies(&self) -> Vec<f64> {
        std::mem::take(&mut *self.0.latencies.lock().expect("no panic"))
    }
}

/// A milestone whose record has 300 bytes, about.
#[derive(Serialize)]
pub(crate) struct Measured {
    /// 0 if nobody is to compare it.
    pub(crate) sent_us: u64,
    pub(crate) text: Cow<'static, str>,
}

impl Measured {
    pub(crate) fn at(sent_us: u64) -> Self {
        Self {
            sent_us,
            text: Cow::Borrowed(TEXT),
        }
    }
}

impl EventPayload for Measured {
    const EVENT_TYPE: &'static str = "measured";
}

const SENT: &str = r#""sent_us":"#;
/// As long as a record of 300 bytes leaves room for.
pub(crate) const TEXT: &str = "the render service is busy, so this attempt is made again a little later than the last one was";
