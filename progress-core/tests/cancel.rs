//! Cancellation: asked for by a watcher, honoured by the work.

mod common;

use std::time::Duration;

use progress_core::{
    CancelError, Data, Limits, LookupError, ProgressTracker, Reporter, Status, TaskState,
};
use static_assertions::assert_impl_all;
use tokio_test::{assert_pending, assert_ready, task::spawn};

use crate::common::{Mark, events, ready, to_end, types};

assert_impl_all!(CancelError: std::error::Error, Send, Sync);

#[tokio::test]
async fn a_request_is_published_once_and_wakes_the_work() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let stage = task.stage("a");
    let mut watcher = tracker.subscribe("t");
    ready(&mut watcher);
    let reporter = task.reporter();
    let mut by_task = spawn(task.cancelled());
    let mut by_stage = spawn(stage.cancelled());
    assert_pending!(by_task.poll());
    assert_pending!(by_stage.poll());
    assert!(!reporter.is_cancelled());
    assert_eq!(reporter.cancel_reason(), None);

    tracker.cancel("t", "enough").await.unwrap();
    assert!(by_task.is_woken() && by_stage.is_woken());
    assert_ready!(by_task.poll());
    assert_ready!(by_stage.poll());
    assert!(task.is_cancelled() && stage.is_cancelled());
    // The first reason stays.
    tracker.cancel("t", "really enough").await.unwrap();
    tracker.cancel("t", None).await.unwrap();
    assert_eq!(stage.cancel_reason().as_deref(), Some("enough"));
    let frames = ready(&mut watcher);
    assert_eq!(types(&frames), ["cancel_requested"]);
    match events(&frames)[0].data() {
        Data::CancelRequested(note) => assert_eq!(note.reason.as_deref(), Some("enough")),
        other => panic!("{other:?}"),
    }

    // Asked is not ended: the work may finish after all.
    let snapshot = task.snapshot();
    assert_eq!(snapshot.state, TaskState::Running);
    assert!(snapshot.cancel_requested);
    drop((by_task, by_stage));
    task.emit(Mark { n: 1 }).unwrap();
    task.cancel("enough").unwrap();
    assert_eq!(types(&to_end(&mut watcher).await), ["mark", "complete"]);
}

#[test]
fn a_snapshot_without_a_request_says_nothing_of_it() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let text = |task: &progress_core::Task| serde_json::to_string(&task.snapshot()).unwrap();
    assert!(!text(&task).contains("cancel_requested"));
    tokio_test::block_on(tracker.cancel("t", None)).unwrap();
    assert!(text(&task).contains("\"cancel_requested\":true"));
    assert_eq!(task.cancel_reason(), None);
}

#[tokio::test]
async fn the_end_of_a_task_stops_its_work_too() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let stage = task.stage("a");
    let mut waiting = spawn(stage.cancelled());
    assert_pending!(waiting.poll());
    task.complete(()).unwrap();
    assert!(waiting.is_woken());
    assert_ready!(waiting.poll());
    assert!(stage.is_cancelled());
    assert_eq!(stage.cancel_reason(), None);
}

#[tokio::test]
async fn what_cannot_be_cancelled_is_a_typed_error() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let id = task.id().clone();
    task.complete(()).unwrap();
    assert_eq!(
        tracker.cancel("t", "late").await,
        Err(CancelError::AlreadyComplete(id))
    );
    assert!(matches!(
        tracker.cancel("nobody", None).await,
        Err(CancelError::Lookup(LookupError::NotFound(_)))
    ));
    assert!(matches!(
        tracker.cancel("no spaces", None).await,
        Err(CancelError::Lookup(LookupError::InvalidTaskId(_)))
    ));
}

#[test]
fn a_busy_log_does_not_wake_who_waits_for_cancellation() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let mut waiting = spawn(task.cancelled());
    assert_pending!(waiting.poll());
    for n in 0..1_000 {
        task.emit(Mark { n }).unwrap();
    }
    assert!(!waiting.is_woken());
}

#[test]
fn dropping_the_wait_changes_nothing() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    for _ in 0..100 {
        let mut waiting = spawn(task.cancelled());
        assert_pending!(waiting.poll());
    }
    let mut waiting = spawn(task.cancelled());
    assert_pending!(waiting.poll());
    tokio_test::block_on(tracker.cancel("t", None)).unwrap();
    assert_ready!(waiting.poll());
    // Who comes later need not wait.
    assert_ready!(spawn(task.cancelled()).poll());
}

