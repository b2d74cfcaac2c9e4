//! The gateway: a tracker, made fit for the network.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use http::request::Parts;
use progress_core::{ProgressTracker, SubscribeError, SubscribeOptions, Subscription, TaskId};
use serde::Serialize;
use tokio::runtime::Handle;

use crate::{
    auth::{Action, Authorizer, Open, Principal},
    body::RequestBody,
    clients::{Clients, Place, Seat},
    encoders::{Formats, FrameEncoder, presets},
    error::ApiError,
    http_api::HttpSettings,
    metrics::Metrics,
    msgpack::Transcoder,
    session::{MessageRate, Pace},
};

/// A tracker, made fit for the network: who may watch what, how many, at what pace.
///
/// A cheap clone. Adapters hand requests to [`respond`](Self::respond) and pass on the answers. It
/// dispatches to the other methods, each of which is one route of the protocol.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
}

struct Shared {
    tracker: ProgressTracker,
    authorizer: Arc<dyn Authorizer>,
    pace: Pace,
    node: Arc<str>,
    prefix: String,
    topics: usize,
    lag: usize,
    message: usize,
    body: usize,
    stuck_after: Duration,
    clients: Arc<Clients>,
    http: HttpSettings,
    counts: Arc<Metrics>,
    transcoder: Arc<Transcoder>,
    formats: Formats,
    aliases: bool,
}

/// Settings of a [`Gateway`].
#[derive(Debug)]
#[must_use = "nothing is made until build()"]
pub struct GatewayBuilder {
    tracker: ProgressTracker,
    authorizer: Arc<dyn Authorizer>,
    pace: Pace,
    prefix: String,
    topics: usize,
    lag: usize,
    message: usize,
    body: usize,
    stuck_after: Duration,
    sessions: usize,
    pub(crate) http: HttpSettings,
    formats: Formats,
    aliases: bool,
}

impl GatewayBuilder {
    /// Sets who may do what (default [`Open::new`]).
    pub fn authorizer(mut self, authorizer: impl Authorizer) -> Self {
        self.authorizer = Arc::new(authorizer);
        self
    }

    /// Sets how often a connection gets a heartbeat frame, and a WebSocket a ping (default 30 s,
    /// at least 1 ms).
    pub fn heartbeat(mut self, every: Duration) -> Self {
        self.pace.heartbeat = every.clamp(Duration::from_millis(1), LONGEST);
        self
    }

    /// Sets how long a WebSocket may show no sign of life before it is closed with 4012 (default
    /// 60 s).
    pub fn dead_after(mut self, silence: Duration) -> Self {
        self.pace.dead_after = silence.min(LONGEST);
        self
    }

    /// Sets how long a task that does not exist is waited for (default 10 s).
    pub fn unknown_wait(mut self, wait: Duration) -> Self {
        self.pace.unknown_wait = wait.min(LONGEST);
        self
    }

