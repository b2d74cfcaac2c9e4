//! The same across nodes: what waits for the broker is the log, and a mirror lives as long as
//! somebody watches.

use std::time::Duration;

use progress_core::{
    Frame, Level, ProgressTracker, PublishError, Task,
    testing::{MemoryBus, MemoryTransport},
    transport::{Topic, Transport as _},
};
use tokio::time::Instant;

use super::bounds::{
    INDEX, LogBound, SMALL, TASK, TRACKER, assert_within, held, measure, most, runtime,
};
use crate::common::{Gauge, Mark, ready};

const BOUND: LogBound = LogBound::DEFAULT;

/// A node, and the wire to break.
fn node(bus: &MemoryBus) -> (ProgressTracker, MemoryTransport) {
    let wire = bus.connect();
    let builder = ProgressTracker::builder().limits(BOUND.of_a_task());
    (builder.transport(wire.clone()).build(), wire)
}

/// Long enough for whatever is under way, with the clock paused.
async fn settled() {
    tokio::time::sleep(Duration::from_secs(60)).await;
}

/// Something of each class, those of State under many keys.
fn publish(task: &Task, n: u64) {
    match n % 4 {
        0 => drop(task.emit(Mark { n }).unwrap()),
        1 => task.log(Level::INFO, "a line of an ordinary length"),
        _ => drop(task.emit(Gauge::new(format!("{}", n % 1_000), n)).unwrap()),
    }
}

#[test]
fn an_outbox_whose_broker_is_away_takes_what_the_log_may_hold() {
    let (_, info) = measure(|| {
        runtime().block_on(async {
            let bus = MemoryBus::new();
            let (tracker, wire) = node(&bus);
            let task = tracker.task("t").start_confirmed().await.unwrap();
            wire.disconnect();
            for n in 0..1_000_000_u64 {
                publish(&task, n);
                if n % 10_000 == 0 {
                    // The outbox tries, and fails.
                    tokio::time::sleep(Duration::from_secs(3)).await;
                }
            }
            assert!(!tracker.is_connected());
            wire.reconnect();
            settled().await;
            let (other, _wire) = node(&bus);
            let snapshot = other.snapshot("t").await.unwrap();
            assert_eq!(snapshot.seq, task.head().seq());
        });
    });
    // The broker and the other node hold the same events, in places of their own.
    let bound = BOUND.most() + 2 * (BOUND.most() - BOUND.bytes) + 2 * (TASK + TRACKER) + BUS;
    assert_within("at any time", most(&info), bound);
    assert_within("left behind", held(&info), SMALL);
}

#[test]
fn mirrors_that_come_and_go_leave_nothing() {
    const TASKS: usize = 2_000;
    let (_, info) = measure(|| {
        let runtime = runtime();
        let bus = MemoryBus::new();
        let ((owner, _), (web, _)) = (node(&bus), node(&bus));
        let mut tasks = Vec::new();
        runtime.block_on(async {
            for n in 0..TASKS {
                let task = owner.task(format!("task-{n:04}")).start().unwrap();
                task.emit(Mark { n: 1 }).unwrap();
                tasks.push(task);
            }
            settled().await;
        });
        let round = || {
            let (_, info) = measure(|| {
                runtime.block_on(async {
                    let watch = |task: &Task| web.subscribe(task.id());
                    let mut readers: Vec<_> = tasks.iter().map(watch).collect();
                    for reader in &mut readers {
                        assert!(matches!(reader.next().await, Some(Frame::Verdict(_))));
                        assert_eq!(ready(reader).len(), 2);
                    }
                    assert_eq!(web.stats().tasks, TASKS);
                    drop(readers);
                    settled().await;
                    assert_eq!((web.stats().tasks, web.stats().bytes), (0, 0));
                });
            });
            info
        };
        let first = round();
        assert_within("mirrored", most(&first), TASKS * TASK + BUS);
        // What the indices have grown to stays, and nothing is added to it.
        assert_within("after the first time", held(&first), TASKS * INDEX);
        for _ in 0..3 {
            assert_within("after another", held(&round()), SMALL);
        }
    });
    assert_within("left behind", held(&info), SMALL);
}

#[test]
fn a_subscriber_of_the_bus_that_does_not_listen_is_told_so_much_and_no_more() {
    const EVENTS: u64 = 150_000;
    let (_, info) = measure(|| {
        runtime().block_on(async {
            let bus = MemoryBus::new();
            let (tracker, _wire) = node(&bus);
            let (deaf, gone) = (bus.connect(), bus.connect());
            for wire in [&deaf, &gone] {
                wire.watch(&Topic::Task("t".parse().unwrap()))
                    .await
                    .unwrap();
            }
            gone.disconnect();
            let task = tracker.task("t").start_confirmed().await.unwrap();
            for n in 0..EVENTS {
                publish(&task, n);
                if n % 200 == 0 {
                    tracker
                        .flush(Instant::now() + Duration::from_secs(1))
                        .await
                        .unwrap();
                }
            }
            settled().await;
        });
    });
    let bound = UNDER_WAY * EVENT + 2 * BOUND.most() + TASK + TRACKER + BUS;
    assert_within("at any time", most(&info), bound);
    assert_within("at any time, at least", UNDER_WAY * 100, most(&info));
    assert_within("left behind", held(&info), SMALL);
}

#[test]
fn events_of_no_task_that_wait_for_the_broker_are_so_many_at_most() {
    let (_, info) = measure(|| {
        runtime().block_on(async {
            let bus = MemoryBus::new();
            let (tracker, wire) = node(&bus);
            wire.disconnect();
            let channel = tracker.channel("jobs");
            let full = PublishError::QueueFull { limit: WAITING };
            for n in 0..100_000 {
                let emitted = channel.emit(Mark { n });
                assert_eq!(emitted.is_err(), n >= WAITING as u64, "{n}");
                assert!(emitted.is_ok() || emitted == Err(full.clone()));
            }
        });
    });
    assert_within("at any time", most(&info), WAITING * EVENT + TRACKER + BUS);
    assert_within("left behind", held(&info), SMALL);
}

/// A bus without topics: its nodes, their leases.
const BUS: usize = 64 * 1024;
/// Records that the bus keeps for a node that does not take them.
const UNDER_WAY: usize = 65_536;
/// Events of no task that wait.
const WAITING: usize = 4_096;
/// One small event and its place in a queue.
const EVENT: usize = 512;
