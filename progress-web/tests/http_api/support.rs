//! Requests to a gateway without a socket, and their answers.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, request::Parts};
use progress_core::ProgressTracker;
use progress_web::{Gateway, GatewayBuilder, Open, RequestBody};
use serde_json::Value;

pub(crate) fn everything() -> Open {
    Open::new()
        .named_ids()
        .listing()
        .channels()
        .publishing()
        .cancelling()
        .managing()
}

pub(crate) fn builder() -> GatewayBuilder {
    Gateway::builder(ProgressTracker::new()).authorizer(everything())
}

pub(crate) fn gateway() -> Gateway {
    builder().build()
}

pub(crate) fn request(method: Method, path: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

pub(crate) fn get(path: &str) -> Parts {
    request(Method::GET, path, &[])
}

pub(crate) fn post() -> Parts {
    request(Method::POST, "/", &[])
}

/// Status and body.
pub(crate) fn told(response: &Response<Bytes>) -> (u16, Value) {
    let body = match response.body().is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(response.body()).unwrap(),
    };
    (response.status().as_u16(), body)
}

/// Status, code, field and limit of an error.
pub(crate) fn refusal(response: &Response<Bytes>) -> (u16, String, Value, Value) {
    let (status, body) = told(response);
    let error = &body["error"];
    assert!(error["message"].is_string(), "{body}");
    let details = &error["details"];
    let code = error["code"].as_str().unwrap().to_owned();
    (
        status,
        code,
        details["field"].clone(),
        details["limit"].clone(),
    )
}

pub(crate) async fn publish(
    gateway: &Gateway,
    task: &str,
    body: impl Into<RequestBody>,
) -> (u16, Value) {
    told(&gateway.publish(&post(), task, body.into()).await)
}

pub(crate) async fn snapshot(gateway: &Gateway, task: &str) -> Value {
    let response = gateway.task(&get("/"), task).await;
    assert_eq!(response.status(), StatusCode::OK);
    told(&response).1
}

pub(crate) async fn history(gateway: &Gateway, task: &str) -> Vec<Value> {
    let (_, body) = told(&gateway.history(&get("/"), task).await);
    body["events"].as_array().unwrap().clone()
}
