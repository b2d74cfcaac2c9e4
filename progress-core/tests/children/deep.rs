//! A family ten thousand generations deep.

use progress_core::{ProgressTracker, Task, TaskState};

use crate::{common::TICK, snapshot};

const DEEP: usize = 10_000;

/// Each the child of the one before.
fn chain(tracker: &ProgressTracker) -> Vec<Task> {
    let mut tasks = vec![tracker.task("0").stage("next", 1.0).start().unwrap()];
    for depth in 1..DEEP {
        let parent = &tasks[depth - 1];
        let child = parent.child(depth.to_string(), "next").stage("next", 1.0);
        tasks.push(child.start().unwrap());
    }
    tasks
}

#[tokio::test(start_paused = true)]
async fn a_deep_chain_does_not_overflow_the_stack() {
    let tracker = ProgressTracker::new();
    let mut tasks = chain(&tracker);
    // Until nothing is watched, so that a change travels to the root at once.
    tokio::time::sleep(TICK * 4).await;
    tasks[DEEP - 1].progress(50.0);
    assert_eq!(tasks[0].snapshot().progress, 50.0);

    // The end of the root ends all.
    tasks.remove(0).cancel("enough").unwrap();
    for depth in [1, DEEP / 2, DEEP - 1] {
        let child = snapshot(&tracker, &depth.to_string()).await;
        assert_eq!(child.state, TaskState::Cancelled);
        assert_eq!(child.progress, 50.0);
    }
    drop(tasks);
    // All at once.
    drop(tracker);
}

#[tokio::test(start_paused = true)]
async fn a_deep_chain_can_end_from_its_leaf() {
    let tracker = ProgressTracker::new();
    let mut tasks = chain(&tracker);
    while let Some(task) = tasks.pop() {
        task.complete(()).unwrap();
    }
    assert_eq!(snapshot(&tracker, "0").await.progress, 100.0);
    assert_eq!(tracker.stats().ended, DEEP);
}
