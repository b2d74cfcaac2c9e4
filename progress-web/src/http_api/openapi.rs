//! The description of the routes.

use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::{error::Code, gateway::Gateway, schema::definitions, wire::PROTOCOL};

impl Gateway {
    /// Answers `GET /openapi.json`, which needs no permission: OpenAPI 3.1.
    #[must_use]
    pub fn openapi(&self) -> Response<Bytes> {
        static TEXT: OnceLock<Bytes> = OnceLock::new();
        let text = TEXT.get_or_init(|| document().to_string().into());
        let mut response = Response::new(text.clone());
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        headers.insert(header::CACHE_CONTROL, super::REVALIDATE);
        self.counts()
            .answered("/openapi.json", &http::Method::GET, StatusCode::OK);
        response
    }
}

/// One route: method, path, what it does, parameters, body, success, errors.
struct Route {
    method: &'static str,
    path: &'static str,
    does: &'static str,
    parameters: &'static [&'static str],
    body: Option<Body>,
    answers: Answer,
    refuses: &'static [Code],
}

/// What a route takes.
#[derive(Clone, Copy)]
enum Body {
    Task,
    Broadcast,
    Events,
    Reason,
}

/// What a route gives if all is well.
#[derive(Clone, Copy)]
enum Answer {
    WebSocket,
    EventStream,
    Json(u16, &'static str),
    Nothing,
    Text,
}

use Answer::{EventStream, Json, Nothing, Text, WebSocket};

/// All routes that there are.
const ROUTES: &[Route] = &[
    Route {
        method: "get",
        path: "/ws/progress/{task_id}",
        does: "Watches one task over a WebSocket; what is wrong comes as `rejected` and a close code",
        parameters: &["task_id", "after", "replay"],
        body: None,
        answers: WebSocket,
        refuses: &[Code::UpgradeRequired],
    },
    Route {
        method: "get",
        path: "/ws",
        does: "Watches what the client asks for over a WebSocket",
        parameters: &[],
        body: None,
        answers: WebSocket,
        refuses: &[Code::UpgradeRequired],
    },
    Route {
        method: "get",
        path: "/sse/progress/{task_id}",
        does: "Watches one task as an event stream",
        parameters: &["task_id", "after", "replay", "named", "Last-Event-ID"],
        body: None,
        answers: EventStream,
        refuses: &[WATCH[0], WATCH[1], WATCH[2], Code::ConnectionLimit],
    },
    Route {
        method: "get",
        path: "/sse",
        does: "Watches several tasks and channels as one event stream",
        parameters: &[
            "ids",
            "channels",
            "after",
            "replay",
            "named",
            "Last-Event-ID",
        ],
        body: None,
        answers: EventStream,
        refuses: &[
            Code::InvalidQuery,
            Code::TooManyTopics,
            Code::ConnectionLimit,
        ],
    },
    Route {
        method: "get",
        path: "/tasks",
        does: "Lists tasks, the newest first",
        parameters: &["state", "kind", "label", "parent", "limit", "cursor"],
        body: None,
        answers: Json(200, "Tasks"),
        refuses: &[Code::InvalidQuery, Code::Forbidden, Code::TransportDown],
    },
    Route {
        method: "post",
        path: "/tasks",
        does: "Starts a task without an owner",
        parameters: &[],
        body: Some(Body::Task),
        answers: Json(201, "TaskUrls"),
        refuses: &[
            Code::InvalidTaskId,
            Code::InvalidBody,
            Code::Forbidden,
            Code::AlreadyExists,
            Code::PayloadTooLarge,
            Code::TooManyTasks,
            Code::Draining,
        ],
    },
    Route {
        method: "get",
        path: "/tasks/{task_id}",
        does: "Gives a task as it stands; held by `wait` until there is something to tell",
        parameters: &["task_id", "wait", "If-None-Match"],
        body: None,
        answers: Json(200, "Snapshot"),
        refuses: &[
            WATCH[0],
            WATCH[1],
            Code::TaskNotFound,
            Code::ConnectionLimit,
        ],
    },
    Route {
        method: "delete",
        path: "/tasks/{task_id}",
        does: "Forgets a task that has ended",
        parameters: &["task_id"],
        body: None,
        answers: Nothing,
        refuses: &[WATCH[0], WATCH[1], Code::TaskNotFound, Code::StillRunning],
    },
    Route {
        method: "get",
        path: "/tasks/{task_id}/history",
        does: "Gives a page of the events of a task that are kept",
        parameters: &["task_id", "after", "limit"],
        body: None,
        answers: Json(200, "History"),
        refuses: &[WATCH[0], WATCH[1], WATCH[2], Code::TaskNotFound],
    },
    Route {
        method: "post",
        path: "/tasks/{task_id}/events",
        does: "Publishes events of a task without an owner",
        parameters: &["task_id", "Idempotency-Key"],
        body: Some(Body::Events),
        answers: Json(202, "Published"),
        refuses: &[
            WATCH[0],
            Code::InvalidEvent,
            Code::ReservedEventType,
            WATCH[1],
            Code::TaskNotFound,
            Code::AlreadyComplete,
            Code::TaskOwned,
            Code::PayloadTooLarge,
            Code::TransportDown,
        ],
    },
    Route {
        method: "post",
        path: "/tasks/{task_id}/cancel",
        does: "Asks a task to stop",
        parameters: &["task_id"],
        body: Some(Body::Reason),
        answers: Json(202, "Asked"),
        refuses: &[
            WATCH[0],
            WATCH[1],
            Code::TaskNotFound,
            Code::AlreadyComplete,
        ],
    },
    Route {
        method: "post",
        path: "/channels/{name}/events",
        does: "Publishes events of no task into a channel",
        parameters: &["name", "Idempotency-Key"],
        body: Some(Body::Events),
        answers: Json(202, "Published"),
        refuses: &[
            Code::InvalidChannel,
            Code::InvalidEvent,
            Code::ReservedEventType,
            Code::Forbidden,
            Code::PayloadTooLarge,
            Code::TransportDown,
        ],
    },
    Route {
        method: "get",
        path: "/clients",
        does: "Lists the open connections, the oldest first",
        parameters: &["limit", "cursor"],
        body: None,
        answers: Json(200, "Clients"),
        refuses: &[Code::InvalidQuery, Code::Forbidden],
    },
    Route {
        method: "delete",
        path: "/clients/{id}",
        does: "Sends a client away",
        parameters: &["id"],
        body: None,
        answers: Nothing,
        refuses: &[Code::Forbidden, Code::ClientNotFound],
    },
    Route {
        method: "post",
        path: "/broadcast",
        does: "Publishes an event into a channel, or tells it to every open connection",
        parameters: &[],
        body: Some(Body::Broadcast),
        answers: Json(202, "Told"),
        refuses: &[
            Code::InvalidBody,
            Code::InvalidEvent,
            Code::ReservedEventType,
            Code::InvalidChannel,
            Code::Forbidden,
            Code::PayloadTooLarge,
            Code::TransportDown,
        ],
    },
    Route {
        method: "get",
        path: "/health",
        does: "Tells how the service is; 503 when it is `down`",
        parameters: &[],
        body: None,
        answers: Json(200, "Health"),
        refuses: &[],
    },
    Route {
        method: "get",
        path: "/metrics",
        does: "Gives counts in Prometheus' text format",
        parameters: &[],
        body: None,
        answers: Text,
        refuses: &[Code::Unauthenticated, Code::Forbidden],
    },
    Route {
        method: "get",
        path: "/openapi.json",
        does: "Gives this document",
        parameters: &[],
        body: None,
        answers: Json(200, "Document"),
        refuses: &[],
    },
];

/// What each route of one task refuses.
const WATCH: [Code; 3] = [Code::InvalidTaskId, Code::Forbidden, Code::InvalidPosition];

fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths
            .entry(route.path)
            .or_insert_with(|| Value::Object(Map::new()));
        path[route.method] = operation(route);
    }
    let mut schemas = definitions("/components/schemas");
    schemas.extend(bodies());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": PROTOCOL,
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Progress of tasks: watched over WebSocket, event stream or polling; published over HTTP.",
        },
        "paths": paths,
        "components": {"schemas": schemas},
    })
}

