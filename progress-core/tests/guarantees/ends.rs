//! G4 one end, G5 every task ends.

use std::thread;

use progress_core::{
    Complete, Data, Frame, Limits, ProgressTracker, PublishError, Replay, Status, SubscribeOptions,
    TaskError, TaskState, log::LogLimits,
};

use crate::common::{Gauge, Mark, events, ready, to_end, tracker_with, types, updates, verdict};

fn end_of(frames: &[Frame]) -> Complete {
    match events(frames).last().unwrap().data() {
        Data::Complete(end) => (**end).clone(),
        other => panic!("not the end: {other:?}"),
    }
}

fn ends(frames: &[Frame]) -> usize {
    types(frames)
        .iter()
        .filter(|name| *name == "complete")
        .count()
}

#[test]
fn g4_one_complete_first_writer_wins() {
    // A child's own end races with the one that its parent's end gives it.
    for _ in 0..200 {
        let tracker = ProgressTracker::new();
        let parent = tracker.task("parent").start().unwrap();
        let child = parent.child("child", "part").start().unwrap();
        let late = child.reporter();
        let ended = thread::scope(|scope| {
            let child = scope.spawn(|| {
                child.complete("mine").map_err(|error| {
                    assert_eq!(error.reason(), &PublishError::AlreadyComplete);
                    assert!(error.into_task().is_none());
                })
            });
            parent.complete(()).unwrap();
            child.join().unwrap()
        });
        let frames = ready(&mut tracker.subscribe("child"));
        assert_eq!(ends(&frames), 1);
        let end = end_of(&frames);
        if ended.is_ok() {
            assert_eq!(end.status, Status::Completed);
            assert_eq!(end.result.unwrap().json(), "\"mine\"");
        } else {
            assert_eq!(end.status, Status::Cancelled);
            assert_eq!(end.cause.as_deref(), Some("parent_ended"));
        }
        assert_eq!(late.emit(Mark { n: 0 }), Err(PublishError::AlreadyComplete));
    }
}

#[test]
fn g4_after_the_end_everything_is_refused_and_nothing_changes() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let (late, stage) = (task.reporter(), task.stage("a").total(10));
    stage.inc(1);
    let end = task.complete("done").unwrap();
    let before = tokio_test::block_on(tracker.snapshot("t")).unwrap();

    let refused = Err(PublishError::AlreadyComplete);
    assert_eq!(late.emit(Mark { n: 1 }), refused);
    assert_eq!(late.emit(Gauge::new("a", 1)), refused);
    assert_eq!(late.error(TaskError::new("LATE", "late")), refused);
    assert_eq!(
        late.try_metadata("a", 1),
        Err(PublishError::AlreadyComplete)
    );
    stage.inc(5);
    stage.set(7);
    stage.finish();
    late.message("late");
    late.log(progress_core::Level::INFO, "late");
    late.stage("b").inc(1);

    assert_eq!(tokio_test::block_on(tracker.snapshot("t")).unwrap(), before);
    assert_eq!(before.seq, end.seq());
}

#[test]
fn g4_percent_stays_under_100_until_completed() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").stage("a", 1.0).start().unwrap();
    task.stage("a").total(10).inc(10);
    assert_eq!(task.snapshot().progress, 99.9);
    task.progress(100.0);
    task.progress(f64::INFINITY);
    task.progress(1e9);
    task.stage("a").finish();
    let shown = task.snapshot();
    assert_eq!((shown.progress, shown.state), (99.9, TaskState::Running));
    task.complete(()).unwrap();

    let frames = ready(&mut tracker.subscribe("t"));
    assert!(
        updates(&frames)
            .iter()
            .all(|update| update.progress < 100.0)
    );
    assert_eq!(end_of(&frames).progress, 100.0);
    assert_eq!(verdict(&frames).1.unwrap().progress, 100.0);
}

