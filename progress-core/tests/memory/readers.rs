//! Readers hold no events: whatever they do, the log's bound is the bound.

use std::task::{Context, Poll, Waker};

use progress_core::{Frame, Level, ProgressTracker, SubscribeOptions, Subscription, Task};

use super::bounds::{
    LogBound, SMALL, SUBSCRIPTION, TASK, TRACKER, assert_within, held, measure, most, runtime,
};
use crate::common::{Gauge, Mark, ready};

const BOUND: LogBound = LogBound::DEFAULT;

fn tracker() -> ProgressTracker {
    ProgressTracker::builder().limits(BOUND.of_a_task()).build()
}

/// One event of each class in turn, those of State under as many keys as there can be.
fn publish(task: &Task, n: u64) {
    match n % 4 {
        0 => drop(task.emit(Mark { n }).unwrap()),
        1 => task.log(
            Level::INFO,
            "a line of an ordinary length, or a little more",
        ),
        _ => drop(
            task.emit(Gauge::new(format!("key {}", n % 1_000), n))
                .unwrap(),
        ),
    }
}

fn poll_one(subscription: &mut Subscription) -> Option<Frame> {
    let mut cx = Context::from_waker(Waker::noop());
    let next = std::pin::pin!(subscription.next());
    match next.poll(&mut cx) {
        Poll::Ready(frame) => frame,
        Poll::Pending => None,
    }
}

/// A million events past readers that the closure lets read now and then.
fn watched_by(mut read: impl FnMut(&mut [Subscription], u64)) {
    let (bytes, info) = measure(|| {
        let runtime = runtime();
        let _in_runtime = runtime.enter();
        let tracker = tracker();
        let task = tracker.task("t").start().unwrap();
        let mut readers = [tracker.subscribe("t"), tracker.subscribe("t")];
        for n in 0..EVENTS {
            publish(&task, n);
            read(&mut readers, n);
        }
        assert_eq!(task.head().seq().get(), EVENTS + 1);
        // What is retained still comes to all of them.
        for reader in &mut readers {
            let last = ready(reader).last().and_then(Frame::event).cloned();
            assert_eq!(last.unwrap().seq().get(), EVENTS + 1);
        }
        tracker.stats().bytes
    });
    assert!(bytes <= BOUND.bytes, "{bytes}");
    let bound = BOUND.most() + TASK + TRACKER;
    assert_within("at any time", most(&info), bound);
    assert_within("left behind", held(&info), SMALL);
}

#[test]
fn a_reader_that_never_reads_costs_no_memory() {
    watched_by(|readers, n| {
        if n == 0 {
            // One of them sleeps; the other was never polled.
            ready(&mut readers[0]);
        }
    });
}

#[test]
fn a_slow_reader_costs_no_memory() {
    watched_by(|readers, n| {
        if n % 1_000 == 0 {
            let frame = poll_one(&mut readers[0]);
            assert!(frame.is_some_and(|frame| frame.event().is_some() || n == 0));
        }
    });
}

#[test]
fn events_and_their_encodings_are_in_the_account() {
    let (bytes, info) = measure(|| {
        let runtime = runtime();
        let _in_runtime = runtime.enter();
        let tracker = tracker();
        let task = tracker.task("t").start().unwrap();
        let mut reader = tracker.subscribe("t");
        let text = "x".repeat(20_000);
        for n in 0..2_000_u64 {
            match n % 3 {
                0 => task
                    .try_metadata(&format!("name {}", n % 2), &*text)
                    .unwrap(),
                1 => task.log(Level::INFO, &*text),
                _ => drop(task.emit(Text(&text)).unwrap()),
            }
            // Each of them is encoded, and the encodings stay with the events.
            for frame in ready(&mut reader) {
                if let Frame::Event(delivered) = frame {
                    assert!(delivered.to_json().len() > 100);
                }
            }
        }
        tracker.stats().bytes
    });
    assert!((BOUND.bytes / 2..=BOUND.bytes).contains(&bytes), "{bytes}");
    // What is being made and what is just being read is not in the log.
    let in_hand = 8 * 64 * 1024;
    let bound = BOUND.most() + TASK + TRACKER + in_hand;
    assert_within("at any time", most(&info), bound);
    assert_within("left behind", held(&info), SMALL);
}

#[derive(serde::Serialize)]
struct Text<'a>(&'a str);

impl progress_core::EventPayload for Text<'_> {
    const EVENT_TYPE: &'static str = "text";
}

#[test]
fn ten_thousand_readers_of_one_task_take_what_is_documented() {
    const READERS: usize = 10_000;
    let (_, info) = measure(|| {
        let runtime = runtime();
        let _in_runtime = runtime.enter();
        let tracker = tracker();
        let task = tracker.task("t").start().unwrap();
        let mut readers = Vec::new();
        let (_, idle) = measure(|| {
            readers.reserve_exact(READERS);
            for _ in 0..READERS {
                let mut reader = tracker.subscribe_with("t", SubscribeOptions::new());
                ready(&mut reader);
                readers.push(reader);
            }
        });
        assert_within("idle", held(&idle), READERS * SUBSCRIPTION);
        let (_, woken) = measure(|| {
            for n in 0..50 {
                publish(&task, n);
                for reader in &mut readers {
                    while poll_one(reader).is_some() {}
                }
            }
            // A burst, of which each takes one and the rest waits.
            for n in 0..50 {
                publish(&task, n);
            }
            for reader in &mut readers {
                assert!(poll_one(reader).is_some());
                while poll_one(reader).is_some() {}
            }
        });
        // The wakers of two rounds.
        let places = 2 * READERS * size_of::<Option<Waker>>();
        assert_within("woken", held(&woken), 2 * places + 100 * 1024);
        let (_, left) = measure(|| drop(readers));
        assert!(left.bytes_current < 0);
        publish(&task, 0);
        assert_eq!(tracker.stats().subscriptions, 0);
    });
    assert_within("left behind", held(&info), SMALL);
}

const EVENTS: u64 = 1_000_000;
