//! The typed events.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    event::{Metadata, Payload, TaskError},
    id::TaskId,
    time::Timestamp,
};

/// What an event says; its `data` on the wire.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Data {
    /// The task waits for its turn.
    Queued(Queued),
    /// The task runs.
    Started(Arc<Started>),
    /// Another stage became the current one.
    StageChange(Box<StageChange>),
    /// The whole present value of the task or of one of its stages.
    ProgressUpdate(Box<ProgressUpdate>),
    /// A line of the task's log.
    Log(Box<LogLine>),
    /// Something failed and the task goes on.
    Error(TaskError),
    /// The task was paused.
    Paused(Note),
    /// The task goes on after a pause.
    Resumed(Note),
    /// The task has shown no change for too long.
    Stalled(Note),
    /// The task has shown a change after a stall.
    Recovered(Note),
    /// A watcher asked for cancellation.
    CancelRequested(Note),
    /// The end.
    Complete(Box<Complete>),
    /// An event of the application's own.
    Custom(Custom),
}

impl Data {
    /// Returns the event type on the wire.
    #[must_use]
    pub fn event_type(&self) -> &str {
        match self {
            Self::Queued(_) => "queued",
            Self::Started(_) => "started",
            Self::StageChange(_) => "stage_change",
            Self::ProgressUpdate(_) => "progress_update",
            Self::Log(_) => "log",
            Self::Error(_) => "error",
            Self::Paused(_) => "paused",
            Self::Resumed(_) => "resumed",
            Self::Stalled(_) => "stalled",
            Self::Recovered(_) => "recovered",
            Self::CancelRequested(_) => "cancel_requested",
            Self::Complete(_) => "complete",
            Self::Custom(custom) => &custom.event_type,
        }
    }

    /// Bytes of its JSON text, about.
    pub(crate) fn size(&self) -> usize {
        let text = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
        match self {
            Self::Queued(queued) => 16 + queued.about.as_ref().map_or(0, |about| about.size()),
            Self::Started(started) => started.size(),
            Self::StageChange(change) => {
                64 + text(&change.previous_stage) + change.current_stage.len()
            }
            Self::ProgressUpdate(update) => {
                ProgressUpdate::NUMBERS_LEN
                    + text(&update.stage)
                    + text(&update.unit)
                    + text(&update.message)
                    + update.metadata.size()
            }
            Self::Log(line) => 48 + line.message.len() + text(&line.stage) + line.fields.size(),
            Self::Error(error) => 48 + error.size(),
            Self::Paused(note)
            | Self::Resumed(note)
            | Self::Stalled(note)
            | Self::Recovered(note)
            | Self::CancelRequested(note) => 16 + text(&note.reason),
            Self::Complete(complete) => {
                64 + complete.result.as_ref().map_or(0, Payload::len)
                    + complete.error.as_ref().map_or(0, TaskError::size)
                    + text(&complete.cause)
            }
            Self::Custom(custom) => {
                32 + custom.event_type.len() + text(&custom.key) + custom.data.len()
            }
        }
    }
}

/// Data of `queued`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Queued {
    /// The place in the queue, from 1, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// What `started` will say, but for the time: in shared tasks, which another node may start
    /// than the one that queued them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<Box<Started>>,
}

/// Data of `started`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Started {
    /// A name for people.
    pub name: Option<Arc<str>>,
    /// What sort of task it is, for programs.
    pub kind: Option<Arc<str>>,
    /// Labels to filter by.
    #[serde(default)]
    pub labels: Arc<BTreeMap<String, String>>,
    /// The task that this one is a child of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<TaskId>,
    /// The declared stages, in order.
    #[serde(default)]
    pub stages: Vec<StageDecl>,
    /// Which run of the task this is, from 1.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// When the run began.
    #[serde(default, skip_serializing_if = "is_unset")]
    pub started_at: Timestamp,
}

