//! What goes to a broker and comes from it.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    channel::{ChannelBody, ChannelEvent, ChannelName},
    event::{Data, Event, Retention},
    id::TaskId,
    position::{Epoch, Position, Seq},
    snapshot::Snapshot,
    time::Timestamp,
    transport::Foreign,
};

/// One start of one process's tracker.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// Makes the id of a node.
    #[must_use]
    pub fn new(id: impl AsRef<str>) -> Self {
        Self(Arc::from(id.as_ref()))
    }

    /// Makes a random id.
    #[must_use]
    pub fn random() -> Self {
        Self::new(uuid::Uuid::new_v4().simple().to_string())
    }

    /// Returns the id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What has a log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "nothing else has a log")]
pub enum Topic {
    /// A task.
    Task(TaskId),
    /// A channel.
    Channel(ChannelName),
}

/// Who numbers a run's events.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "never both in one run, and nobody else"
)]
pub enum Owner {
    /// The node that holds the handle.
    Node(NodeId),
    /// The broker.
    Shared,
}

/// Why a run is claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claim {
    /// A new task: refused while one of the id is live or its end is retained.
    Start {
        /// Its owner.
        node: NodeId,
        /// The channels that its events are copied into.
        channels: Vec<ChannelName>,
    },
    /// A new run of a task, also the first: refused while one is live, and if its generation is not
    /// above the run before's.
    Restart {
        /// Its owner.
        node: NodeId,
        /// The channels that its events are copied into.
        channels: Vec<ChannelName>,
    },
    /// A task whose events the broker numbers. Accepted again while it is live, under the
    /// generation that it has and without a change; refused while the task has an owner.
    Shared {
        /// The channels that its events are copied into.
        channels: Vec<ChannelName>,
        /// How long it may be silent before it counts as stalled; the broker's default if none.
        silence: Option<Duration>,
        /// Whether a run that has ended may be followed by a new one.
        restart: bool,
    },
    /// The end of a run whose owner is gone: a run of its own, above it, which holds nothing but the
    /// end; its page holds [what is kept](Page::ended_run) of the one before.
    ///
    /// Refused to all but the first that asks, and while the owner's lease lasts: that is judged
    /// when the claim is made, for the owner may have come back since it was found expired. A run
    /// without an owner is not ended so. Who has claimed an end and does not tell it is ended itself.
    End {
        /// Who ends it.
        node: NodeId,
        /// The run to end.
        of: Epoch,
    },
}

/// A run is not to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimError {
    /// A task of this id is live, of an end also its owner; or its end is still retained.
    AlreadyExists {
        /// Its run.
        epoch: Epoch,
    },
    /// A later run exists, or the run to be ended is no longer the present one or has ended.
    Superseded {
        /// The present run.
        by: Epoch,
    },
    /// The task was [removed](crate::transport::Transport::remove), and this run is not a later one.
    Removed {
        /// Its last run.
        up_to: Epoch,
    },
    /// The broker cannot be reached.
    Unavailable(TransportError),
}

/// An event was not appended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppendError {
    /// A later run exists, or another node has ended this one.
    Superseded {
        /// The present run.
        by: Epoch,
    },
    /// The run has ended.
    AlreadyComplete,
    /// The task has an owner, who numbers its events.
    Owned,
    /// The broker does not know the run: it was never claimed, or the broker has forgotten it.
    Unknown,
    /// A bound of the broker.
    Refused {
        /// Which.
        reason: String,
    },
    /// The broker cannot be reached.
    Unavailable(TransportError),
}

/// A request was not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// There is no such task.
    Unknown,
    /// It has ended.
    AlreadyComplete,
    /// The broker cannot be reached.
    Unavailable(TransportError),
}

/// A broker cannot be reached, or did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportError {
    message: Arc<str>,
}

impl TransportError {
    /// Makes an error that says, to operators, what went wrong.
    #[must_use]
    pub fn new(message: impl fmt::Display) -> Self {
        Self {
            message: message.to_string().into(),
        }
    }
}

/// What is asked of a task's owner.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// To stop.
    Cancel {
        /// Why.
        reason: Option<Arc<str>>,
    },
}

/// A live task that nobody takes care of any more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expired {
    /// The task.
    pub task: TaskId,
    /// Its run.
    pub epoch: Epoch,
    /// What it lacks.
    pub cause: ExpiredCause,
}