fn operation(route: &Route) -> Value {
    let mut responses = Map::new();
    let (status, response) = success(route.answers);
    responses.insert(status.to_string(), response);
    let mut refusals: Vec<_> = route
        .refuses
        .iter()
        .map(|code| (code.status().as_u16(), code))
        .collect();
    refusals.sort_by_key(|(status, _)| *status);
    for codes in refusals.chunk_by(|one, other| one.0 == other.0) {
        let names: Vec<_> = codes.iter().map(|(_, code)| code.as_str()).collect();
        let refused = json!({
            "description": names.join(", "),
            "content": {"application/json": {"schema": reference("Refusal")}},
        });
        responses.insert(codes[0].0.to_string(), refused);
    }
    if route.parameters.contains(&"If-None-Match") {
        let known = json!({"description": "The client knows the present, or nothing came in time"});
        responses.insert("304".to_owned(), known);
    }
    let mut operation = json!({
        "summary": route.does,
        "parameters": route.parameters.iter().map(|name| parameter(name)).collect::<Vec<_>>(),
        "responses": responses,
    });
    if let Some(body) = route.body {
        operation["requestBody"] = request_body(body);
    }
    operation
}

fn success(answer: Answer) -> (u16, Value) {
    match answer {
        WebSocket => (101, json!({"description": "Frames, one a message"})),
        EventStream => (
            200,
            json!({
                "description": "Frames, one an event; 204 if there is nothing more",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            }),
        ),
        Json(status, schema) => (
            status,
            json!({
                "description": schema,
                "content": {"application/json": {"schema": reference(schema)}},
            }),
        ),
        Nothing => (204, json!({"description": "Done"})),
        Text => (
            200,
            json!({
                "description": "Counts",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            }),
        ),
    }
}

