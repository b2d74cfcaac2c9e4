//! The errors of the tracker: one small type per operation.

use std::fmt;

use crate::{
    channel::InvalidChannelName,
    event::InvalidEventType,
    id::{InvalidTaskId, TaskId},
    limits::Limits,
    log::PushErrorKind,
    shared::InvalidInput,
    transport::{AppendError, TransportError},
};

/// A task could not be started.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// The id is not one.
    InvalidTaskId(InvalidTaskId),
    /// A task of this id is live, or its end is still retained.
    AlreadyExists(TaskId),
    /// There are as many tasks as there can be, and none has ended.
    TooManyTasks {
        /// [`Limits::tasks`].
        limit: usize,
    },
    /// The parent has had as many children as it can have.
    TooManyChildren {
        /// [`Limits::children`].
        limit: usize,
    },
    /// The parent has ended.
    ParentEnded(TaskId),
    /// A stage is not one, or there are too many.
    Stage(StageError),
    /// A channel is not one, or there are too many.
    Channel(ChannelError),
    /// The task's events are to be copied into more channels than they can be.
    TooManyChannels {
        /// [`Limits::TASK_CHANNELS`].
        limit: usize,
    },
    /// There are more labels than there can be.
    TooManyLabels {
        /// [`Limits::labels`].
        limit: usize,
    },
    /// A name, kind, label, or a stage's label or unit is longer than [`Limits::NAME_LEN`] (the name: than an event's data
    /// can be).
    TooLong {
        /// Which one.
        field: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The tracker is gone; only a child can meet this.
    TrackerGone,
    /// The tracker [takes no new tasks](crate::ProgressTracker::drain).
    Draining,
    /// The broker, which has to number a shared task's events, cannot be reached. It may know the
    /// task all the same.
    Unavailable(TransportError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidTaskId(_) => f.write_str("the task id is invalid"),
            Self::AlreadyExists(id) => write!(f, "task {id} already exists"),
            Self::TooManyTasks { limit } => {
                write!(
                    f,
                    "too many tasks, none of which has ended: the limit is {limit}"
                )
            }
            Self::TooManyChildren { limit } => {
                write!(f, "the parent has too many children, the limit is {limit}")
            }
            Self::ParentEnded(id) => write!(f, "the parent task {id} has ended"),
            Self::Stage(_) => f.write_str("a declared stage is invalid"),
            Self::Channel(_) => f.write_str("a channel cannot be used"),
            Self::TooManyChannels { limit } => {
                write!(f, "too many channels of one task, the limit is {limit}")
            }
            Self::TooManyLabels { limit } => write!(f, "too many labels, the limit is {limit}"),
            Self::TooLong { field, len, limit } => {
                write!(f, "{field} has {len} bytes, the limit is {limit}")
            }
            Self::TrackerGone => f.write_str("the tracker is gone"),
            Self::Draining => f.write_str("the tracker takes no new tasks"),
            Self::Unavailable(_) => f.write_str("the broker cannot be reached"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unavailable(error) => Some(error),
            Self::InvalidTaskId(error) => Some(error),
            Self::Stage(error) => Some(error),
            Self::Channel(error) => Some(error),
            _ => None,
        }
    }
}

impl From<InvalidTaskId> for StartError {
    fn from(error: InvalidTaskId) -> Self {
        Self::InvalidTaskId(error)
    }
}

impl From<StageError> for StartError {
    fn from(error: StageError) -> Self {
        Self::Stage(error)
    }
}

impl From<ChannelError> for StartError {
    fn from(error: ChannelError) -> Self {
        Self::Channel(error)
    }
}

/// A channel could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelError {
    /// The name is none.
    Invalid(InvalidChannelName),
    /// There are as many channels as there can be.
    TooMany {
        /// [`Limits::channels`].
        limit: usize,
    },
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(_) => f.write_str("the channel's name is invalid"),
            Self::TooMany { limit } => write!(f, "too many channels, the limit is {limit}"),
        }
    }
}

impl std::error::Error for ChannelError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Invalid(error) => Some(error),
            Self::TooMany { .. } => None,
        }
    }
}

