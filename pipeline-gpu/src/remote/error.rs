//! What can go wrong with a remote renderer.

use std::{fmt, io, time::Duration};

use progress_core::TaskError;

/// A job could not be submitted, followed or fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoteError {
    /// The renderer is configured in a way that makes no sense.
    Config {
        /// Which setting.
        field: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// The request is one that the renderer would refuse.
    Input {
        /// Which part of it.
        field: &'static str,
        /// What it has to be.
        expected: String,
    },
    /// No connection was made, or it was lost.
    Unreachable {
        /// What the network says.
        reason: String,
    },
    /// Something took too long.
    Timeout {
        /// What.
        what: &'static str,
        /// How long it could have taken.
        limit: Duration,
    },
    /// The key is not accepted.
    Unauthorized,
    /// There is no credit left.
    NoCredit,
    /// The renderer refuses the request.
    Refused {
        /// The status of the answer.
        status: u16,
        /// What it says.
        message: String,
    },
    /// There were too many requests.
    RateLimited {
        /// How long to wait, if the renderer says.
        retry_after: Option<Duration>,
    },
    /// The renderer is out of order.
    Unavailable {
        /// The status of the answer.
        status: u16,
        /// How long to wait, if the renderer says.
        retry_after: Option<Duration>,
    },
    /// The answer is none that is understood.
    Answer {
        /// Why.
        reason: String,
    },
    /// The job was submitted, and no answer says whether it was taken: it may be there, and cost.
    Unsure,
    /// The job failed.
    Failed {
        /// The renderer's kind of error.
        kind: String,
        /// What it says.
        message: String,
    },
    /// The job will not be rendered, for what it shows or says.
    Rejected {
        /// What the renderer says.
        message: String,
    },
    /// The result has more bytes than it can have.
    ResultTooLarge {
        /// [`RendererBuilder::max_result`](super::RendererBuilder::max_result).
        limit: u64,
    },
    /// The result ended before all of it had come.
    ResultIncomplete {
        /// How many bytes came.
        bytes: u64,
    },
    /// The result could not be written.
    File {
        /// What the system says.
        kind: io::ErrorKind,
    },
    /// The work was told to stop.
    Cancelled,
}