fn parameter(name: &str) -> Value {
    let (place, says, schema) = match name {
        "task_id" => ("path", "The task", reference("TaskId")),
        "name" => ("path", "The channel", reference("ChannelName")),
        "after" => (
            "query",
            "The position to go on from",
            json!({"type": "string"}),
        ),
        "replay" => (
            "query",
            "What comes before what is new; only without a position",
            json!({"enum": ["all", "latest", "none"], "default": "all"}),
        ),
        "id" => ("path", "The client", json!({"type": "string"})),
        "channels" => ("query", "Channels, by comma", json!({"type": "string"})),
        "named" => (
            "query",
            "Whether frames carry their type as the event's name",
            json!({"enum": ["1", "true"]}),
        ),
        "ids" => ("query", "Task ids, by comma", json!({"type": "string"})),
        "state" => (
            "query",
            "`active` or states, by comma",
            json!({"type": "string"}),
        ),
        "kind" => (
            "query",
            "The kind that tasks have",
            json!({"type": "string"}),
        ),
        "label" => (
            "query",
            "`name:value`; of several, all",
            json!({"type": "string"}),
        ),
        "parent" => ("query", "The parent that tasks have", reference("TaskId")),
        "limit" => (
            "query",
            "The most of a page",
            json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
        ),
        "cursor" => (
            "query",
            "`next` of the page before",
            json!({"type": "string"}),
        ),
        "wait" => (
            "query",
            "How long the answer may be held: `25s`, `25`, `500ms`, to 60 s",
            json!({"type": "string", "pattern": "^[0-9]+(s|ms)?$"}),
        ),
        "Last-Event-ID" => ("header", "Beats `after`", json!({"type": "string"})),
        "If-None-Match" => (
            "header",
            "The `ETag` that the client has",
            json!({"type": "string"}),
        ),
        "Idempotency-Key" => (
            "header",
            "Tells a repetition",
            json!({"type": "string", "minLength": 1, "maxLength": 120}),
        ),
        other => unreachable!("{other} is not described"),
    };
    json!({"name": name, "in": place, "required": place == "path", "description": says, "schema": schema})
}