impl Expired {
    /// Makes one.
    #[must_use]
    pub fn new(task: TaskId, epoch: Epoch, cause: ExpiredCause) -> Self {
        Self { task, epoch, cause }
    }
}

/// What an expired task lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExpiredCause {
    /// Its owner's lease is over: it is to be ended.
    Lease,
    /// It is shared and has been silent long enough to be stalled: told until a `stalled` has been
    /// appended. That, and `cancel_requested`, do not end a silence.
    Quiet,
    /// It is shared and has been silent long enough to be ended.
    Silent,
}

/// An event that a broker is to number.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Draft {
    /// What it says.
    pub body: DraftBody,
    /// When it happened.
    pub timestamp: Timestamp,
    /// What tells a repetition: the same id is appended once.
    pub id: Option<Arc<str>>,
}

/// What a draft says.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum DraftBody {
    /// Of a shared task, or of a channel itself.
    Data(Data),
    /// A copy of a task's event, for a channel.
    Event(Arc<Event>),
}

impl Draft {
    /// Makes a draft of an event of its own.
    #[must_use]
    pub fn new(data: Data, timestamp: Timestamp) -> Self {
        Self {
            body: DraftBody::Data(data),
            timestamp,
            id: None,
        }
    }

    /// Makes a draft of a copy of a task's event, for a channel. Its id is the event's position,
    /// so that it is copied once.
    #[must_use]
    pub fn copy_of(event: Arc<Event>) -> Self {
        let id = format!("{}@{}", event.task_id(), event.position());
        Self {
            timestamp: event.timestamp(),
            body: DraftBody::Event(event),
            id: Some(id.into()),
        }
    }

    /// Sets what tells a repetition.
    #[must_use]
    pub fn id(mut self, id: impl AsRef<str>) -> Self {
        self.id = Some(Arc::from(id.as_ref()));
        self
    }

    /// Makes the record of it that a broker has numbered: `prev` is the newest milestone before
    /// it, `lines` how many log lines there are up to and including it.
    ///
    /// # Errors
    ///
    /// [`AppendError::Refused`] if it is not of this topic's kind.
    pub fn number(
        &self,
        topic: &Topic,
        epoch: Epoch,
        seq: Seq,
        prev: Seq,
        lines: u64,
    ) -> Result<Record, AppendError> {
        match (topic, &self.body) {
            (Topic::Task(task), DraftBody::Data(data)) => {
                let mut data = data.clone();
                if let Data::Log(line) = &mut data {
                    line.n = lines;
                }
                let position = Position::new(epoch, seq);
                let event = Event::numbered(task.clone(), position, prev, self.timestamp, data);
                Ok(Record::Task(Arc::new(event)))
            }
            (Topic::Channel(channel), body) => {
                let body = match body {
                    DraftBody::Event(event) => ChannelBody::Task(Arc::clone(event)),
                    DraftBody::Data(Data::Custom(custom)) => ChannelBody::Own {
                        custom: Box::new(custom.clone()),
                        timestamp: self.timestamp,
                    },
                    DraftBody::Data(data) => {
                        return Err(AppendError::Refused {
                            reason: format!("{} is no event of a channel", data.event_type()),
                        });
                    }
                };
                Ok(Record::Channel(Arc::new(ChannelEvent::new(
                    channel.clone(),
                    epoch,
                    seq,
                    prev,
                    body,
                ))))
            }
            (Topic::Task(_), DraftBody::Event(_)) => Err(AppendError::Refused {
                reason: "a copy of a task's event belongs to a channel".to_owned(),
            }),
        }
    }
}

/// An event of a topic, numbered.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "one for each kind of topic")]
pub enum Record {
    /// Of a task.
    Task(Arc<Event>),
    /// Of a channel.
    Channel(Arc<ChannelEvent>),
}

impl Record {
    /// Returns where it stands in its topic.
    #[must_use]
    pub fn position(&self) -> Position {
        match self {
            Self::Task(event) => event.position(),
            Self::Channel(event) => event.position(),
        }
    }

    /// Returns the newest milestone before it, [`Seq::ZERO`] if there is none.
    #[must_use]
    pub fn prev(&self) -> Seq {
        match self {
            Self::Task(event) => event.prev(),
            Self::Channel(event) => event.prev(),
        }
    }

