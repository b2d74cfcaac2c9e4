//! How a task ends whose span closes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use progress_core::{ProgressTracker, StageState, TaskState, tracing_layer::ProgressLayer};
use tracing::{dispatcher::with_default, error, info, info_span};

use crate::{dispatch, snapshot, traced};

#[test]
fn a_failure_ends_it_failed() {
    let tracker = ProgressTracker::new();
    traced(&tracker, || {
        let _task = info_span!("t", progress.task = "t").entered();
        let _stage = info_span!("render", progress.stage = true).entered();
        let _other = info_span!("other").entered();
        error!(progress.fail = "RENDER_FAILED", "the service is away");
        assert_eq!(
            snapshot(&tracker, "t").state,
            TaskState::Running,
            "not before it closes"
        );
    });
    let ended = snapshot(&tracker, "t");
    assert_eq!(ended.state, TaskState::Failed);
    let error = ended.error.unwrap();
    assert_eq!(
        (error.code(), error.message()),
        ("RENDER_FAILED", "the service is away")
    );
    assert_eq!(serde_json::to_value(&error).unwrap()["stage"], "render");
}

#[test]
fn a_failure_needs_no_code_and_can_be_taken_back() {
    let tracker = ProgressTracker::new();
    traced(&tracker, || {
        let span = |id: &str| info_span!("t", progress.task = id);
        span("true").in_scope(|| error!(progress.fail = true, "broken"));
        span("odd").in_scope(|| error!(progress.fail = "no code"));
        span("false").in_scope(|| error!(progress.fail = false, "odd, but fine"));
        span("mended").in_scope(|| {
            error!(progress.fail = true, "broken");
            info!(progress.complete = true, "mended");
        });
    });
    for (id, message) in [("true", "broken"), ("odd", "the task failed")] {
        let error = snapshot(&tracker, id).error.unwrap();
        assert_eq!((error.code(), error.message()), ("TASK_FAILED", message));
    }
    for id in ["false", "mended"] {
        assert_eq!(snapshot(&tracker, id).state, TaskState::Completed);
    }
}

#[test]
fn a_panic_ends_it_abandoned() {
    let tracker = ProgressTracker::new();
    traced(&tracker, || {
        let worker = || {
            let _task = info_span!("t", progress.task = "t").entered();
            let _stage = info_span!("render", progress.stage = true).entered();
            std::panic::resume_unwind(Box::new("worker"));
        };
        catch_unwind(AssertUnwindSafe(worker)).unwrap_err();
    });
    let ended = snapshot(&tracker, "t");
    assert_eq!(ended.state, TaskState::Abandoned);
    assert_eq!(ended.cause.as_deref(), Some("panicked"));
    let stage = ended.stage("render").unwrap();
    assert_eq!((stage.state, stage.progress), (StageState::Abandoned, 0.0));
}

#[test]
fn where_ends_are_explicit_a_task_completes_only_if_it_says_so() {
    let tracker = ProgressTracker::new();
    let layer = ProgressLayer::new(&tracker).explicit_end(true);
    with_default(&dispatch(layer), || {
        drop(info_span!("t", progress.task = "cancelled"));
        info_span!("t", progress.task = "done").in_scope(|| info!(progress.complete = true));
        info_span!("t", progress.task = "failed").in_scope(|| error!(progress.fail = true));
    });
    let cancelled = snapshot(&tracker, "cancelled");
    assert_eq!(cancelled.state, TaskState::Abandoned);
    assert_eq!(cancelled.cause.as_deref(), Some("dropped"));
    assert_eq!(snapshot(&tracker, "done").state, TaskState::Completed);
    assert_eq!(snapshot(&tracker, "failed").state, TaskState::Failed);
}

#[test]
fn a_task_within_a_task_is_its_child() {
    let tracker = ProgressTracker::new();
    traced(&tracker, || {
        let _task = info_span!("batch", progress.task = "batch").entered();
        let files = info_span!("files", progress.stage = true, progress.total = 2).entered();
        for id in ["a", "b"] {
            let _file = info_span!("file", progress.task = id).entered();
            // Its own stage, not one of the batch.
            let _step = info_span!("step", progress.stage = true).entered();
            if id == "b" {
                error!(progress.fail = true, "broken");
            }
        }
        drop(files);
        drop(info_span!("report", progress.task = "report"));
    });
    let batch = snapshot(&tracker, "batch");
    let children = batch.children.as_ref().unwrap();
    assert_eq!(children.total, 3);
    assert_eq!(children.by_state[&TaskState::Failed], 1);
    let files = batch.stage("files").unwrap();
    assert_eq!(
        (files.current, files.total, files.progress),
        (Some(2), Some(2), 100.0)
    );
    assert_eq!(batch.stage("report").unwrap().progress, 100.0);
    assert!(batch.stage("files/step").is_none());
    let a = snapshot(&tracker, "a");
    assert_eq!(a.parent.unwrap().as_str(), "batch");
    assert_eq!(&*a.stages[0].path, "step");
}

#[test]
fn a_task_lives_as_long_as_the_last_span_within_it() {
    let tracker = ProgressTracker::new();
    traced(&tracker, || {
        let outer = info_span!("outer", progress.task = "outer");
        let inner = info_span!(parent: &outer, "inner", progress.task = "inner");
        drop(outer);
        assert_eq!(snapshot(&tracker, "outer").state, TaskState::Running);
        drop(inner);
    });
    for id in ["inner", "outer"] {
        assert_eq!(snapshot(&tracker, id).state, TaskState::Completed);
    }
}

#[test]
fn an_error_that_is_too_large_leaves_the_task_abandoned_and_is_counted() {
    // Just enough for an end without an error.
    let limits = progress_core::Limits::default().payload(76);
    let tracker = ProgressTracker::builder().limits(limits).build();
    traced(&tracker, || {
        let _task = info_span!("t", progress.task = "t").entered();
        error!(progress.fail = "A_LONG_CODE", "broken");
    });
    assert_eq!(snapshot(&tracker, "t").state, TaskState::Abandoned);
    assert_eq!(tracker.stats().refused, 1);
}