fn request_body(body: Body) -> Value {
    let content = match body {
        Body::Task => json!({"application/json": {"schema": reference("NewTask")}}),
        Body::Broadcast => json!({"application/json": {"schema": reference("Broadcast")}}),
        Body::Reason => json!({"application/json": {"schema": reference("Reason")}}),
        Body::Events => json!({
            "application/json": {"schema": {"oneOf": [
                reference("NewEvent"),
                {"type": "array", "items": reference("NewEvent")},
            ]}},
            "application/x-ndjson": {"schema": {"type": "string", "description": "One event a line"}},
        }),
    };
    json!({"required": matches!(body, Body::Events | Body::Broadcast), "content": content})
}

/// What has no type that others read.
fn bodies() -> Map<String, Value> {
    let text = json!({"type": "string"});
    let text_or_none = json!({"type": ["string", "null"]});
    let count = json!({"type": "integer", "minimum": 0});
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
        "Health": {
            "type": "object",
            "properties": {
                "status": {"enum": ["ok", "degraded", "down"]},
                "transport": {
                    "type": "object",
                    "properties": {"kind": text, "status": {"enum": ["ok", "down"]}},
                    "required": ["kind", "status"],
                },
                "tasks": count, "sessions": count,
            },
            "required": ["status", "transport", "tasks", "sessions"],
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

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The routes that the document of the protocol lists.
    fn documented() -> BTreeSet<(String, String)> {
        let protocol = include_str!("../../../docs/protocol.md");
        let (_, routes) = protocol.split_once("\n## Routes\n").unwrap();
        let (routes, _) = routes.split_once("\n## ").unwrap();
        let rows = routes.lines().filter_map(|line| line.strip_prefix("| `"));
        let routes = rows.map(|row| {
            let (method, rest) = row.split_once(' ').unwrap();
            let (path, _) = rest.split_once('`').unwrap();
            let path = path.split('?').next().unwrap();
            (method.to_lowercase(), path.to_owned())
        });
        routes.collect()
    }

    #[test]
    fn every_documented_route_is_described_and_no_other() {
        let document = document();
        let mut described = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for method in operations.as_object().unwrap().keys() {
                described.insert((method.clone(), path.clone()));
            }
        }
        assert_eq!(described, documented());
    }

    #[test]
    fn every_parameter_of_a_path_and_every_reference_is_there() {
        let document = document();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for operation in operations.as_object().unwrap().values() {
                let named = operation["parameters"].as_array().unwrap().iter();
                let named: Vec<_> = named
                    .filter(|parameter| parameter["in"] == "path")
                    .map(|parameter| format!("{{{}}}", parameter["name"].as_str().unwrap()))
                    .collect();
                let wanted: Vec<_> = path
                    .split('/')
                    .filter(|part| part.starts_with('{'))
                    .collect();
                assert_eq!(named, wanted, "{path}");
            }
        }
        let mut references = 0;
        check(&document, &document, &mut references);
        assert!(references > 50);
    }

    fn check(value: &Value, document: &Value, references: &mut usize) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    let at = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(at).is_some(), "{reference}");
                    *references += 1;
                }
                fields
                    .values()
                    .for_each(|field| check(field, document, references));
            }
            Value::Array(items) => items
                .iter()
                .for_each(|item| check(item, document, references)),
            _ => {}
        }
    }
}
