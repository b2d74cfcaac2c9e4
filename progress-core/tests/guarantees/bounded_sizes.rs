//! G7, how much: sizes, keys, bytes and log lines.

use progress_core::{
    Data, EventInput, InvalidEventType, Level, Limits, ProgressTracker, PublishError, TaskError,
    TaskState, log::LogLimits,
};
use serde_json::{Value, json};

use crate::common::{
    Gauge, Mark, assert_continuous, delivered, gaps, marks, ready, tracker_with, types, updates,
    verdict,
};

fn tracker(limits: Limits) -> ProgressTracker {
    ProgressTracker::builder().limits(limits).build()
}

struct Big;

impl serde::Serialize for Big {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&"x".repeat(4_096))
    }
}

impl progress_core::EventPayload for Big {
    const EVENT_TYPE: &'static str = "big";
}

#[test]
fn g7_payload() {
    let limit = 4_096;
    let tracker = tracker(Limits::default().payload(limit));
    let task = tracker.task("t").start().unwrap();
    let child = task.child("child", "part").start().unwrap();
    let too_large = |error| match error {
        PublishError::PayloadTooLarge {
            field: "data",
            len,
            limit: 4_096,
        } => assert!(len > limit),
        other => panic!("{other}"),
    };
    let head = task.head();
    let big = TaskError::new("BIG", "x".repeat(limit));
    too_large(task.emit(Big).unwrap_err());
    too_large(task.error(big.clone()).unwrap_err());
    assert_eq!(tracker.stats().refused, 0);
    task.retrying(big.clone(), 1, 3);
    assert_eq!(
        tracker.stats().refused,
        1,
        "without an error, it is counted"
    );
    assert_eq!(task.head(), head);

    // An end that is too large is none: the task and its children live on.
    let refused = task.complete("x".repeat(limit)).unwrap_err();
    too_large(refused.reason().clone());
    let task = refused.into_task().unwrap();
    let refused = task.fail(big).unwrap_err();
    too_large(refused.reason().clone());
    let task = refused.into_task().unwrap();
    assert_eq!(child.snapshot().state, TaskState::Running);
    child.complete(()).unwrap();
    task.complete("small").unwrap();
    assert_continuous(&ready(&mut tracker.subscribe("t")), 0);
}

#[test]
fn g7_depth() {
    let nested = |levels| (0..levels).fold(json!(0), |inner, _| json!([inner]));
    let (deepest, deeper) = (nested(Limits::DEPTH), nested(Limits::DEPTH + 1));
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let too_deep = |field| PublishError::TooDeep {
        field,
        limit: Limits::DEPTH,
    };
    #[derive(serde::Serialize)]
    #[serde(transparent)]
    struct Nested(Value);
    impl progress_core::EventPayload for Nested {
        const EVENT_TYPE: &'static str = "nested";
    }
    let channel = tracker.channel("c");
    let error = |details: &Value| TaskError::new("E", "m").detail("inside", details.clone());
    let head = task.head();
    assert_eq!(
        task.emit(Nested(deeper.clone())).unwrap_err(),
        too_deep("data")
    );
    assert_eq!(
        channel.emit(Nested(deeper.clone())).unwrap_err(),
        too_deep("data")
    );
    assert_eq!(
        task.try_metadata("m", &deeper).unwrap_err(),
        too_deep("metadata")
    );
    assert_eq!(task.error(error(&deeper)).unwrap_err(), too_deep("details"));
    let input = EventInput::new("nested", &deeper).unwrap();
    assert_eq!(tracker.check(&input).unwrap_err(), too_deep("data"));
    assert_eq!(task.head(), head);
    // An end that is too deep is none.
    let refused = task.complete(&deeper).unwrap_err();
    assert_eq!(*refused.reason(), too_deep("result"));
    let refused = refused
        .into_task()
        .unwrap()
        .fail(error(&deeper))
        .unwrap_err();
    assert_eq!(*refused.reason(), too_deep("details"));
    let task = refused.into_task().unwrap();

    task.emit(Nested(deepest.clone())).unwrap();
    channel.emit(Nested(deepest.clone())).unwrap();
    task.try_metadata("m", &deepest).unwrap();
    task.error(error(&deepest)).unwrap();
    tracker
        .check(&EventInput::new("nested", &deepest).unwrap())
        .unwrap();
    task.complete(&deepest).unwrap();
}

