//! What callers cannot see of publishing.

use std::{borrow::Cow, sync::Arc};

use serde::Serialize;

use crate::{
    EventPayload, Level, ProgressTracker, Task,
    event::Status,
    task::{
        lazy_fold::{LazyFold, Sources},
        publish::End,
        shared::TaskShared,
    },
};

#[derive(Serialize)]
struct Mark(Option<&'static str>);

impl EventPayload for Mark {
    const EVENT_TYPE: &'static str = "mark";

    fn key(&self) -> Option<Cow<'_, str>> {
        self.0.map(Cow::Borrowed)
    }
}

fn shared(task: &Task) -> &Arc<TaskShared> {
    let shared = task.task().expect("it stands for a task");
    shared.expect("a task's own reporter has one")
}

#[test]
fn an_event_knows_the_milestone_before_it() {
    let task = ProgressTracker::new().task("t").start().unwrap();
    task.log(Level::Info, "a line");
    task.emit(Mark(Some("key"))).unwrap();
    task.emit(Mark(None)).unwrap();
    task.emit(Mark(Some("key"))).unwrap();
    task.emit(Mark(None)).unwrap();
    let inner = shared(&task).inner.lock();
    let events = inner.log.window();
    let prev: Vec<_> = events.map(|event| event.prev().get()).collect();
    assert_eq!(prev, [0, 1, 1, 1, 4, 4]);
}

#[test]
fn an_event_in_the_place_of_another_has_nothing_of_it() {
    let limits = crate::Limits::default().log(crate::log::LogLimits::default().window(1));
    let tracker = ProgressTracker::builder().limits(limits).build();
    let task = tracker.task("t").start().unwrap();
    for number in 0..5 {
        task.emit(Mark(Some("key"))).unwrap();
        let inner = shared(&task).inner.lock();
        let event = inner.log.newest().unwrap();
        // Encoded, so that the next one finds it encoded.
        let json = event.to_json(event.seq(), 0);
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["seq"], number + 2);
        assert_eq!(event.prev().get(), 1);
    }
}

#[test]
fn the_account_is_never_behind_and_exact_after_the_end() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let (mut settled, mut before) = (0, tracker.stats().bytes);
    for _ in 0..3_000 {
        task.emit(Mark(None)).unwrap();
        let held = shared(&task).inner.lock().log.bytes();
        let account = tracker.stats().bytes;
        assert!(
            (held..=held + held / 8).contains(&account),
            "{held} {account}"
        );
        settled += usize::from(account != before);
        before = account;
    }
    assert!(settled < 50, "{settled} of 3 000 changes were settled");
    shared(&task).end(End::new(Status::Completed)).unwrap();
    assert_eq!(
        tracker.stats().bytes,
        shared(&task).inner.lock().log.bytes()
    );
}

#[test]
fn a_fold_made_when_asked_is_the_fold_that_is_kept() {
    let tracker = ProgressTracker::new();
    let task = tracker
        .task("t")
        .stage("a", 1.0)
        .stage("b", 1.0)
        .start()
        .unwrap();
    for number in 0..30 {
        match number % 3 {
            0 => task.stage(if number % 2 == 0 { "a" } else { "b" }).inc(1),
            1 => drop(task.emit(Mark(Some("key"))).unwrap()),
            _ => task.log(Level::Info, "a line"),
        }
        let now = tokio::time::Instant::now();
        let asked = shared(&task).inner.lock().snapshot(now);
        let mut inner = shared(&task).inner.lock();
        let inner = &mut *inner;
        // From here on every event is told to a fold that was made from those before.
        if number == 5 {
            inner
                .fold
                .keep(Sources::new(&inner.log, &inner.about, inner.newest));
        }
        assert_eq!(inner.snapshot(now), asked);
        let whole = LazyFold::new(inner.fold.origin());
        assert_eq!(
            crate::Snapshot {
                elapsed_ms: asked.elapsed_ms,
                ..whole
                    .fold(Sources::new(&inner.log, &inner.about, inner.newest))
                    .to_snapshot()
            },
            asked
        );
    }
}
