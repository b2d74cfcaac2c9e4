//! The gateway: a tracker, made fit for the network.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Response, StatusCode, request::Parts};
use progress_core::{
    OnLag, ProgressTracker, Replay, Resume, SubscribeError, SubscribeOptions, Subscription, TaskId,
};
use serde::Serialize;

use crate::{
    auth::{Action, Authorizer, Open},
    error::{ApiError, Code},
    http_api::HttpSettings,
    metrics::{Counted, Metrics},
    query::{From, Query, starts},
    session::{Pace, Session, Shape, Topic},
    sse::{EventStream, event_stream_response},
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
    sessions: Arc<AtomicUsize>,
    max_sessions: usize,
    http: HttpSettings,
    counts: Arc<Metrics>,
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

    /// Sets how many tasks one event stream can watch (default 64).
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

    /// Makes the gateway.
    #[must_use]
    pub fn build(self) -> Gateway {
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
                sessions: Arc::default(),
                max_sessions: self.sessions,
                http: self.http,
                counts: Arc::new(Metrics::new()),
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
            },
            prefix: String::new(),
            topics: 64,
            lag: 64,
            message: 16 * 1024,
            body: 8 * 1024 * 1024,
            stuck_after: Duration::from_secs(30),
            sessions: 10_000,
            http: HttpSettings::default(),
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
        self.shared.sessions.load(Ordering::Relaxed)
    }

    /// Returns the largest message that a WebSocket takes, in bytes.
    #[must_use]
    pub fn largest_message(&self) -> usize {
        self.shared.message
    }

    /// Returns the largest body that a request may have, in bytes.
    pub(crate) fn largest_body(&self) -> usize {
        self.shared.body
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

    /// Opens `GET /ws/progress/{task_id}`. There is always a session: what is wrong with the
    /// request comes as `rejected` and a close code, for a browser cannot see the status of a
    /// refused upgrade.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future opens nothing.
    pub async fn web_socket(&self, request: &Parts, task: &str) -> Session {
        let watched = match self.watch_one(request, task).await {
            Ok(watched) => self
                .session_permit(Shape::Socket.kind())
                .map(|permit| (watched, permit)),
            Err(error) => Err(error),
        };
        let (after, subscription, permit) = match watched {
            Ok(((after, subscription), permit)) => (after, Ok(subscription), Some(permit)),
            Err(error) => (None, Err(error), None),
        };
        let topic = Topic {
            name: task.to_owned(),
            after,
            subscription,
        };
        self.session(Shape::Socket, vec![topic], permit)
    }

    /// Opens `GET /sse/progress/{task_id}`.
    ///
    /// # Errors
    ///
    /// The answer to give instead: an error, or 204 if the client already has all there is.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future opens nothing.
    pub async fn event_stream(
        &self,
        request: &Parts,
        task: &str,
    ) -> Result<Response<EventStream>, Response<Bytes>> {
        let opened = async {
            let id = self.allowed_to_watch(request, task).await?;
            let query = Query::of(&request.uri);
            let start = starts(&request.headers, query, 1)?[0];
            let topic = self.topic(&id, start, query.replay()?).await?;
            if has_all(start, &topic) {
                return Ok(None);
            }
            Ok::<_, ApiError>(Some((topic, self.session_permit(Shape::Stream.kind())?)))
        };
        let session = opened.await.map(|opened| {
            opened.map(|(topic, permit)| self.session(Shape::Stream, vec![topic], Some(permit)))
        });
        self.streamed(request, "/sse/progress/{task_id}", session)
            .map_err(|instead| *instead)
    }

    /// Opens `GET /sse?ids=a,b,c`.
    ///
    /// # Errors
    ///
    /// The answer to give instead: an error, or 204 if the client already has all there is.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future opens nothing.
    pub async fn event_streams(
        &self,
        request: &Parts,
    ) -> Result<Response<EventStream>, Response<Bytes>> {
        let session = self.open_streams(request).await;
        self.streamed(request, "/sse", session)
            .map_err(|instead| *instead)
    }

    /// The answer that an event stream begins with, or that is given instead.
    fn streamed(
        &self,
        request: &Parts,
        route: &'static str,
        session: Result<Option<Session>, ApiError>,
    ) -> Result<Response<EventStream>, Box<Response<Bytes>>> {
        let response = match session {
            Ok(Some(session)) => Ok(event_stream_response(session)),
            Ok(None) => Err(Box::new(no_content())),
            Err(error) => Err(Box::new(error.to_response())),
        };
        let status = match &response {
            Ok(stream) => stream.status(),
            Err(instead) => instead.status(),
        };
        self.counts().answered(route, &request.method, status);
        response
    }

    async fn open_streams(&self, request: &Parts) -> Result<Option<Session>, ApiError> {
        let query = Query::of(&request.uri);
        let ids = query.ids(self.shared.topics)?;
        let starts = starts(&request.headers, query, ids.len())?;
        let replay = query.replay()?;
        let mut all_at_end = true;
        let mut topics = Vec::with_capacity(ids.len());
        for (name, start) in ids.into_iter().zip(starts) {
            let topic = match self.allowed_to_watch(request, &name).await {
                Ok(id) => self.topic(&id, start, replay).await,
                Err(error) => Err(error),
            };
            let topic = topic.unwrap_or_else(|error| Topic {
                name,
                after: None,
                subscription: Err(error),
            });
            all_at_end &= has_all(start, &topic);
            topics.push(topic);
        }
        if all_at_end {
            return Ok(None);
        }
        let permit = self.session_permit(Shape::Streams.kind())?;
        Ok(Some(self.session(Shape::Streams, topics, Some(permit))))
    }

    async fn topic(&self, id: &TaskId, start: From, replay: Replay) -> Result<Topic, ApiError> {
        let after = match start {
            From::After(position) => Some(position),
            // Refused before, among others that stand: it may be otherwise by now.
            From::Fresh | From::End => None,
        };
        let options = self.session_options().replay(replay).after(after);
        Ok(Topic {
            name: id.as_str().to_owned(),
            after,
            subscription: Ok(self.subscribe(id.clone(), options).await?),
        })
    }

    async fn watch_one(
        &self,
        request: &Parts,
        task: &str,
    ) -> Result<(Option<progress_core::Position>, Subscription), ApiError> {
        let id = self.allowed_to_watch(request, task).await?;
        let query = Query::of(&request.uri);
        let after = query.after()?;
        let options = self.session_options().replay(query.replay()?).after(after);
        Ok((after, self.subscribe(id, options).await?))
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
        match self.shared.authorizer.authorize(request, &action).await {
            Ok(_principal) => Ok(()),
            Err(refusal) => {
                tracing::debug!(?action, %refusal, "refused");
                Err(refusal.into())
            }
        }
    }

    fn session(&self, shape: Shape, topics: Vec<Topic>, permit: Option<SessionPermit>) -> Session {
        let shared = &self.shared;
        let place = SessionPlace {
            kind: shape.kind(),
            counts: Arc::clone(&shared.counts),
            _permit: permit,
        };
        Session::new(shape, shared.pace, Arc::clone(&shared.node), topics, place)
    }

    fn session_options(&self) -> SubscribeOptions {
        SubscribeOptions::new()
            .buffer(self.shared.lag)
            .on_lag(OnLag::Conflate)
    }

    /// A place for a poll that is held: it is a connection like others.
    pub(crate) fn poll_permit(&self) -> Result<SessionPermit, ApiError> {
        self.session_permit("poll")
    }

    fn session_permit(&self, kind: &'static str) -> Result<SessionPermit, ApiError> {
        let shared = &self.shared;
        if shared.sessions.fetch_add(1, Ordering::Relaxed) >= shared.max_sessions {
            shared.sessions.fetch_sub(1, Ordering::Relaxed);
            return Err(ApiError::new(
                Code::ConnectionLimit,
                format!("too many connections, the limit is {}", shared.max_sessions),
            )
            .retry_after(Duration::from_secs(5)));
        }
        Ok(SessionPermit {
            sessions: Arc::clone(&shared.sessions),
            _counted: shared.counts.session(kind),
        })
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

/// A place among the connections, given back on drop.
#[derive(Debug)]
pub(crate) struct SessionPermit {
    sessions: Arc<AtomicUsize>,
    _counted: Counted,
}

impl Drop for SessionPermit {
    fn drop(&mut self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A session's place among the connections, if it was given one, and where its close is counted.
#[derive(Debug)]
pub(crate) struct SessionPlace {
    kind: &'static str,
    counts: Arc<Metrics>,
    _permit: Option<SessionPermit>,
}

impl SessionPlace {
    pub(crate) fn closed(&self, code: u16) {
        self.counts.closed(self.kind, code);
    }
}

/// Whether nothing is to come on a topic for a client that begins there.
fn has_all(start: From, topic: &Topic) -> bool {
    let ended = topic
        .subscription
        .as_ref()
        .is_ok_and(|subscription| subscription.resume() == Some(Resume::Ended));
    start == From::End || ended
}

fn no_content() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// As good as for ever, and a clock can still count to it.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
