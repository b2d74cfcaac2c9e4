//! The authorizer of services without users.

use std::borrow::Cow;

use async_trait::async_trait;
use http::request::Parts;

use super::{Action, Authorizer, Principal, Refusal};

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

    /// Lets channels be watched (default no), and published into where that is
    /// [allowed](Self::publishing) too.
    #[must_use]
    pub fn channels(mut self) -> Self {
        self.channels = true;
        self
    }

    /// Lets events be published (default no); into channels where [those](Self::channels) are open.
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
            Action::PublishToChannel(_) => (
                self.channels && self.publishing,
                "Set an authorizer, or allow Open::channels() and Open::publishing()",
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
