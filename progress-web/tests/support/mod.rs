//! What the tests of sessions share: a gateway, requests, and what a session says.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::{borrow::Cow, time::Duration};

use http::{Request, request::Parts};
use progress_core::{EventPayload, ProgressTracker, Task};
use progress_web::{Close, EventStream, Gateway, GatewayBuilder, Open, Output, Session};
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;

/// State that is published at once.
#[derive(Serialize)]
pub(crate) struct Tile {
    pub(crate) n: u64,
}

impl EventPayload for Tile {
    const EVENT_TYPE: &'static str = "tile";

    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed("present"))
    }
}

/// Open to everybody, and nothing lingers.
pub(crate) fn gateway() -> Gateway {
    gateway_with(|gateway| gateway)
}

pub(crate) fn gateway_with(build: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Gateway {
    let open = Open::new().named_ids().channels().cancelling().managing();
    let gateway = Gateway::builder(ProgressTracker::new())
        .authorizer(open)
        .linger(Duration::ZERO);
    build(gateway).build()
}

/// A milestone of the application's own.
#[derive(Serialize)]
pub(crate) struct Mark {
    pub(crate) n: u64,
}

impl EventPayload for Mark {
    const EVENT_TYPE: &'static str = "mark";
}

pub(crate) fn request(path: &str) -> Parts {
    let request = Request::builder().uri(path).body(()).unwrap();
    request.into_parts().0
}

pub(crate) async fn socket(gateway: &Gateway, id: &str) -> Session {
    gateway.web_socket(&request("/"), id).await
}

pub(crate) async fn stream(gateway: &Gateway, path: &str) -> EventStream {
    let opened = gateway.event_streams(&request(path)).await;
    opened.unwrap().into_body()
}

pub(crate) fn task(gateway: &Gateway, id: &str) -> Task {
    gateway.tracker().task(id).start().unwrap()
}

/// What comes next, with the frames' JSON parsed.
#[derive(Debug, PartialEq)]
pub(crate) enum Said {
    Frame(Value),
    Ping,
    Close(Close),
}

impl Said {
    pub(crate) fn kind(&self) -> &str {
        match self {
            Self::Frame(frame) => frame["event_type"].as_str().unwrap(),
            Self::Ping => "(ping)",
            Self::Close(_) => "(close)",
        }
    }
}

pub(crate) async fn next_batch(session: &mut Session) -> Vec<Said> {
    let mut outputs = Vec::new();
    session.next_batch(&mut outputs).await;
    let said = outputs.into_iter().map(|output| match output {
        Output::Frame { text, .. } => Said::Frame(serde_json::from_slice(&text).unwrap()),
        Output::Ping => Said::Ping,
        Output::Close(close) => Said::Close(close),
        other => panic!("{other:?}"),
    });
    said.collect()
}

pub(crate) fn kinds(said: &[Said]) -> Vec<&str> {
    said.iter().map(Said::kind).collect()
}

/// The frames among what was said.
pub(crate) fn frames(said: Vec<Said>) -> Vec<Value> {
    let frames = said.into_iter().filter_map(|said| match said {
        Said::Frame(frame) => Some(frame),
        Said::Ping | Said::Close(_) => None,
    });
    frames.collect()
}

/// How the session closes, which is the last that it says.
pub(crate) fn closed(said: &[Said]) -> (u16, &'static str) {
    match said.last() {
        Some(Said::Close(close)) => (close.code, close.reason),
        other => panic!("not closed: {other:?}"),
    }
}

/// The `from` and `seq` of event frames.
pub(crate) fn ranges(said: &[Said]) -> Vec<(u64, u64)> {
    let frames = said.iter().filter_map(|said| match said {
        Said::Frame(frame) => Some(frame),
        _ => None,
    });
    let ranges = frames.filter_map(|frame| {
        let seq = frame.get("seq")?.as_u64()?;
        Some((frame["from"].as_u64().unwrap_or(seq), seq))
    });
    ranges.collect()
}

/// Reads what there is now, and what comes of it without time passing.
pub(crate) async fn settle(session: &mut Session) -> Vec<Said> {
    let mut said = Vec::new();
    let mut quiet = 0;
    while quiet < 5 {
        match timeout(Duration::ZERO, next_batch(session)).await {
            Ok(more) if more.is_empty() => break,
            Ok(more) => said.extend(more),
            Err(_) => {
                quiet += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    said
}

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A session after its greeting.
pub(crate) async fn open(gateway: &Gateway) -> Session {
    let mut session = gateway.web_sockets(&request("/ws")).await;
    let greeting = frames(settle(&mut session).await);
    assert_eq!(greeting.len(), 1);
    assert_eq!(greeting[0]["event_type"], "connected");
    assert_eq!(greeting[0]["data"]["protocol"], "progress.v1");
    assert!(greeting[0]["data"].get("resume").is_none());
    session
}

pub(crate) async fn say(session: &mut Session, command: Value) -> Vec<Value> {
    session.on_text(&command.to_string());
    frames(settle(session).await)
}

pub(crate) fn code(frame: &Value) -> &str {
    assert_eq!(frame["event_type"], "rejected", "{frame}");
    frame["data"]["code"].as_str().unwrap()
}

pub(crate) fn kinds_of(frames: &[Value]) -> Vec<&str> {
    let kinds = frames.iter().map(|frame| match frame.get("event") {
        Some(event) => event["event_type"].as_str().unwrap(),
        None => frame["event_type"].as_str().unwrap(),
    });
    kinds.collect()
}
