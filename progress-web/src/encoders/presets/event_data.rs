//! `{"event","data"}`.

use serde_json::{Map, Value, json};

use super::{moves, text};
use crate::encoders::{FrameEncoder, WireFrame};

/// Each event as `{"event","data":{"task_id","timestamp",…},"position"?}`.
///
/// `progress_update` has `status`, `progress` in whole percent, `current_stage`,
/// `estimated_remaining` in seconds and `message`; what begins, pauses and resumes a task is one
/// too. Statuses are in capitals: `PENDING`, `PROCESSING`, `PAUSED`, `STALLED`, and those of
/// `complete`: `COMPLETED`, `FAILED`, `CANCELLED`, `ABANDONED`. `stage_change`, `log` (its level
/// `WARNING`, not `WARN`), `error` and an end's error (`error_code`, `error_message`) have the
/// fields of the protocol else. A watcher is told `connected` with the state, and then of what was
/// before what does not move the task: log lines, errors, custom events, the end. A heartbeat is
/// `ping`, to be answered `{"event":"pong"}`. Custom events keep their data.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct EventData;

impl EventData {
    /// The name of the format.
    pub const NAME: &str = "event_data";
}

impl FrameEncoder for EventData {
    fn frame(&self, frame: &WireFrame) -> Option<String> {
        // Only what is sent on is copied: a snapshot may be large.
        let fields = || match &frame.data {
            Value::Object(fields) => fields.clone(),
            Value::Null => Map::new(),
            other => Map::from_iter([("value".into(), other.clone())]),
        };
        match &*frame.event_type {
            // It led to a state that is told already, and would play backwards.
            _ if frame.is_history && moves(frame) && frame.event_type != "error" => None,
            "heartbeat" => event(frame, "ping", Map::new()),
            "connected" | "subscribed" => {
                let state = frame.snapshot().map(state).unwrap_or_default();
                event(frame, "connected", state)
            }
            "reset" | "gap" => event(frame, "progress_update", state(frame.snapshot()?)),
            "progress_update" => event(frame, "progress_update", update("PROCESSING", &frame.data)),
            "queued" => event(frame, "progress_update", begun("PENDING")),
            "started" => event(frame, "progress_update", begun("PROCESSING")),
            "paused" | "resumed" | "stalled" | "recovered" => {
                let status = match &*frame.event_type {
                    "paused" => "PAUSED",
                    "stalled" => "STALLED",
                    _ => "PROCESSING",
                };
                let mut data = Map::from_iter([("status".into(), status.into())]);
                if let Some(reason) = frame.get("reason") {
                    data.insert("message".into(), reason.clone());
                }
                event(frame, "progress_update", data)
            }
            "stage_change" => {
                let mut fields = fields();
                if let Some(percent) = frame.number("progress") {
                    fields.insert("progress".into(), whole(percent));
                }
                event(frame, "stage_change", fields)
            }
            "log" => {
                let mut fields = fields();
                if frame.text("level") == Some("WARN") {
                    fields.insert("level".into(), "WARNING".into());
                }
                event(frame, "log", fields)
            }
            "error" | "rejected" => event(frame, "error", error(fields())),
            "complete" => event(frame, "complete", complete(frame, fields())),
            _ => event(frame, &frame.event_type, fields()),
        }
    }
}

fn event(frame: &WireFrame, name: &str, mut data: Map<String, Value>) -> Option<String> {
    // What a payload says under these names stays.
    if let Some(task) = &frame.task_id {
        data.entry("task_id").or_insert_with(|| task.clone().into());
    }
    data.entry("timestamp")
        .or_insert_with(|| frame.timestamp.clone().into());
    let mut message = json!({"event": name, "data": data});
    if let Some(position) = frame.position() {
        message["position"] = position.into();
    }
    text(&message)
}

fn begun(status: &str) -> Map<String, Value> {
    Map::from_iter([
        ("status".into(), status.into()),
        ("progress".into(), json!(0)),
    ])
}

fn state(snapshot: &Value) -> Map<String, Value> {
    let status = match snapshot["state"].as_str() {
        Some("queued") => "PENDING".to_owned(),
        Some("running") | None => "PROCESSING".to_owned(),
        Some(other) => other.to_ascii_uppercase(),
    };
    update(&status, snapshot)
}

/// The fields of an update from those of a `progress_update` or a snapshot, which have the same
/// names.
fn update(status: &str, from: &Value) -> Map<String, Value> {
    let mut data = Map::from_iter([("status".into(), status.into())]);
    if let Some(percent) = from["progress"].as_f64() {
        data.insert("progress".into(), whole(percent));
    }
    if let Some(left) = from["eta_ms"].as_u64() {
        data.insert("estimated_remaining".into(), left.div_ceil(1_000).into());
    }
    for (name, value) in [
        ("current_stage", &from["stage"]),
        ("message", &from["message"]),
    ] {
        if !value.is_null() {
            data.insert(name.into(), value.clone());
        }
    }
    data
}

fn error(mut fields: Map<String, Value>) -> Map<String, Value> {
    for (name, theirs) in [("code", "error_code"), ("message", "error_message")] {
        if let Some(value) = fields.remove(name) {
            fields.insert(theirs.into(), value);
        }
    }
    fields
}

fn complete(frame: &WireFrame, mut fields: Map<String, Value>) -> Map<String, Value> {
    if let Some(Value::Object(error_fields)) = fields.remove("error") {
        fields.extend(error(error_fields));
    }
    if let Some(status) = frame.text("status") {
        fields.insert("status".into(), status.to_ascii_uppercase().into());
    }
    if let Some(percent) = frame.number("progress") {
        fields.insert("progress".into(), whole(percent));
    }
    fields
}

fn whole(percent: f64) -> Value {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "percents are 0 to 100"
    )]
    let whole = percent as u64;
    whole.into()
}