/// A stage could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StageError {
    /// The path is empty, or one of its segments is.
    Empty,
    /// The path holds a control character.
    Character,
    /// The path is longer than [`Limits::NAME_LEN`].
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The path has more segments than [`Limits::STAGE_DEPTH`].
    TooDeep {
        /// How many it has.
        depth: usize,
    },
    /// The task has as many stages as it can have.
    TooMany {
        /// [`Limits::stages`].
        limit: usize,
    },
    /// The weight is no number between 0 and [`Limits::LARGEST_WEIGHT`].
    Weight,
    /// The stage was declared twice.
    Duplicate,
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("stage path has an empty segment"),
            Self::Character => f.write_str("stage path has a control character"),
            Self::TooLong { len } => write!(
                f,
                "stage path has {len} bytes, the limit is {}",
                Limits::NAME_LEN
            ),
            Self::TooDeep { depth } => write!(
                f,
                "stage path has {depth} segments, the limit is {}",
                Limits::STAGE_DEPTH
            ),
            Self::TooMany { limit } => write!(f, "too many stages, the limit is {limit}"),
            Self::Weight => write!(
                f,
                "stage weight is no number between 0 and {}",
                Limits::LARGEST_WEIGHT
            ),
            Self::Duplicate => f.write_str("stage is declared twice"),
        }
    }
}

impl std::error::Error for StageError {}

/// An event was not published.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// The task has ended; the first end counts.
    AlreadyComplete,
    /// The task has as many keys of State as it can have.
    TooManyKeys {
        /// [`LogLimits::keys`](crate::log::LogLimits::keys).
        limit: u32,
    },
    /// The task's present values would alone exceed its byte budget.
    HistoryFull {
        /// [`LogLimits::bytes`](crate::log::LogLimits::bytes).
        limit: usize,
    },
    /// The event's data is too large.
    PayloadTooLarge {
        /// Which field it is due to.
        field: &'static str,
        /// About how large it is, in bytes.
        len: usize,
        /// [`Limits::payload`].
        limit: usize,
    },
    /// The event's data is nested too deep.
    TooDeep {
        /// Which field it is due to.
        field: &'static str,
        /// [`Limits::DEPTH`].
        limit: usize,
    },
    /// The key is longer than [`Limits::NAME_LEN`].
    KeyTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The event type of a custom event is not one.
    InvalidEventType(InvalidEventType),
    /// A value has no JSON form.
    NotJson {
        /// What the encoder said.
        reason: String,
    },
    /// The channel cannot be used.
    Channel(ChannelError),
    /// Too many events wait for the broker.
    QueueFull {
        /// How many can.
        limit: usize,
    },
    /// The broker cannot be reached. An event of a shared task may have been published all the
    /// same: with an [`id`](crate::EventInput::id) it can be repeated.
    Unavailable(TransportError),
    /// The task has an owner, who alone publishes on it.
    Owned,
    /// There is no such task, or no longer.
    NotFound,
    /// The broker refused it.
    Refused {
        /// Why.
        reason: String,
    },
    /// Another run of the task is the one that counts: this node was cut off for longer than its
    /// lease, or another node had the id first.
    Superseded,
    /// Child tasks say how far the stage is; it cannot be counted by hand as well.
    FedByChildren,
    /// The reporter stands for nothing: its stage could not be made.
    Detached,
    /// An event from outside does not say what it has to.
    InvalidInput(InvalidInput),
    /// What is to name a task is no id.
    InvalidTaskId(InvalidTaskId),
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyComplete => f.write_str("the task has already ended"),
            Self::TooManyKeys { limit } => {
                write!(f, "too many keys of State, the limit is {limit}")
            }
            Self::HistoryFull { limit } => write!(
                f,
                "the task's present values would exceed its budget of {limit} bytes"
            ),
            Self::PayloadTooLarge { field, len, limit } => {
                write!(f, "{field} has about {len} bytes, the limit is {limit}")
            }
            Self::TooDeep { field, limit } => {
                write!(f, "{field} is nested deeper than {limit} levels")
            }
            Self::KeyTooLong { len } => {
                write!(f, "key has {len} bytes, the limit is {}", Limits::NAME_LEN)
            }
            Self::InvalidEventType(_) => f.write_str("the event type is invalid"),
            Self::NotJson { reason } => write!(f, "a value has no JSON form: {reason}"),
            Self::Channel(_) => f.write_str("the channel cannot be used"),
            Self::QueueFull { limit } => {
                write!(
                    f,
                    "too many events wait for the broker, the limit is {limit}"
                )
            }
            Self::Unavailable(_) => f.write_str("the broker cannot be reached"),
            Self::Owned => f.write_str("the task has an owner, who alone publishes on it"),
            Self::NotFound => f.write_str("there is no such task"),
            Self::Refused { reason } => write!(f, "the broker refused the event: {reason}"),
            Self::Superseded => f.write_str("another run of the task has taken its place"),
            Self::FedByChildren => f.write_str("the stage is fed by child tasks"),
            Self::Detached => f.write_str("the reporter's stage could not be made"),
            Self::InvalidInput(_) => f.write_str("the event is invalid"),
            Self::InvalidTaskId(_) => f.write_str("the task id is invalid"),
        }
    }
}

