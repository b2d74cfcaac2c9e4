//! Why something was not done, as the family's error object.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use progress_core::TaskError;
use progress_web::ApiError;

/// Why something was not done: an HTTP status, and the error object `{"error":{…}}`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    status: StatusCode,
    error: TaskError,
}

impl Refusal {
    fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            error: TaskError::new(code, message),
        }
    }

    pub(crate) fn not_found(what: &str) -> Self {
        let code = format!("{}_NOT_FOUND", what.to_uppercase());
        let message = format!("there is no such {what}, or no longer");
        Self::new(StatusCode::NOT_FOUND, &code, message)
    }

    /// What is asked for does not go with how things stand.
    pub(crate) fn conflict(code: &str, message: &str) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// A field that is wrong, named.
    pub(crate) fn field(name: &str, message: impl Into<String>) -> Self {
        let mut refusal = Self::new(StatusCode::BAD_REQUEST, "INVALID_BODY", message);
        refusal.error = refusal.error.detail("field", name);
        refusal
    }

    pub(crate) fn too_large(field: &str, limit: u64) -> Self {
        let mut refusal = Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "PAYLOAD_TOO_LARGE",
            format!("{field} is larger than {limit} bytes"),
        );
        let error = refusal.error.detail("field", field);
        refusal.error = error.detail("limit", limit);
        refusal
    }

    /// A bound of the hub that time, or somebody's doing, makes room below.
    pub(crate) fn full(code: &str, limit: u64, message: &str) -> Self {
        let mut refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message);
        refusal.error = refusal.error.retryable(true).detail("limit", limit);
        refusal.error = refusal.error.retry_after(COME_BACK_IN);
        refusal
    }

    pub(crate) fn too_many_files(limit: usize) -> Self {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        let message = format!("there are more than {limit} files");
        let mut refusal = Self::new(status, "TOO_MANY_FILES", message);
        refusal.error = refusal.error.detail("limit", limit);
        refusal
    }

    pub(crate) fn stalled(after: Duration) -> Self {
        let mut refusal = Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "UPLOAD_STALLED",
            format!("nothing was received for {} s", after.as_secs()),
        );
        refusal.error = refusal.error.retryable(true);
        refusal
    }

    pub(crate) fn internal(what: &str, error: &std::io::Error) -> Self {
        tracing::error!(%error, "{what}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", what)
    }

    pub(crate) fn into_error(self) -> TaskError {
        self.error
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self {
            status: error.code().status(),
            error: error.object().clone(),
        }
    }
}

impl From<progress_web::Refusal> for Refusal {
    fn from(refusal: progress_web::Refusal) -> Self {
        ApiError::from(refusal).into()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": self.error });
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, bearer);
        }
        if let Some(wait) = self.error.retry_after_ms() {
            let wait = HeaderValue::from(wait.div_ceil(1_000));
            headers.insert(header::RETRY_AFTER, wait);
        }
        response
    }
}

/// What is full now may not be then.
pub(crate) const COME_BACK_IN: Duration = Duration::from_secs(5);
