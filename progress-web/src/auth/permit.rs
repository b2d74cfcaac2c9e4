//! From a request and an action to who may do it: the authorizer, then grants and tickets.

use std::{borrow::Cow, time::SystemTime};

use http::{header, request::Parts};
use progress_core::TaskId;

use super::{Action, Credentials, Grant, Principal, Refusal, grant};
use crate::{
    access,
    error::{ApiError, Code},
    gateway::Gateway,
};

impl Gateway {
    /// Grants the right to watch a task for so long, to [`Grant::MAX_TTL`]: for the query of its URLs,
    /// `?grant=…`. Where nodes or services share a [secret](crate::GatewayBuilder::secret) it counts
    /// with all of them.
    #[must_use]
    pub fn grant(&self, task: &TaskId, ttl: std::time::Duration) -> Grant {
        self.settings().secrets.current.grant(task, ttl)
    }

    /// Checks for a service's own routes what is checked for the gateway's: that the server is asked
    /// under a name [of its own](crate::GatewayBuilder::host), and, as of a WebSocket's handshake,
    /// that a page that asks is from [where it may](crate::GatewayBuilder::origin). What is no
    /// browser's passes.
    ///
    /// A service that knows its users by a cookie, or has none, needs this before whatever changes
    /// something: a browser sends many a request for any page without asking first.
    ///
    /// # Errors
    ///
    /// [`ApiError`] with [`Code::HostNotAllowed`] or [`Code::OriginNotAllowed`].
    ///
    /// # Examples
    ///
    /// ```
    /// use progress_core::ProgressTracker;
    /// use progress_web::{Code, Gateway};
    ///
    /// let gateway = Gateway::new(ProgressTracker::new());
    /// let (forged, ()) = http::Request::post("/api/photos/9/approve")
    ///     .header("host", "jobs.example")
    ///     .header("origin", "https://evil.example")
    ///     .body(())?
    ///     .into_parts();
    /// assert_eq!(gateway.check_page(&forged).unwrap_err().code(), Code::OriginNotAllowed);
    /// # Ok::<(), http::Error>(())
    /// ```
    pub fn check_page(&self, request: &Parts) -> Result<(), ApiError> {
        let ladder = &self.settings().ladder;
        ladder.hosts.check(request)?;
        ladder.origins.check(request)
    }

    /// A request whose credentials stand where they are looked for.
    pub(crate) fn prepared<'a>(&self, request: &'a Parts) -> Cow<'a, Parts> {
        if Credentials::of(request).is_some() {
            return Cow::Borrowed(request);
        }
        let mut request = request.clone();
        self.settings().ladder.prepare(&mut request);
        Cow::Owned(request)
    }

    /// Ids are checked first, whoever asks; then it is decided.
    pub(crate) async fn allowed_to_watch(
        &self,
        request: &Parts,
        task: &str,
    ) -> Result<TaskId, ApiError> {
        let id: TaskId = task.parse()?;
        self.allowed(request, Action::Watch(id.clone())).await?;
        Ok(id)
    }

    pub(crate) async fn allowed(&self, request: &Parts, action: Action) -> Result<(), ApiError> {
        self.permitted(request, &action).await.map(drop)
    }

    /// Asks the authorizer, then whether a grant or a ticket allows what it does not; tells who it is.
    pub(crate) async fn permitted(
        &self,
        request: &Parts,
        action: &Action,
    ) -> Result<Principal, ApiError> {
        let request = &*self.prepared(request);
        let permitted = match self.asked(request, action).await {
            Ok(principal) => Ok(principal),
            Err(refused) => self.by_url(request, action).await.unwrap_or(Err(refused)),
        };
        self.decided(action, permitted)
    }

    /// Asks the authorizer alone; tells who it is.
    pub(crate) async fn authorized(
        &self,
        request: &Parts,
        action: &Action,
    ) -> Result<Principal, ApiError> {
        let request = &*self.prepared(request);
        let authorized = self.asked(request, action).await;
        self.decided(action, authorized)
    }

    async fn asked(&self, request: &Parts, action: &Action) -> Result<Principal, ApiError> {
        let authorizer = &self.settings().authorizer;
        let decision = authorizer.authorize(request, action).await;
        let principal = decision.map_err(|refusal| refused(request, refusal))?;
        self.not_for_a_page_of_elsewhere(request)?;
        Ok(principal)
    }

    /// What changes something and was allowed to who presents no token: as everybody, or by what a browser adds by
    /// itself. Then any page could ask for it in the name of who looks at it.
    fn not_for_a_page_of_elsewhere(&self, request: &Parts) -> Result<(), ApiError> {
        if request.method.is_safe() || request.headers.contains_key(header::AUTHORIZATION) {
            return Ok(());
        }
        self.settings().ladder.origins.check(request)
    }

    fn decided(
        &self,
        action: &Action,
        decision: Result<Principal, ApiError>,
    ) -> Result<Principal, ApiError> {
        let decision = decision.and_then(in_time);
        access::decided(action, decision.as_ref().ok());
        if let Err(error) = &decision {
            tracing::debug!(?action, code = error.code().as_str(), "refused");
            self.counts().unauthorized(action.kind(), error.code());
        }
        decision
    }

    /// Whether somebody may be here at all, whatever they want.
    pub(crate) async fn known(&self, request: &Parts) -> Result<Principal, ApiError> {
        let request = &*self.prepared(request);
        let refused = match self.authenticated(request).await {
            Ok(principal) => return Ok(principal),
            Err(refused) => refused,
        };
        match Credentials::of(request).and_then(|found| found.ticket.as_ref()) {
            Some(ticket) => ticket.holder(self).await.and_then(in_time),
            None => Err(refused),
        }
    }

    /// The same, as the authorizer alone has it.
    pub(crate) async fn authenticated(&self, request: &Parts) -> Result<Principal, ApiError> {
        let request = &*self.prepared(request);
        let decision = self.settings().authorizer.authenticate(request).await;
        let principal = decision.map_err(|refusal| refused(request, refusal))?;
        self.not_for_a_page_of_elsewhere(request)?;
        in_time(principal)
    }

    /// What the query allows; nothing if nothing like that stands there.
    async fn by_url(
        &self,
        request: &Parts,
        action: &Action,
    ) -> Option<Result<Principal, ApiError>> {
        let found = Credentials::of(request)?;
        match (action, &found.grant, &found.ticket) {
            (Action::Watch(task), Some(grant), None) => {
                let secrets = &self.settings().secrets;
                let checked = grant::check(secrets, grant, task, SystemTime::now());
                Some(checked.map_err(ApiError::from))
            }
            (_, _, Some(ticket)) => Some(ticket.check(self, action).await),
            (_, _, None) => None,
        }
    }
}

/// Whoever was allowed something, if their credentials have not ended by now.
fn in_time(principal: Principal) -> Result<Principal, ApiError> {
    match principal.expires_at {
        Some(end) if end <= SystemTime::now() => Err(ApiError::new(
            Code::CredentialExpired,
            "the credentials have ended",
        )),
        _ => Ok(principal),
    }
}

fn refused(request: &Parts, refusal: Refusal) -> ApiError {
    let error = ApiError::from(refusal);
    let found = Credentials::of(request);
    if error.code() == Code::Unauthenticated && found.is_some_and(|found| found.is_misplaced) {
        return error.solution(
            "A token in the query ends up in logs and does not count: send it as the header \
             Authorization, as a WebSocket's subprotocol or first message, or ask for a ticket",
        );
    }
    error
}
