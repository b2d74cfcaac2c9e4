//! How a subscription is polled: cancel safety, batches, wakers, places that are given back.

use std::{
    sync::Arc,
    task::{Context, Wake, Waker},
};

use progress_core::{ProgressTracker, SubscribeOptions, Subscription};
use tokio_test::{assert_pending, assert_ready};

use crate::{
    common::{Mark, assert_continuous, delivered, marks, ready},
    watched,
};

#[test]
fn dropping_the_future_of_next_loses_nothing() {
    let (_tracker, task, mut subscription) = watched(SubscribeOptions::new());
    let mut seen = Vec::new();
    for n in 0..100 {
        let mut pending = tokio_test::task::spawn(subscription.next());
        assert_pending!(pending.poll());
        if n % 2 == 0 {
            // Dropped while it sleeps, or after it was woken and before it could read.
            drop(pending);
            task.emit(Mark { n }).unwrap();
        } else {
            task.emit(Mark { n }).unwrap();
            assert!(pending.is_woken());
            drop(pending);
        }
        task.emit(Mark { n: 1_000 + n }).unwrap();
        seen.extend(marks(&[tokio_test::block_on(subscription.next()).unwrap()]));
        // The second of the batch has been read already, and is not lost with the future.
        drop(subscription.next());
        seen.extend(marks(&[tokio_test::block_on(subscription.next()).unwrap()]));
    }
    let expected: Vec<_> = (0..100).flat_map(|n| [n, 1_000 + n]).collect();
    assert_eq!(seen, expected);
}

#[test]
fn dropping_the_future_of_next_batch_loses_nothing() {
    let (_tracker, task, mut subscription) = watched(SubscribeOptions::new());
    let mut out = Vec::new();
    for n in 0..100 {
        let mut pending = tokio_test::task::spawn(subscription.next_batch(&mut out));
        assert_pending!(pending.poll());
        task.emit(Mark { n }).unwrap();
        assert!(pending.is_woken());
        drop(pending);
        assert_eq!(marks(&out), (0..n).collect::<Vec<_>>());
        assert_eq!(tokio_test::block_on(subscription.next_batch(&mut out)), 1);
    }
    assert_eq!(assert_continuous(&out, 1), 101);
}

#[test]
fn a_batch_is_of_64_or_so_and_next_and_batches_mix() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    for n in 0..199 {
        task.emit(Mark { n }).unwrap();
    }
    let mut subscription = tracker.subscribe("t");
    let mut out = vec![tokio_test::block_on(subscription.next()).unwrap()];
    let mut sizes = Vec::new();
    while out.len() < 201 {
        out.push(tokio_test::block_on(subscription.next()).unwrap());
        sizes.push(tokio_test::block_on(subscription.next_batch(&mut out)));
    }
    assert_eq!(assert_continuous(&out, 0), 200);
    assert!(
        sizes.iter().all(|size| (1..=64).contains(size)),
        "{sizes:?}"
    );
}

#[test]
fn dropping_subscriptions_frees_their_places() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let mut subscriptions: Vec<_> = (0..100)
        .flat_map(|n| {
            [
                tracker.subscribe("t"),
                tracker.subscribe(format!("unknown{}", n % 3)),
            ]
        })
        .collect();
    for subscription in subscriptions.iter_mut().step_by(3) {
        ready(subscription);
    }
    assert_eq!(tracker.stats().subscriptions, 200);
    assert_eq!(tracker.stats().waiting, 100);
    subscriptions.truncate(50);
    assert_eq!(
        (tracker.stats().subscriptions, tracker.stats().waiting),
        (50, 25)
    );
    task.complete(()).unwrap();
    for subscription in &mut subscriptions {
        ready(subscription);
    }
    drop(subscriptions);
    assert_eq!(
        (tracker.stats().subscriptions, tracker.stats().waiting),
        (0, 0)
    );
}

struct Count;

impl Wake for Count {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_million_polls_do_not_grow() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let mut known = tracker.subscribe("t");
    let mut waiting = tracker.subscribe("unknown");
    ready(&mut known);
    ready(&mut waiting);
    let count = Arc::new(Count);
    let waker = Waker::from(Arc::clone(&count));
    let mut cx = Context::from_waker(&waker);
    let mut out = Vec::new();
    for _ in 0..500_000 {
        assert!(known.poll_batch(&mut cx, &mut out).is_pending());
        assert!(waiting.poll_batch(&mut cx, &mut out).is_pending());
    }
    // Ours, the waker's, and one for each that sleeps.
    assert_eq!(Arc::strong_count(&count), 4);
    // Nor do readers that come, sleep and go.
    for n in 0..10_000 {
        let mut passing = tracker.subscribe(if n % 2 == 0 { "t" } else { "unknown" });
        ready(&mut passing);
        assert!(passing.poll_batch(&mut cx, &mut out).is_pending());
    }
    assert_eq!(Arc::strong_count(&count), 4);
    task.emit(Mark { n: 1 }).unwrap();
    assert_eq!(
        Arc::strong_count(&count),
        3,
        "who is woken is armed no more"
    );
    drop((known, waiting));
    assert_eq!(Arc::strong_count(&count), 2);
    assert!(out.is_empty());
}

#[test]
fn every_sleeper_is_woken_by_one_event() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let mut readers: Vec<_> = (0..100)
        .map(|_| {
            let mut subscription = tracker.subscribe("t");
            ready(&mut subscription);
            tokio_test::task::spawn(subscription)
        })
        .collect();
    for reader in &mut readers {
        assert_pending!(reader.poll_next());
    }
    task.emit(Mark { n: 1 }).unwrap();
    for reader in &mut readers {
        assert!(reader.is_woken());
        assert_eq!(marks(&[assert_ready!(reader.poll_next()).unwrap()]), [1]);
    }
}

#[test]
fn two_readers_share_one_encoding() {
    let (tracker, task, mut first) = watched(SubscribeOptions::new());
    let mut second = tracker.subscribe("t");
    task.emit(Mark { n: 1 }).unwrap();
    let text = |subscription: &mut Subscription| {
        let frames = ready(subscription);
        delivered(&frames).last().unwrap().to_json()
    };
    let (one, two) = (text(&mut first), text(&mut second));
    assert_eq!(one.as_ptr(), two.as_ptr());
}
