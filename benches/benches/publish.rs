//! What publishing costs the one who does the work, beside sending on a `tokio` broadcast channel.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use progress_benches::{MESSAGE, PhotoApproved, PhotoScore, PlainEvent};
use progress_core::{ProgressTracker, Subscription, Task, TaskError};
use tokio::sync::broadcast;

fn publish(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish");

    let task_id: Arc<str> = Arc::from("bench");
    let (sender, _idle) = broadcast::channel(256);
    let mut seq = 0;
    group.bench_function("broadcast/idle_subscriber", |b| {
        b.iter(|| {
            seq += 1;
            sender.send(PlainEvent::now(&task_id, seq)).is_ok()
        });
    });

    for watched in [false, true] {
        let watchers = if watched {
            "idle_subscriber"
        } else {
            "no_subscriber"
        };
        let with = |name: &'static str| BenchmarkId::new(name, watchers);
        group.bench_function(with("error"), |b| {
            let (task, _idle) = new_task(watched);
            b.iter_batched(
                || TaskError::new("RENDER_BUSY", MESSAGE),
                |error| task.error(error),
                BatchSize::SmallInput,
            );
        });
        group.bench_function(with("emit"), |b| {
            let (task, _idle) = new_task(watched);
            b.iter(|| task.emit(PhotoApproved { photo: 9 }));
        });
        group.bench_function(with("emit_keyed"), |b| {
            let (task, _idle) = new_task(watched);
            b.iter(|| task.emit(PhotoScore { score: 9 }));
        });
        // All but one a tick are left to the sampler.
        group.bench_function(with("message"), |b| {
            let (task, _idle) = new_task(watched);
            let stage = task.stage("render");
            b.iter(|| stage.message(MESSAGE));
        });
    }
}

/// A task, and a subscriber that went to sleep and is never polled again.
fn new_task(watched: bool) -> (Task, Option<Subscription>) {
    let tracker = ProgressTracker::new();
    let task = tracker.task("bench").start().unwrap();
    let subscription = watched.then(|| {
        let mut subscription = tracker.subscribe("bench");
        let mut cx = Context::from_waker(Waker::noop());
        while pin!(subscription.next()).poll(&mut cx).is_ready() {}
        subscription
    });
    (task, subscription)
}

criterion_group! {
    name = benches;
    config = progress_benches::criterion();
    targets = publish
}
criterion_main!(benches);
