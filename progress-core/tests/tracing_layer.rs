//! Spans as tasks and stages, events as log lines.
#![cfg(feature = "tracing-layer")]

mod common;

#[path = "tracing_layer/ends.rs"]
mod ends;
#[path = "tracing_layer/refusals.rs"]
mod refusals;
#[path = "tracing_layer/threads.rs"]
mod threads;

use std::sync::Arc;

use progress_core::{
    Data, Level, LogLine, ProgressTracker, Snapshot, StageState, TaskState,
    tracing_layer::ProgressLayer,
};
use tracing::{Dispatch, dispatcher::with_default, info, info_span};
use tracing_subscriber::layer::SubscriberExt;

use crate::common::{events, ready, types};

fn dispatch(layer: ProgressLayer) -> Dispatch {
    Dispatch::new(tracing_subscriber::registry().with(layer))
}

/// Runs code whose spans and events are reported to the tracker.
fn traced<T>(tracker: &ProgressTracker, code: impl FnOnce() -> T) -> T {
    with_default(&dispatch(ProgressLayer::new(tracker)), code)
}

fn snapshot(tracker: &ProgressTracker, id: &str) -> Snapshot {
    tokio_test::block_on(tracker.snapshot(id)).unwrap()
}

fn lines(tracker: &ProgressTracker, id: &str) -> Vec<LogLine> {
    events(&ready(&mut tracker.subscribe(id)))
        .iter()
        .filter_map(|event| match event.data() {
            Data::Log(line) => Some((**line).clone()),
            _ => None,
        })
        .collect()
}

fn stage_names(snapshot: &Snapshot) -> Vec<Arc<str>> {
    snapshot
        .stages
        .iter()
        .map(|stage| Arc::clone(&stage.path))
        .collect()
}

#[test]
fn a_span_is_a_task_until_it_closes() {
    let tracker = ProgressTracker::new();
    traced(&tracker, || {
        let span = info_span!("talking_video", progress.task = "t");
        assert_eq!(snapshot(&tracker, "t").state, TaskState::Running);
        let entered = span.clone().entered();
        drop(entered);
        assert_eq!(snapshot(&tracker, "t").state, TaskState::Running);
        drop(span);
    });
    let ended = snapshot(&tracker, "t");
    assert_eq!(ended.state, TaskState::Completed);
    assert_eq!(ended.name.as_deref(), Some("talking_video"));
    assert_eq!(
        types(&ready(&mut tracker.subscribe("t"))),
        ["started", "complete"]
    );
}

#[test]
fn an_id_may_be_anything_that_displays() {
    let tracker = ProgressTracker::new();
    traced(&tracker, || {
        drop(info_span!("a", progress.task = %format!("video-{}", 42)));
        drop(info_span!("b", progress.task = 7));
    });
    assert_eq!(snapshot(&tracker, "video-42").name.as_deref(), Some("a"));
    assert_eq!(snapshot(&tracker, "7").name.as_deref(), Some("b"));
}

#[test]
fn spans_within_are_stages_by_path_and_others_are_seen_through() {
    let tracker = ProgressTracker::new();
    traced(&tracker, || {
        // Of no task.
        let _nothing = info_span!("nothing", progress.stage = true, progress.inc = 1).entered();
        let _task = info_span!("t", progress.task = "t").entered();
        let _library = info_span!("connect", address = "::1").entered();
        {
            let _render = info_span!("render", progress.stage = true).entered();
            let _other = info_span!("other").entered();
            for n in 0..2 {
                let name = format!("tile-{n}");
                let _tile = info_span!("tile", progress.stage = name).entered();
                let running = snapshot(&tracker, "t");
                assert_eq!(running.stage.as_deref(), Some(&*format!("render/tile-{n}")));
                assert_eq!(running.stage("render").unwrap().state, StageState::Running);
            }
        }
    });
    let ended = snapshot(&tracker, "t");
    assert_eq!(
        stage_names(&ended),
        ["render", "render/tile-0", "render/tile-1"].map(Arc::from)
    );
    // Done when they closed, and not only with the task.
    assert!(ended.stages.iter().all(|stage| stage.progress == 100.0));
    assert_eq!(tracker.stats().refused, 0);
}

