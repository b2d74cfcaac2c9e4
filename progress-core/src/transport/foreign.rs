//! What comes to a broker from those who know nothing of nodes.

use std::fmt;

/// What somebody has said of a task who speaks to the broker and not to a node: a message in a form
/// that [`EventInput::from_message`](crate::EventInput::from_message) reads. It comes at most once, and to
/// one node only, which publishes it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Foreign {
    /// A message.
    #[non_exhaustive]
    Message {
        /// The task that it is said of, as far as that is an id.
        task: Box<str>,
        /// What is said.
        payload: Vec<u8>,
    },
    /// So many messages found no room on their way.
    Overflow(u64),
}

impl Foreign {
    /// The longest message that is looked at, in bytes, however large the
    /// [payload](crate::Limits::payload) may be.
    pub const MOST_BYTES: usize = 1024 * 1024;

    /// Makes a message. One that is too long is cut, so that it takes no room; that it was too long can
    /// still be told.
    #[must_use]
    pub fn message(task: &str, mut payload: Vec<u8>) -> Self {
        if payload.len() > Self::MOST_BYTES {
            payload.truncate(Self::MOST_BYTES + 1);
            payload.shrink_to_fit();
        }
        Self::Message {
            task: task.into(),
            payload,
        }
    }
}

/// Why a message was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForeignRefusal {
    /// It is no JSON object.
    NotJson,
    /// It is longer than an event may be.
    TooLarge,
    /// What it is said of is no task id.
    InvalidTask,
    /// It names another task than the one that it was sent to.
    OtherTask,
    /// It is no event, or one that no task takes.
    InvalidEvent,
    /// The task has an owner, who alone tells of it.
    Owned,
    /// The task has ended.
    Ended,
    /// Too many waited.
    Overflow,
    /// The broker could not be reached, or the task not be started.
    Unavailable,
}

impl ForeignRefusal {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::NotJson,
        Self::TooLarge,
        Self::InvalidTask,
        Self::OtherTask,
        Self::InvalidEvent,
        Self::Owned,
        Self::Ended,
        Self::Overflow,
        Self::Unavailable,
    ];

    /// Returns the word for it in counts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::TooLarge => "too_large",
            Self::InvalidTask => "invalid_task",
            Self::OtherTask => "other_task",
            Self::InvalidEvent => "invalid_event",
            Self::Owned => "owned",
            Self::Ended => "ended",
            Self::Overflow => "overflow",
            Self::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for ForeignRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What has become of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ForeignStats {
    /// Published, repetitions included.
    pub(crate) accepted: u64,
    pub(crate) refused: [u64; ForeignRefusal::ALL.len()],
}

impl ForeignStats {
    /// Returns how many were published.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Returns how many were not, for this reason.
    #[must_use]
    pub fn refused(&self, why: ForeignRefusal) -> u64 {
        self.refused[why as usize]
    }
}
