//! The shapes of bodies that have no type others read.

use progress_core::{EventInput, Limits};
use serde_json::{Map, Value, json};
use utoipa::openapi::{
    Content, Required,
    request_body::{RequestBody, RequestBodyBuilder},
};

use super::{reference, schema};

/// What a route takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body {
    Task,
    Topics,
    Broadcast,
    Events,
    Reason,
}

impl Body {
    pub(super) fn described(self) -> RequestBody {
        let one = |name| Content::new(Some(reference(name)));
        let (required, json) = match self {
            // An empty one is as good as `{}`.
            Self::Task => (Required::False, one("NewTask")),
            Self::Reason => (Required::False, one("Reason")),
            Self::Topics => (Required::True, one("Topics")),
            Self::Broadcast => (Required::True, one("Broadcast")),
            Self::Events => (Required::True, one("NewEvents")),
        };
        let body = RequestBodyBuilder::new()
            .required(Some(required))
            .content("application/json", json);
        match self {
            Self::Events => {
                let lines =
                    schema(json!({"type": "string", "description": "One `NewEvent` a line"}));
                body.content("application/x-ndjson", Content::new(Some(lines)))
            }
            Self::Task | Self::Topics | Self::Reason | Self::Broadcast => body,
        }
        .build()
    }
}

