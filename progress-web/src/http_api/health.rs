//! Is the service well? How much is there of everything?

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header, request::Parts};
use progress_core::{
    ProgressTracker, Timestamp, TrackerStats,
    transport::{ConnectionHealth, TransportHealth},
};
use serde::Serialize;

use super::{answer, json};
use crate::{auth::Action, error::ApiError, gateway::Gateway};

impl Gateway {
    /// Answers `GET /health`, which needs no permission: `ok`; `degraded` while other nodes cannot
    /// be reached, or what they publish does not come, when this one's own tasks go on; `down`, with 503,
    /// while it [drains](Self::is_draining), when nothing new should be sent here.
    #[must_use]
    pub fn health(&self) -> Response<Bytes> {
        #[derive(Serialize)]
        struct Health {
            status: &'static str,
            transport: TransportBody,
            tasks: usize,
            sessions: usize,
        }
        let tracker = self.tracker();
        // A node that nobody has used yet would seem cut off for ever.
        tracker.connect();
        let stats = tracker.stats();
        let mut transport = TransportBody::of(tracker, &stats);
        if self.http().terse_health {
            transport.forget_error();
        }
        let (status, code) = match (self.is_draining(), transport.status) {
            (true, _) => ("down", StatusCode::SERVICE_UNAVAILABLE),
            (false, "ok") => ("ok", StatusCode::OK),
            (false, _) => ("degraded", StatusCode::OK),
        };
        let body = Health {
            status,
            transport,
            tasks: stats.tasks,
            sessions: self.sessions(),
        };
        told(code, &body)
    }

    /// Answers `GET /health/live`, which needs no permission: 200 as long as the process answers at
    /// all. Who restarts it for want of an answer asks here, for a restart mends neither a broker that
    /// is away nor a drain.
    #[must_use]
    pub fn health_live(&self) -> Response<Bytes> {
        told(StatusCode::OK, &Standing { status: "ok" })
    }

    /// Answers `GET /health/ready`, which needs no permission: whether new connections should be sent
    /// here. `ok`; `degraded`, also with 200, while the broker is away, for it is away for all nodes
    /// alike, and to send nobody anywhere would take from watchers what each node still can tell them;
    /// `down`, with 503, from when [`drain`](Self::drain) is called or the tracker drains.
    #[must_use]
    pub fn health_ready(&self) -> Response<Bytes> {
        let tracker = self.tracker();
        tracker.connect();
        let is_up = || {
            let health = tracker.transport_health();
            tracker.is_connected() && health.as_ref().is_none_or(TransportHealth::is_up)
        };
        let (code, status) = if self.is_draining() {
            (StatusCode::SERVICE_UNAVAILABLE, "down")
        } else if is_up() {
            (StatusCode::OK, "ok")
        } else {
            (StatusCode::OK, "degraded")
        };
        told(code, &Standing { status })
    }

    /// Answers `GET /metrics` in Prometheus' text format; it takes [`Action::Manage`].
    ///
    /// # Cancel safety
    ///
    /// It only reads.
    pub async fn metrics(&self, request: &Parts) -> Response<Bytes> {
        answer(self.try_metrics(request).await)
    }

    async fn try_metrics(&self, request: &Parts) -> Result<Response<Bytes>, ApiError> {
        self.allowed(request, Action::Manage).await?;
        let text = self.counts().render(self.tracker());
        let mut response = Response::new(Bytes::from(text));
        let headers = response.headers_mut();
        let media = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, media);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

/// How it stands, and no more.
#[derive(Serialize)]
struct Standing {
    status: &'static str,
}

fn told(code: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    let mut response = json(code, body);
    if code == StatusCode::SERVICE_UNAVAILABLE {
        let wait = HeaderValue::from_static("5");
        response.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    response
}

/// What is told of the way to the other nodes.
#[derive(Serialize)]
struct TransportBody {
    kind: &'static str,
    status: &'static str,
    #[serde(flatten)]
    connections: Option<Connections>,
    /// None if there are no other nodes.
    #[serde(flatten)]
    counts: Option<Counts>,
}

#[derive(Serialize)]
struct Connections {
    publisher: Connection,
    subscriber: Connection,
    #[serde(skip_serializing_if = "Option::is_none")]
    probe: Option<ProbeBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<LastErrorBody>,
    reconnects: u64,
    dropped: u64,
    malformed: u64,
}

#[derive(Serialize)]
struct Connection {
    state: &'static str,
    since: Timestamp,
}

#[derive(Serialize)]
struct ProbeBody {
    age_ms: f64,
    round_trip_ms: f64,
}

#[derive(Serialize)]
struct LastErrorBody {
    message: String,
    timestamp: Timestamp,
}

#[derive(Serialize)]
struct Counts {
    outbox_tasks: usize,
    outbox_events: usize,
    holes: u64,
    gaps: u64,
    resyncs: u64,
    resends: u64,
    superseded: u64,
}

impl TransportBody {
    fn of(tracker: &ProgressTracker, stats: &TrackerStats) -> Self {
        let kind = tracker.transport_kind();
        let health = tracker.transport_health();
        let is_up = health.as_ref().is_none_or(TransportHealth::is_up);
        Self {
            kind: kind.unwrap_or("none"),
            status: match (tracker.is_connected(), is_up) {
                (false, _) => "down",
                (true, false) => "stale",
                (true, true) => "ok",
            },
            connections: health.map(Connections::of),
            counts: kind.map(|_| Counts {
                outbox_tasks: stats.outbox_tasks,
                outbox_events: stats.outbox_events,
                holes: stats.holes,
                gaps: stats.gaps,
                resyncs: stats.resyncs,
                resends: stats.resends,
                superseded: stats.superseded,
            }),
        }
    }

    /// Tells when something went wrong last, and not what.
    fn forget_error(&mut self) {
        let connections = self.connections.as_mut();
        if let Some(last) = connections.and_then(|connections| connections.last_error.as_mut()) {
            last.message = "the service does not tell this here".to_owned();
        }
    }
}

impl Connections {
    fn of(health: TransportHealth) -> Self {
        let connection = |connection: ConnectionHealth| Connection {
            state: connection.state.as_str(),
            since: connection.since,
        };
        Self {
            publisher: connection(health.publisher),
            subscriber: connection(health.subscriber),
            probe: health.probe.map(|probe| ProbeBody {
                age_ms: millis(probe.age),
                round_trip_ms: millis(probe.round_trip),
            }),
            last_error: health.last_error.map(|last| LastErrorBody {
                message: last.error.to_string(),
                timestamp: last.timestamp,
            }),
            reconnects: health.reconnects,
            dropped: health.dropped,
            malformed: health.malformed,
        }
    }
}

/// To the microsecond.
fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1_000.0
}
