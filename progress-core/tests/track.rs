//! Adapters: what is iterated, streamed, read or written reports itself.

mod common;

#[path = "track/async_io.rs"]
mod async_io;
#[path = "track/items.rs"]
mod items;
#[path = "track/streams.rs"]
mod streams;
#[path = "track/sync_io.rs"]
mod sync_io;

use progress_core::{ProgressTracker, StageSnapshot, Task};

use crate::common::a_tick;

pub(crate) fn started() -> (ProgressTracker, Task) {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    (tracker, task)
}

pub(crate) async fn stage(task: &Task) -> StageSnapshot {
    a_tick().await;
    task.snapshot().stage("s").unwrap().clone()
}

pub(crate) async fn counted(task: &Task) -> (Option<u64>, Option<u64>) {
    let stage = stage(task).await;
    (stage.current, stage.total)
}
