//! What a session watches, and where its client stands.

use std::sync::Arc;

use bytes::Bytes;
use progress_core::Position;
use serde_json::Value;
use tokio::time::Instant;

/// What a client calls a topic, be it a valid name or not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Name {
    Task(Arc<str>),
    Channel(Arc<str>),
}

/// One of the topics that a session has or had.
///
/// Places are used again; what comes late for one that is gone is told by the serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TopicKey {
    pub(crate) index: usize,
    pub(crate) serial: u32,
}

#[derive(Debug)]
pub(super) struct TopicState {
    pub(super) name: Name,
    pub(super) serial: u32,
    pub(super) phase: Phase,
    pub(super) place: Place,
    /// Whether an event id was sent with one of its events.
    pub(super) has_id: bool,
    /// The state that an application's format was told last.
    pub(super) told: Option<Box<Told>>,
    /// Of the command that asked for it, until its verdict.
    pub(super) request_id: Option<Box<Value>>,
    /// Whether it may be watched, as far as is known.
    pub(super) admitted: bool,
    /// When the permission to watch it ends.
    pub(super) expires: Option<Instant>,
}

/// A state of the task, as it was told.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) head: Position,
    /// The message; empty where it was a snapshot in a frame.
    pub(super) text: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The verdict is still to come.
    Asked,
    Live,
    /// The task does not exist yet; it is waited for until then.
    Unknown(Instant),
    Over,
}

/// A topic's part of an event id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    None,
    At(Position),
    End,
}

impl TopicState {
    /// The request id (or that there was none) of the command whose verdict is still to come.
    pub(super) fn take_unanswered(&mut self) -> Option<Option<Box<Value>>> {
        (self.phase == Phase::Asked).then(|| self.request_id.take())
    }
}

impl Place {
    pub(super) fn text(self) -> String {
        match self {
            Self::None => "-".to_owned(),
            Self::At(position) => position.to_string(),
            Self::End => "end".to_owned(),
        }
    }
}

impl Name {
    pub(crate) fn task(id: &str) -> Self {
        Self::Task(Arc::from(id))
    }

    pub(crate) fn channel(name: &str) -> Self {
        Self::Channel(Arc::from(name))
    }
}
