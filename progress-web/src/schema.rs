//! JSON Schema (2020-12) of all that a server of the protocol says, made from the types.

use progress_core::{
    ChannelEvent, ChannelName, Epoch, Event, Seq, Snapshot, TaskError, TaskId, Timestamp,
};
use schemars::{Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Value, json};

use crate::wire::PROTOCOL;

/// Returns the JSON Schema of a server's frame: an event, an event in a channel, or a control frame.
///
/// Readers ignore fields that they do not know, and so does the schema.
#[must_use]
pub fn frame_schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator();
    let frames = frames(&mut generator);
    let mut root = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": PROTOCOL,
        "description": "A frame that a server sends.",
        "oneOf": frames,
    });
    root["$defs"] = generator.take_definitions(true).into();
    root
}

/// Definitions by name, for a document that keeps them in one place; that of all frames is `Frame`.
pub(crate) fn definitions(at: &'static str) -> serde_json::Map<String, Value> {
    let mut generator = SchemaSettings::draft2020_12()
        .for_serialize()
        .with(|settings| settings.definitions_path = at.into())
        .into_generator();
    let frames = frames(&mut generator);
    let mut definitions = generator.take_definitions(true);
    let frame = json!({"description": "A frame that a server sends.", "oneOf": frames});
    definitions.insert("Frame".to_owned(), frame);
    definitions
}

fn frames(generator: &mut SchemaGenerator) -> Vec<Schema> {
    let mut frames = vec![
        generator.subschema_for::<Event>(),
        generator.subschema_for::<ChannelEvent>(),
    ];
    frames.extend(control_frames(generator));
    frames.push(broadcast(generator));
    frames
}

/// The frames that have no place in the sequence.
fn control_frames(generator: &mut SchemaGenerator) -> Vec<Schema> {
    let snapshot = generator.subschema_for::<Snapshot>();
    let snapshot_or_none = generator.subschema_for::<Option<Snapshot>>();
    let epoch = generator.subschema_for::<Epoch>();
    let epoch_or_none = generator.subschema_for::<Option<Epoch>>();
    let seq = generator.subschema_for::<Seq>();
    let error = generator.subschema_for::<TaskError>();
    let task = ("task_id", generator.subschema_for::<TaskId>());
    let channel = ("channel", generator.subschema_for::<ChannelName>());
    let resume = json_schema!({
        "enum": ["unknown", "reset", "ended", "gap", "resumed", "fresh"],
    });
    // What was asked for need not be an id.
    let asked = json_schema!({"type": "string"});
    let hello = json_schema!({
        "type": "object",
        "properties": {
            "protocol": {"const": PROTOCOL},
            "heartbeat_ms": {"type": "integer", "minimum": 1},
            "node": {"type": "string"},
        },
        "required": ["protocol", "heartbeat_ms", "node"],
    });
    let verdict = json_schema!({
        "type": "object",
        "properties": {
            "request_id": {"type": ["string", "number"]},
            "epoch": epoch_or_none,
            "seq": seq,
            "resume": resume,
            "snapshot": snapshot_or_none,
        },
        "required": ["epoch", "seq", "resume", "snapshot"],
    });
    let channel_verdict = json_schema!({
        "type": "object",
        "properties": {
            "request_id": {"type": ["string", "number"]},
            "epoch": epoch_or_none,
            "seq": seq,
            "resume": resume,
        },
        "required": ["epoch", "seq", "resume"],
    });
    let positions = json_schema!({
        "type": "object",
        "additionalProperties": generator.subschema_for::<progress_core::Position>(),
    });
    let heartbeat = json_schema!({
        "type": "object",
        "properties": {"heads": positions, "channel_heads": positions},
        "required": ["heads"],
    });
    let gap = json_schema!({
        "type": "object",
        "properties": {
            "from": seq, "to": seq, "reason": {"enum": ["floor", "lag", "ahead"]}, "snapshot": snapshot,
        },
        "required": ["from", "to", "reason"],
    });
    let reset = json_schema!({
        "type": "object",
        "properties": {"epoch": epoch, "seq": seq, "reason": {"type": "string"}, "snapshot": snapshot},
        "required": ["epoch", "seq", "reason"],
    });
    let rejected = json_schema!({
        "properties": {"request_id": {"type": ["string", "number"]}},
        "allOf": [error],
    });
    let draining = json_schema!({
        "type": "object",
        "properties": {"reconnect_after_ms": {"type": "integer", "minimum": 0}},
        "required": ["reconnect_after_ms"],
    });
    let first = json_schema!({"allOf": [hello, verdict]});
    let about = |topic: &(&'static str, Schema)| vec![(topic.0, topic.1.clone(), true)];
    let either = vec![("task_id", asked.clone(), false), ("channel", asked, false)];
    let timestamp = generator.subschema_for::<Timestamp>();
    [
        ("connected", about(&task), Some(first)),
        ("connected", Vec::new(), Some(hello)),
        ("subscribed", about(&task), Some(verdict)),
        ("subscribed", about(&channel), Some(channel_verdict)),
        ("heartbeat", Vec::new(), Some(heartbeat)),
        ("gap", about(&task), Some(gap.clone())),
        ("gap", about(&channel), Some(gap)),
        ("reset", about(&task), Some(reset.clone())),
        ("reset", about(&channel), Some(reset)),
        ("rejected", either, Some(rejected)),
        ("draining", Vec::new(), Some(draining)),
        ("pong", Vec::new(), None),
    ]
    .into_iter()
    .map(|(event_type, topics, data)| control_frame(event_type, &timestamp, topics, data))
    .collect()
}

/// What an operator says to every connection: an event type of the application's own, and nothing
/// that it is about.
fn broadcast(generator: &mut SchemaGenerator) -> Schema {
    let timestamp = generator.subschema_for::<Timestamp>();
    json_schema!({
        "type": "object",
        "properties": {
            "event_type": {
                "type": "string",
                "pattern": "^[a-z][a-z0-9_.]{0,63}$",
                "not": {"enum": [
                    "connected", "subscribed", "heartbeat", "gap", "reset", "rejected",
                    "draining", "pong",
                ]},
            },
            "timestamp": timestamp,
            "data": true,
            "seq": false,
            "task_id": false,
            "channel": false,
        },
        "required": ["event_type", "timestamp", "data"],
    })
}

/// One frame; what it is about is `task_id` or `channel`, each said or not.
fn control_frame(
    event_type: &str,
    timestamp: &Schema,
    topics: Vec<(&'static str, Schema, bool)>,
    data: Option<Schema>,
) -> Schema {
    let mut properties = json!({
        "event_type": {"const": event_type},
        "timestamp": timestamp,
        // What has a place in a sequence is no control frame.
        "seq": false,
        "task_id": false,
        "channel": false,
    });
    let mut required = vec!["event_type", "timestamp"];
    for (name, schema, always) in topics {
        properties[name] = schema.to_value();
        if always {
            required.push(name);
        }
    }
    if let Some(data) = data {
        properties["data"] = data.to_value();
        required.push("data");
    }
    json_schema!({"type": "object", "properties": properties, "required": required})
}
