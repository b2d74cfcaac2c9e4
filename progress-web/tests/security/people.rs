//! A service with users, and requests of theirs.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Request, header, request::Parts};
use http_body_util::BodyExt as _;
use progress_core::ProgressTracker;
use progress_web::{Action, Authorizer, Gateway, GatewayBuilder, Principal, Refusal};
use serde_json::Value;

/// Knows `ada-token` and `ben-token`, whose tasks begin with their names, and `root-token`, which
/// may do everything; `ada-token.20` is Ada's for 20 seconds.
#[derive(Debug)]
pub(crate) struct People;

impl People {
    fn who(request: &Parts) -> Result<Principal, Refusal> {
        let token = request.headers.get(header::AUTHORIZATION);
        let token = token.and_then(|token| token.to_str().ok()?.strip_prefix("Bearer "));
        let (token, seconds) = match token.map(|token| token.split_once('.')) {
            Some(Some((token, seconds))) => (token, seconds.parse::<u64>().ok()),
            Some(None) => (token.unwrap_or_default(), None),
            None => return Err(Refusal::Unauthenticated),
        };
        let name = match token {
            "ada-token" => "ada",
            "ben-token" => "ben",
            "root-token" => "root",
            _ => return Err(Refusal::Unauthenticated),
        };
        let principal = Principal::of(name);
        Ok(match seconds {
            Some(seconds) => principal.expires_at(SystemTime::now() + Duration::from_secs(seconds)),
            None => principal,
        })
    }
}

#[progress_web::async_trait]
impl Authorizer for People {
    async fn authorize(&self, request: &Parts, action: &Action) -> Result<Principal, Refusal> {
        let principal = Self::who(request)?;
        let name = principal.subject.clone().unwrap_or_default();
        let is_theirs = |of: &str| name == "root" || of.starts_with(&name);
        let is_allowed = match action {
            Action::Watch(id) | Action::Publish(id) | Action::Cancel(id) => is_theirs(id.as_str()),
            Action::Channel(of) | Action::PublishToChannel(of) => is_theirs(of),
            _ => name == "root",
        };
        if is_allowed {
            Ok(principal)
        } else {
            Err(Refusal::Forbidden { solution: None })
        }
    }

    async fn authenticate(&self, request: &Parts) -> Result<Principal, Refusal> {
        Self::who(request)
    }
}

pub(crate) fn gateway() -> Gateway {
    gateway_with(|gateway| gateway)
}

pub(crate) fn gateway_with(build: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Gateway {
    over(ProgressTracker::new(), build)
}

pub(crate) fn over(
    tracker: ProgressTracker,
    build: impl FnOnce(GatewayBuilder) -> GatewayBuilder,
) -> Gateway {
    let gateway = Gateway::builder(tracker)
        .authorizer(People)
        .linger(Duration::ZERO);
    build(gateway).build()
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Status and code of a refusal.
    pub(crate) fn refusal(&self) -> (u16, String) {
        let code = self.json()["error"]["code"].as_str().map(str::to_owned);
        (self.status, code.unwrap_or_default())
    }
}

/// Asks as an adapter does. Event streams are let go after their head.
pub(crate) async fn ask(
    gateway: &Gateway,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body.to_owned()).unwrap();
    let found = gateway.find(request.uri().path()).expect("a route");
    let response = gateway.respond(found.path, &found.parameter, request).await;
    let (parts, body) = response.into_parts();
    let is_stream =
        (parts.headers.get(header::CONTENT_TYPE)).is_some_and(|media| media == "text/event-stream");
    let body = match is_stream || parts.status == 101 {
        true => Bytes::new(),
        false => body.collect().await.unwrap().to_bytes(),
    };
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
    }
}

pub(crate) async fn get(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Answer {
    ask(gateway, "GET", path, headers, "").await
}

/// A bearer's header.
pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// A request with these headers, as methods of the gateway take it.
pub(crate) fn parts(path: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// What a browser sends to open a WebSocket.
pub(crate) const UPGRADE: [(&str, &str); 5] = [
    ("host", "jobs.example"),
    ("connection", "upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];
