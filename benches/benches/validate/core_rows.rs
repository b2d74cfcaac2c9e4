//! What `progress-core` does within the process.

use std::{
    hint::black_box,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Waker},
    time::{Duration, Instant},
};

use progress_benches::{
    MESSAGE, PhotoApproved, PhotoScore, PlainEvent,
    fanout::{Fanout, Reading},
    inc::{on_one_thread, on_two_threads},
    rounds::{Effort, each, rounds},
    table::{Row, Table},
};
use progress_core::{ProgressTracker, Subscription, Task, TaskError};
use tokio::{
    runtime::{Builder, Runtime},
    sync::broadcast::{self, error::TryRecvError},
    task::yield_now,
};

pub(crate) fn counter(effort: Effort, table: &mut Table) {
    let tracker = ProgressTracker::new();
    let task = tracker.task("bench").start().unwrap();
    let reporter = task.stage("count").total(u64::MAX);
    let bare = AtomicU64::new(0);
    let add = || bare.fetch_add(black_box(1), Ordering::AcqRel);
    let inc = || reporter.inc(black_box(1));

    let times = effort.repeat(200_000);
    let [bare, own] = rounds(
        effort,
        [&mut || each(on_one_thread(times, add), times), &mut || {
            each(on_one_thread(times, inc), times)
        }],
    );
    table.push(
        Row::new("inc, one thread", own.value, "ns")
            .beside(bare.value, own.ratio)
            .ratio_at_most(1.15),
    );
    // Long enough that both threads run beside each other for nearly all of it.
    let times = effort.repeat(1_000_000);
    let [bare, own] = rounds(
        effort,
        [&mut || each(on_two_threads(times, add), times), &mut || {
            each(on_two_threads(times, inc), times)
        }],
    );
    table.push(
        Row::new("inc, two threads", own.value, "ns")
            .beside(bare.value, own.ratio)
            .ratio_at_most(1.25),
    );
}

pub(crate) fn publish(effort: Effort, table: &mut Table) {
    let times = effort.repeat(5_000);
    let task_id: Arc<str> = Arc::from("bench");
    let (sender, _idle) = broadcast::channel(256);
    let mut seq = 0;
    let mut broadcast = || {
        let start = Instant::now();
        for _ in 0..times {
            seq += 1;
            assert!(sender.send(PlainEvent::now(&task_id, seq)).is_ok());
        }
        each(start.elapsed(), times)
    };
    let scenes: Vec<_> = (0..6).map(|number| new_task(number % 2 == 1)).collect();
    let [
        unwatched_emit,
        emit,
        unwatched_keyed,
        keyed,
        unwatched_error,
        error,
    ] = [0, 1, 2, 3, 4, 5].map(|number| &scenes[number].0);
    let time_emit = |task: &Task| {
        each(
            on_one_thread(times, || task.emit(PhotoApproved { photo: 9 })),
            times,
        )
    };
    let time_keyed = |task: &Task| {
        each(
            on_one_thread(times, || task.emit(PhotoScore { score: 9 })),
            times,
        )
    };
    let time_error = |task: &Task| each(errors(task, times), times);
    let medians = rounds(
        effort,
        [
            &mut broadcast,
            &mut || time_emit(unwatched_emit),
            &mut || time_emit(emit),
            &mut || time_keyed(unwatched_keyed),
            &mut || time_keyed(keyed),
            &mut || time_error(unwatched_error),
            &mut || time_error(error),
        ],
    );
    let names = [
        "emit, nobody watches",
        "emit, one sleeps",
        "emit keyed, nobody watches",
        "emit keyed, one sleeps",
        "error, nobody watches",
        "error, one sleeps",
    ];
    for (name, own) in names.into_iter().zip(&medians[1..]) {
        table.push(
            Row::new(name, own.value, "ns")
                .beside(medians[0].value, own.ratio)
                .at_most(200.0)
                .ratio_at_most(1.8),
        );
    }
    table.push(Row::new("events, one thread", 1e3 / medians[2].value, "M/s").at_least(5.0));
}

