//! The shapes of bodies that have no type others read.

use serde_json::{Map, Value, json};

use super::reference;

/// What has no type that others read.
pub(super) fn bodies() -> Map<String, Value> {
    let text = json!({"type": "string"});
    let text_or_none = json!({"type": ["string", "null"]});
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
                "floor": count, "head": text, "next": text,
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
                "accepted": count, "last": text,
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
        "Reason": {"type": "object", "properties": {"reason": text}},
        "NewTask": {
            "type": "object",
            "properties": {
                "task_id": reference("TaskId"), "name": text, "kind": text, "parent": reference("TaskId"),
                "labels": {"type": "object", "additionalProperties": text},
                "channels": {"type": "array", "items": reference("ChannelName")},
                "stages": {"type": "array", "items": {
                    "type": "object",
                    "properties": {
                        "path": text, "label": text, "weight": {"type": "number", "minimum": 0, "default": 1},
                        "total": count, "unit": text,
                    },
                    "required": ["path"],
                }},
                "queued": {"type": "boolean", "default": false},
                "silence_ms": {"type": "integer", "minimum": 1},
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
            "properties": {"channel": reference("ChannelName"), "event_type": text, "data": true},
            "required": ["event_type"],
        },
        "Told": {
            "type": "object",
            "properties": {"accepted": count, "last": text, "clients": count},
            "required": ["accepted"],
        },
        "NewEvent": {
            "type": "object",
            "properties": {"event_type": text, "data": true, "key": text, "id": text},
            "required": ["event_type"],
        },
    }) else {
        unreachable!("it is written as an object");
    };
    bodies
}
