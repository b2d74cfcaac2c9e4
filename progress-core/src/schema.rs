//! JSON Schema (2020-12) of what goes on the wire, beside what the types derive themselves.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    channel::{ChannelEvent, ChannelName},
    event::{
        Complete, Event, LogLine, Metadata, Note, Payload, ProgressUpdate, Queued, StageChange,
        Started, TaskError,
    },
    id::TaskId,
    position::{Epoch, Position},
    time::Timestamp,
};

/// Types that travel as text of a form.
macro_rules! texts {
    ($($type:ty, $name:literal, $pattern:literal, $says:literal;)*) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern, "description": $says})
            }
        }
    )*};
}

texts! {
    TaskId, "TaskId", "^[A-Za-z0-9._:-]{1,128}$", "Names a task.";
    ChannelName, "ChannelName", "^[A-Za-z0-9._:-]{1,128}$", "Names a channel.";
    Epoch, "Epoch", "^[A-Za-z0-9]{1,32}$", "Tells the runs of a task apart; opaque.";
    Position, "Position", "^[A-Za-z0-9]{1,32}:[0-9]{1,19}$", "Run and number of an event.";
    Timestamp, "Timestamp", r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", "RFC 3339, UTC, with milliseconds.";
}

impl JsonSchema for Payload {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Payload")
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"description": "Whatever the application likes."})
    }
}

impl JsonSchema for Metadata {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Metadata")
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object", "description": "Values by name."})
    }
}

impl JsonSchema for Event {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Event")
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let note = generator.subschema_for::<Note>();
        let built_in = [
            ("queued", generator.subschema_for::<Queued>()),
            ("started", generator.subschema_for::<Started>()),
            ("stage_change", generator.subschema_for::<StageChange>()),
            (
                "progress_update",
                generator.subschema_for::<ProgressUpdate>(),
            ),
            ("log", generator.subschema_for::<LogLine>()),
            ("error", generator.subschema_for::<TaskError>()),
            ("paused", note.clone()),
            ("resumed", note.clone()),
            ("stalled", note.clone()),
            ("recovered", note.clone()),
            ("cancel_requested", note),
            ("complete", generator.subschema_for::<Complete>()),
        ];
        let names: Vec<_> = built_in.iter().map(|(name, _)| *name).collect();
        let mut forms: Vec<Schema> = built_in
            .iter()
            .map(|(name, data)| {
                json_schema!({"properties": {"event_type": {"const": name}, "data": data}})
            })
            .collect();
        let data = generator.subschema_for::<Payload>();
        forms.push(json_schema!({
            "description": "An event of the application's own.",
            "properties": {
                "event_type": {"type": "string", "pattern": EVENT_TYPE, "not": {"enum": names}},
                "key": {"type": "string", "maxLength": 128},
                "data": data,
            },
        }));
        json_schema!({
            "type": "object",
            "description": "An event of a task, as a reader gets it to whom it stands for from..=seq.",
            "properties": {
                "task_id": generator.subschema_for::<TaskId>(),
                "epoch": generator.subschema_for::<Epoch>(),
                "seq": {"type": "integer", "minimum": 1},
                "from": {"type": "integer", "minimum": 1, "description": "Left out if equal to seq."},
                "dropped_logs": {"type": "integer", "minimum": 1, "description": "Left out if 0."},
                "event_type": {"type": "string"},
                "timestamp": generator.subschema_for::<Timestamp>(),
                "data": true,
            },
            "required": ["task_id", "epoch", "seq", "event_type", "timestamp", "data"],
            "oneOf": forms,
        })
    }
}

impl JsonSchema for ChannelEvent {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("ChannelEvent")
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let own = json_schema!({
            "type": "object",
            "description": "An event of no task.",
            "properties": {
                "task_id": false,
                "event_type": {"type": "string", "pattern": EVENT_TYPE},
                "key": {"type": "string", "maxLength": 128},
                "timestamp": generator.subschema_for::<Timestamp>(),
                "data": generator.subschema_for::<Payload>(),
            },
            "required": ["event_type", "timestamp", "data"],
        });
        json_schema!({
            "type": "object",
            "description": "An event in a channel, as a reader gets it to whom it stands for channel_from..=channel_seq.",
            "properties": {
                "channel": generator.subschema_for::<ChannelName>(),
                "channel_epoch": generator.subschema_for::<Epoch>(),
                "channel_seq": {"type": "integer", "minimum": 1},
                "channel_from": {"type": "integer", "minimum": 1, "description": "Left out if equal to channel_seq."},
                "event": {"oneOf": [generator.subschema_for::<Event>(), own]},
            },
            "required": ["channel", "channel_epoch", "channel_seq", "event"],
        })
    }
}

const EVENT_TYPE: &str = "^[a-z][a-z0-9_.]{0,63}$";