#[test]
fn g4_failure_keeps_the_last_percent() {
    let tracker = ProgressTracker::new();
    let end = |id: &str, end: fn(progress_core::Task)| {
        let task = tracker.task(id).stage("a", 1.0).start().unwrap();
        let stage = task.stage("a").total(1_000);
        stage.inc(1);
        // Not sampled yet: the end takes account of it.
        stage.inc(424);
        end(task);
        let frames = ready(&mut tracker.subscribe(id));
        assert_eq!(updates(&frames).last().unwrap().current, Some(425));
        let snapshot = verdict(&frames).1.unwrap();
        assert_eq!(end_of(&frames).progress, 42.5);
        assert_eq!(snapshot.progress, 42.5);
        assert_eq!(snapshot.stage("a").unwrap().progress, 42.5);
        snapshot.state
    };
    let failed = end("failed", |task| {
        task.fail(TaskError::new("BROKEN", "broken")).unwrap();
    });
    assert_eq!(failed, TaskState::Failed);
    let cancelled = end("cancelled", |task| {
        task.cancel("enough").unwrap();
    });
    assert_eq!(cancelled, TaskState::Cancelled);
    assert_eq!(end("abandoned", drop), TaskState::Abandoned);
}

#[test]
fn g4_end_outlives_the_history() {
    // Next to nothing is kept.
    let limits = LogLimits::default()
        .window(1)
        .milestones(0)
        .logs(0)
        .bytes(2_000);
    let tracker = tracker_with(limits);
    let task = tracker.task("t").start().unwrap();
    for n in 0..1_000 {
        task.emit(Mark { n }).unwrap();
    }
    let epoch = task.head().epoch();
    task.fail(TaskError::new("BROKEN", "x".repeat(3_000)))
        .unwrap();

    let resume = |seq| progress_core::Position::new(epoch, progress_core::Seq::new(seq));
    for options in [
        SubscribeOptions::new(),
        SubscribeOptions::new().replay(Replay::None),
        SubscribeOptions::new().replay(Replay::Latest),
        SubscribeOptions::new().after(resume(0)),
        SubscribeOptions::new().after(resume(1_001)),
    ] {
        let frames = ready(&mut tracker.subscribe_with("t", options));
        assert_eq!(ends(&frames), 1);
        assert_eq!(end_of(&frames).error.unwrap().code(), "BROKEN");
        assert_eq!(verdict(&frames).1.unwrap().state, TaskState::Failed);
    }
}

#[tokio::test(start_paused = true)]
async fn g5_dropped_handle_ends_abandoned() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let mut watcher = tracker.subscribe("t");
    // Reporters do not keep it alive.
    let reporter = task.reporter();
    task.progress(30.0);
    drop(task);
    let frames = to_end(&mut watcher).await;
    let end = end_of(&frames);
    assert_eq!(end.status, Status::Abandoned);
    assert_eq!(end.cause.as_deref(), Some("dropped"));
    assert_eq!(end.progress, 30.0);
    assert_eq!(
        reporter.emit(Mark { n: 0 }),
        Err(PublishError::AlreadyComplete)
    );

    // Also a task that never began, and one whose future was aborted.
    drop(tracker.task("queued").queue().unwrap());
    assert_eq!(
        tracker.snapshot("queued").await.unwrap().state,
        TaskState::Abandoned
    );
    let aborted = tracker.task("aborted").start().unwrap();
    let worker = tokio::spawn(async move {
        let _task = aborted;
        std::future::pending::<()>().await;
    });
    worker.abort();
    assert!(worker.await.unwrap_err().is_cancelled());
    assert_eq!(
        tracker.snapshot("aborted").await.unwrap().state,
        TaskState::Abandoned
    );
}

#[test]
fn g5_panicking_worker_ends_abandoned_panicked() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let mut watcher = tracker.subscribe("t");
    let worker = thread::spawn(move || {
        task.progress(30.0);
        std::panic::resume_unwind(Box::new("the worker is broken"));
    });
    let frames = tokio_test::block_on(to_end(&mut watcher));
    assert!(worker.join().is_err());
    let end = end_of(&frames);
    assert_eq!(end.status, Status::Abandoned);
    assert_eq!(end.cause.as_deref(), Some("panicked"));
    assert_eq!(end.progress, 30.0);
}

#[test]
fn g5_an_error_that_is_dropped_ends_its_task() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let refused = task.complete("x".repeat(100_000)).unwrap_err();
    let alive = tokio_test::block_on(tracker.snapshot("t")).unwrap();
    assert_eq!(alive.state, TaskState::Running);
    drop(refused);
    let ended = tokio_test::block_on(tracker.snapshot("t")).unwrap();
    assert_eq!(ended.state, TaskState::Abandoned);
}

#[test]
fn g5_no_bound_is_too_small_for_the_end_of_an_abandoned_task() {
    let tracker = ProgressTracker::builder()
        .limits(Limits::default().payload(1))
        .build();
    drop(tracker.task("a").start().unwrap());
    assert_eq!(tracker.stats().ended, 1);
}
