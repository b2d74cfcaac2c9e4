//! Milestones and ends as `tracing` events.

mod common;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    thread,
};

use progress_core::{ProgressTracker, Reporter, TaskError};
use tracing::{
    Dispatch, Event, Level, Metadata, Subscriber,
    dispatcher::with_default,
    field::{Field, Visit},
    span,
};

use crate::common::{Gauge, Mark};

/// Keeps all events of target `progress`.
#[derive(Clone, Default)]
struct Collector {
    told: Arc<Mutex<Vec<Told>>>,
    /// Reported to at every event, as a layer might that shows them.
    reporter: Arc<Mutex<Option<Reporter>>>,
}

#[derive(Debug, Clone)]
struct Told {
    level: Level,
    fields: BTreeMap<&'static str, String>,
}

impl Told {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    fn names(&self) -> Vec<&str> {
        self.fields.keys().copied().collect()
    }
}

impl Collector {
    fn take(&self) -> Vec<Told> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "progress"
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut told = Told {
            level: *event.metadata().level(),
            fields: BTreeMap::new(),
        };
        event.record(&mut told);
        self.told.lock().unwrap().push(told);
        // The task's lock is free.
        let reporter = self.reporter.lock().unwrap().clone();
        if let Some(reporter) = reporter {
            let _ended = reporter.emit(Gauge::new("told", 1));
        }
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

fn kinds(told: &[Told]) -> Vec<&str> {
    told.iter().filter_map(|told| told.field("kind")).collect()
}

#[test]
fn every_milestone_and_end_is_one_event() {
    let collector = Collector::default();
    with_default(&Dispatch::new(collector.clone()), || {
        let tracker = ProgressTracker::new();
        let task = tracker
            .task("t")
            .kind("video")
            .trace_id("trace-1")
            .queue()
            .unwrap();
        task.begin().unwrap();
        task.stage("a").inc(1);
        task.emit(Mark { n: 1 }).unwrap();
        task.pause("waiting");
        task.resume();
        tokio_test::block_on(tracker.cancel("t", None)).unwrap();
        task.error(TaskError::new("BUSY", "it is busy").trace_id("trace-2"))
            .unwrap();
        // These are neither.
        task.message("…");
        task.log(progress_core::Level::ERROR, "…");
        task.emit(Gauge::new("a", 1)).unwrap();
        task.complete(1).unwrap();
    });
    let told = collector.take();
    assert_eq!(
        kinds(&told),
        [
            "queued",
            "started",
            "stage_change",
            "mark",
            "paused",
            "resumed",
            "cancel_requested",
            "error",
            "complete"
        ]
    );
    for one in &told {
        assert_eq!(one.field("task"), Some("t"));
        assert_eq!(one.field("task_kind"), Some("video"));
        assert_eq!(one.field("attempt"), Some("1"));
        assert_eq!(one.level, Level::INFO);
    }
    assert_eq!(told[1].field("message"), Some("milestone"));
    assert_eq!(told[1].field("trace_id"), Some("trace-1"));
    assert_eq!(told[7].field("trace_id"), Some("trace-2"));
    assert_eq!(told[7].field("error"), Some("BUSY: it is busy"));
    let end = &told[8];
    assert_eq!(end.field("message"), Some("end"));
    assert_eq!(end.field("status"), Some("completed"));
    assert!(end.field("duration_ms").unwrap().parse::<u64>().is_ok());
}

#[test]
fn the_level_of_an_end_is_that_of_its_status() {
    let collector = Collector::default();
    let told = with_default(&Dispatch::new(collector.clone()), || {
        let tracker = ProgressTracker::new();
        let start = |id: &str| tracker.task(id).start().unwrap();
        start("completed").complete(()).unwrap();
        start("cancelled").cancel("enough").unwrap();
        drop(start("abandoned"));
        start("failed")
            .fail(TaskError::new("BROKEN", "broken").trace_id("x"))
            .unwrap();
        drop(tracker.task("failed").restart().unwrap());
        collector.take()
    });
    let ends: Vec<_> = told
        .iter()
        .filter(|told| told.field("message") == Some("end"))
        .map(|told| (told.field("status").unwrap(), told.level))
        .collect();
    assert_eq!(
        ends,
        [
            ("completed", Level::INFO),
            ("cancelled", Level::INFO),
            ("abandoned", Level::WARN),
            ("failed", Level::ERROR),
            ("abandoned", Level::WARN),
        ]
    );
    assert_eq!(told[7].field("trace_id"), Some("x"));
    // What is not known is not said.
    assert_eq!(
        told[0].names(),
        ["attempt", "kind", "message", "seq", "task"]
    );
    assert_eq!(told[8].field("attempt"), Some("2"));
}

#[test]
fn they_come_in_the_order_of_the_log_whoever_publishes() {
    const THREADS: u64 = 4;
    const EACH: u64 = 500;
    let collector = Collector::default();
    let dispatch = Dispatch::new(collector.clone());
    let tracker = ProgressTracker::new();
    // Heard too: `tracing` remembers of each place whether anybody listened there first.
    let task = with_default(&dispatch, || tracker.task("t").start().unwrap());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                with_default(&dispatch, || {
                    for n in 0..EACH {
                        task.emit(Mark { n }).unwrap();
                    }
                });
            });
        }
    });
    let seqs: Vec<u64> = collector
        .take()
        .iter()
        .map(|told| told.field("seq").unwrap().parse().unwrap())
        .collect();
    assert!(seqs.is_sorted(), "{seqs:?}");
    // None is missing or told twice.
    assert_eq!(seqs, (1..=THREADS * EACH + 1).collect::<Vec<_>>());
}

#[test]
fn a_subscriber_may_report_to_the_task_that_it_is_told_of() {
    let collector = Collector::default();
    with_default(&Dispatch::new(collector.clone()), || {
        let tracker = ProgressTracker::new();
        let task = tracker.task("t").start().unwrap();
        *collector.reporter.lock().unwrap() = Some(task.reporter());
        task.emit(Mark { n: 1 }).unwrap();
        task.emit(Mark { n: 2 }).unwrap();
        assert_eq!(task.head().seq().get(), 5);
        task.complete(()).unwrap();
    });
    let told = collector.take();
    assert_eq!(kinds(&told), ["started", "mark", "mark", "complete"]);
}
