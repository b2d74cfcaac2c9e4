//! `tracing` both ways: spans that are tasks, and tasks that are told of.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use progress_core::{Data, Level, ProgressTracker, TaskState, tracing_layer::ProgressLayer};
use tracing::{Event, Subscriber, field::Field, subscriber::with_default};
use tracing_subscriber::{
    layer::{Context, Layer, SubscriberExt},
    registry,
};

use crate::{Outcome, events, types};

#[tokio::test]
async fn what_is_instrumented_reports_itself() -> Outcome {
    let tracker = ProgressTracker::new();
    let layer = ProgressLayer::new(&tracker).log_level(Level::Debug);
    with_default(registry().with(layer), || {
        let _task = tracing::info_span!("import", progress.task = "import-7").entered();
        let _stage = tracing::info_span!("parse", progress.stage = true).entered();
        tracing::info!(progress.inc = 3, "three lines");
    });
    let import = tracker.snapshot("import-7").await?;
    assert_eq!(
        (import.state, import.progress),
        (TaskState::Completed, 100.0)
    );
    assert_eq!(import.stage("parse").ok_or("no stage")?.current, Some(3));

    let seen = events(&tracker, "import-7").await;
    assert_eq!(types(&seen).first(), Some(&"started"));
    assert_eq!(types(&seen).last(), Some(&"complete"));
    let lines: Vec<_> = seen
        .iter()
        .filter_map(|event| match event.data() {
            Data::Log(line) => Some((line.level, &*line.message, line.stage.as_deref())),
            _ => None,
        })
        .collect();
    assert_eq!(lines, [(Level::Info, "three lines", Some("parse"))]);
    Ok(())
}

/// Keeps what is told of tasks, as `field=value`.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Told {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "progress" {
            let mut fields = String::new();
            event.record(&mut |field: &Field, value: &dyn fmt::Debug| {
                if matches!(field.name(), "task" | "kind" | "status" | "trace_id") {
                    fields += &format!("{}={value:?} ", field.name());
                }
            });
            self.0.lock().unwrap().push(fields);
        }
    }
}

#[test]
fn milestones_and_ends_are_told() -> Outcome {
    let told = Told::default();
    with_default(registry().with(told.clone()), || -> Outcome {
        let tracker = ProgressTracker::new();
        let task = tracker.task("video-42").trace_id("4bf92f").start()?;
        task.progress(50.0);
        task.emit(crate::PhotoApproved { photo: 1 })?;
        task.complete(())?;
        Ok(())
    })?;
    let told = told.0.lock().unwrap().clone();
    assert_eq!(
        told,
        [
            r#"task=video-42 kind="started" trace_id="4bf92f" "#,
            r#"task=video-42 kind="photo_approved" trace_id="4bf92f" "#,
            r#"task=video-42 kind="complete" status="completed" trace_id="4bf92f" "#,
        ]
    );
    Ok(())
}
