//! Is the service well? How much is there of everything?

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header, request::Parts};
use serde::Serialize;

use super::{answer, json};
use crate::{auth::Action, error::ApiError, gateway::Gateway};

impl Gateway {
    /// Answers `GET /health`, which needs no permission: `ok`; `degraded` while other nodes cannot
    /// be reached, when this one's own tasks go on; `down`, with 503, while the tracker drains, when
    /// nothing new should be sent here.
    #[must_use]
    pub fn health(&self) -> Response<Bytes> {
        #[derive(Serialize)]
        struct Health {
            status: &'static str,
            transport: Transport,
            tasks: usize,
            sessions: usize,
        }
        #[derive(Serialize)]
        struct Transport {
            kind: &'static str,
            status: &'static str,
        }
        let tracker = self.tracker();
        let connected = tracker.is_connected();
        let (status, code) = match (tracker.is_draining(), connected) {
            (true, _) => ("down", StatusCode::SERVICE_UNAVAILABLE),
            (false, false) => ("degraded", StatusCode::OK),
            (false, true) => ("ok", StatusCode::OK),
        };
        let body = Health {
            status,
            transport: Transport {
                kind: tracker.transport_kind().unwrap_or("none"),
                status: if connected { "ok" } else { "down" },
            },
            tasks: tracker.stats().tasks,
            sessions: self.sessions(),
        };
        let mut response = json(code, &body);
        if code == StatusCode::SERVICE_UNAVAILABLE {
            let wait = HeaderValue::from_static("5");
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        response
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
