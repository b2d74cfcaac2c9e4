//! Requests from addresses, and their answers.

use std::net::SocketAddr;

use http::{Method, Request, Response, request::Parts};
use http_body_util::BodyExt as _;
use progress_core::ProgressTracker;
use progress_web::{
    Action, Authorizer, Body, Gateway, GatewayBuilder, Network, Open, Principal, Refusal,
    async_trait,
};
use serde_json::Value;

pub(crate) const PUBLIC: &str = "203.0.113.7:40000";
pub(crate) const PRIVATE: &str = "10.0.0.2:40000";
pub(crate) const LOOPBACK: &str = "127.0.0.1:40000";

pub(crate) fn builder() -> GatewayBuilder {
    let open = Open::new()
        .named_ids()
        .listing()
        .publishing()
        .cancelling()
        .managing();
    Gateway::builder(ProgressTracker::new()).authorizer(open)
}

pub(crate) fn networks<const N: usize>(texts: [&str; N]) -> [Network; N] {
    texts.map(|text| text.parse().unwrap())
}

/// Whoever says who they are may do everything.
#[derive(Debug)]
pub(crate) struct ByName;

#[async_trait]
impl Authorizer for ByName {
    async fn authorize(&self, request: &Parts, _: &Action) -> Result<Principal, Refusal> {
        let name = request
            .headers
            .get("authorization")
            .ok_or(Refusal::Unauthenticated)?;
        let name = name.to_str().map_err(|_| Refusal::Unauthenticated)?;
        Ok(Principal::of(name.trim_start_matches("Bearer ")))
    }
}

/// A request from a peer.
pub(crate) fn from(peer: &str, path: &str, headers: &[(&str, &str)]) -> Request<String> {
    request(Method::GET, peer, path, headers, String::new())
}

pub(crate) fn request<B>(
    method: Method,
    peer: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: B,
) -> Request<B> {
    let peer: SocketAddr = peer.parse().unwrap();
    let mut request = Request::builder().method(method).uri(path).extension(peer);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).unwrap()
}

pub(crate) const UPGRADE: [(&str, &str); 4] = [
    ("connection", "upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// A request's answer, as an adapter comes by it.
pub(crate) async fn ask<B>(gateway: &Gateway, request: Request<B>) -> Response<Body>
where
    B: http_body::Body + Send + 'static,
    B::Error: std::fmt::Display,
{
    let found = gateway.find(request.uri().path()).unwrap();
    gateway.respond(found.path, &found.parameter, request).await
}

pub(crate) async fn status(gateway: &Gateway, request: Request<String>) -> u16 {
    ask(gateway, request).await.status().as_u16()
}

/// The error object of an answer. Where it says when to come back, header and body agree.
pub(crate) async fn refusal(response: Response<Body>, status: u16, code: &str) -> Value {
    assert_eq!(response.status(), status);
    let wait = response.headers().get("retry-after").map(|wait| {
        let wait: u64 = wait.to_str().unwrap().parse().unwrap();
        wait
    });
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let error = body["error"].clone();
    assert_eq!(error["code"], code, "{error}");
    let wait_ms = error["retry_after_ms"].as_u64();
    assert_eq!(wait, wait_ms.map(|wait| wait.div_ceil(1_000)));
    error
}

/// How often something was refused at a limit, as operators see it.
pub(crate) async fn limited(gateway: &Gateway, what: &str) -> u64 {
    let request = from(
        LOOPBACK,
        "/metrics",
        &[("authorization", "Bearer operator")],
    );
    let (request, _) = request.into_parts();
    let text = gateway.metrics(&request).await.into_body();
    let text = String::from_utf8(text.to_vec()).unwrap();
    let name = format!("progress_limited_total{{limit=\"{what}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.map_or(0, |count| count.parse().unwrap())
}
