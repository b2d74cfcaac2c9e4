//! What keeps a task, beside what would forget it.

use std::time::Duration;

use loom::thread;
use tokio::time::Instant;

use crate::loom_support::{model, tracker};

/// Past every retention.
fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

#[test]
fn loom_an_ended_task_is_forgotten_once_its_handle_is_gone() {
    model(|| {
        let tracker = tracker();
        let task = tracker.task("t").start().unwrap();
        let worker = thread::spawn(move || task.complete(()).unwrap());
        tracker.shared().sweep(later());
        worker.join().unwrap();
        tracker.shared().sweep(later());
        assert_eq!(tracker.stats().tasks, 0);
        assert_eq!(tracker.stats().bytes, 0);
    });
}

#[test]
fn loom_a_task_that_is_held_is_not_forgotten() {
    model(|| {
        let tracker = tracker();
        let parent = tracker.task("parent").start().unwrap();
        let child = parent.child("t", "part").start().unwrap();
        // The parent's end is the child's, and the child's handle lives on.
        let worker = thread::spawn(move || parent.complete(()).unwrap());
        tracker.shared().sweep(later());
        worker.join().unwrap();
        tracker.shared().sweep(later());
        assert_eq!(tracker.stats().tasks, 1);
        let dropping = thread::spawn(move || drop(child));
        tracker.shared().sweep(later());
        dropping.join().unwrap();
        tracker.shared().sweep(later());
        assert_eq!((tracker.stats().tasks, tracker.stats().bytes), (0, 0));
    });
}