#[tokio::test]
async fn the_whole_family_is_asked() {
    let tracker = ProgressTracker::new();
    let parent = tracker.task("parent").start().unwrap();
    let child = parent.child("child", "part").start().unwrap();
    let queued = parent.child("queued", "part").queue().unwrap();
    let grandchild = child.child("grandchild", "part").start().unwrap();
    let ended = parent.child("ended", "part").start().unwrap();
    ended.complete(()).unwrap();
    let mut waiting = spawn(grandchild.cancelled());
    assert_pending!(waiting.poll());

    tracker.cancel("parent", "enough").await.unwrap();
    assert!(waiting.is_woken());
    for task in [&child, &queued, &grandchild] {
        assert!(task.is_cancelled());
        assert_eq!(task.cancel_reason().as_deref(), Some("enough"));
        assert!(task.snapshot().cancel_requested);
    }
    let done = tracker.snapshot("ended").await.unwrap();
    assert!(!done.cancel_requested);

    // One that comes after the request is asked at its start.
    let late = child.child("late", "part").start().unwrap();
    assert_eq!(late.cancel_reason().as_deref(), Some("enough"));
    let frames = ready(&mut tracker.subscribe("late"));
    assert_eq!(types(&frames), ["started", "cancel_requested"]);
}

#[test]
fn cancelling_a_child_leaves_its_parent_alone() {
    let tracker = ProgressTracker::new();
    let parent = tracker.task("parent").start().unwrap();
    let child = parent.child("child", "part").start().unwrap();
    tokio_test::block_on(tracker.cancel("child", None)).unwrap();
    assert!(child.is_cancelled());
    assert!(!parent.is_cancelled());
}

#[test]
fn ten_thousand_generations_are_asked_without_exhausting_the_stack() {
    let tracker = ProgressTracker::new();
    let mut line = vec![tracker.task("t0").start().unwrap()];
    for n in 1..10_000 {
        let child = line[n - 1].child(format!("t{n}"), "part").start().unwrap();
        line.push(child);
    }
    tokio_test::block_on(tracker.cancel("t0", None)).unwrap();
    assert!(line.iter().all(|task| task.is_cancelled()));
}

#[test]
fn a_stage_that_could_not_be_made_still_stops_with_its_task() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let broken: Reporter = task.stage("a//b");
    assert_eq!(broken.task_id(), None);
    let mut waiting = spawn(broken.cancelled());
    assert_pending!(waiting.poll());
    tokio_test::block_on(tracker.cancel("t", "enough")).unwrap();
    assert_ready!(waiting.poll());
    assert!(broken.is_cancelled());
    assert_eq!(broken.cancel_reason().as_deref(), Some("enough"));
}

#[test]
fn a_long_reason_is_cut_and_a_request_that_cannot_be_published_still_counts() {
    let limits = Limits::default().payload(1_024);
    let tracker = ProgressTracker::builder().limits(limits).build();
    let task = tracker.task("t").start().unwrap();
    let long = "é".repeat(5_000);
    tokio_test::block_on(tracker.cancel("t", long.as_str())).unwrap();
    let reason = task.cancel_reason().unwrap();
    assert!(long.starts_with(&*reason) && reason.len() < 1_024);
    assert!(task.snapshot().cancel_requested);

    let tracker = ProgressTracker::builder()
        .limits(Limits::default().payload(0))
        .build();
    let task = tracker.task("t").start().unwrap();
    tokio_test::block_on(tracker.cancel("t", "why")).unwrap();
    assert!(task.is_cancelled());
    assert_eq!(tracker.stats().refused, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_between_the_look_and_the_sleep() {
    for n in 0..500 {
        let tracker = ProgressTracker::new();
        let task = tracker.task("t").start().unwrap();
        let worker = tokio::spawn(async move {
            task.cancelled().await;
            task.cancel("asked").map(drop)
        });
        if n % 2 == 0 {
            tokio::task::yield_now().await;
        }
        tracker.cancel("t", None).await.unwrap();
        tokio::time::timeout(Duration::from_secs(60), worker)
            .await
            .expect("a request was lost")
            .unwrap()
            .unwrap();
        let end = events(&ready(&mut tracker.subscribe("t")));
        match end.last().unwrap().data() {
            Data::Complete(end) => assert_eq!(end.status, Status::Cancelled),
            other => panic!("{other:?}"),
        }
    }
}
