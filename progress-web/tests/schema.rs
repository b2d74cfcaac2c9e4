//! The JSON Schema of frames: as committed, and true of what a gateway says.

use std::{collections::BTreeSet, path::Path, time::Duration};

use futures_util::StreamExt;
use http::{Request, request::Parts};
use jsonschema::Validator;
use progress_core::{
    ChannelFrame, EventInput, Level, Limits, ProgressTracker, StageDecl, SubscribeOptions,
    TaskError, log::LogLimits,
};
use progress_web::{Code, Gateway, Open, Output, Session, frame_schema};
use serde_json::{Value, json};
use tokio::time::timeout;

#[test]
fn the_committed_schema_is_what_the_types_say() {
    let at = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema/progress.v1.json");
    let schema = serde_json::to_string_pretty(&frame_schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&at, &schema).unwrap();
    }
    let committed = std::fs::read_to_string(&at).unwrap();
    assert!(
        committed == schema,
        "run the tests with UPDATE_SCHEMA=1, and look at what changed"
    );
}

/// What was said, each frame of it found valid.
struct Said {
    schema: Validator,
    kinds: BTreeSet<String>,
}

impl Said {
    fn new() -> Self {
        Self {
            schema: jsonschema::validator_for(&frame_schema()).unwrap(),
            kinds: BTreeSet::new(),
        }
    }

    fn take(&mut self, json: &[u8]) {
        let frame: Value = serde_json::from_slice(json).unwrap();
        let errors: Vec<_> = self
            .schema
            .iter_errors(&frame)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{frame:#} {errors:#?}");
        let kind = match &frame["channel"] {
            Value::Null => frame["event_type"].clone(),
            _ => json!("(channel)"),
        };
        self.kinds.insert(kind.as_str().unwrap().to_owned());
    }

    /// Reads a session until nothing more comes for a while.
    async fn read(&mut self, session: &mut Session, patience: Duration) {
        let mut outputs = Vec::new();
        while timeout(patience, session.next_batch(&mut outputs)).await == Ok(true) {
            for output in outputs.drain(..) {
                if let Output::Frame { text: json, .. } = output {
                    self.take(&json);
                }
            }
        }
    }
}

fn get(path: &str) -> Parts {
    Request::get(path).body(()).unwrap().into_parts().0
}

async fn publish(tracker: &ProgressTracker, event_type: &str, data: Value) {
    let event = EventInput::new(event_type, &data).unwrap();
    let published = tracker.publish("shared", vec![event]).await.unwrap();
    assert_eq!(published.errors, []);
}

#[tokio::test(start_paused = true)]
async fn every_frame_that_is_said_is_valid() {
    let log = LogLimits::default().window(1).milestones(2);
    let tracker = ProgressTracker::builder()
        .limits(Limits::default().log(log))
        .build();
    let gateway = Gateway::builder(tracker.clone())
        .authorizer(Open::new().named_ids())
        .build();
    let mut said = Said::new();
    let moment = Duration::from_millis(500);

    // A task with everything that can be said of one, read as it happens.
    let stage = StageDecl::new("render", 1.0).total(10).unit("frames");
    let task = tracker
        .task("all")
        .declare(stage)
        .label("user", "7")
        .channel("jobs");
    let mut live = gateway.web_socket(&get("/"), "all").await;
    said.read(&mut live, moment).await;
    let task = task.stall_after(Duration::from_secs(1)).queue().unwrap();
    said.read(&mut live, moment).await;
    task.begin().unwrap();
    let child = task.child("part", "render").start().unwrap();
    task.stage("render").message("first");
    task.metadata("confidence", 0.95);
    task.log(Level::WARN, "careful");
    task.error(
        TaskError::new("BUSY", "try again")
            .retry(1, 3)
            .detail("a", 1),
    )
    .unwrap();
    said.read(&mut live, moment).await;
    task.pause("lunch");
    said.read(&mut live, moment).await;
    task.resume();
    said.read(&mut live, 2 * Duration::from_secs(1)).await;
    task.message("awake");
    said.read(&mut live, moment).await;
    tracker.cancel("all", "enough").await.unwrap();
    live.on_text(r#"{"type":"ping"}"#);
    live.on_text(r#"{"type":"nothing","request_id":3}"#);
    said.read(&mut live, Duration::from_secs(31)).await;
    drop(child);
    task.fail(TaskError::new("GONE", "it is gone")).unwrap();
    said.read(&mut live, moment).await;

    // A task without an owner, with custom events, queued in words of its own.
    tracker.task("shared").queued().share().await.unwrap();
    let keyed = EventInput::new("score", &json!(null))
        .unwrap()
        .key("face-1");
    tracker.publish("shared", vec![keyed]).await.unwrap();
    publish(&tracker, "progress_update", json!({"progress": 50})).await;
    for n in 0..5 {
        publish(&tracker, "note", json!(n)).await;
    }
    // Below the floor, on a stream of many, beside what does not exist and what is no id.
    let path = "/sse?ids=shared,nobody,no%20id";
    let mut stream = gateway.event_streams(&get(path)).await.unwrap().into_body();
    publish(
        &tracker,
        "complete",
        json!({"status": "completed", "result": {"url": "/x"}}),
    )
    .await;
    while let Some(text) = stream.next().await {
        let text = String::from_utf8(text.to_vec()).unwrap();
        for frame in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
            said.take(frame.as_bytes());
        }
    }
    let mut closed = gateway.web_socket(&get("/"), "shared").await;
    closed.close(Code::TooSlow);
    said.read(&mut closed, moment).await;

    // A channel.
    let own = EventInput::new("disk_full", &json!({})).unwrap();
    tracker.channel("jobs").publish(vec![own]).await.unwrap();
    let mut channel = tracker.subscribe_channel("jobs", SubscribeOptions::new());
    while let Ok(Some(frame)) = timeout(moment, channel.next()).await {
        if let ChannelFrame::Event(event) = frame {
            said.take(&event.to_json());
        }
    }

    let kinds: Vec<_> = said.kinds.iter().map(String::as_str).collect();
    assert_eq!(
        kinds,
        [
            "(channel)",
            "cancel_requested",
            "complete",
            "connected",
            "error",
            "gap",
            "heartbeat",
            "log",
            "note",
            "paused",
            "pong",
            "progress_update",
            "queued",
            "recovered",
            "rejected",
            "reset",
            "resumed",
            "score",
            "stage_change",
            "stalled",
            "started",
            "subscribed",
        ]
    );
}

#[test]
fn what_no_server_says_is_not_valid() {
    let schema = jsonschema::validator_for(&frame_schema()).unwrap();
    let event = json!({
        "task_id": "t", "epoch": "1a", "seq": 2, "event_type": "progress_update",
        "timestamp": "2026-11-22T13:56:13.123Z", "data": {"progress": 41.7, "elapsed_ms": 3},
    });
    assert!(schema.is_valid(&event));
    for (at, wrong) in [
        ("/seq", json!(0)),
        ("/epoch", json!("1a:2")),
        ("/task_id", json!("no spaces")),
        ("/timestamp", json!("2026-11-22T13:56:13Z")),
        ("/data/progress", json!("41.7")),
        ("/data", json!({})),
        ("/event_type", json!("complete")),
        ("/event_type", json!("Custom")),
    ] {
        let mut other = event.clone();
        *other.pointer_mut(at).unwrap() = wrong;
        assert!(!schema.is_valid(&other), "{other}");
    }
}