    /// Returns the topic.
    #[must_use]
    pub fn topic(&self) -> Topic {
        match self {
            Self::Task(event) => Topic::Task(event.task_id().clone()),
            Self::Channel(event) => Topic::Channel(event.channel().clone()),
        }
    }

    /// Tells what supersedes it and how long it is kept.
    #[must_use]
    pub fn retention(&self) -> Retention {
        match self {
            Self::Task(event) => event.data().retention(),
            Self::Channel(event) => event.retention(),
        }
    }
}

/// What a topic holds, at one instant.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Page {
    /// The present run.
    pub epoch: Epoch,
    /// Its newest record.
    pub head: Seq,
    /// Its newest record that is lost for good.
    pub floor: Seq,
    /// What is kept after the position that was asked for, in order.
    pub records: Vec<Record>,
    /// If the run holds nothing but the end of another: what is kept of that, in order.
    pub ended_run: Vec<Arc<Event>>,
    /// Who numbers it.
    pub owner: Owner,
    /// The channels that a shared task's events are copied into.
    pub channels: Vec<ChannelName>,
    /// A request that is stored with it.
    pub request: Option<Request>,
    /// How many of its records could not be read; the floor is at least the newest of those that
    /// are asked for.
    pub unreadable: usize,
}

impl Page {
    /// Makes a page without records.
    #[must_use]
    pub fn new(epoch: Epoch, head: Seq, floor: Seq, owner: Owner) -> Self {
        Self {
            epoch,
            head,
            floor,
            records: Vec::new(),
            ended_run: Vec::new(),
            owner,
            channels: Vec::new(),
            request: None,
            unreadable: 0,
        }
    }

    /// Returns the task that the page is of, as it stands; none if it holds no events, or is of a
    /// channel.
    #[must_use]
    pub fn snapshot(&self) -> Option<Snapshot> {
        let records = self.records.iter().filter_map(|record| match record {
            Record::Task(event) => Some(Arc::clone(event)),
            Record::Channel(_) => None,
        });
        let mut snapshot = Snapshot::of_events(self.ended_run.iter().cloned().chain(records))?;
        // Also if nothing but the run that this one ends is known yet.
        (snapshot.epoch, snapshot.seq) = (self.epoch, self.head);
        Some(snapshot)
    }
}

/// What comes from a broker by itself.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TransportEvent {
    /// A record of a watched topic.
    Record(Record),
    /// Something is asked of a task of this node.
    Request(TaskId, Request),
    /// A task that this node watches or owns was [removed](crate::transport::Transport::remove) after this run.
    Removed(TaskId, Epoch),
    /// Somebody who knows nothing of nodes has said something of a task.
    Foreign(Foreign),
    /// What stands after this position in a shared task was published without a node: its events are
    /// to be copied into the channels of the task.
    Untold(TaskId, Position),
    /// Records of a watched topic may have been lost.
    Resync(Topic),
    /// The broker cannot be reached.
    Down,
    /// It can be reached again, and what was watched is watched.
    Up,
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyExists { epoch } => write!(f, "the task exists already, run {epoch}"),
            Self::Superseded { by } => write!(f, "the run was superseded by {by}"),
            Self::Removed { up_to } => write!(f, "the task was removed after run {up_to}"),
            Self::Unavailable(_) => f.write_str("the broker cannot be reached"),
        }
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superseded { by } => write!(f, "the run was superseded by {by}"),
            Self::AlreadyComplete => f.write_str("the task has already ended"),
            Self::Owned => f.write_str("the task's owner numbers its events"),
            Self::Unknown => f.write_str("the broker does not know the run"),
            Self::Refused { reason } => write!(f, "refused: {reason}"),
            Self::Unavailable(_) => f.write_str("the broker cannot be reached"),
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no such task"),
            Self::AlreadyComplete => f.write_str("the task has already ended"),
            Self::Unavailable(_) => f.write_str("the broker cannot be reached"),
        }
    }
}

impl std::error::Error for TransportError {}

macro_rules! unavailable_is_source {
    ($($error:ty),+) => {$(
        impl std::error::Error for $error {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                match self {
                    Self::Unavailable(error) => Some(error),
                    _ => None,
                }
            }
        }

        impl From<TransportError> for $error {
            fn from(error: TransportError) -> Self {
                Self::Unavailable(error)
            }
        }
    )+};
}

unavailable_is_source!(ClaimError, AppendError, RequestError);