/// Made beforehand, a few at a time.
fn errors(task: &Task, times: u64) -> Duration {
    let mut spent = Duration::ZERO;
    for _ in 0..times.div_ceil(100) {
        let errors = [(); 100].map(|()| TaskError::new("RENDER_BUSY", MESSAGE));
        let start = Instant::now();
        for error in errors {
            assert!(task.error(error).is_ok());
        }
        spent += start.elapsed();
    }
    spent
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

/// The call that wakes a task of the runtime it is made on, the reading of a clock included.
pub(crate) fn wake(effort: Effort, table: &mut Table) {
    let times = effort.repeat(3_000);
    let [channel, own] = [Reading::Broadcast, Reading::Next].map(|r| Fanout::new(r, 1));
    let time = |scene: &Fanout| each(scene.run(times, 1).publishing, times);
    let [baseline, own] = rounds(effort, [&mut || time(&channel), &mut || time(&own)]);
    table.push(
        Row::new("emit that wakes a task", own.value, "ns")
            .beside(baseline.value, own.ratio)
            .at_most(320.0),
    );
}

pub(crate) fn fanout(effort: Effort, table: &mut Table) {
    const SUBSCRIBERS: u64 = 1_000;
    let [broadcast, next, batches] =
        [Reading::Broadcast, Reading::Next, Reading::Batches].map(|r| Fanout::new(r, SUBSCRIBERS));
    // Few: a turn that outlasts a slice of the scheduler's time measures who else is busy.
    let bursts = effort.repeat(2);
    let deliveries = bursts * 32 * SUBSCRIBERS;
    let time = |fanout: &Fanout| {
        // Its turn begins with what the others have left in the caches.
        fanout.run(2, 32);
        each(fanout.run(bursts, 32).whole, deliveries)
    };
    let [baseline, by_next, by_batches] = rounds(
        effort,
        [&mut || time(&broadcast), &mut || time(&next), &mut || {
            time(&batches)
        }],
    );
    table.push(
        Row::new("delivery of 32 in batches", by_batches.value, "ns")
            .beside(baseline.value, by_batches.ratio)
            .at_most(25.0),
    );
    table.push(
        Row::new("delivery of 32 by Stream", by_next.value, "ns")
            .beside(baseline.value, by_next.ratio)
            .ratio_at_most(0.9),
    );

    let singles = effort.repeat(20);
    let deliveries = singles * SUBSCRIBERS;
    let mut publishing = [const { Vec::new() }; 3];
    let [broadcast_calls, next_calls, batch_calls] = &mut publishing;
    let time = |fanout: &Fanout, calls: &mut Vec<f64>| {
        fanout.run(5, 1);
        let spent = fanout.run(singles, 1);
        calls.push(each(spent.publishing, deliveries));
        each(spent.whole, deliveries)
    };
    let [baseline, by_next, by_batches] = rounds(
        effort,
        [
            &mut || time(&broadcast, broadcast_calls),
            &mut || time(&next, next_calls),
            &mut || time(&batches, batch_calls),
        ],
    );
    table.push(
        Row::new("delivery of 1 in batches", by_batches.value, "ns")
            .beside(baseline.value, by_batches.ratio)
            .ratio_at_most(1.15),
    );
    table.push(
        Row::new("delivery of 1 by Stream", by_next.value, "ns")
            .beside(baseline.value, by_next.ratio)
            .ratio_at_most(1.35),
    );
    let [broadcast_call, next_call, batch_call] =
        publishing.map(|calls| progress_benches::rounds::median(calls.into_iter()));
    let own = next_call.max(batch_call);
    table.push(
        Row::new("publish, each sleeper it wakes", own, "ns")
            .beside(broadcast_call, own / broadcast_call)
            .at_most(45.0),
    );
}

pub(crate) fn replay(effort: Effort, table: &mut Table) {
    const EVENTS: u64 = 1_000;
    let runtime = runtime();
    let _in_runtime = runtime.enter();
    let tracker = ProgressTracker::new();
    let task = tracker.task("bench").start().unwrap();
    for photo in 0..EVENTS {
        task.emit(PhotoApproved { photo }).unwrap();
    }
    task.complete(()).unwrap();
    let task_id: Arc<str> = Arc::from("bench");
    let (sender, _) = broadcast::channel(EVENTS as usize);

    let times = effort.repeat(20);
    let [baseline, by_next, by_batches] = rounds(
        effort,
        [
            &mut || {
                let mut spent = Duration::ZERO;
                for _ in 0..times {
                    let mut receiver = sender.subscribe();
                    for seq in 0..EVENTS {
                        assert!(sender.send(PlainEvent::now(&task_id, seq)).is_ok());
                    }
                    let start = Instant::now();
                    let mut events = 0;
                    loop {
                        match receiver.try_recv() {
                            Ok(_event) => events += 1,
                            Err(TryRecvError::Empty) => break,
                            Err(error) => panic!("{error}"),
                        }
                    }
                    assert_eq!(events, EVENTS);
                    spent += start.elapsed();
                }
                each(spent, times * EVENTS)
            },
            &mut || {
                let start = Instant::now();
                for _ in 0..times {
                    runtime.block_on(async {
                        let mut subscription = tracker.subscribe("bench");
                        let mut events = 0;
                        while let Some(frame) = subscription.next().await {
                            events += u64::from(frame.event().is_some());
                        }
                        // With `started` and `complete`.
                        assert_eq!(events, EVENTS + 2);
                    });
                }
                each(start.elapsed(), times * EVENTS)
            },
            &mut || {
                let start = Instant::now();
                for _ in 0..times {
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
                }
                each(start.elapsed(), times * EVENTS)
            },
        ],
    );
    for (name, own, target) in [
        ("replay by Stream", by_next, 25.0),
        ("replay in batches", by_batches, 50.0),
    ] {
        table.push(
            Row::new(name, 1e3 / own.value, "M/s")
                .beside(1e3 / baseline.value, 1.0 / own.ratio)
                .at_least(target),
        );
    }
}

/// System A's first: a publisher and one subscriber, on one thread.
pub(crate) fn throughput(effort: Effort, table: &mut Table) {
    let events = effort.repeat(20_000);
    let [rate] = rounds(
        effort,
        [&mut || {
            let runtime = runtime();
            let start = Instant::now();
            runtime.block_on(async {
                let tracker = ProgressTracker::new();
                let task = tracker.task("bench").start().unwrap();
                let mut subscription = tracker.subscribe("bench");
                let reader = tokio::spawn(async move {
                    let mut read = 0;
                    while let Some(frame) = subscription.next().await {
                        read += u64::from(frame.event().is_some());
                    }
                    read
                });
                for number in 0..events {
                    task.emit(PhotoApproved { photo: 9 }).unwrap();
                    if number % 64 == 0 {
                        yield_now().await;
                    }
                }
                task.complete(()).unwrap();
                assert_eq!(reader.await.unwrap(), events + 2);
            });
            each(start.elapsed(), events)
        }],
    );
    table.push(Row::new("A: throughput", 1e9 / rate.value, "/s").at_least(1_000.0));
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}
