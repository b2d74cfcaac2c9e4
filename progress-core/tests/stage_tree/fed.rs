//! A stage that child tasks feed is theirs alone.

use progress_core::{ProgressTracker, Track};

use crate::{shown, stage};

#[tokio::test(start_paused = true)]
async fn counts_by_hand_do_not_mix_with_those_of_child_tasks() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").stage("files", 1.0).start().unwrap();
    let files = task.stage("files");
    // Counted by hand first: the children replace it.
    files.inc(500_000);
    let a = task.child("a", "files").start().unwrap();
    let _b = task.child("b", "files").start().unwrap();
    let seen = stage(&task, "files").await;
    assert_eq!((seen.current, seen.total), (Some(0), Some(2)));
    assert_eq!(tracker.stats().refused, 0);

    files.inc(900_000);
    files.set(1_900_000);
    let _ = (0..100).track(&files).count();
    files.progress(75.0);
    let seen = stage(&task, "files").await;
    assert_eq!((seen.current, seen.progress), (Some(0), 0.0));
    assert_eq!(tracker.stats().refused, 2, "the first count, the percent");

    a.complete(()).unwrap();
    let seen = stage(&task, "files").await;
    assert_eq!((seen.current, seen.progress), (Some(1), 50.0));
    assert_eq!(shown(&task).await, 50.0);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_could_not_start_takes_no_stage_over() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let files = task.stage("files").total(4);
    files.inc(1);
    let _taken = tracker.task("taken").start().unwrap();
    task.child("taken", "files").start().unwrap_err();
    files.inc(1);
    assert_eq!(stage(&task, "files").await.progress, 50.0);
}

#[tokio::test(start_paused = true)]
async fn child_tasks_move_the_stages_above_the_one_they_feed() {
    let tracker = ProgressTracker::new();
    let task = tracker
        .task("t")
        .stage("work/files", 3.0)
        .stage("work/index", 1.0)
        .start()
        .unwrap();
    let a = task.child("a", "work/files").start().unwrap();
    let b = task.child("b", "work/files").start().unwrap();
    a.progress(50.0);
    assert_eq!(stage(&task, "work/files").await.progress, 25.0);
    assert_eq!(stage(&task, "work").await.progress, 18.75);
    a.complete(()).unwrap();
    b.complete(()).unwrap();
    assert_eq!(stage(&task, "work").await.progress, 75.0);
    assert_eq!(shown(&task).await, 75.0);
}