impl Default for Started {
    /// A first attempt, of which nothing else is told.
    fn default() -> Self {
        Self {
            name: None,
            kind: None,
            labels: Arc::default(),
            parent: None,
            stages: Vec::new(),
            attempt: first_attempt(),
            started_at: Timestamp::default(),
        }
    }
}

impl Started {
    fn size(&self) -> usize {
        let text = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
        let stages: usize = self
            .stages
            .iter()
            .map(|stage| {
                let counted = match (stage.total, &stage.unit) {
                    (None, None) => 0,
                    _ => 40 + text(&stage.unit),
                };
                44 + stage.path.len() + stage.label.len() + counted
            })
            .sum();
        let labels: usize = self.labels.iter().map(|(k, v)| k.len() + v.len() + 6).sum();
        160 + text(&self.name) + text(&self.kind) + stages + labels
    }
}

fn is_unset(timestamp: &Timestamp) -> bool {
    *timestamp == Timestamp::default()
}

fn first_attempt() -> u32 {
    1
}

/// A declared stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct StageDecl {
    /// The stage's path, such as `render/tile-3`.
    pub path: Arc<str>,
    /// A name for people.
    pub label: Arc<str>,
    /// Its share of the whole, relative to the other stages'.
    pub weight: f64,
    /// How many units it has, if known beforehand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// What is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Arc<str>>,
}

impl StageDecl {
    /// Declares a stage: its path, and its weight relative to its siblings'. It is called as the
    /// last segment of its path.
    #[must_use]
    pub fn new(path: impl AsRef<str>, weight: f64) -> Self {
        let path: Arc<str> = Arc::from(path.as_ref());
        Self {
            label: stage_label(&path),
            path,
            weight,
            total: None,
            unit: None,
        }
    }

    /// Sets a name for people (default: the last segment of the path; to
    /// [`Limits::NAME_LEN`](crate::Limits::NAME_LEN) bytes).
    #[must_use]
    pub fn label(mut self, label: impl AsRef<str>) -> Self {
        self.label = Arc::from(label.as_ref());
        self
    }

    /// Sets how many units it has (default not known).
    #[must_use]
    pub fn total(mut self, units: u64) -> Self {
        self.total = Some(units);
        self
    }

    /// Sets what is counted (default nothing; to
    /// [`Limits::NAME_LEN`](crate::Limits::NAME_LEN) bytes).
    #[must_use]
    pub fn unit(mut self, unit: impl AsRef<str>) -> Self {
        self.unit = Some(Arc::from(unit.as_ref()));
        self
    }
}

/// What a stage is called that was given no other name: the last segment of its path.
pub(crate) fn stage_label(path: &Arc<str>) -> Arc<str> {
    match path.rsplit_once('/') {
        Some((_, label)) => Arc::from(label),
        None => Arc::clone(path),
    }
}

/// Data of `stage_change`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct StageChange {
    /// The stage that was current before.
    pub previous_stage: Option<Arc<str>>,
    /// The stage that is current now.
    pub current_stage: Arc<str>,
    /// Percent of the whole task, 0 to 100.
    #[serde(default)]
    pub progress: f64,
    /// Milliseconds since the task started: a stage's own time counts from here.
    #[serde(default)]
    pub elapsed_ms: u64,
}

/// Data of `progress_update`: the whole present value of the task, or of one stage.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ProgressUpdate {
    /// The stage it is about; none for the task itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Arc<str>>,
    /// Percent of the whole task, 0 to 100.
    pub progress: f64,
    /// Whether that percent is as its publisher reported it, and no longer what the stages add up
    /// to: said in shared tasks, whose next publisher may be another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reported: bool,
    /// Percent of the stage, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_progress: Option<f64>,
    /// Units done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<u64>,
    /// Units in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// What is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Arc<str>>,
    /// What is being done, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Arc<str>>,
    /// Milliseconds until the whole task is done, once that means something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_ms: Option<u64>,
    /// Milliseconds until the stage is done, once that means something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_eta_ms: Option<u64>,
    /// Milliseconds since the task started.
    #[serde(default)]
    pub elapsed_ms: u64,
    /// Values by name.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// The task's children, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub children: Option<Children>,
}

