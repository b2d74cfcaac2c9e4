//! What the benches publish, and what their baselines send instead.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use progress_core::EventPayload;
use serde::Serialize;

/// An event as a hand-made channel of them sends it: the baselines' side of a comparison.
#[derive(Debug)]
pub struct PlainEvent {
    /// The task.
    pub task_id: Arc<str>,
    /// Its number.
    pub seq: u64,
    /// When it happened.
    pub timestamp: SystemTime,
    /// What happened.
    pub message: Box<str>,
}

impl PlainEvent {
    /// Makes an event that happens now.
    #[must_use]
    pub fn now(task_id: &Arc<str>, seq: u64) -> Arc<Self> {
        Arc::new(Self {
            task_id: Arc::clone(task_id),
            seq,
            timestamp: SystemTime::now(),
            message: MESSAGE.into(),
        })
    }
}

/// What all events say.
pub const MESSAGE: &str = "the render service is busy";

/// A milestone of the application's own.
#[derive(Debug, Serialize)]
pub struct PhotoApproved {
    /// Which.
    pub photo: u64,
}

impl EventPayload for PhotoApproved {
    const EVENT_TYPE: &'static str = "photo_approved";
}

/// State of the application's own.
#[derive(Debug, Serialize)]
pub struct PhotoScore {
    /// How good it is.
    pub score: u64,
}

impl EventPayload for PhotoScore {
    const EVENT_TYPE: &'static str = "photo_score";

    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed("photo-9"))
    }
}

/// Microseconds since 1970, for another process to compare.
#[must_use]
pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_micros() as u64
}