#[test]
fn g7_metadata_and_message_never_crowd_out_progress() {
    let tracker = tracker(Limits::default().payload(4_096));
    let task = tracker.task("t").stage("s", 1.0).start().unwrap();
    let stage = task.stage("s").total(10).unit(&"u".repeat(500));
    // Longer text is cut at a character.
    stage.message("é".repeat(10_000));
    let mut names = 0;
    let refused = loop {
        match stage.try_metadata(&format!("name{names}"), "x".repeat(90)) {
            Ok(()) => names += 1,
            Err(error) => break error,
        }
    };
    match refused {
        PublishError::PayloadTooLarge {
            field: "metadata",
            len,
            limit,
        } => assert!(len > limit),
        other => panic!("{other}"),
    }
    assert!(names > 10);
    stage.metadata("name0", "shorter fits");
    assert_eq!(tracker.stats().refused, 0);
    stage.metadata("big", "x".repeat(5_000));
    assert_eq!(
        tracker.stats().refused,
        1,
        "without an error, it is counted"
    );
    stage.inc(5);
    task.complete(()).unwrap();

    let frames = ready(&mut tracker.subscribe("t"));
    let update = updates(&frames).pop().unwrap();
    assert_eq!((update.current, update.progress), (Some(5), 50.0));
    assert_eq!(update.metadata.iter().count(), names);
    assert_eq!(update.metadata.get("name0").unwrap(), "shorter fits");
    assert!(update.message.unwrap().starts_with("éé"));
    assert_eq!(update.unit.unwrap().len(), Limits::NAME_LEN);
    let json = delivered(&frames).iter().rev().nth(1).unwrap().to_json();
    assert!(json.len() <= 4_096 + 160, "{} bytes", json.len());
}

