//! Is the service well?

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;

use super::json;
use crate::gateway::Gateway;

impl Gateway {
    /// Answers `GET /health`, which needs no permission.
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
        // One process has no broker that could be away.
        let body = Health {
            status: "ok",
            transport: Transport {
                kind: "none",
                status: "ok",
            },
            tasks: self.tracker().stats().tasks,
            sessions: self.sessions(),
        };
        json(StatusCode::OK, &body)
    }
}
