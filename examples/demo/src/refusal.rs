//! Why a request that brings files was not taken, as the error object of the family.

use std::time::Duration;

use axum::{
    Json,
    extract::multipart::{MultipartError, MultipartRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use progress_core::{StartError, TaskError};
use serde_json::Value;

use crate::batch::upload_aborted;

/// Why a request was not taken: a status, and the error object that the answer and the watchers get.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    error: TaskError,
}

impl Refusal {
    /// Makes a refusal; one of the server's own making, or a timeout, may be tried again.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        let retryable = status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT;
        Self {
            status,
            error: TaskError::new(code, message).retryable(retryable),
        }
    }

    /// What is larger than a limit in bytes: 413 `PAYLOAD_TOO_LARGE`, with `details.limit`.
    #[must_use]
    pub fn too_large(what: &str, limit: u64) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "PAYLOAD_TOO_LARGE",
            format!("{what} is larger than {}", mebibytes(limit)),
        )
        .detail("limit", limit)
        .solution("Send something smaller")
    }

    /// A body that stood still: 408 `UPLOAD_STALLED`.
    #[must_use]
    pub fn stalled(idle: Duration) -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "UPLOAD_STALLED",
            format!("Nothing was received for {} s", idle.as_secs()),
        )
    }

    /// The disk does not do what it should: 500 `INTERNAL`; what it says goes to the log.
    #[must_use]
    pub fn internal(error: &std::io::Error) -> Self {
        tracing::error!(%error, "an upload could not be kept");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL",
            "The upload could not be kept",
        )
    }

    /// Adds what can be done about it.
    #[must_use]
    pub fn solution(mut self, text: &str) -> Self {
        self.error = self.error.solution(text);
        self
    }

    /// Adds a detail for programs.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.error = self.error.detail(name, value);
        self
    }

    /// Returns the error object.
    #[must_use]
    pub fn error(&self) -> &TaskError {
        &self.error
    }

    /// Becomes the error object.
    #[must_use]
    pub fn into_error(self) -> TaskError {
        self.error
    }

    /// Returns what watchers are told: to the parser a broken connection looks like bad multipart.
    #[must_use]
    pub fn as_seen_by_watchers(&self) -> TaskError {
        match self.error.code() {
            "INVALID_MULTIPART" | "UPLOAD_STALLED" => upload_aborted(),
            _ => self.error.clone(),
        }
    }

    fn invalid_multipart(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_MULTIPART", why)
            .solution("Send multipart/form-data, as a form of a browser does")
    }
}

impl From<MultipartRejection> for Refusal {
    fn from(rejection: MultipartRejection) -> Self {
        Self::invalid_multipart(rejection.body_text())
    }
}

impl From<MultipartError> for Refusal {
    fn from(error: MultipartError) -> Self {
        if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "PAYLOAD_TOO_LARGE",
                "The upload is larger than allowed",
            );
        }
        Self::invalid_multipart(format!(
            "The upload is not well-formed multipart: {}",
            error.body_text()
        ))
    }
}

impl From<StartError> for Refusal {
    fn from(error: StartError) -> Self {
        match error {
            StartError::AlreadyExists(id) => Self::new(
                StatusCode::CONFLICT,
                "ALREADY_EXISTS",
                format!("There is a task {id} already"),
            ),
            error => {
                tracing::warn!(%error, "a task could not be started");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "TOO_MANY_TASKS",
                    "The server is too busy to take this",
                )
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        tracing::info!(error = %self.error, "an upload was refused");
        let body = serde_json::json!({ "error": self.error });
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            let wait = HeaderValue::from_static("5");
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        response
    }
}

/// Small limits, as tests have, are said in bytes.
fn mebibytes(bytes: u64) -> String {
    const MIB: u64 = 1024 * 1024;
    match bytes / MIB {
        0 => format!("{bytes} bytes"),
        whole => format!("{whole} MiB"),
    }
}