    /// Sets the path that the routes are nested under (default none), such as `/api`: it stands
    /// before the paths of [`Gateway::urls`].
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets for how long after a flush a busy connection gathers what it sends next (default 5 ms;
    /// nothing for never): the most that a frame can be late by it. An idle connection sends at
    /// once.
    pub fn linger(mut self, moment: Duration) -> Self {
        self.pace.linger = moment.min(LONGEST);
        self
    }

    /// Sets how many messages a WebSocket's client may send at once, and then per minute (default
    /// 200, then 100; each at least 1). One more closes the connection with 4029.
    pub fn message_rate(mut self, burst: u32, per_minute: u32) -> Self {
        self.pace.rate = MessageRate { burst, per_minute };
        self
    }

    /// Sets how many topics one command of a WebSocket's client can name (default 100).
    pub fn topics_per_command(mut self, topics: usize) -> Self {
        self.pace.command_topics = topics;
        self
    }

    /// Sets how many topics one WebSocket can watch at a time (default 1 000).
    pub fn topics_per_session(mut self, topics: usize) -> Self {
        self.pace.session_topics = topics;
        self
    }

    /// Sets how many tasks and channels one event stream can watch (default 64).
    pub fn topics(mut self, topics: usize) -> Self {
        self.topics = topics;
        self
    }

    /// Sets how many events a connection may be behind its task before it skips State that has
    /// been superseded (default 64).
    pub fn lag(mut self, events: usize) -> Self {
        self.lag = events;
        self
    }

    /// Sets the largest message that a WebSocket takes, in bytes (default 16 KiB).
    pub fn message(mut self, bytes: usize) -> Self {
        self.message = bytes;
        self
    }

    /// Sets the largest body that a request may have, in bytes (default 8 MiB): a larger one is
    /// answered 413.
    pub fn body(mut self, bytes: usize) -> Self {
        self.body = bytes;
        self
    }

    /// Sets how long a WebSocket may accept no byte before it is given up with 4008 (default
    /// 30 s), and how long a request's body may take before it is answered 408; as long again for
    /// each further 64 KiB.
    pub fn stuck_after(mut self, patience: Duration) -> Self {
        self.stuck_after = patience.min(LONGEST);
        self
    }

    /// Sets how many connections there can be at a time (default 10 000).
    pub fn sessions(mut self, sessions: usize) -> Self {
        self.sessions = sessions;
        self
    }

    /// Adds a shape that clients can ask for with `?format=name`: see [`encoders`](crate::encoders).
    /// `progress.v1` is the protocol's own and stays it.
    pub fn format(mut self, name: impl Into<String>, encoder: impl FrameEncoder) -> Self {
        self.formats.insert(name.into(), encoder);
        self
    }

    /// Adds the [`presets`], each under its name unless there is a format of that name.
    pub fn presets(mut self) -> Self {
        presets::insert_all(&mut self.formats);
        self
    }

    /// Sets the format of connections that ask for none (default: the protocol's own,
    /// `progress.v1`). Whoever asks for a subprotocol of the protocol gets that. With a name that
    /// no format has, connections that ask for none are refused as if they had asked for it.
    pub fn default_format(mut self, name: impl Into<String>) -> Self {
        self.formats.set_default(name.into());
        self
    }

    /// Has the routes answer on paths of other systems too (default no), for clients that are to
    /// stay as they are:
    ///
    /// | Path | A WebSocket | Else |
    /// | --- | --- | --- |
    /// | `/ws/progress/{task_id}/latest` | the task from its newest event on | its snapshot |
    /// | `/ws/progress/{task_id}/history` | the task from its beginning | its history |
    /// | `/ws/active-tasks` | | the tasks that have not ended |
    /// | `/api/v1/projects/{task_id}/progress` | the task, as [`EventData`] | its snapshot |
    ///
    /// [`EventData`]: crate::encoders::presets::EventData
    pub fn aliases(mut self) -> Self {
        self.aliases = true;
        let (name, preset) = (presets::EventData::NAME, presets::EventData::default());
        self.formats.insert_preset(name, preset);
        self
    }

    /// Makes the gateway. Within a tokio runtime its tracker joins the other nodes now, and not when somebody
    /// first asks for a task: a node that nobody watches ends the tasks of dead ones all the same.
    #[must_use]
    pub fn build(self) -> Gateway {
        if Handle::try_current().is_ok() {
            self.tracker.connect();
        }
        Gateway {
            shared: Arc::new(Shared {
                node: Arc::from(self.tracker.node()),
                tracker: self.tracker,
                authorizer: self.authorizer,
                pace: self.pace,
                prefix: self.prefix,
                topics: self.topics,
                lag: self.lag,
                message: self.message,
                body: self.body,
                stuck_after: self.stuck_after,
                clients: Arc::new(Clients::new(self.sessions)),
                http: self.http,
                counts: Arc::new(Metrics::new()),
                transcoder: Arc::default(),
                formats: self.formats,
                aliases: self.aliases,
            }),
        }
    }
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
        GatewayBuilder {
            tracker,
            authorizer: Arc::new(Open::new()),
            pace: Pace {
                heartbeat: Duration::from_secs(30),
                dead_after: Duration::from_secs(60),
                unknown_wait: Duration::from_secs(10),
                linger: Duration::from_millis(5),
                rate: MessageRate {
                    burst: 200,
                    per_minute: 100,
                },
                command_topics: 100,
                session_topics: 1_000,
            },
            prefix: String::new(),
            topics: 64,
            lag: 64,
            message: 16 * 1024,
            body: 8 * 1024 * 1024,
            stuck_after: Duration::from_secs(30),
            sessions: 10_000,
            http: HttpSettings::default(),
            formats: Formats::default(),
            aliases: false,
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
        self.shared.message
    }

    /// Reads a request's body: after the authorizer was asked, unless what to ask it stands there.
    pub(crate) async fn read_body(
        &self,
        request: &Parts,
        body: RequestBody,
    ) -> Result<Bytes, ApiError> {
        let (largest, patience) = (self.shared.body, self.shared.stuck_after);
        body.read(&request.headers, largest, patience).await
    }

    /// Returns how long a WebSocket may accept no byte.
    #[must_use]
    pub fn stuck_after(&self) -> Duration {
        self.shared.stuck_after
    }

    /// Returns where a task can be watched: root-relative, or under the
    /// [base URL](GatewayBuilder::base_url); with the prefix.
    #[must_use]
    pub fn urls(&self, task: &TaskId) -> TaskUrls {
        let prefix = &self.shared.prefix;
        let base = self.shared.http.base_url.as_ref();
        let (http, socket) = base.map_or(("", ""), |base| (base.http(), base.socket()));
        TaskUrls {
            task_id: task.clone(),
            websocket_url: format!("{socket}{prefix}/ws/progress/{task}"),
            sse_url: format!("{http}{prefix}/sse/progress/{task}"),
            polling_url: format!("{http}{prefix}/tasks/{task}"),
        }
    }

    pub(crate) fn http(&self) -> &HttpSettings {
        &self.shared.http
    }

    pub(crate) fn counts(&self) -> &Metrics {
        &self.shared.counts
    }

    /// A subscription that knows its verdict.
    pub(crate) async fn subscribe(
        &self,
        id: TaskId,
        options: SubscribeOptions,
    ) -> Result<Subscription, ApiError> {
        let mut subscription = self.tracker().subscribe_with(id, options);
        match subscription.ready().await {
            // Whatever else is refused, the session says.
            Err(error @ SubscribeError::Unavailable) => Err(error.into()),
            _ => Ok(subscription),
        }
    }

    /// Ids are checked first, whoever asks; then the authorizer decides.
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
        self.permitted(request, action).await.map(drop)
    }

