//! The list of tasks.

use bytes::Bytes;
use http::{Response, StatusCode, request::Parts};
use progress_core::Snapshot;
use serde::Serialize;

use super::{answer, json};
use crate::{auth::Action, error::ApiError, gateway::Gateway, query::Query};

impl Gateway {
    /// Answers `GET /tasks`: the newest first, filtered, a page at a time.
    ///
    /// # Cancel safety
    ///
    /// It only reads.
    pub async fn tasks(&self, request: &Parts) -> Response<Bytes> {
        answer(self.try_tasks(request).await)
    }

    async fn try_tasks(&self, request: &Parts) -> Result<Response<Bytes>, ApiError> {
        #[derive(Serialize)]
        struct Tasks {
            tasks: Vec<Snapshot>,
            #[serde(skip_serializing_if = "Option::is_none")]
            next: Option<String>,
        }
        // First, for the parent's id is judged whoever asks.
        let filter = Query::of(&request.uri).filter()?;
        self.allowed(request, Action::List).await?;
        let page = self.tracker().tasks(filter).await?;
        let body = Tasks {
            tasks: page.tasks,
            next: page.next.map(|cursor| cursor.to_string()),
        };
        Ok(json(StatusCode::OK, &body))
    }
}