#[test]
fn fields_of_spans_and_events_drive_the_stage_around() {
    let tracker = ProgressTracker::new();
    traced(&tracker, || {
        let _task = info_span!("t", progress.task = "t", progress.total = 8_u64).entered();
        info!(progress.inc = 2);
        let detect = info_span!(
            "detect",
            progress.stage = true,
            progress.total = tracing::field::Empty,
            progress.message = "looking",
        );
        detect.record("progress.total", 120);
        detect.in_scope(|| {
            let _library = info_span!("deep").entered();
            info!(progress.inc = 30, progress.message = "person 0");
            info!(progress.set = 50);
            info!(progress.inc = "10");
        });
        drop(detect);
        let _matte = info_span!("matte", progress.stage = true).entered();
        info!(progress.message = "half way");
    });
    let ended = snapshot(&tracker, "t");
    let detect = ended.stage("detect").unwrap();
    assert_eq!(
        (detect.current, detect.total, detect.progress),
        (Some(60), Some(120), 50.0)
    );
    assert_eq!(detect.message.as_deref(), Some("person 0"));
    let matte = ended.stage("matte").unwrap();
    assert_eq!(
        (matte.message.as_deref(), matte.progress),
        (Some("half way"), 100.0)
    );
    let updates = common::updates(&ready(&mut tracker.subscribe("t")));
    let own = updates
        .iter()
        .rfind(|update| update.stage.is_none())
        .unwrap();
    assert_eq!((own.current, own.total), (Some(2), Some(8)));
    assert!(lines(&tracker, "t").is_empty(), "they say nothing else");
}

#[test]
fn a_stage_of_many_spans_is_done_with_the_last_or_by_its_count() {
    let tracker = ProgressTracker::new();
    traced(&tracker, || {
        let _task = info_span!("t", progress.task = "t").entered();
        let state = |path: &str| snapshot(&tracker, "t").stage(path).unwrap().state;
        let span = || info_span!("open", progress.stage = true);
        let (one, two) = (span(), span());
        drop(one);
        assert_eq!(state("open"), StageState::Running);
        drop(two);
        // With the next tick; a span sooner than that is the same.
        let again = span();
        again.in_scope(|| info!(progress.total = 3, progress.inc = 1));
        drop(again);
        assert_ne!(state("open"), StageState::Completed);
        span().in_scope(|| info!(progress.inc = 2));
    });
    let open = snapshot(&tracker, "t").stage("open").unwrap().clone();
    assert_eq!((open.current, open.progress), (Some(3), 100.0));
}

#[test]
fn events_are_lines_of_the_log() {
    let tracker = ProgressTracker::new();
    let layer = ProgressLayer::new(&tracker).log_level(Level::Debug);
    with_default(&dispatch(layer), || {
        info!("of no task");
        let _task = info_span!("t", progress.task = "t").entered();
        tracing::trace!("too fine");
        tracing::debug!("fine");
        info!(person = 0, confidence = 0.5, sure = true, name = ?Some("x"), "found {}", 1);
        let _stage = info_span!("detect", progress.stage = true).entered();
        let _other = info_span!("other").entered();
        tracing::warn!(progress.inc = 3, missing = -1, "odd");
        tracing::error!(error = %std::io::Error::other("broken"), "failed");
        info!(parent: None, "of no task either");
    });
    let lines = lines(&tracker, "t");
    let said: Vec<_> = lines
        .iter()
        .map(|line| (line.n, line.level, &*line.message, line.stage.as_deref()))
        .collect();
    let expected = [
        (1, Level::Debug, "fine", None),
        (2, Level::Info, "found 1", None),
        (3, Level::Warn, "odd", Some("detect")),
        (4, Level::Error, "failed", Some("detect")),
    ];
    assert_eq!(said, expected);
    let fields = |n: usize| {
        lines[n]
            .fields
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        fields(1),
        r#"confidence=0.5 name="Some(\"x\")" person=0 sure=true"#
    );
    assert_eq!(fields(2), "missing=-1");
    assert_eq!(fields(3), r#"error="broken""#);
    assert_eq!(
        snapshot(&tracker, "t").stage("detect").unwrap().current,
        Some(3)
    );
}
