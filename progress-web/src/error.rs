//! Errors on the wire: one table of codes, statuses and close codes.

use std::fmt;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use progress_core::{
    CancelError, ChannelError, InvalidChannelName, InvalidPosition, InvalidTaskId, LookupError,
    SubscribeError, TaskError, TaskId,
};
use serde::Serialize;

/// What went wrong with a request or a connection. The table of the protocol: code, HTTP status,
/// WebSocket close code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// `INVALID_TASK_ID`: 400, 4400.
    InvalidTaskId,
    /// `INVALID_POSITION`: 400, 4400.
    InvalidPosition,
    /// `INVALID_QUERY`: 400, 4400.
    InvalidQuery,
    /// `INVALID_COMMAND`: 400; on a WebSocket the connection goes on.
    InvalidCommand,
    /// `INVALID_CHANNEL`: 400, 4400.
    InvalidChannel,
    /// `INVALID_BODY`: 400, 4400.
    InvalidBody,
    /// `RESERVED_EVENT_TYPE`: 400, 4400.
    ReservedEventType,
    /// `ALREADY_SUBSCRIBED`: 409; on a WebSocket the connection goes on.
    AlreadySubscribed,
    /// `NOT_SUBSCRIBED`: 404; on a WebSocket the connection goes on.
    NotSubscribed,
    /// `UPGRADE_REQUIRED`: 426, 4400.
    UpgradeRequired,
    /// `TOO_MANY_TOPICS`: 400, 4409.
    TooManyTopics,
    /// `PAYLOAD_TOO_LARGE`: 413, 4409.
    PayloadTooLarge,
    /// `UNAUTHENTICATED`: 401, 4401.
    Unauthenticated,
    /// `FORBIDDEN`: 403, 4403.
    Forbidden,
    /// `TASK_NOT_FOUND`: 404, 4404.
    TaskNotFound,
    /// `NOT_FOUND`: 404, 4404.
    NotFound,
    /// `METHOD_NOT_ALLOWED`: 405, 4400.
    MethodNotAllowed,
    /// `CLIENT_NOT_FOUND`: 404, 4404.
    ClientNotFound,
    /// `ALREADY_COMPLETE`: 409, 4400.
    AlreadyComplete,
    /// `DISCONNECTED`: 403, 4403.
    Disconnected,
    /// `CREDENTIAL_EXPIRED`: 401, 4013.
    CredentialExpired,
    /// `RATE_LIMITED`: 429, 4029.
    RateLimited,
    /// `CONNECTION_LIMIT`: 503, 4029.
    ConnectionLimit,
    /// `DRAINING`: 503, 4001.
    Draining,
    /// `TOO_SLOW`: 408, 4008.
    TooSlow,
    /// `HEARTBEAT_LOST`: 408, 4012.
    HeartbeatLost,
    /// `TRANSPORT_DOWN`: 503, 4014.
    TransportDown,
    /// `INTERNAL`: 500, 1011.
    Internal,
}