    /// Asks the authorizer; tells who it is.
    pub(crate) async fn permitted(
        &self,
        request: &Parts,
        action: Action,
    ) -> Result<Principal, ApiError> {
        match self.shared.authorizer.authorize(request, &action).await {
            Ok(principal) => Ok(principal),
            Err(refusal) => {
                tracing::debug!(?action, %refusal, "refused");
                Err(refusal.into())
            }
        }
    }

    /// Takes a place among the connections.
    pub(crate) fn seat(&self, kind: &'static str) -> Result<Seat, ApiError> {
        self.shared.clients.seat(kind, &self.shared.counts)
    }

    /// A place for a poll that is held: it is a connection like others, but nobody to talk to.
    pub(crate) fn poll_permit(&self) -> Result<Place, ApiError> {
        self.shared.clients.place("poll", &self.shared.counts)
    }

    pub(crate) fn has_aliases(&self) -> bool {
        self.shared.aliases
    }

    pub(crate) fn formats(&self) -> &Formats {
        &self.shared.formats
    }

    pub(crate) fn transcoder(&self) -> &Arc<Transcoder> {
        &self.shared.transcoder
    }

    pub(crate) fn registry(&self) -> &Arc<Clients> {
        &self.shared.clients
    }

    pub(crate) fn pace(&self) -> Pace {
        self.shared.pace
    }

    pub(crate) fn node(&self) -> Arc<str> {
        Arc::clone(&self.shared.node)
    }

    /// How far a connection may be behind before it conflates.
    pub(crate) fn lag(&self) -> usize {
        self.shared.lag
    }

    /// How many topics one event stream can have.
    pub(crate) fn most_topics(&self) -> usize {
        self.shared.topics
    }

    /// A handle that does not keep the tracker: sessions end with it, not it with them.
    pub(crate) fn downgrade(&self) -> WeakGateway {
        WeakGateway(Arc::downgrade(&self.shared))
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
            .field("authorizer", &self.shared.authorizer)
            .field("sessions", &self.sessions())
            .finish_non_exhaustive()
    }
}

/// As good as for ever, and a clock can still count to it.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
