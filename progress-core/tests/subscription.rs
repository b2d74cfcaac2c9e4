//! Subscriptions: lag, replay, resume, waiting for a task, cancel safety, bounded state.

mod common;

#[path = "subscription/bounds.rs"]
mod bounds;
#[path = "subscription/polling.rs"]
mod polling;
#[path = "subscription/reading.rs"]
mod reading;

use progress_core::{ProgressTracker, SubscribeOptions, Subscription, Task};

use crate::common::{ready, seqs};

/// A live task with `started`, and a subscription that has read that far.
fn watched(options: SubscribeOptions) -> (ProgressTracker, Task, Subscription) {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let mut subscription = tracker.subscribe_with("t", options);
    assert_eq!(seqs(&ready(&mut subscription)), [1]);
    (tracker, task, subscription)
}
