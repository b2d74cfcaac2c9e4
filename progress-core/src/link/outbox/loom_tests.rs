//! The flag that says whether a task stands among those that have something to tell.

use std::sync::Arc;

use loom::thread;

use super::TASKS_AT_ONCE;
use crate::{
    link::Link,
    loom_support::{block_on, model},
    testing::MemoryBus,
    tracker::ProgressTracker,
    transport::Topic,
};

/// Sends one batch, as the loop does; tells how many tasks it was of.
fn send(link: &Link) -> usize {
    let batch = link.next_tasks();
    block_on(link.send_batch(&batch)).unwrap();
    batch.len()
}

#[test]
fn loom_what_is_appended_while_others_are_sent_is_sent_too() {
    model(|| {
        let tracker = ProgressTracker::builder()
            .transport(MemoryBus::new().connect())
            .build();
        let task = tracker.task("t").start().unwrap();
        let link = Arc::clone(tracker.shared().link.as_ref().unwrap());
        let workers = ["one", "two"].map(|reason| {
            let reporter = task.reporter().clone();
            thread::spawn(move || reporter.pause(reason))
        });
        for _ in 0..2 {
            assert!(send(&link) <= 1, "it stands there once");
        }
        for worker in workers {
            worker.join().unwrap();
        }
        let mut batches = 0;
        while send(&link) > 0 {
            batches += 1;
            assert!(batches <= TASKS_AT_ONCE, "there is an end to it");
        }
        let topic = Topic::Task(task.id().clone());
        let page = block_on(link.transport.read(&topic, None)).unwrap();
        assert_eq!(page.unwrap().head, task.head().seq());
        drop(task);
        while send(&link) > 0 {}
        let page = block_on(link.transport.read(&topic, None)).unwrap();
        assert!(page.unwrap().snapshot().unwrap().state.is_ended());
    });
}
