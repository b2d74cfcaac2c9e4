//! A thousand kept events to a subscriber that comes late, beside a broadcast receiver that is a
//! thousand behind.

use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use progress_benches::{PhotoApproved, PlainEvent};
use progress_core::ProgressTracker;
use tokio::{
    runtime::Builder,
    sync::broadcast::{self, error::TryRecvError},
};

const EVENTS: u64 = 1_000;

fn replay(c: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let tracker = ProgressTracker::new();
    let task = tracker.task("bench").start().unwrap();
    for photo in 0..EVENTS {
        task.emit(PhotoApproved { photo }).unwrap();
    }
    task.complete(()).unwrap();

    let mut group = c.benchmark_group("replay");
    group.throughput(Throughput::Elements(EVENTS));
    group.bench_function("broadcast_backlog", |b| {
        let task_id: Arc<str> = Arc::from("bench");
        let (sender, _) = broadcast::channel(EVENTS as usize);
        let backlog = || {
            let receiver = sender.subscribe();
            for seq in 0..EVENTS {
                sender.send(PlainEvent::now(&task_id, seq)).unwrap();
            }
            receiver
        };
        let drain = |mut receiver: broadcast::Receiver<_>| {
            let mut events = 0;
            loop {
                match receiver.try_recv() {
                    Ok(_event) => events += 1,
                    Err(TryRecvError::Empty) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            assert_eq!(events, EVENTS);
        };
        // One at a time: a channel holds one backlog.
        b.iter_batched(backlog, drain, BatchSize::PerIteration);
    });
    group.bench_function("next", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let mut subscription = tracker.subscribe("bench");
                let mut events = 0;
                while let Some(frame) = subscription.next().await {
                    events += u64::from(frame.event().is_some());
                }
                // With `started` and `complete`.
                assert_eq!(events, EVENTS + 2);
            });
        });
    });
    group.bench_function("next_batch", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let mut subscription = tracker.subscribe("bench");
                let mut frames = Vec::new();
                let mut events = 0;
                while subscription.next_batch(&mut frames).await > 0 {
                    let read = frames.drain(..).filter(|frame| frame.event().is_some());
                    events += read.count() as u64;
                }
                assert_eq!(events, EVENTS + 2);
            });
        });
    });
}

criterion_group! {
    name = benches;
    config = progress_benches::criterion();
    targets = replay
}
criterion_main!(benches);
