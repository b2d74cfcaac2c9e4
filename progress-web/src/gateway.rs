//! The gateway: a tracker, made fit for the network.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use http::request::Parts;
use progress_core::{ProgressTracker, SubscribeError, SubscribeOptions, Subscription, TaskId};
use serde::Serialize;

use crate::{
    auth::Tickets,
    body::RequestBody,
    builder::{GatewayBuilder, Settings},
    clients::{Clients, Place, Seat},
    encoders::Formats,
    error::ApiError,
    http_api::HttpSettings,
    limits::{self, Held, Limits},
    metrics::Metrics,
    msgpack::Transcoder,
    session::Pace,
};

/// A tracker, made fit for the network: who may watch what, how many, at what pace.
///
/// A cheap clone. Adapters hand requests to [`respond`](Self::respond) and pass on the answers. It
/// dispatches to the other methods, each of which is one route of the protocol.
///
/// **Only `respond` holds requests to the limits** of their client's rate and of their head, to the
/// [names](GatewayBuilder::host) of the server, and WebSockets to their
/// [`Origin`](GatewayBuilder::origin). Who calls the method of a route does that before.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
}

struct Shared {
    tracker: ProgressTracker,
    settings: Settings,
    node: Arc<str>,
    clients: Arc<Clients>,
    tickets: Tickets,
    limits: Limits,
    counts: Arc<Metrics>,
    transcoder: Arc<Transcoder>,
}

/// Where a task can be watched: the URLs that a service answers with when it starts one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct TaskUrls {
    /// The task.
    pub task_id: TaskId,
    /// Its WebSocket.
    pub websocket_url: String,
    /// Its event stream.
    pub sse_url: String,
    /// Its snapshot.
    pub polling_url: String,
}

impl Gateway {
    /// Makes a gateway with the defaults of [`GatewayBuilder`].
    #[must_use]
    pub fn new(tracker: ProgressTracker) -> Self {
        Self::builder(tracker).build()
    }

    /// Sets authorizer, limits and pace before making a gateway.
    pub fn builder(tracker: ProgressTracker) -> GatewayBuilder {
        GatewayBuilder::new(tracker)
    }

    pub(crate) fn assemble(tracker: ProgressTracker, settings: Settings) -> Self {
        let clients = Clients::new(settings.limits.connections(settings.sessions));
        let tickets = Tickets::new(settings.tickets);
        Self {
            shared: Arc::new(Shared {
                node: Arc::from(tracker.node()),
                tracker,
                limits: Limits::new(&settings.limits, settings.body),
                settings,
                clients: Arc::new(clients),
                tickets,
                counts: Arc::new(Metrics::new()),
                transcoder: Arc::default(),
            }),
        }
    }

    /// Returns the tracker.
    #[must_use]
    pub fn tracker(&self) -> &ProgressTracker {
        &self.shared.tracker
    }