impl std::error::Error for PublishError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::InvalidEventType(error) => Some(error),
            Self::InvalidInput(error) => Some(error),
            Self::InvalidTaskId(error) => Some(error),
            Self::Channel(error) => Some(error),
            Self::Unavailable(error) => Some(error),
            _ => None,
        }
    }
}

impl From<LookupError> for PublishError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::InvalidTaskId(error) => Self::InvalidTaskId(error),
            LookupError::NotFound(_) => Self::NotFound,
            LookupError::Unavailable(error) => Self::Unavailable(error),
        }
    }
}

impl From<AppendError> for PublishError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Superseded { .. } => Self::Superseded,
            AppendError::AlreadyComplete => Self::AlreadyComplete,
            AppendError::Owned => Self::Owned,
            AppendError::Unknown => Self::NotFound,
            AppendError::Refused { reason } => Self::Refused { reason },
            AppendError::Unavailable(error) => Self::Unavailable(error),
        }
    }
}

impl From<PushErrorKind> for PublishError {
    fn from(kind: PushErrorKind) -> Self {
        match kind {
            PushErrorKind::Ended => Self::AlreadyComplete,
            PushErrorKind::TooManyKeys { limit } => Self::TooManyKeys { limit },
            PushErrorKind::Full { limit } => Self::HistoryFull { limit },
        }
    }
}

/// A task could not be looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LookupError {
    /// The id is not one.
    InvalidTaskId(InvalidTaskId),
    /// There is no such task, or no longer.
    NotFound(TaskId),
    /// It is not held here, and the broker cannot be reached.
    Unavailable(TransportError),
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidTaskId(_) => f.write_str("the task id is invalid"),
            Self::NotFound(id) => write!(f, "there is no task {id}"),
            Self::Unavailable(_) => f.write_str("the broker cannot be reached"),
        }
    }
}

impl std::error::Error for LookupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::InvalidTaskId(error) => Some(error),
            Self::NotFound(_) => None,
            Self::Unavailable(error) => Some(error),
        }
    }
}

impl From<InvalidTaskId> for LookupError {
    fn from(error: InvalidTaskId) -> Self {
        Self::InvalidTaskId(error)
    }
}

/// A task could not be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoveError {
    /// It could not be looked up.
    Lookup(LookupError),
    /// It has not ended.
    StillRunning(TaskId),
}

impl fmt::Display for RemoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookup(_) => f.write_str("the task could not be looked up"),
            Self::StillRunning(id) => write!(f, "task {id} is still running"),
        }
    }
}

impl std::error::Error for RemoveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Lookup(error) => Some(error),
            Self::StillRunning(_) => None,
        }
    }
}

/// A task was not asked to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelError {
    /// It could not be looked up.
    Lookup(LookupError),
    /// It has already ended.
    AlreadyComplete(TaskId),
}

impl fmt::Display for CancelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookup(_) => f.write_str("the task could not be looked up"),
            Self::AlreadyComplete(id) => write!(f, "task {id} has already ended"),
        }
    }
}

impl std::error::Error for CancelError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Lookup(error) => Some(error),
            Self::AlreadyComplete(_) => None,
        }
    }
}
