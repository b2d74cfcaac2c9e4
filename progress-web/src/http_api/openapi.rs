//! The description of the routes.

mod bodies;
mod describe;

use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use serde_json::{Map, Value, json};

use self::{
    bodies::bodies,
    describe::{Answer, Body, Described, describe},
};
use crate::{gateway::Gateway, routes::Route, schema::definitions, wire::PROTOCOL};

impl Gateway {
    /// Answers `GET /openapi.json`, which needs no permission: OpenAPI 3.1.
    #[must_use]
    pub fn openapi(&self) -> Response<Bytes> {
        static TEXTS: [OnceLock<Bytes>; 2] = [const { OnceLock::new() }; 2];
        let text = TEXTS[usize::from(self.has_aliases())]
            .get_or_init(|| document(self.routes()).to_string().into());
        let mut response = Response::new(text.clone());
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        headers.insert(header::CACHE_CONTROL, super::REVALIDATE);
        response
    }
}

fn document(routes: impl Iterator<Item = &'static Route>) -> Value {
    let mut paths = Map::new();
    for route in routes {
        let path = paths
            .entry(route.path().as_str())
            .or_insert_with(|| Value::Object(Map::new()));
        let method = route.method().as_str().to_lowercase();
        path[method] = operation(&describe(route.endpoint));
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

fn operation(route: &Described) -> Value {
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
        Answer::WebSocket => (101, json!({"description": "Frames, one a message"})),
        Answer::EventStream => (
            200,
            json!({
                "description": "Frames, one an event; 204 if there is nothing more",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            }),
        ),
        Answer::Json(status, schema) => (
            status,
            json!({
                "description": schema,
                "content": {"application/json": {"schema": reference(schema)}},
            }),
        ),
        Answer::Nothing => (204, json!({"description": "Done"})),
        Answer::Text => (
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
        "format" => (
            "query",
            "The shape of frames: `progress.v1`, or one that the service offers",
            json!({"type": "string"}),
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
        Body::Topics => json!({"application/json": {"schema": reference("Topics")}}),
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
        let document = document(Route::all());
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
        let document = document(Route::all());
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