impl ProgressUpdate {
    /// Bytes of what is not text, about.
    pub(crate) const NUMBERS_LEN: usize = 192;
}

/// How many children a task has, in which states.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Children {
    /// All there ever were.
    pub total: u64,
    /// How many are in each state; states with none are left out.
    pub by_state: BTreeMap<TaskState, u64>,
}

/// Data of `log`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LogLine {
    /// The line's running number within the run, from 1.
    #[serde(default)]
    pub n: u64,
    /// How important it is.
    pub level: Level,
    /// The text.
    pub message: Box<str>,
    /// The stage that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Arc<str>>,
    /// Values by name.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub fields: Metadata,
}

/// How important a log line is. `WARNING` is read as [`Level::Warn`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
#[expect(
    clippy::exhaustive_enums,
    reason = "the five levels of tracing and log"
)]
pub enum Level {
    /// Very detailed.
    Trace,
    /// For developers.
    Debug,
    /// For operators and users.
    Info,
    /// Something odd.
    #[serde(alias = "WARNING")]
    Warn,
    /// Something failed.
    Error,
}

impl Level {
    /// [`Level::Trace`], in the spelling of `tracing`.
    pub const TRACE: Self = Self::Trace;
    /// [`Level::Debug`], in the spelling of `tracing`.
    pub const DEBUG: Self = Self::Debug;
    /// [`Level::Info`], in the spelling of `tracing`.
    pub const INFO: Self = Self::Info;
    /// [`Level::Warn`], in the spelling of `tracing`.
    pub const WARN: Self = Self::Warn;
    /// [`Level::Error`], in the spelling of `tracing`.
    pub const ERROR: Self = Self::Error;
}

/// Data of `paused`, `resumed`, `stalled`, `recovered` and `cancel_requested`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Note {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
}

/// Data of `complete`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Complete {
    /// How it ended.
    pub status: Status,
    /// What came out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Payload>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
    /// What ended it, if it was not its own handle: `dropped`, `panicked`, `parent_ended`,
    /// or the reason of a cancellation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Arc<str>>,
    /// Percent of the whole task, 0 to 100: 100 if completed, else as far as it came.
    #[serde(default)]
    pub progress: f64,
    /// Milliseconds from the start to the end.
    #[serde(default)]
    pub duration_ms: u64,
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[expect(
    clippy::exhaustive_enums,
    reason = "a fifth end would break the contract with every client"
)]
pub enum Status {
    /// It did what it was to do.
    Completed,
    /// It could not.
    Failed,
    /// It was asked to stop, and did.
    Cancelled,
    /// Nobody finished it: its handle was dropped, its process died.
    Abandoned,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TaskState {
    /// It waits for its turn.
    Queued,
    /// It runs.
    Running,
    /// It was paused.
    Paused,
    /// It has shown no change for too long.
    Stalled,
    /// It ended well.
    Completed,
    /// It ended in an error.
    Failed,
    /// It ended by request.
    Cancelled,
    /// Nobody finished it.
    Abandoned,
}

impl TaskState {
    /// Tells whether the task has ended.
    #[must_use]
    pub fn is_ended(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Cancelled | Self::Abandoned
        )
    }

    /// Returns the word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stalled => "stalled",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Abandoned => "abandoned",
        }
    }
}

impl From<Status> for TaskState {
    fn from(status: Status) -> Self {
        match status {
            Status::Completed => Self::Completed,
            Status::Failed => Self::Failed,
            Status::Cancelled => Self::Cancelled,
            Status::Abandoned => Self::Abandoned,
        }
    }
}

/// An event of the application's own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Custom {
    /// Its type, `[a-z][a-z0-9_.]{0,63}` and none of the built-in ones.
    pub event_type: Cow<'static, str>,
    /// With a key it is State and replaces the one before of the same key; without, a milestone.
    pub key: Option<Arc<str>>,
    /// What it says.
    pub data: Payload,
}
