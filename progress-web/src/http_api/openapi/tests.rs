use std::collections::BTreeSet;

use progress_core::ProgressTracker;
use serde_json::json;

use super::*;
use crate::builder::GatewayBuilder;

fn made(set: fn(GatewayBuilder) -> GatewayBuilder) -> Value {
    let gateway = set(Gateway::builder(ProgressTracker::new())).build();
    serde_json::from_str(&text(&gateway)).unwrap()
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, item)| {
        let item = item.as_object().unwrap().iter();
        item.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// The routes that the document of the protocol lists.
fn documented() -> BTreeSet<(String, String)> {
    let protocol = include_str!("../../../../docs/protocol.md");
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
    let document = made(|gateway| gateway);
    let described: BTreeSet<_> = operations(&document)
        .map(|(path, method, _)| (method.to_owned(), path.to_owned()))
        .collect();
    assert_eq!(described, documented());
    let with_aliases = made(GatewayBuilder::aliases);
    assert_eq!(operations(&with_aliases).count(), described.len() + 4);
}

#[test]
fn every_parameter_of_a_path_and_every_reference_is_there() {
    let document = made(GatewayBuilder::aliases);
    let mut ids = BTreeSet::new();
    for (path, _, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{id} is the name of two");
        let named = operation["parameters"].as_array().into_iter().flatten();
        let named: Vec<_> = named
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| format!("{{{}}}", parameter["name"].as_str().unwrap()))
            .collect();
        let wanted = path.split('/').filter(|part| part.starts_with('{'));
        assert_eq!(named, wanted.collect::<Vec<_>>(), "{path}");
    }
    let mut references = 0;
    check(&document, &document, &ids, &mut references);
    assert!(references > 100, "{references}");
}

fn check(value: &Value, document: &Value, ids: &BTreeSet<&str>, references: &mut usize) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                let at = reference.strip_prefix('#').unwrap();
                assert!(document.pointer(at).is_some(), "{reference}");
                *references += 1;
            }
            if let Some(links) = fields.get("links").and_then(Value::as_object) {
                for link in links.values() {
                    let id = link["operationId"].as_str().unwrap();
                    assert!(ids.contains(id), "{id} is no operation");
                }
            }
            let fields = fields.values();
            fields.for_each(|field| check(field, document, ids, references));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| check(item, document, ids, references)),
        _ => {}
    }
}

#[test]
fn every_code_that_is_answered_over_http_is_described_somewhere() {
    let document = made(|gateway| gateway);
    let mut described = BTreeSet::new();
    for (.., operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let at =
                "/content/application~1json/schema/allOf/1/properties/error/properties/code/enum";
            for code in response
                .pointer(at)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                let code = Code::all().find(|known| code == known.as_str()).unwrap();
                assert_eq!(code.status().as_str(), status);
                described.insert(code.as_str());
            }
        }
    }
    let others: Vec<_> = Code::all()
        .filter(|code| !described.contains(code.as_str()))
        .collect();
    assert_eq!(
        others,
        [
            // Of a WebSocket's frames.
            Code::InvalidCommand,
            Code::AlreadySubscribed,
            Code::NotSubscribed,
            // Of no operation.
            Code::MethodNotAllowed,
            // Of connections that are open.
            Code::Disconnected,
            Code::HeartbeatLost,
            // Of none that goes well.
            Code::Internal,
        ]
    );
}

#[test]
fn what_the_gateway_is_set_to_is_described() {
    let plain = made(|gateway| gateway);
    assert_eq!(plain["servers"], json!(null));
    let document = made(|gateway| {
        let url = "https://jobs.example.org".parse().unwrap();
        gateway.base_url(url).prefix("/api").presets().topics(7)
    });
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(
        document["servers"],
        json!([{"url": "https://jobs.example.org/api"}])
    );
    let parameters = document["paths"]["/sse"]["get"]["parameters"]
        .as_array()
        .unwrap();
    let schema = |name: &str| {
        let mut named = parameters
            .iter()
            .filter(|parameter| parameter["name"] == name);
        &named.next().unwrap()["schema"]
    };
    assert_eq!(schema("ids")["maxItems"], 7);
    let formats = schema("format")["enum"].as_array().unwrap();
    assert!(
        formats.contains(&json!("progress.v1")) && formats.contains(&json!("flat")),
        "{formats:?}"
    );
}

#[test]
fn answer_that_nobody_described_is_noticed() {
    use http::StatusCode;

    use crate::{error::ApiError, routes::Endpoint};

    let mut response = Response::new(());
    *response.status_mut() = StatusCode::NO_CONTENT;
    assert!(is_described(Endpoint::DeleteTask, &response));
    // Another status, another media type, another code of a status that there is.
    assert!(!is_described(Endpoint::Health, &response));
    *response.status_mut() = StatusCode::OK;
    let media = header::CONTENT_TYPE;
    response
        .headers_mut()
        .insert(&media, HeaderValue::from_static("application/json"));
    assert!(is_described(Endpoint::Health, &response));
    response
        .headers_mut()
        .insert(&media, HeaderValue::from_static("text/plain"));
    assert!(!is_described(Endpoint::Health, &response));
    let refused = |code| ApiError::new(code, "no").to_response();
    assert!(is_described(Endpoint::Task, &refused(Code::TaskNotFound)));
    assert!(!is_described(
        Endpoint::Task,
        &refused(Code::ClientNotFound)
    ));
}