impl Code {
    /// Returns the code's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// Returns the HTTP status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        self.row().1
    }

    /// Returns the WebSocket close code.
    #[must_use]
    pub fn close_code(self) -> u16 {
        self.row().2
    }

    /// Tells whether the same request may succeed later.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::CredentialExpired
                | Self::RateLimited
                | Self::ConnectionLimit
                | Self::Draining
                | Self::TooSlow
                | Self::HeartbeatLost
                | Self::TransportDown
                | Self::Internal
        )
    }

    fn row(self) -> (&'static str, StatusCode, u16) {
        match self {
            Self::InvalidTaskId => ("INVALID_TASK_ID", StatusCode::BAD_REQUEST, 4400),
            Self::InvalidPosition => ("INVALID_POSITION", StatusCode::BAD_REQUEST, 4400),
            Self::InvalidQuery => ("INVALID_QUERY", StatusCode::BAD_REQUEST, 4400),
            Self::InvalidCommand => ("INVALID_COMMAND", StatusCode::BAD_REQUEST, 4400),
            Self::InvalidChannel => ("INVALID_CHANNEL", StatusCode::BAD_REQUEST, 4400),
            Self::InvalidBody => ("INVALID_BODY", StatusCode::BAD_REQUEST, 4400),
            Self::ReservedEventType => ("RESERVED_EVENT_TYPE", StatusCode::BAD_REQUEST, 4400),
            Self::AlreadySubscribed => ("ALREADY_SUBSCRIBED", StatusCode::CONFLICT, 4400),
            Self::NotSubscribed => ("NOT_SUBSCRIBED", StatusCode::NOT_FOUND, 4404),
            Self::ClientNotFound => ("CLIENT_NOT_FOUND", StatusCode::NOT_FOUND, 4404),
            Self::AlreadyComplete => ("ALREADY_COMPLETE", StatusCode::CONFLICT, 4400),
            Self::Disconnected => ("DISCONNECTED", StatusCode::FORBIDDEN, 4403),
            Self::CredentialExpired => ("CREDENTIAL_EXPIRED", StatusCode::UNAUTHORIZED, 4013),
            Self::RateLimited => ("RATE_LIMITED", StatusCode::TOO_MANY_REQUESTS, 4029),
            Self::UpgradeRequired => ("UPGRADE_REQUIRED", StatusCode::UPGRADE_REQUIRED, 4400),
            Self::TooManyTopics => ("TOO_MANY_TOPICS", StatusCode::BAD_REQUEST, 4409),
            Self::PayloadTooLarge => ("PAYLOAD_TOO_LARGE", StatusCode::PAYLOAD_TOO_LARGE, 4409),
            Self::Unauthenticated => ("UNAUTHENTICATED", StatusCode::UNAUTHORIZED, 4401),
            Self::Forbidden => ("FORBIDDEN", StatusCode::FORBIDDEN, 4403),
            Self::TaskNotFound => ("TASK_NOT_FOUND", StatusCode::NOT_FOUND, 4404),
            Self::NotFound => ("NOT_FOUND", StatusCode::NOT_FOUND, 4404),
            Self::MethodNotAllowed => ("METHOD_NOT_ALLOWED", StatusCode::METHOD_NOT_ALLOWED, 4400),
            Self::ConnectionLimit => ("CONNECTION_LIMIT", StatusCode::SERVICE_UNAVAILABLE, 4029),
            Self::Draining => ("DRAINING", StatusCode::SERVICE_UNAVAILABLE, 4001),
            Self::TooSlow => ("TOO_SLOW", StatusCode::REQUEST_TIMEOUT, 4008),
            Self::HeartbeatLost => ("HEARTBEAT_LOST", StatusCode::REQUEST_TIMEOUT, 4012),
            Self::TransportDown => ("TRANSPORT_DOWN", StatusCode::SERVICE_UNAVAILABLE, 4014),
            Self::Internal => ("INTERNAL", StatusCode::INTERNAL_SERVER_ERROR, 1011),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error as the wire has it: a [`Code`] and the error object.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    code: Code,
    object: TaskError,
}

impl ApiError {
    /// Makes an error; the message is shown to users.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            object: TaskError::new(code.as_str(), message).retryable(code.is_retryable()),
        }
    }

    fn transport_down(error: impl fmt::Display) -> Self {
        Self::new(Code::TransportDown, error.to_string())
            .retry_after(std::time::Duration::from_secs(1))
    }

    /// Adds something the user can do about it.
    #[must_use]
    pub fn solution(mut self, text: impl Into<String>) -> Self {
        self.object = self.object.solution(text);
        self
    }

    /// Sets how long to wait before trying again, also as the header `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, wait: std::time::Duration) -> Self {
        self.object = self.object.retry_after(wait);
        self
    }

    /// Names the field that is at fault.
    #[must_use]
    pub fn field(self, name: &str) -> Self {
        self.detail("field", name)
    }

    /// Adds a detail for programs.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.object = self.object.detail(name, value);
        self
    }

    /// Returns the code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// Returns the error object.
    #[must_use]
    pub fn object(&self) -> &TaskError {
        &self.object
    }

    /// Makes the HTTP answer, `{"error":{…}}`.
    #[must_use]
    pub fn to_response(&self) -> Response<Bytes> {
        #[derive(Serialize)]
        struct Body<'a> {
            error: &'a TaskError,
        }
        let mut response = crate::http_api::json(
            self.code.status(),
            &Body {
                error: &self.object,
            },
        );
        if let Some(wait) = self.object.retry_after_ms() {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(wait.div_ceil(1_000)));
        }
        response
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.object, f)
    }
}

impl std::error::Error for ApiError {}

impl From<InvalidTaskId> for ApiError {
    fn from(error: InvalidTaskId) -> Self {
        Self::new(Code::InvalidTaskId, error.to_string()).field("task_id")
    }
}

impl From<InvalidPosition> for ApiError {
    fn from(error: InvalidPosition) -> Self {
        Self::new(Code::InvalidPosition, error.to_string()).field("after")
    }
}

impl From<LookupError> for ApiError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::InvalidTaskId(error) => error.into(),
            error @ LookupError::Unavailable(_) => Self::transport_down(error),
            error => Self::new(Code::TaskNotFound, error.to_string()),
        }
    }
}

impl From<SubscribeError> for ApiError {
    fn from(error: SubscribeError) -> Self {
        match error {
            SubscribeError::InvalidTaskId(error) => error.into(),
            error @ SubscribeError::Unavailable => Self::transport_down(error),
            SubscribeError::Channel(ChannelError::Invalid(error)) => error.into(),
            error => Self::new(Code::ConnectionLimit, error.to_string())
                .retry_after(std::time::Duration::from_secs(1)),
        }
    }
}

impl From<InvalidChannelName> for ApiError {
    fn from(error: InvalidChannelName) -> Self {
        Self::new(Code::InvalidChannel, error.to_string())
            .field("channel")
            .detail("limit", TaskId::MAX_LEN)
    }
}

impl From<CancelError> for ApiError {
    fn from(error: CancelError) -> Self {
        match error {
            CancelError::Lookup(error) => error.into(),
            error @ CancelError::AlreadyComplete(_) => {
                Self::new(Code::AlreadyComplete, error.to_string())
            }
            error => Self::new(Code::Internal, error.to_string()),
        }
    }
}
