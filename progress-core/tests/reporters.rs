//! Reporters beside the usual ones: to nobody, weak, and beginning again.

mod common;

use std::time::Duration;

use progress_core::{
    Epoch, Level, ProgressTracker, PublishError, Reporter, StartError, TaskError, TaskState,
    WeakReporter,
};
use static_assertions::assert_impl_all;
use tokio::time::sleep;
use tokio_test::{assert_pending, task::spawn};

use crate::common::{Gauge, Mark, a_tick, ready, types, updates};

assert_impl_all!(WeakReporter: Clone, Send, Sync, std::fmt::Debug);

#[test]
fn to_nobody_every_method_works_and_does_nothing() {
    let reporter = Reporter::noop();
    assert_eq!(reporter.task_id(), None);
    let stage = reporter.stage("a//b").total(10).unit("frames");
    for reporter in [&reporter, &stage] {
        reporter.inc(1);
        reporter.set(5);
        reporter.progress(10.0);
        reporter.message("…");
        reporter.metadata("a", 1);
        reporter.try_metadata("a", 1).unwrap();
        reporter.log(Level::INFO, "…");
        reporter.error(TaskError::new("A", "a")).unwrap();
        reporter.retrying(TaskError::new("A", "a"), 1, 3);
        reporter.pause("waiting");
        reporter.resume();
        reporter.reset();
        reporter.finish();
        let position = reporter.emit(Mark { n: 1 }).unwrap();
        assert_eq!(position.epoch(), Epoch::FOREIGN);
        reporter.emit(Gauge::new("k", 1)).unwrap();
        assert!(!reporter.is_cancelled());
        assert_eq!(reporter.cancel_reason(), None);
        let mut waiting = spawn(reporter.cancelled());
        assert_pending!(waiting.poll());
        assert!(reporter.downgrade().upgrade().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_of_nobody_is_a_task_that_nobody_watches() {
    let reporter = Reporter::noop();
    let child = reporter.child("t", "part").stage("a", 1.0).start().unwrap();
    // Not even its sibling of the same id.
    let twin = reporter.child("t", "part").start().unwrap();
    child.stage("a").progress(40.0);
    assert_eq!(child.snapshot().progress, 40.0);
    assert_eq!(twin.snapshot().progress, 0.0);
    child.complete(()).unwrap();
    drop(twin);
    assert!(matches!(
        reporter.child("no spaces", "part").start(),
        Err(StartError::InvalidTaskId(_))
    ));
    // Their trackers' background tasks end with them.
    let background = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    while background() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stage_that_could_not_be_made_is_not_nobody() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let broken = task.stage("a//b");
    assert_eq!(broken.emit(Mark { n: 1 }), Err(PublishError::Detached));
    assert!(broken.child("c", "part").start().is_err());
    let weak = broken.downgrade();
    let again = weak.upgrade().unwrap();
    assert_eq!(again.emit(Mark { n: 1 }), Err(PublishError::Detached));
    drop((again, broken));
    task.complete(()).unwrap();
    tracker.remove("t").await.unwrap();
    assert!(weak.upgrade().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_clone_keeps_memory_and_not_life_and_a_weak_one_neither() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let (clone, weak) = (task.reporter(), task.stage("a").downgrade());
    weak.upgrade().unwrap().inc(3);
    assert_eq!(task.snapshot().stage("a").unwrap().current, Some(3));
    drop(task);
    // The clone did not keep it alive.
    let ended = tracker.snapshot("t").await.unwrap();
    assert_eq!(ended.state, TaskState::Abandoned);
    assert!(weak.upgrade().unwrap().is_cancelled());
    tracker.remove("t").await.unwrap();
    // It keeps its memory,
    assert!(weak.upgrade().is_some());
    drop(clone);
    // The sampler has looked at it for the last time.
    a_tick().await;
    // and a weak one does not.
    assert!(weak.upgrade().is_none());
    assert!(format!("{weak:?}").contains("None"));
}

#[tokio::test(start_paused = true)]
async fn reset_takes_a_whole_task_back_to_0() {
    let tracker = ProgressTracker::new();
    let task = tracker
        .task("t")
        .stage("a", 1.0)
        .stage("b", 1.0)
        .start()
        .unwrap();
    let (a, b) = (task.stage("a").total(10), task.stage("b"));
    a.message("first try");
    a.inc(10);
    b.progress(50.0);
    a_tick().await;
    task.progress(80.0);
    a_tick().await;
    assert_eq!(task.snapshot().progress, 80.0);

    let mut watcher = tracker.subscribe("t");
    ready(&mut watcher);
    task.reset();
    // All at once, in whatever order a reader takes it.
    let shown = updates(&ready(&mut watcher));
    assert!(
        shown.iter().all(|update| update.progress == 0.0),
        "{shown:?}"
    );
    let snapshot = task.snapshot();
    assert_eq!((snapshot.progress, snapshot.attempt), (0.0, 1));
    let stage = snapshot.stage("a").unwrap();
    assert_eq!((stage.current, stage.total), (Some(0), Some(10)));
    assert_eq!(stage.progress, 0.0);
    assert_eq!(stage.message.as_deref(), Some("first try"));
    assert_eq!(snapshot.stage("b").unwrap().progress, 0.0);

    // It counts as before, and never falls again by itself.
    a.inc(4);
    b.progress(20.0);
    a_tick().await;
    assert_eq!(task.snapshot().progress, 30.0);
    b.progress(0.0);
    a_tick().await;
    assert_eq!(task.snapshot().progress, 30.0);
    b.finish();
    a.set(10);
    a_tick().await;
    assert_eq!(task.snapshot().progress, 99.9);
    task.complete(()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn reset_of_a_stage_is_its_own_and_a_finished_one_counts_again() {
    let tracker = ProgressTracker::new();
    let task = tracker
        .task("t")
        .stage("a", 1.0)
        .stage("b", 1.0)
        .start()
        .unwrap();
    let (a, b) = (task.stage("a").total(10), task.stage("b").total(10));
    a.inc(5);
    a.finish();
    b.inc(5);
    a_tick().await;
    assert_eq!(task.snapshot().progress, 75.0);
    a.reset();
    let snapshot = task.snapshot();
    assert_eq!(snapshot.progress, 25.0);
    assert_eq!(snapshot.stage("b").unwrap().progress, 50.0);
    a.inc(2);
    a_tick().await;
    assert_eq!(task.snapshot().stage("a").unwrap().progress, 20.0);
    assert_eq!(task.snapshot().progress, 35.0);
    // One that has not begun has nothing to tell.
    let before = task.head();
    task.stage("c").reset();
    assert_eq!(task.head(), before);
}

#[tokio::test(start_paused = true)]
async fn estimates_start_afresh() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").stage("a", 1.0).start().unwrap();
    let a = task.stage("a").total(100);
    for _ in 0..50 {
        sleep(Duration::from_secs(1)).await;
        a.inc(1);
    }
    a_tick().await;
    assert!(task.snapshot().eta_ms.is_some());
    task.reset();
    assert_eq!(task.snapshot().eta_ms, None);
}

#[tokio::test(start_paused = true)]
async fn reset_of_a_child_takes_its_share_back_and_the_parent_shows_no_fall() {
    let tracker = ProgressTracker::new();
    let parent = tracker.task("parent").stage("parts", 1.0).start().unwrap();
    let child = parent.child("child", "parts").start().unwrap();
    let other = parent.child("other", "parts").start().unwrap();
    child.progress(80.0);
    a_tick().await;
    assert_eq!(parent.snapshot().progress, 40.0);
    child.reset();
    a_tick().await;
    let shown = parent.snapshot();
    assert_eq!(shown.progress, 40.0);
    assert_eq!(shown.stage("parts").unwrap().progress, 0.0);
    // A stage that children feed stands as they do.
    other.progress(50.0);
    a_tick().await;
    parent.reset();
    a_tick().await;
    let shown = parent.snapshot();
    assert_eq!(shown.stage("parts").unwrap().progress, 25.0);
    assert_eq!(shown.progress, 25.0);
    child.complete(()).unwrap();
    other.complete(()).unwrap();
    a_tick().await;
    assert_eq!(parent.snapshot().stage("parts").unwrap().progress, 100.0);
}

#[test]
fn reset_after_the_end_does_nothing() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let reporter = task.reporter();
    task.progress(60.0);
    task.complete(()).unwrap();
    reporter.reset();
    let frames = ready(&mut tracker.subscribe("t"));
    assert_eq!(types(&frames).last().unwrap(), "complete");
    assert_eq!(tracker.stats().refused, 0);
}
