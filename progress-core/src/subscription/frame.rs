//! What a subscription yields.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use crate::{
    error::ChannelError,
    event::Event,
    id::{InvalidTaskId, TaskId},
    log::{GapReason, Lagged},
    position::{Epoch, Position, Seq},
    snapshot::Snapshot,
};

/// One item of a [`Subscription`](crate::Subscription).
///
/// What is rare is boxed, so that a batch of events is small.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Frame {
    /// Always the first: what became of the reader's position, and the task as it stands.
    Verdict(Box<Verdict>),
    /// An event.
    Event(Delivered),
    /// Something is missing that no later event supersedes.
    Gap(Box<GapFrame>),
    /// From here on another run of the task is read, from its beginning.
    Reset(Box<ResetFrame>),
    /// The reader fell behind its buffer and had asked for
    /// [`OnLag::Close`](crate::OnLag::Close). Nothing follows; the position that it had
    /// reached leads on.
    Lagged(Lagged),
    /// The subscription was not made. Nothing follows.
    Rejected(SubscribeError),
}

/// A batch is a run of these; what grows past an event's 24 bytes is to be boxed.
const _: () = assert!(size_of::<Frame>() <= 32);

impl Frame {
    /// Returns the event, if it is one.
    #[must_use]
    pub fn event(&self) -> Option<&Arc<Event>> {
        match self {
            Self::Event(delivered) => Some(&delivered.event),
            _ => None,
        }
    }

    /// Returns the snapshot, if it carries one.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        match self {
            Self::Verdict(verdict) => verdict.snapshot.as_ref(),
            Self::Gap(gap) => Some(&gap.snapshot),
            Self::Reset(reset) => Some(&reset.snapshot),
            Self::Event(_) | Self::Lagged(_) | Self::Rejected(_) => None,
        }
    }
}

/// What became of a reader's position, and the task as it stands.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Verdict {
    /// The task.
    pub task_id: TaskId,
    /// What became of the position.
    pub resume: Resume,
    /// The task at its head; none while it is unknown. Events that follow at or before its
    /// position are history and change nothing of it.
    pub snapshot: Option<Arc<Snapshot>>,
}

/// What became of a reader's position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resume {
    /// There is no such task yet; the subscription waits for it.
    Unknown,
    /// The position is of another run; this one is read as by a fresh reader.
    Reset,
    /// The position is at the end: nothing is to come.
    Ended,
    /// Events are missing between the position and what is still kept; a [`GapFrame`] says which.
    Gap,
    /// The reader goes on after its position.
    Resumed,
    /// There was no position.
    Fresh,
}

impl Resume {
    /// Returns the word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Reset => "reset",
            Self::Ended => "ended",
            Self::Gap => "gap",
            Self::Resumed => "resumed",
            Self::Fresh => "fresh",
        }
    }
}

/// An event, as it comes to one reader.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Delivered {
    /// The event.
    pub event: Arc<Event>,
    /// The first number that it stands for; its own number is the last.
    pub from: Seq,
    /// Log lines missing before it.
    pub dropped_logs: u32,
}

impl Delivered {
    /// Returns the frame as JSON text; see [`Event::to_json`].
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        self.event.to_json(self.from, self.dropped_logs)
    }
}

/// A range in which events are missing, and the task as it stands in their place.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GapFrame {
    /// The task.
    pub task_id: TaskId,
    /// The first number in question.
    pub from: Seq,
    /// The last number in question.
    pub to: Seq,
    /// What made the gap.
    pub reason: GapReason,
    /// The task at its head.
    pub snapshot: Arc<Snapshot>,
}

/// The beginning of another run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ResetFrame {
    /// The task.
    pub task_id: TaskId,
    /// The run.
    pub epoch: Epoch,
    /// What happened.
    pub reason: ResetReason,
    /// The task at its head.
    pub snapshot: Arc<Snapshot>,
}

impl ResetFrame {
    /// Returns where the reader stands after this frame: before the run's first event.
    #[must_use]
    pub fn position(&self) -> Position {
        Position::new(self.epoch, Seq::ZERO)
    }
}

/// Why another run is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResetReason {
    /// The task that the subscription waited for has come into being.
    Created,
    /// The task runs again.
    Restarted,
    /// Another node has ended or taken over the run: this node was cut off for too long, or had
    /// the id second.
    Superseded,
}

impl ResetReason {
    /// Returns the word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Superseded => "superseded",
            Self::Created => "created",
            Self::Restarted => "restarted",
        }
    }
}

/// A subscription was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The id is not one.
    InvalidTaskId(InvalidTaskId),
    /// There are as many subscriptions as there can be.
    TooMany {
        /// [`Limits::subscriptions`](crate::Limits::subscriptions).
        limit: usize,
    },
    /// The channel cannot be used.
    Channel(ChannelError),
    /// The task is not held here, and the broker cannot be reached.
    Unavailable,
    /// As many subscriptions wait for unknown tasks as can.
    TooManyWaiting {
        /// [`Limits::waiting`](crate::Limits::waiting).
        limit: usize,
    },
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidTaskId(_) => f.write_str("the task id is invalid"),
            Self::TooMany { limit } => write!(f, "too many subscriptions, the limit is {limit}"),
            Self::Channel(_) => f.write_str("the channel cannot be used"),
            Self::Unavailable => f.write_str("the broker cannot be reached"),
            Self::TooManyWaiting { limit } => write!(
                f,
                "too many subscriptions wait for unknown tasks, the limit is {limit}"
            ),
        }
    }
}

impl std::error::Error for SubscribeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::InvalidTaskId(error) => Some(error),
            Self::Channel(error) => Some(error),
            _ => None,
        }
    }
}
