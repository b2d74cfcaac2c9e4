//! What tests over real sockets need: a server on whatever adapter, clients that parse frames, and a
//! reader that knows nothing but the protocol's rules.
//!
//! The suite itself is in `tests/suite`, written once. `tests/axum.rs` and `tests/warp.rs` run all of
//! it, each on its adapter. What is special to one is tested beside it, with the clients of here.

pub mod raw;
mod reader;
mod running;
mod server;
mod sse;
mod ws;

use std::{borrow::Cow, future::Future, time::Duration};

use progress_core::{EventPayload, Limits, ProgressTracker, Task, log::LogLimits};
use serde::Serialize;
use serde_json::Value;

pub use self::{
    reader::Reader,
    running::{Running, Serves},
    server::{Adapter, Answer, Server},
    sse::{Block, Sse},
    ws::{RawMessage, RawWs, Ws},
};

/// Far more than anything here takes: only a test that hangs meets it.
const PATIENCE: Duration = Duration::from_secs(30);

/// The future's output; fails the test instead of hanging.
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// Waits for a condition that nothing signals.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    within(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// A milestone of the application's own.
#[derive(Debug, Serialize)]
pub struct Mark {
    pub n: u64,
}

impl EventPayload for Mark {
    const EVENT_TYPE: &'static str = "mark";
}

/// State of the application's own: unlike counters it is published at once, tick or not.
#[derive(Debug, Serialize)]
pub struct Tile {
    pub n: u64,
    pub fill: String,
}

impl Tile {
    pub fn new(n: u64) -> Self {
        Self {
            n,
            fill: String::new(),
        }
    }

    /// One as large as many small ones.
    pub fn heavy(n: u64, bytes: usize) -> Self {
        Self {
            n,
            fill: "x".repeat(bytes),
        }
    }
}

impl EventPayload for Tile {
    const EVENT_TYPE: &'static str = "tile";

    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed("present"))
    }
}

/// Publishes marks `1..=count`: with `started` before them, mark n has the number n + 1.
pub fn mark(task: &Task, count: u64) {
    for n in 1..=count {
        task.emit(Mark { n }).unwrap();
    }
}

/// A tracker whose logs keep two milestones below a window of four: a task of ten milestones has
/// lost 1 to 4.
pub fn forgetful() -> ProgressTracker {
    let log = LogLimits::default().window(4).milestones(2);
    ProgressTracker::builder()
        .limits(Limits::default().log(log))
        .build()
}

/// The frame's type.
pub fn kind(frame: &Value) -> &str {
    frame["event_type"].as_str().unwrap()
}

pub fn kinds(frames: &[Value]) -> Vec<&str> {
    frames.iter().map(kind).collect()
}

pub fn seq(frame: &Value) -> u64 {
    frame["seq"].as_u64().unwrap()
}

/// The numbers of the event frames among these.
pub fn seqs(frames: &[Value]) -> Vec<u64> {
    frames
        .iter()
        .filter_map(|frame| frame.get("seq"))
        .map(|seq| seq.as_u64().unwrap())
        .collect()
}

/// The position of an event frame.
pub fn position(frame: &Value) -> String {
    format!("{}:{}", frame["epoch"].as_str().unwrap(), seq(frame))
}

/// The names of an object's fields.
pub fn fields(object: &Value) -> Vec<&str> {
    let object = object.as_object().unwrap();
    object.keys().map(String::as_str).collect()
}