impl RemoteError {
    /// The code of the error as a task tells it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config { .. } => "RENDER_CONFIG_INVALID",
            Self::Input { .. } => "RENDER_INPUT_INVALID",
            Self::Unreachable { .. } | Self::Unavailable { .. } => "RENDER_UNAVAILABLE",
            Self::Timeout { .. } => "RENDER_TIMEOUT",
            Self::Unauthorized => "RENDER_UNAUTHORIZED",
            Self::NoCredit => "RENDER_NO_CREDIT",
            Self::Refused { .. } => "RENDER_REFUSED",
            Self::RateLimited { .. } => "RENDER_RATE_LIMITED",
            Self::Answer { .. } => "RENDER_ANSWER_INVALID",
            Self::Unsure => "RENDER_UNSURE",
            Self::Failed { .. } => "RENDER_FAILED",
            Self::Rejected { .. } => "RENDER_REJECTED",
            Self::ResultTooLarge { .. } => "RENDER_RESULT_TOO_LARGE",
            Self::ResultIncomplete { .. } => "RENDER_RESULT_INCOMPLETE",
            Self::File { .. } => "RENDER_RESULT_NOT_WRITTEN",
            Self::Cancelled => "RENDER_CANCELLED",
        }
    }

    /// Whether the same may go well another time.
    ///
    /// [`Unsure`](Self::Unsure) is not retryable: the job may be there already.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::RateLimited { .. }
            | Self::Unavailable { .. }
            | Self::ResultIncomplete { .. } => true,
            // The renderer's own faults pass; a face that it cannot find stays.
            Self::Failed { kind, .. } => kind.contains("Internal") || kind.contains("Timeout"),
            _ => false,
        }
    }

    /// The longest wait that a task's error is given, whatever the renderer asks: 5 minutes. A stage
    /// that is [tried again](crate::Stage::retry) waits for as long as its error says.
    pub const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);

    /// How long the renderer asks to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Unavailable { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }

    fn solution(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unreachable { .. } => "Check the connection to the renderer, then try again",
            Self::Unavailable { .. } | Self::RateLimited { .. } => "Try again in a minute",
            Self::Timeout { .. } => "Try again, or allow the renderer more time",
            Self::Unauthorized => "Check the API key of the renderer",
            Self::NoCredit => "Buy credit at the renderer",
            Self::Refused { .. } | Self::Input { .. } => {
                "Check the picture, the recording and the options of the job"
            }
            Self::Unsure => "Look among the jobs of the renderer before you submit it again",
            Self::Failed { .. } if self.is_retryable() => "Try again",
            Self::Failed { .. } => "Choose a picture in which one face looks at the camera",
            Self::Rejected { .. } => "Choose another picture or another recording",
            Self::ResultTooLarge { .. } => "Cut the recording shorter",
            Self::ResultIncomplete { .. } => "Fetch the result again",
            Self::File { .. } => "Check that there is room and permission to write the video",
            Self::Answer { .. } => "Check the base URL of the renderer",
            Self::Config { .. } | Self::Cancelled => return None,
        })
    }

    /// Of a request that got no answer, or not all of it.
    pub(super) fn of_transport(
        error: &reqwest::Error,
        what: &'static str,
        limit: Duration,
    ) -> Self {
        if error.is_timeout() && !error.is_connect() {
            return Self::Timeout { what, limit };
        }
        // Only the kinds: the whole would repeat the URL, which may be signed.
        let reason = if error.is_connect() {
            "no connection"
        } else if error.is_redirect() {
            "redirected too often"
        } else {
            "the connection was lost"
        };
        Self::Unreachable {
            reason: reason.to_owned(),
        }
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config { field, expected } => write!(f, "{field} has to be {expected}"),
            Self::Input { field, expected } => write!(f, "{field} has to be {expected}"),
            Self::Unreachable { reason } => {
                write!(f, "the renderer cannot be reached: {reason}")
            }
            Self::Timeout { what, limit } => {
                write!(f, "{what} took longer than {} s", limit.as_secs_f64())
            }
            Self::Unauthorized => f.write_str("the renderer does not accept the key"),
            Self::NoCredit => f.write_str("there is no credit left at the renderer"),
            Self::Refused { status, message } => {
                write!(
                    f,
                    "the renderer refuses the request with {status}: {message}"
                )
            }
            Self::RateLimited { .. } => f.write_str("the renderer has had too many requests"),
            Self::Unavailable { status, .. } => {
                write!(f, "the renderer is out of order, with {status}")
            }
            Self::Answer { reason } => write!(f, "the renderer's answer is wrong: {reason}"),
            Self::Unsure => {
                f.write_str("the job was submitted, and no answer says whether it was taken")
            }
            Self::Failed { kind, message } => write!(f, "the render failed: {kind}: {message}"),
            Self::Rejected { message } => write!(f, "the render was rejected: {message}"),
            Self::ResultTooLarge { limit } => {
                write!(f, "the result has more than {limit} bytes")
            }
            Self::ResultIncomplete { bytes } => {
                write!(f, "the result ended after {bytes} bytes")
            }
            Self::File { kind } => write!(f, "the result cannot be written: {kind}"),
            Self::Cancelled => f.write_str("the render was cancelled"),
        }
    }
}

impl std::error::Error for RemoteError {}

impl From<io::Error> for RemoteError {
    fn from(error: io::Error) -> Self {
        Self::File { kind: error.kind() }
    }
}

impl From<RemoteError> for TaskError {
    fn from(error: RemoteError) -> Self {
        let mut told = Self::new(error.code(), error.to_string()).retryable(error.is_retryable());
        if let Some(wait) = error.retry_after() {
            told = told.retry_after(wait.min(RemoteError::LONGEST_WAIT));
        }
        if let Some(solution) = error.solution() {
            told = told.solution(solution);
        }
        told
    }
}
