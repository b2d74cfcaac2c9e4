//! `{"type":"stage_update",…}`.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{has_ended, moves, text};
use crate::encoders::{FrameEncoder, WireFrame};

/// An envelope `{"type","task_id","position"?,"data","timestamp"}` around each event.
///
/// What moves a task is a `stage_update`, its data `{"stage"?,"status","progress"?,"message"?,
/// "metadata"?}`: `progress` is percent 0 to 100 and `stage` the stage's path, at the end the end's
/// status; what an event does not tell is left out. The metadata of an end is its result. A
/// watcher is first told how the task stands; of what was before, then only the end and custom
/// events. `heartbeat`, `pong` and an `error` (what was refused,
/// `{"code","message"}`) have the envelope too, and so have custom events under their own type. Log
/// lines are not told.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct StageUpdates;

impl StageUpdates {
    /// The name of the format.
    pub const NAME: &str = "stage_update";
}

#[derive(Serialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<String>,
    #[serde(skip_serializing_if = "Value::is_null")]
    data: Value,
    timestamp: &'a str,
}

impl FrameEncoder for StageUpdates {
    fn frame(&self, frame: &WireFrame) -> Option<String> {
        let (kind, data) = match &*frame.event_type {
            "heartbeat" | "pong" => (&*frame.event_type, Value::Null),
            "connected" | "subscribed" | "reset" | "gap" => ("stage_update", state(frame)?),
            // It led to a state that is told already, and would play backwards.
            _ if frame.is_history && moves(frame) => return None,
            "rejected" => {
                let data = json!({"code": frame.get("code"), "message": frame.get("message")});
                ("error", data)
            }
            "draining" | "log" => return None,
            "complete" => ("stage_update", update(frame)),
            _ if moves(frame) => ("stage_update", update(frame)),
            custom => (custom, frame.data.clone()),
        };
        text(&Envelope {
            kind,
            task_id: frame.task_id.as_deref(),
            position: frame.position(),
            data,
            timestamp: &frame.timestamp,
        })
    }
}

fn update(frame: &WireFrame) -> Value {
    let (status, stage) = match &*frame.event_type {
        "stage_change" => ("running", frame.get("current_stage")),
        "progress_update" | "started" | "resumed" | "recovered" => ("running", frame.get("stage")),
        "error" => ("retrying", frame.get("stage")),
        "complete" => {
            let status = frame.text("status").unwrap_or_default();
            (status, frame.get("status"))
        }
        other => (other, None),
    };
    let start = json!(0.0);
    let progress = match &*frame.event_type {
        "queued" | "started" => Some(&start),
        _ => frame.get("progress"),
    };
    let error = frame.get("error").and_then(|error| error.get("message"));
    let others = ["message", "reason", "cause"].map(|field| frame.get(field));
    let message = error.into_iter().chain(others.into_iter().flatten()).next();
    let results = ["metadata", "result"].map(|field| frame.get(field));
    let metadata = results.into_iter().flatten().next();
    let mut data = Map::from_iter([("status".to_owned(), status.into())]);
    for (name, value) in [
        ("stage", stage),
        ("progress", progress),
        ("message", message),
        ("metadata", metadata),
    ] {
        if let Some(value) = value {
            data.insert(name.into(), value.clone());
        }
    }
    data.into()
}

/// The update that a watcher is first told; of a task that has ended its end comes anyway.
fn state(frame: &WireFrame) -> Option<Value> {
    let snapshot = frame.snapshot()?;
    let state = &snapshot["state"];
    let is_over = has_ended(snapshot);
    if is_over && frame.text("resume") != Some("ended") {
        return None;
    }
    let (stage, metadata) = match (is_over, &snapshot["result"]) {
        (false, _) => (&snapshot["stage"], &snapshot["metadata"]),
        (true, Value::Null) => (state, &snapshot["metadata"]),
        (true, result) => (state, result),
    };
    let message = match &snapshot["error"]["message"] {
        Value::Null => &snapshot["message"],
        message => message,
    };
    let mut data = Map::from_iter([("status".to_owned(), state.clone())]);
    for (name, value) in [
        ("stage", stage),
        ("progress", &snapshot["progress"]),
        ("message", message),
        ("metadata", metadata),
    ] {
        if !value.is_null() {
            data.insert(name.to_owned(), value.clone());
        }
    }
    Some(data.into())
}
