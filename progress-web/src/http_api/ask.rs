//! Asking a task to stop, and forgetting one that has ended.

use std::borrow::Cow;

use bytes::Bytes;
use http::{Response, StatusCode, request::Parts};
use progress_core::TaskId;
use serde::Serialize;

use super::{
    answer,
    items::{field, object},
    json,
};
use crate::{auth::Action, body::RequestBody, error::ApiError, gateway::Gateway};

impl Gateway {
    /// Answers `POST /tasks/{task_id}/cancel`: whoever does the work is asked to stop, and decides.
    ///
    /// # Cancel safety
    ///
    /// With a transport, dropping the future leaves it open whether the task was asked.
    pub async fn cancel_task(
        &self,
        request: &Parts,
        task: &str,
        body: RequestBody,
    ) -> Response<Bytes> {
        answer(self.try_cancel(request, task, body).await)
    }

    /// Answers `DELETE /tasks/{task_id}`: a task that has ended is forgotten before its time.
    ///
    /// # Cancel safety
    ///
    /// With a transport, dropping the future leaves it open whether the task is forgotten.
    pub async fn delete_task(&self, request: &Parts, task: &str) -> Response<Bytes> {
        answer(self.try_delete(request, task).await)
    }

    async fn try_cancel(
        &self,
        request: &Parts,
        task: &str,
        body: RequestBody,
    ) -> Result<Response<Bytes>, ApiError> {
        #[derive(Serialize)]
        struct Asked {
            task_id: TaskId,
            cancel_requested: bool,
        }
        let id: TaskId = task.parse()?;
        self.allowed(request, Action::Cancel(id.clone())).await?;
        let body = self.read_body(request, body).await?;
        let fields = object(&body)?;
        let reason: Option<Cow<'_, str>> = field(&fields, "reason", "no text")?;
        self.tracker().cancel(&id, reason.as_deref()).await?;
        let asked = Asked {
            task_id: id,
            cancel_requested: true,
        };
        Ok(json(StatusCode::ACCEPTED, &asked))
    }

    async fn try_delete(&self, request: &Parts, task: &str) -> Result<Response<Bytes>, ApiError> {
        let id: TaskId = task.parse()?;
        self.allowed(request, Action::Manage).await?;
        self.tracker().remove(&id).await?;
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }
}