    /// Returns how many connections are open.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.shared.clients.len()
    }

    /// Returns the largest message that a WebSocket takes, in bytes.
    #[must_use]
    pub fn largest_message(&self) -> usize {
        self.shared.settings.message
    }

    /// Reads a request's body: after the authorizer was asked, unless what to ask it stands there.
    pub(crate) async fn read_body(
        &self,
        request: &Parts,
        body: RequestBody,
    ) -> Result<Held<'_>, ApiError> {
        self.read_body_to(usize::MAX, request, body).await
    }

    /// The same, of a body that is no larger than this: of a route that nobody has been allowed yet.
    pub(crate) async fn read_body_to(
        &self,
        largest: usize,
        request: &Parts,
        body: RequestBody,
    ) -> Result<Held<'_>, ApiError> {
        let (room, counts) = (self.limits().room(), self.counts());
        limits::read_body(request, body, largest, room, self.settings(), counts).await
    }

    /// Returns how long a WebSocket may accept no byte.
    #[must_use]
    pub fn stuck_after(&self) -> Duration {
        self.shared.settings.stuck_after
    }

    /// Returns where a task can be watched: root-relative, or under the
    /// [base URL](GatewayBuilder::base_url); with the prefix.
    #[must_use]
    pub fn urls(&self, task: &TaskId) -> TaskUrls {
        let prefix = &self.shared.settings.prefix;
        let base = self.shared.settings.http.base_url.as_ref();
        let (http, socket) = base.map_or(("", ""), |base| (base.http(), base.socket()));
        TaskUrls {
            task_id: task.clone(),
            websocket_url: format!("{socket}{prefix}/ws/progress/{task}"),
            sse_url: format!("{http}{prefix}/sse/progress/{task}"),
            polling_url: format!("{http}{prefix}/tasks/{task}"),
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    pub(crate) fn tickets(&self) -> &Tickets {
        &self.shared.tickets
    }

    /// Where the routes are, if that is not at the root of wherever they are asked at.
    pub(crate) fn root(&self) -> Option<String> {
        let base = self.shared.settings.http.base_url.as_ref();
        let prefix = &self.shared.settings.prefix;
        match base {
            Some(base) => Some(format!("{}{prefix}", base.http())),
            None => Some(prefix.clone()).filter(|prefix| !prefix.is_empty()),
        }
    }

    pub(crate) fn http(&self) -> &HttpSettings {
        &self.shared.settings.http
    }

    pub(crate) fn counts(&self) -> &Arc<Metrics> {
        &self.shared.counts
    }

    /// A subscription that knows its verdict.
    pub(crate) async fn subscribe(
        &self,
        id: TaskId,
        options: SubscribeOptions,
    ) -> Result<Subscription, ApiError> {
        let mut subscription = self.tracker().subscribe_with(id, options);
        verdict(&mut subscription).await?;
        Ok(subscription)
    }

    /// Takes a place among the connections, on behalf of a request's client.
    pub(crate) fn seat(&self, kind: &'static str, request: &Parts) -> Result<Seat, ApiError> {
        let key = self.client(request).key;
        self.shared.clients.seat(kind, key, &self.shared.counts)
    }

    /// A place for a poll that is held: it is a connection like others, but nobody to talk to.
    pub(crate) fn poll_permit(&self, request: &Parts) -> Result<Place, ApiError> {
        let key = self.client(request).key;
        self.shared.clients.place("poll", key, &self.shared.counts)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    pub(crate) fn has_aliases(&self) -> bool {
        self.shared.settings.aliases
    }

    pub(crate) fn has_dashboard(&self) -> bool {
        self.shared.settings.dashboard
    }

    pub(crate) fn formats(&self) -> &Formats {
        &self.shared.settings.formats
    }

    pub(crate) fn transcoder(&self) -> &Arc<Transcoder> {
        &self.shared.transcoder
    }

    pub(crate) fn registry(&self) -> &Arc<Clients> {
        &self.shared.clients
    }

    pub(crate) fn pace(&self) -> Pace {
        self.shared.settings.pace
    }

    pub(crate) fn node(&self) -> Arc<str> {
        Arc::clone(&self.shared.node)
    }

    /// How far a connection may be behind before it conflates.
    pub(crate) fn lag(&self) -> usize {
        self.shared.settings.lag
    }

    /// How many topics one event stream can have.
    pub(crate) fn most_topics(&self) -> usize {
        self.shared.settings.topics
    }

    /// A handle that does not keep the tracker: sessions end with it, not it with them.
    pub(crate) fn downgrade(&self) -> WeakGateway {
        WeakGateway(Arc::downgrade(&self.shared))
    }
}

/// Waits until it is known what there is of a task.
pub(crate) async fn verdict(subscription: &mut Subscription) -> Result<(), ApiError> {
    match subscription.ready().await {
        // Whatever else is refused, the session says.
        Err(error @ SubscribeError::Unavailable) => Err(error.into()),
        _ => Ok(()),
    }
}

/// See [`Gateway::downgrade`].
#[derive(Clone)]
pub(crate) struct WeakGateway(Weak<Shared>);

impl WeakGateway {
    pub(crate) fn upgrade(&self) -> Option<Gateway> {
        let shared = self.0.upgrade()?;
        Some(Gateway { shared })
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("tracker", self.tracker())
            .field("authorizer", &self.shared.settings.authorizer)
            .field("sessions", &self.sessions())
            .finish_non_exhaustive()
    }
}