#[test]
fn g7_keys() {
    let tracker = tracker_with(LogLimits::default().keys(3));
    let task = tracker.task("t").start().unwrap();
    for key in ["a", "b"] {
        task.emit(Gauge::new(key, 1)).unwrap();
    }
    task.stage("s").total(10).inc(1);
    let error = PublishError::TooManyKeys { limit: 3 };
    assert_eq!(task.emit(Gauge::new("c", 1)), Err(error.clone()));
    assert_eq!(task.try_metadata("name", 1), Err(error));
    // Those that are there go on, and milestones need no key.
    task.emit(Gauge::new("a", 2)).unwrap();
    task.emit(Mark { n: 1 }).unwrap();
    task.stage("s").inc(4);
    task.complete(()).unwrap();
    let frames = ready(&mut tracker.subscribe("t"));
    assert_continuous(&frames, 0);
    let snapshot = verdict(&frames).1.unwrap();
    let custom: Vec<_> = snapshot
        .custom
        .iter()
        .map(|(k, v)| (&**k, v.json()))
        .collect();
    assert_eq!(custom, [("a", r#"{"value":2}"#), ("b", r#"{"value":1}"#)]);
    assert_eq!(snapshot.stage("s").unwrap().current, Some(5));
    assert_eq!(marks(&frames), [1]);
}

#[test]
fn g7_key_length_and_event_type() {
    #[derive(serde::Serialize)]
    struct Bad;
    impl progress_core::EventPayload for Bad {
        const EVENT_TYPE: &'static str = "Bad Type";
    }
    #[derive(serde::Serialize)]
    struct Taken;
    impl progress_core::EventPayload for Taken {
        const EVENT_TYPE: &'static str = "complete";
    }
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    task.emit(Gauge::new("k".repeat(128), 1)).unwrap();
    let error = task.emit(Gauge::new("k".repeat(129), 1)).unwrap_err();
    assert_eq!(error, PublishError::KeyTooLong { len: 129 });
    let refused = |kind| Err(PublishError::InvalidEventType(kind));
    assert_eq!(task.emit(Bad), refused(InvalidEventType::Malformed));
    assert_eq!(task.emit(Taken), refused(InvalidEventType::Reserved));
    assert_eq!(task.head().seq().get(), 2);
}

#[test]
fn g7_history_bytes() {
    let tracker = tracker_with(LogLimits::default().bytes(20_000));
    let task = tracker.task("t").start().unwrap();
    let mut taken = 0;
    // Present values are never dropped: when they alone fill the budget, new ones are refused.
    let refused = loop {
        match task.emit(Gauge::new(format!("key{taken}"), taken)) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, PublishError::HistoryFull { limit: 20_000 });
    assert!(taken > 10);
    task.emit(Gauge::new("key0", 100)).unwrap();
    for n in 0..100 {
        task.emit(Mark { n }).unwrap();
        task.log(Level::INFO, "line");
        // The newest event alone may exceed the budget.
        assert!(tracker.stats().bytes < 21_000);
    }
    let frames = ready(&mut tracker.subscribe("t"));
    assert_eq!(verdict(&frames).1.unwrap().custom.len() as u64, taken);
    let states = types(&frames)
        .iter()
        .filter(|name| *name == "gauge")
        .count();
    assert_eq!(states as u64, taken);
    // What had to go is declared.
    assert_eq!(gaps(&frames).len(), 1);
    assert!(verdict(&frames).1.unwrap().dropped_logs > 0);
}

#[test]
fn g7_bytes_of_all_logs() {
    let tracker = tracker(Limits::default().bytes(200_000));
    let fill = |id: &str| {
        let task = tracker.task(id).start().unwrap();
        for n in 0..100 {
            task.emit(Mark { n }).unwrap();
        }
        task
    };
    let first = fill("first");
    let each = tracker.stats().bytes;
    fill("second").complete(()).unwrap();
    fill("third").complete(()).unwrap();
    let mut live = vec![first];
    for n in 0..8 {
        live.push(fill(&format!("live{n}")));
        // The newest event of each is kept whatever the budget is.
        let newest = live.len() * 1_000;
        assert!(
            tracker.stats().bytes <= 200_000 + newest,
            "{:?}",
            tracker.stats()
        );
    }
    assert!(
        10 * each > 200_000,
        "the test is about more than there can be"
    );
    // The ended went first, the oldest end before the others; live ones shrink and stay.
    for id in ["second", "third"] {
        assert!(tokio_test::block_on(tracker.snapshot(id)).is_err());
    }
    assert_eq!(tracker.stats().tasks, 9);
    for task in &live {
        let frames = ready(&mut tracker.subscribe(task.id()));
        assert_eq!(assert_continuous(&frames, 0), 101);
    }
}

#[test]
fn g7_log_ring_with_dropped_logs() {
    let tracker = tracker_with(LogLimits::default().window(4).logs(3));
    let task = tracker.task("t").start().unwrap();
    let mut laggard = tracker.subscribe("t");
    assert_eq!(ready(&mut laggard).len(), 2);
    for n in 1..=20 {
        task.log(Level::INFO, format!("line {n}"));
    }
    task.emit(Mark { n: 0 }).unwrap();

    for mut watcher in [laggard, tracker.subscribe("t")] {
        let frames = ready(&mut watcher);
        let mut n = 0;
        let mut dropped = 0;
        for delivered in delivered(&frames) {
            dropped += delivered.dropped_logs;
            if let Data::Log(line) = delivered.event.data() {
                // A hole in the running numbers is as large as is said.
                assert_eq!(line.n, n + u64::from(delivered.dropped_logs) + 1);
                assert_eq!(*line.message, *format!("line {}", line.n));
                n = line.n;
            }
        }
        assert_eq!((n, dropped), (20, 14));
        assert!(gaps(&frames).is_empty(), "which is no gap");
        assert_eq!(marks(&frames), [0]);
    }
    assert_eq!(task.snapshot().dropped_logs, 14);
}
