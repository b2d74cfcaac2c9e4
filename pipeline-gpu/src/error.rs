//! Errors, and the codes of those that end tasks.

use std::{fmt, sync::Arc, time::Duration};

use progress_core::{PublishError, StartError, Task, TaskError};

/// An item was not taken.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// As many items wait as may.
    Full {
        /// [`PipelineBuilder::waiting`](crate::PipelineBuilder::waiting).
        limit: usize,
    },
    /// The pipeline takes no more items: it is [closing](crate::Pipeline::close).
    Closed,
    /// The item has more metadata than it may.
    TooMuchMetadata {
        /// [`Request::METADATA`](crate::Request::METADATA).
        limit: usize,
    },
    /// The item's task could not be made.
    Task(StartError),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { limit } => write!(f, "{limit} items wait already"),
            Self::Closed => f.write_str("the pipeline is closed"),
            Self::TooMuchMetadata { limit } => {
                write!(f, "more than {limit} values of metadata")
            }
            Self::Task(_) => f.write_str("the item's task could not be made"),
        }
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Task(error) => Some(error),
            _ => None,
        }
    }
}

impl From<Refusal> for TaskError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full { limit } => Self::new(
                "PIPELINE_FULL",
                format!("{limit} others are waiting already"),
            )
            .retryable(true)
            .detail("limit", limit)
            .solution("Try again when some of them are done"),
            Refusal::Closed => Self::new("PIPELINE_CLOSED", "No more work is taken here")
                .retryable(true)
                .solution("Try again in a moment: the service may be restarting"),
            Refusal::TooMuchMetadata { limit } => Self::new(
                "METADATA_LIMIT",
                format!("metadata: more than {limit} values"),
            )
            .detail("limit", limit),
            Refusal::Task(error) => Self::new("TASK_NOT_STARTED", error.to_string()),
        }
    }
}

/// An item was not taken; it holds what would be lost.
pub struct SubmitError<In> {
    refusal: Box<Refusal>,
    input: In,
    task: Option<Task>,
}

impl<In> SubmitError<In> {
    pub(crate) fn new(refusal: Refusal, input: In, task: Option<Task>) -> Self {
        Self {
            refusal: Box::new(refusal),
            input,
            task,
        }
    }

    /// Returns why.
    #[must_use]
    pub fn refusal(&self) -> &Refusal {
        &self.refusal
    }

    /// Returns the input, and the task if it was made beforehand. Dropped, that ends `abandoned`.
    #[must_use]
    pub fn into_parts(self) -> (In, Option<Task>) {
        (self.input, self.task)
    }
}

impl<In> fmt::Debug for SubmitError<In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubmitError")
            .field("refusal", &self.refusal)
            .field("task", &self.task)
            .finish_non_exhaustive()
    }
}

impl<In> fmt::Display for SubmitError<In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the item was not taken: {}", self.refusal)
    }
}

impl<In> std::error::Error for SubmitError<In> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The refusal itself is in the message.
        self.refusal.source()
    }
}

/// An item did not come through the pipeline.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RunError {
    /// A stage failed, or the item was out of time. The error names the stage.
    Failed(TaskError),
    /// It was cancelled.
    Cancelled {
        /// Why, if that was said.
        reason: Option<Arc<str>>,
    },
    /// It was not taken.
    Refused(Refusal),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed(_) => "the item failed",
            Self::Cancelled { .. } => "the item was cancelled",
            Self::Refused(_) => "the item was not taken",
        })
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Cancelled { .. } => None,
            Self::Refused(refusal) => Some(refusal),
        }
    }
}

impl From<RunError> for TaskError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Failed(error) => error,
            RunError::Cancelled { .. } => cancelled(),
            RunError::Refused(refusal) => refusal.into(),
        }
    }
}

/// A pipeline cannot be built as described.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum BuildError {
    /// It has no stage, or an option of a stage was set before the first one.
    NoStage,
    /// There are more stages than there may be.
    TooManyStages {
        /// [`PipelineBuilder::STAGES`](crate::PipelineBuilder::STAGES).
        limit: usize,
    },
    /// A stage's name is no path of a stage: empty, too long, or with control characters.
    StageName {
        /// The name.
        name: String,
    },
    /// Two stages have the same name.
    Duplicate {
        /// The name.
        name: String,
    },
    /// A number of a stage or of the pipeline is out of bounds.
    OutOfBounds {
        /// What was set.
        field: &'static str,
        /// The stage, if it was set for one.
        stage: Option<String>,
        /// The largest there may be; the least is 1, of a weight 0.
        limit: f64,
    },
    /// There is no tokio runtime to work on.
    NoRuntime,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoStage => f.write_str("an option of a stage, or the end, before any stage"),
            Self::TooManyStages { limit } => write!(f, "more than {limit} stages"),
            Self::StageName { name } => write!(f, "{name:?} is no name of a stage"),
            Self::Duplicate { name } => write!(f, "two stages are called {name:?}"),
            Self::OutOfBounds {
                field,
                stage,
                limit,
            } => {
                write!(f, "{field}")?;
                if let Some(stage) = stage {
                    write!(f, " of stage {stage:?}")?;
                }
                write!(f, " is out of bounds, the limit is {limit}")
            }
            Self::NoRuntime => f.write_str("there is no tokio runtime"),
        }
    }
}

impl std::error::Error for BuildError {}

/// The error of work that was to stop.
pub(crate) fn cancelled() -> TaskError {
    TaskError::new("CANCELLED", "It was cancelled")
}

pub(crate) fn stage_panicked(stage: &str) -> TaskError {
    TaskError::new("STAGE_PANICKED", format!("The stage {stage} broke down"))
        .solution("Try another input; if this one should work, report it")
}

pub(crate) fn stage_timeout(stage: &str, limit: Duration) -> TaskError {
    let message = format!("The stage {stage} took longer than {limit:?}");
    TaskError::new("STAGE_TIMEOUT", message)
        .retryable(true)
        .detail("limit_ms", millis(limit))
        .solution("Try again later, or with less to do")
}

pub(crate) fn deadline_exceeded(stage: Option<&str>) -> TaskError {
    let error = TaskError::new("DEADLINE_EXCEEDED", "It was not done in time")
        .retryable(true)
        .solution("Try again when there is less to do, or allow more time");
    match stage {
        Some(stage) => error.stage(stage),
        None => error,
    }
}

pub(crate) fn circuit_open(name: &str, wait: Duration) -> TaskError {
    let message = format!("{name} has failed too often and is left alone for now");
    TaskError::new("CIRCUIT_OPEN", message)
        .retryable(true)
        .retry_after(wait)
        .solution("Try again later")
}

/// The runtime went away, or a worker did, with the item in its hands.
pub(crate) fn item_lost() -> TaskError {
    TaskError::new("ITEM_LOST", "The work on it was broken off")
        .retryable(true)
        .solution("Try again: the service may have been restarted")
}

pub(crate) fn batch_results(given: usize, expected: usize) -> TaskError {
    let message = format!("A batch of {expected} gave {given} results");
    TaskError::new("BATCH_RESULTS", message)
        .detail("expected", expected)
        .detail("given", given)
}

pub(crate) fn result_refused(error: &PublishError) -> TaskError {
    TaskError::new("RESULT_REFUSED", "The result could not be kept")
        .detail("reason", error.to_string())
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
