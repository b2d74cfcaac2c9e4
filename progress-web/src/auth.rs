//! Who may do what.

use std::{borrow::Cow, fmt, time::SystemTime};

use async_trait::async_trait;
use http::request::Parts;
use progress_core::TaskId;

use crate::error::{ApiError, Code};

/// What somebody wants to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Watch a task: its events, snapshot and history.
    Watch(TaskId),
    /// List tasks.
    List,
    /// Publish events of a task.
    Publish(TaskId),
    /// Ask for a task's cancellation.
    Cancel(TaskId),
    /// Watch a channel or publish into it.
    Channel(String),
    /// Manage tasks and clients.
    Manage,
}

/// Somebody who may.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Principal {
    /// Who it is, if that is known.
    pub subject: Option<String>,
    /// When the credentials end (default never): a connection that was opened with them is then
    /// closed with 4013, or its event stream ends, unless they have been replaced.
    pub expires_at: Option<SystemTime>,
}

impl Principal {
    /// Makes a principal of whom nothing is known.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// Makes a principal with a subject.
    #[must_use]
    pub fn of(subject: impl Into<String>) -> Self {
        Self {
            subject: Some(subject.into()),
            expires_at: None,
        }
    }

    /// Sets when the credentials end.
    #[must_use]
    pub fn expires_at(mut self, at: SystemTime) -> Self {
        self.expires_at = Some(at);
        self
    }
}

/// Somebody who may not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It is not known who asks: 401, 4401.
    Unauthenticated,
    /// Whoever asks may not do this: 403, 4403.
    Forbidden {
        /// What can be done about it, shown to whoever asked.
        solution: Option<Cow<'static, str>>,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unauthenticated => "credentials are missing or no longer valid",
            Self::Forbidden { .. } => "this is not allowed",
        })
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::Unauthenticated => Self::new(Code::Unauthenticated, message),
            Refusal::Forbidden { solution } => {
                let error = Self::new(Code::Forbidden, message);
                match solution {
                    Some(solution) => error.solution(solution),
                    None => error,
                }
            }
        }
    }
}

/// Decides who may do what. It is asked once per task and request, before anything is looked up,
/// so that a refusal tells nothing of whether a task exists.
///
/// ```
/// use http::request::Parts;
/// use progress_web::{Action, Authorizer, Principal, Refusal};
///
/// #[derive(Debug)]
/// struct Intranet;
///
/// #[progress_web::async_trait]
/// impl Authorizer for Intranet {
///     async fn authorize(&self, request: &Parts, _: &Action) -> Result<Principal, Refusal> {
///         match request.headers.get("x-user").and_then(|user| user.to_str().ok()) {
///             Some(user) => Ok(Principal::of(user)),
///             None => Err(Refusal::Unauthenticated),
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait Authorizer: Send + Sync + fmt::Debug + 'static {
    /// Decides about one action of one request.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if it is not allowed.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped if the client goes away; nothing may depend on its end.
    async fn authorize(&self, request: &Parts, action: &Action) -> Result<Principal, Refusal>;
}

/// The authorizer of a service without users: whoever knows a random id may watch that task, as
/// such an id cannot be guessed; everything else is refused until it is opened here by name.
///
/// ```
/// use progress_web::Open;
///
/// let everything_readable = Open::new().named_ids().listing();
/// # drop(everything_readable);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Open {
    named_ids: bool,
    listing: bool,
    channels: bool,
    publishing: bool,
    cancelling: bool,
    managing: bool,
}

impl Open {
    /// Lets tasks with a random id (UUIDv4) be watched, and refuses all else.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets tasks with any id be watched, also one that can be guessed (default no).
    #[must_use]
    pub fn named_ids(mut self) -> Self {
        self.named_ids = true;
        self
    }

    /// Lets tasks be listed (default no).
    #[must_use]
    pub fn listing(mut self) -> Self {
        self.listing = true;
        self
    }

    /// Lets channels be watched and published into (default no).
    #[must_use]
    pub fn channels(mut self) -> Self {
        self.channels = true;
        self
    }

    /// Lets events be published (default no).
    #[must_use]
    pub fn publishing(mut self) -> Self {
        self.publishing = true;
        self
    }

    /// Lets tasks be cancelled (default no).
    #[must_use]
    pub fn cancelling(mut self) -> Self {
        self.cancelling = true;
        self
    }

    /// Lets tasks and clients be managed (default no).
    #[must_use]
    pub fn managing(mut self) -> Self {
        self.managing = true;
        self
    }
}

#[async_trait]
impl Authorizer for Open {
    async fn authorize(&self, _: &Parts, action: &Action) -> Result<Principal, Refusal> {
        let (allowed, solution) = match action {
            Action::Watch(id) => (
                self.named_ids || id.is_random(),
                "Use a random task id (UUIDv4), set an authorizer, or allow Open::named_ids()",
            ),
            Action::List => (self.listing, "Set an authorizer, or allow Open::listing()"),
            Action::Publish(_) => (
                self.publishing,
                "Set an authorizer, or allow Open::publishing()",
            ),
            Action::Cancel(_) => (
                self.cancelling,
                "Set an authorizer, or allow Open::cancelling()",
            ),
            Action::Channel(_) => (
                self.channels,
                "Set an authorizer, or allow Open::channels()",
            ),
            Action::Manage => (
                self.managing,
                "Set an authorizer, or allow Open::managing()",
            ),
        };
        if allowed {
            Ok(Principal::anonymous())
        } else {
            Err(Refusal::Forbidden {
                solution: Some(Cow::Borrowed(solution)),
            })
        }
    }
}
