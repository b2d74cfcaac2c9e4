//! Who may do what.

mod grant;
mod host;
#[cfg(feature = "jwt")]
pub mod jwt;
mod open;
mod origin;
mod permit;
mod presented;
mod secret;
mod settings;
mod ticket;

use std::{borrow::Cow, fmt, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use http::request::Parts;
use progress_core::TaskId;

pub use self::{
    grant::{Grant, SubjectTooLong},
    open::Open,
    origin::{InvalidOrigin, Origin},
    secret::{Secret, WeakSecret},
};
pub(crate) use self::{
    presented::{Credentials, Ladder, TOKEN, bearer_header},
    secret::Secrets,
    ticket::{Admitted, Tickets},
};
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
    /// Watch a channel.
    Channel(String),
    /// Publish into a channel, or have a task's events copied there.
    PublishToChannel(String),
    /// Manage tasks and clients.
    Manage,
}

impl Action {
    /// The word that counts and logs have for it, whatever it is about.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Watch(_) => "watch",
            Self::List => "list",
            Self::Publish(_) => "publish",
            Self::Cancel(_) => "cancel",
            Self::Channel(_) => "channel",
            Self::PublishToChannel(_) => "publish_to_channel",
            Self::Manage => "manage",
        }
    }
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
    /// The roles that the credentials name, known here or not: for an authorizer that decides by
    /// them itself. Of a grant or a ticket none.
    pub roles: Arc<[String]>,
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
            ..Self::default()
        }
    }

    /// Sets when the credentials end.
    #[must_use]
    pub fn expires_at(mut self, at: SystemTime) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// Sets the roles.
    #[must_use]
    pub fn roles(mut self, roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.roles = roles.into_iter().map(Into::into).collect();
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
    /// It cannot be told now who asks, as when the keys of tokens cannot be had: 503, 4014, and
    /// worth another try.
    Unavailable,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unauthenticated => "credentials are missing or no longer valid",
            Self::Forbidden { .. } => "this is not allowed",
            Self::Unavailable => "credentials cannot be checked now",
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
            Refusal::Unavailable => Self::new(Code::AuthUnavailable, message)
                .retry_after(std::time::Duration::from_secs(5)),
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

    /// Decides whether somebody may be here at all, before it is known what they want: of `GET /ws`,
    /// whose client says later what it watches, and where a connection's credentials are replaced.
    /// By default everybody may.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unauthenticated`] if it is not known who asks. A WebSocket that came without any
    /// credentials may then still say them, as its first message.
    ///
    /// # Cancel safety
    ///
    /// As of [`authorize`](Self::authorize).
    async fn authenticate(&self, request: &Parts) -> Result<Principal, Refusal> {
        let _nobody_in_particular = request;
        Ok(Principal::anonymous())
    }
}
