//! What is refused, what is bounded, and that nothing reports on itself.

use progress_core::{Level, Limits, ProgressTracker, TaskState, tracing_layer::ProgressLayer};
use tracing::{dispatcher::with_default, info, info_span};

use crate::{dispatch, lines, snapshot, traced};

#[test]
fn what_is_refused_is_counted_and_does_no_harm() {
    let tracker = ProgressTracker::new();
    let taken = tracker.task("taken").start().unwrap();
    let refused = || tracker.stats().refused;
    traced(&tracker, || {
        let span = info_span!("t", progress.task = "taken");
        assert_eq!(refused(), 1);
        // Without a task its stages and lines are nothing.
        span.in_scope(|| info_span!("s", progress.stage = true).in_scope(|| info!("line")));
        drop(info_span!("t", progress.task = "not an id"));
        assert_eq!(refused(), 2);

        let _task = info_span!("t", progress.task = "t").entered();
        for path in ["", "a//b"] {
            let _stage = info_span!("s", progress.stage = path, progress.inc = 1).entered();
            let _below = info_span!("below", progress.stage = true).entered();
        }
        assert_eq!(refused(), 6, "the stages, and those below them");
        info!(progress.inc = -1, "line");
        info!(progress.set = 0.5);
        info!(progress.total = "many");
        info!(progress.percent = 50);
        assert_eq!(refused(), 10);
    });
    assert!(snapshot(&tracker, "t").stages.is_empty());
    assert_eq!(snapshot(&tracker, "t").state, TaskState::Completed);
    assert_eq!(lines(&tracker, "t").len(), 1);
    assert_eq!(taken.snapshot().state, TaskState::Running);
    assert!(lines(&tracker, "taken").is_empty());
}

#[test]
fn text_is_cut_and_fields_are_bounded() {
    let tracker = ProgressTracker::builder()
        .limits(Limits::default().payload(4_096))
        .build();
    let long = "é".repeat(1_000_000);
    traced(&tracker, || {
        let _task = info_span!("t", progress.task = "t", progress.message = long).entered();
        info!(a = long, "{long}");
        info!(a = %long, b = 1, c = ?long, "short");
    });
    let lines = lines(&tracker, "t");
    assert_eq!(lines[0].message.len(), 512);
    assert_eq!(&*lines[1].message, "short");
    // What does not fit beside the others is left out, and counted.
    let names: Vec<_> = lines[1].fields.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["b"]);
    assert_eq!(tracker.stats().refused, 3);
    assert_eq!(snapshot(&tracker, "t").message.unwrap().len(), 512);
    assert_eq!(snapshot(&tracker, "t").state, TaskState::Completed);
}

#[test]
fn nothing_reports_on_itself() {
    let tracker = ProgressTracker::builder()
        .limits(Limits::default().stages(1))
        .build();
    let layer = ProgressLayer::new(&tracker).log_level(Level::Trace);
    with_default(&dispatch(layer), || {
        let _task = info_span!("t", progress.task = "t").entered();
        // The library warns of these, from within the layer and from without.
        let task = tracker.task("u").start().unwrap();
        for n in 0..100 {
            let _stage = info_span!("s", progress.stage = n.to_string()).entered();
            task.stage("not//a/path").inc(1);
        }
        info!(progress.inc = "x", "the only line");
    });
    let lines = lines(&tracker, "t");
    assert_eq!(lines.len(), 1, "{lines:?}");
}