/// What has no type that others read.
pub(super) fn bodies() -> Map<String, Value> {
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let text = json!({"type": "string"});
    let text_or_none = json!({"type": ["string", "null"]});
    // Bytes, which are characters at least.
    let short = json!({"type": "string", "maxLength": Limits::NAME_LEN});
    let name = json!({"type": ["string", "null"], "maxLength": Limits::NAME_LEN});
    let count_or_none = json!({"type": ["integer", "null"], "minimum": 0, "maximum": u64::MAX});
    let event_type = json!({"type": "string", "pattern": "^[a-z][a-z0-9_.]{0,63}$"});
    let or_none = |is: Value| json!({"anyOf": [is, {"type": "null"}]});
    let count = json!({"type": "integer", "minimum": 0});
    let time = json!({"type": "number", "minimum": 0});
    let Value::Object(bodies) = json!({
        "Refusal": {"type": "object", "properties": {"error": reference("TaskError")}, "required": ["error"]},
        "Tasks": {
            "type": "object",
            "properties": {"tasks": {"type": "array", "items": reference("Snapshot")}, "next": text},
            "required": ["tasks"],
        },
        "History": {
            "type": "object",
            "properties": {
                "events": {"type": "array", "items": reference("Event")},
                "floor": count, "head": reference("Position"), "next": reference("Position"),
            },
            "required": ["events", "floor", "head"],
        },
        "TaskUrls": {
            "type": "object",
            "properties": {"task_id": reference("TaskId"), "websocket_url": text, "sse_url": text, "polling_url": text},
            "required": ["task_id", "websocket_url", "sse_url", "polling_url"],
        },
        "Topic": {"oneOf": [
            {"type": "object", "properties": {"task_id": reference("TaskId")}, "required": ["task_id"]},
            {"type": "object", "properties": {"channel": reference("ChannelName")}, "required": ["channel"]},
        ]},
        "Topics": {"oneOf": [
            reference("Topic"),
            {
                "type": "object",
                "properties": {"topics": {"type": "array", "items": reference("Topic"), "minItems": 1, "maxItems": 16}},
                "required": ["topics"],
            },
        ]},
        "Ticket": {
            "type": "object",
            "properties": {"ticket": text, "expires_at": text, "expires_in_ms": count},
            "required": ["ticket", "expires_at", "expires_in_ms"],
        },
        "Published": {
            "type": "object",
            "properties": {
                "accepted": count, "last": reference("Position"),
                "errors": {"type": "array", "items": {
                    "type": "object",
                    "properties": {"index": count, "error": reference("TaskError")},
                    "required": ["index", "error"],
                }},
                "errors_omitted": count, "cancel_requested": {"type": "boolean"}, "cancel_reason": text,
            },
            "required": ["accepted", "errors"],
        },
        "Asked": {
            "type": "object",
            "properties": {"task_id": reference("TaskId"), "cancel_requested": {"const": true}},
            "required": ["task_id", "cancel_requested"],
        },
        "Standing": {
            "type": "object",
            "properties": {"status": {"enum": ["ok", "degraded", "down"]}},
            "required": ["status"],
        },
        "Health": {
            "type": "object",
            "properties": {
                "status": {"enum": ["ok", "degraded", "down"]},
                "transport": {
                    "type": "object",
                    "properties": {
                        "kind": text, "status": {"enum": ["ok", "stale", "down"]},
                        "publisher": reference("Connection"), "subscriber": reference("Connection"),
                        "probe": {
                            "type": "object",
                            "properties": {"age_ms": time, "round_trip_ms": time},
                            "required": ["age_ms", "round_trip_ms"],
                        },
                        "last_error": {
                            "type": "object",
                            "properties": {"message": text, "timestamp": reference("Timestamp")},
                            "required": ["message", "timestamp"],
                        },
                        "reconnects": count, "dropped": count, "malformed": count,
                        "outbox_tasks": count, "outbox_events": count,
                        "holes": count, "gaps": count, "resyncs": count, "resends": count,
                        "superseded": count,
                    },
                    "required": ["kind", "status"],
                },
                "tasks": count, "sessions": count,
            },
            "required": ["status", "transport", "tasks", "sessions"],
        },
        "Connection": {
            "type": "object",
            "properties": {
                "state": {"enum": ["up", "stale", "down"]}, "since": reference("Timestamp"),
            },
            "required": ["state", "since"],
        },
        "Document": {"type": "object"},
        "Reason": {"type": "object", "properties": {"reason": text_or_none}},
        "NewTask": {
            "type": "object",
            "properties": {
                "task_id": or_none(reference("TaskId")), "name": text_or_none, "kind": name,
                "parent": or_none(reference("TaskId")),
                "labels": {"type": ["object", "null"], "additionalProperties": short},
                "channels": {
                    "type": ["array", "null"], "items": reference("ChannelName"),
                    "maxItems": Limits::TASK_CHANNELS,
                },
                "stages": {"type": ["array", "null"], "items": {
                    "type": "object",
                    "properties": {
                        "path": {"type": "string", "minLength": 1}, "label": name,
                        "weight": {
                            "type": ["number", "null"], "minimum": 0,
                            "maximum": Limits::LARGEST_WEIGHT, "default": 1,
                        },
                        "total": count_or_none, "unit": name,
                    },
                    "required": ["path"],
                }},
                "queued": {"type": ["boolean", "null"], "default": false},
                "silence_ms": {"type": ["integer", "null"], "minimum": 1, "maximum": u64::MAX},
            },
        },
        "Clients": {
            "type": "object",
            "properties": {
                "clients": {"type": "array", "items": {
                    "type": "object",
                    "properties": {
                        "id": text,
                        "transport": {"enum": ["websocket", "event_stream"]},
                        "client_type": text_or_none, "client_name": text_or_none,
                        "subject": text_or_none,
                        "topics": {"type": "array", "items": {
                            "type": "object",
                            "properties": {"task_id": text, "channel": text},
                        }},
                        "connected_at": reference("Timestamp"),
                    },
                    "required": [
                        "id", "transport", "client_type", "client_name", "subject", "topics",
                        "connected_at",
                    ],
                }},
                "next": text,
            },
            "required": ["clients"],
        },
        "Broadcast": {
            "type": "object",
            "properties": {
                "channel": or_none(reference("ChannelName")), "event_type": event_type, "data": true,
            },
            "required": ["event_type"],
        },
        "Told": {
            "type": "object",
            "properties": {"accepted": count, "last": reference("Position"), "clients": count},
            "required": ["accepted"],
        },
        "NewEvent": {
            "type": "object",
            "properties": {
                "event_type": event_type, "data": true,
                "key": name,
                "id": {
                    "type": ["string", "null"], "minLength": 1, "maxLength": EventInput::ID_LEN,
                    "description": "Tells a repetition",
                },
            },
            "required": ["event_type"],
        },
        "NewEvents": {
            "oneOf": [reference("NewEvent"), {"type": "array", "items": reference("NewEvent")}],
        },
    }) else {
        unreachable!("it is written as an object");
    };
    bodies
}
