//! Events and snapshots as JSON: exactly as the protocol says, made once.

use std::time::Duration;

use progress_core::{
    Data, Event, Level, ProgressTracker, Seq, Snapshot, SubscribeOptions, Task, TaskError,
    Timestamp, log::LogLimits,
};
use serde_json::{Value, json};

use crate::common::{self, Gauge, Mark, a_tick, delivered, events, ready, tracker_with, types};

fn text(event: &Event) -> String {
    String::from_utf8(event.to_json(event.seq(), 0).to_vec()).unwrap()
}

/// The event's text but for the fields that every event has.
fn data(event: &Event) -> String {
    let text = text(event);
    let (head, data) = text.split_once(r#","data":"#).unwrap();
    let key = match event.data() {
        Data::Custom(custom) => custom.key.as_ref().map(|key| format!(r#","key":"{key}""#)),
        _ => None,
    };
    let expected = format!(
        r#"{{"task_id":"{}","epoch":"{}","seq":{},"event_type":"{}"{},"timestamp":"{}""#,
        event.task_id(),
        event.epoch(),
        event.seq(),
        event.event_type(),
        key.unwrap_or_default(),
        event.timestamp(),
    );
    assert_eq!(head, expected);
    data.strip_suffix('}').unwrap().to_owned()
}

/// A task that does a little of everything, in a paused second.
async fn everything(tracker: &ProgressTracker) -> Task {
    let parent = tracker.task("parent").start().unwrap();
    let task = parent
        .child("video-42", "parts")
        .name("Talking \"video\"")
        .kind("video")
        .label("user", "7")
        .stage("detect", 1.0)
        .stage("render/tile-3", 4.5);
    let task = task.queue().unwrap();
    task.position(2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    task.begin().unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let tile = task.stage("render/tile-3").total(120).unit("frames");
    tile.inc(75);
    tile.message("zeile\n2");
    tile.metadata("confidence", json!({"a": [1, 0.95, null]}));
    a_tick().await;
    task.log(Level::WARN, "odd");
    tile.log(Level::ERROR, "odder");
    let error = TaskError::new("DID_API_ERROR", "The service is busy");
    task.error(error.clone()).unwrap();
    let full = error
        .retryable(true)
        .stage("render/tile-3")
        .retry(1, 3)
        .retry_after(Duration::from_secs(2))
        .detail("status", 503)
        .solution("Wait")
        .trace_id("4bf92f35");
    task.error(full).unwrap();
    task.emit(Mark { n: 1 }).unwrap();
    task.emit(Gauge::new("a", 2)).unwrap();
    // The parent only lends its id.
    parent.complete(()).unwrap();
    task
}

#[tokio::test(start_paused = true)]
async fn the_data_of_each_event_type() {
    let tracker = ProgressTracker::new();
    let task = everything(&tracker).await;
    let events = events(&ready(&mut tracker.subscribe(task.id())));
    let started = events[2].timestamp();
    let expected = [
        ("queued", "{}".to_owned()),
        ("queued", r#"{"position":2}"#.to_owned()),
        (
            "started",
            format!(
                r#"{{"name":"Talking \"video\"","kind":"video","labels":{{"user":"7"}},"parent":"parent","stages":[{{"path":"detect","label":"detect","weight":1.0}},{{"path":"render","label":"render","weight":4.5}},{{"path":"render/tile-3","label":"tile-3","weight":4.5}}],"attempt":1,"started_at":"{started}"}}"#
            ),
        ),
        (
            "stage_change",
            r#"{"previous_stage":null,"current_stage":"render/tile-3","progress":51.14,"elapsed_ms":1500}"#.to_owned(),
        ),
        (
            "progress_update",
            r#"{"stage":"render/tile-3","progress":51.14,"stage_progress":62.5,"current":75,"total":120,"unit":"frames","elapsed_ms":1500}"#.to_owned(),
        ),
        (
            "progress_update",
            r#"{"stage":"render","progress":51.14,"stage_progress":62.5,"elapsed_ms":1500}"#.to_owned(),
        ),
        (
            "progress_update",
            r#"{"stage":"render/tile-3","progress":51.14,"stage_progress":62.5,"current":75,"total":120,"unit":"frames","message":"zeile\n2","elapsed_ms":1600,"metadata":{"confidence":{"a":[1,0.95,null]}}}"#.to_owned(),
        ),
        ("log", r#"{"n":1,"level":"WARN","message":"odd"}"#.to_owned()),
        (
            "log",
            r#"{"n":2,"level":"ERROR","message":"odder","stage":"render/tile-3"}"#.to_owned(),
        ),
        (
            "error",
            r#"{"code":"DID_API_ERROR","message":"The service is busy","is_retryable":false}"#.to_owned(),
        ),
        (
            "error",
            r#"{"code":"DID_API_ERROR","message":"The service is busy","is_retryable":true,"stage":"render/tile-3","retry_count":1,"max_retries":3,"retry_after_ms":2000,"details":{"status":503},"solutions":["Wait"],"trace_id":"4bf92f35"}"#.to_owned(),
        ),
        ("mark", r#"{"n":1}"#.to_owned()),
        ("gauge", r#"{"value":2}"#.to_owned()),
        (
            "complete",
            r#"{"status":"cancelled","cause":"parent_ended","progress":51.14,"duration_ms":1601}"#.to_owned(),
        ),
    ];
    for (event, (event_type, expected)) in events.iter().zip(&expected) {
        assert_eq!(event.event_type(), *event_type);
        assert_eq!(data(event), *expected);
    }
    assert_eq!(events.len(), expected.len());
}

#[tokio::test(start_paused = true)]
async fn the_data_of_each_end() {
    let tracker = ProgressTracker::new();
    let start = |id: &str| {
        let task = tracker.task(id).start().unwrap();
        task.progress(42.0);
        task
    };
    start("a").complete(json!({"video_url": "/v.mp4"})).unwrap();
    start("b").complete(()).unwrap();
    start("c").fail(TaskError::new("BROKEN", "broken")).unwrap();
    start("d").cancel("enough").unwrap();
    drop(start("e"));
    for (id, expected) in [
        (
            "a",
            r#"{"status":"completed","result":{"video_url":"/v.mp4"},"progress":100.0,"duration_ms":0}"#,
        ),
        (
            "b",
            r#"{"status":"completed","progress":100.0,"duration_ms":0}"#,
        ),
        (
            "c",
            r#"{"status":"failed","error":{"code":"BROKEN","message":"broken","is_retryable":false},"progress":42.0,"duration_ms":0}"#,
        ),
        (
            "d",
            r#"{"status":"cancelled","cause":"enough","progress":42.0,"duration_ms":0}"#,
        ),
        (
            "e",
            r#"{"status":"abandoned","cause":"dropped","progress":42.0,"duration_ms":0}"#,
        ),
    ] {
        let end = events(&ready(&mut tracker.subscribe(id))).pop().unwrap();
        assert_eq!(data(&end), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn from_and_dropped_logs_are_there_only_where_they_say_something() {
    let tracker = tracker_with(LogLimits::default().window(2).logs(1));
    let task = tracker.task("t").start().unwrap();
    for n in 0..5 {
        task.log(Level::INFO, "line");
        task.emit(Gauge::new("a", n)).unwrap();
    }
    let frames = ready(&mut tracker.subscribe("t"));
    let heads: Vec<_> = delivered(&frames)
        .iter()
        .map(|delivered| {
            let text = String::from_utf8(delivered.to_json().to_vec()).unwrap();
            let from = text.find(r#""seq""#).unwrap();
            let to = text.find(r#","event_type""#).unwrap();
            text[from..to].to_owned()
        })
        .collect();
    // Lines at 2, 4, 6, 8 and 10, of which the newest is in the window and one below it.
    let expected = [
        r#""seq":1"#,
        r#""seq":8,"from":2,"dropped_logs":3"#,
        r#""seq":10,"from":9"#,
        r#""seq":11"#,
    ];
    assert_eq!(heads, expected);
    // Both fields are the reader's and no part of the event.
    let spliced = delivered(&frames)[1];
    assert_eq!(
        Event::from_json(&spliced.to_json()).unwrap(),
        *spliced.event
    );
    let only_dropped = spliced.event.to_json(spliced.event.seq(), 7);
    let value = common::json(std::str::from_utf8(&only_dropped).unwrap());
    assert_eq!(
        (value.get("from"), &value["dropped_logs"]),
        (None, &json!(7))
    );
}

#[tokio::test(start_paused = true)]
async fn timestamps_are_rfc_3339_in_utc_with_milliseconds() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let value = common::json(&text(&events(&ready(&mut tracker.subscribe("t")))[0]));
    let shape = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "0");
    for text in [&value["timestamp"], &value["data"]["started_at"]] {
        let text = text.as_str().unwrap();
        assert_eq!(shape(text), "0000-00-00T00:00:00.000Z");
        let moment: Timestamp = text.parse().unwrap();
        assert_eq!(moment.to_string(), text);
        assert_eq!(moment, task.snapshot().updated_at);
    }
    let whole = Timestamp::from_millis(1_795_355_773_000);
    assert_eq!(whole.to_string(), "2026-11-22T13:56:13.000Z");
    assert!(
        "2026-11-22T13:56:13".parse::<Timestamp>().is_err(),
        "without a zone"
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_survives_the_way_there_and_back() {
    let tracker = ProgressTracker::new();
    let task = everything(&tracker).await;
    let frames = ready(&mut tracker.subscribe(task.id()));
    assert_eq!(types(&frames).len(), 14);
    for event in events(&frames) {
        let back = Event::from_json(&event.to_json(event.seq(), 0)).unwrap();
        assert_eq!(back, *event);
        assert_eq!(text(&back), text(&event));
        assert_eq!(back.position(), event.position());
    }
}

#[test]
fn every_event_type_is_read_from_the_wire() {
    let read = |event_type: &str, data: &str| {
        let text = format!(
            r#"{{"task_id":"t","epoch":"18f2c1a7b3d","seq":57,"from":50,"event_type":"{event_type}","timestamp":"2026-11-22T14:56:13.123+01:00","data":{data},"unknown":1}}"#
        );
        Event::from_json(text.as_bytes())
    };
    for event_type in [
        "paused",
        "resumed",
        "stalled",
        "recovered",
        "cancel_requested",
    ] {
        let event = read(event_type, r#"{"reason":"waiting for GPU"}"#).unwrap();
        assert_eq!(event.event_type(), event_type);
        let expected = format!(
            r#"{{"task_id":"t","epoch":"18f2c1a7b3d","seq":57,"event_type":"{event_type}","timestamp":"2026-11-22T13:56:13.123Z","data":{{"reason":"waiting for GPU"}}}}"#
        );
        assert_eq!(text(&event), expected);
        assert_eq!(data(&read(event_type, "{}").unwrap()), "{}");
    }
    let line = read("log", r#"{"level":"WARNING","message":"odd"}"#).unwrap();
    assert!(matches!(line.data(), Data::Log(line) if line.level == Level::WARN));
    // Inbound, an error needs no more than this.
    let error = read("error", r#"{"code":"A","message":"b"}"#).unwrap();
    assert_eq!(*error.data(), Data::Error(TaskError::new("A", "b")));
    let custom = read("photo.approved", r#"[1, 2]"#).unwrap();
    assert_eq!(
        (custom.event_type(), custom.seq()),
        ("photo.approved", Seq::new(57))
    );

    for control in [
        "connected",
        "heartbeat",
        "gap",
        "reset",
        "rejected",
        "Bad Type",
        "",
    ] {
        assert!(read(control, "{}").is_err(), "{control:?}");
    }
    for bad in ["", "{", "[]", "null"] {
        assert!(read("complete", bad).is_err(), "{bad:?}");
        assert!(Event::from_json(bad.as_bytes()).is_err(), "{bad:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_text_is_made_once_for_all_readers() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    task.emit(Mark { n: 1 }).unwrap();
    let read = || {
        let frames = ready(&mut tracker.subscribe_with("t", SubscribeOptions::new()));
        delivered(&frames)
            .iter()
            .map(|d| d.to_json())
            .collect::<Vec<_>>()
    };
    let (one, two) = (read(), read());
    assert_eq!(one, two);
    for (one, two) in one.iter().zip(&two) {
        assert_eq!(one.as_ptr(), two.as_ptr());
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_on_the_wire() {
    let tracker = ProgressTracker::new();
    let task = everything(&tracker).await;
    let snapshot = task.snapshot();
    let text = serde_json::to_string(&snapshot).unwrap();
    assert_eq!(serde_json::from_str::<Snapshot>(&text).unwrap(), snapshot);

    let mut value = common::json(&text);
    let times = ["started_at", "updated_at"].map(|field| value[field].take());
    assert_eq!(times[0], json!(snapshot.started_at.unwrap().to_string()));
    assert_eq!(times[1], json!(snapshot.updated_at.to_string()));
    let stage = |path, label, weight| {
        json!({
            "path": path, "label": label, "weight": weight, "state": "pending", "progress": 0.0,
            "current": null, "total": null, "unit": null, "elapsed_ms": 0,
        })
    };
    let mut tile = stage("render/tile-3", "tile-3", 4.5);
    let present: [(&str, Value); 8] = [
        ("state", "cancelled".into()),
        ("progress", 62.5.into()),
        ("current", 75.into()),
        ("total", 120.into()),
        ("unit", "frames".into()),
        ("message", "zeile\n2".into()),
        ("metadata", json!({"confidence": {"a": [1, 0.95, null]}})),
        ("elapsed_ms", 101.into()),
    ];
    for (name, value) in present {
        tile[name] = value;
    }
    let mut render = stage("render", "render", 4.5);
    for name in ["state", "progress", "elapsed_ms"] {
        render[name] = tile[name].clone();
    }
    let expected = json!({
        "task_id": "video-42", "epoch": snapshot.epoch.to_string(), "seq": 14,
        "name": "Talking \"video\"", "kind": "video", "labels": {"user": "7"},
        "parent": "parent", "state": "cancelled", "progress": 51.14,
        "stage": "render/tile-3", "message": "zeile\n2",
        "metadata": {"confidence": {"a": [1, 0.95, null]}},
        "eta_ms": null, "elapsed_ms": 1601, "started_at": null, "updated_at": null, "attempt": 1,
        "stages": [stage("detect", "detect", 1.0), render, tile],
        "custom": {"a": {"value": 2}},
        "last_error": {
            "code": "DID_API_ERROR", "message": "The service is busy", "is_retryable": true,
            "stage": "render/tile-3", "retry_count": 1, "max_retries": 3, "retry_after_ms": 2000,
            "details": {"status": 503}, "solutions": ["Wait"], "trace_id": "4bf92f35",
        },
        "cause": "parent_ended", "dropped_logs": 0,
    });
    assert_eq!(value, expected);
}

#[test]
fn floats_survive_the_wire_to_the_last_bit() {
    let text = br#"{"task_id":"t","epoch":"1f","seq":1,"event_type":"progress_update","timestamp":"2026-11-22T13:56:13.123Z","data":{"progress":14.777777777777777777777120}}"#;
    let event = Event::from_json(text).unwrap();
    let again = Event::from_json(&event.to_json(event.seq(), 0)).unwrap();
    assert_eq!(event, again);
}
