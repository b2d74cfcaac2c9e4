//! A tracker that comes to a stop.

mod common;

use std::time::Duration;

use progress_core::{Drained, ProgressTracker, StartError, TaskState};
use static_assertions::assert_impl_all;
use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, assert_ready, task::spawn};

const SECOND: Duration = Duration::from_secs(1);

assert_impl_all!(Drained: Copy, Send, Sync);

fn counts(drained: Drained) -> (u64, usize) {
    (drained.ended, drained.live)
}

#[tokio::test(start_paused = true)]
async fn new_tasks_are_refused_and_live_ones_waited_for() {
    let tracker = ProgressTracker::new();
    drop(tracker.task("before").start().unwrap());
    let one = tracker.task("one").start().unwrap();
    let two = tracker.task("two").queue().unwrap();
    assert!(!tracker.is_draining());
    let mut drain = spawn(tracker.drain(SECOND * 10));
    assert_pending!(drain.poll());
    assert!(tracker.is_draining());
    let refused = || tracker.task("new").start().map(drop);
    assert_eq!(refused(), Err(StartError::Draining));
    assert_eq!(
        tracker.task("before").restart().unwrap_err(),
        StartError::Draining
    );
    // A parent may need its children to come to its end.
    let child = one.child("child", "part").start().unwrap();
    one.complete(()).unwrap();
    assert_eq!(child.snapshot().state, TaskState::Cancelled);
    assert!(!drain.is_woken());
    assert_pending!(drain.poll());
    drop(two);
    assert!(drain.is_woken());
    assert_eq!(counts(assert_ready!(drain.poll())), (3, 0));
    // For good, and what is retained stays.
    assert_eq!(refused(), Err(StartError::Draining));
    assert!(tracker.snapshot("one").await.is_ok());
    let again = tracker.drain(SECOND).await;
    assert_eq!(counts(again), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn when_the_time_is_up_it_says_what_is_still_live() {
    let tracker = ProgressTracker::new();
    let (one, two) = (
        tracker.task("one").start().unwrap(),
        tracker.task("two").start().unwrap(),
    );
    let begin = Instant::now();
    let worker = tokio::spawn(async move {
        sleep(SECOND * 3).await;
        one.complete(()).map(drop)
    });
    assert_eq!(counts(tracker.drain(SECOND * 5).await), (1, 1));
    assert_eq!(begin.elapsed().as_secs(), 5);
    worker.await.unwrap().unwrap();
    assert_eq!(counts(tracker.drain(Duration::ZERO).await), (0, 1));
    // A handle that is held past the end is no live task.
    let held = two.child("held", "part").start().unwrap();
    two.complete(()).unwrap();
    assert_eq!(counts(tracker.drain(Duration::MAX).await), (0, 0));
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_wait_stops_the_wait_alone() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    {
        let mut drain = spawn(tracker.drain(Duration::MAX));
        assert_pending!(drain.poll());
    }
    assert!(tracker.is_draining());
    // Two who wait at a time.
    let mut first = spawn(tracker.drain(Duration::MAX));
    let mut second = spawn(tracker.drain(SECOND));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    drop(task);
    assert_eq!(counts(assert_ready!(first.poll())), (1, 0));
    assert_eq!(counts(assert_ready!(second.poll())), (1, 0));
}

#[test]
fn an_empty_tracker_is_drained_at_once() {
    let tracker = ProgressTracker::new();
    let drained = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(tracker.drain(SECOND));
    assert_eq!(counts(drained), (0, 0));
}
