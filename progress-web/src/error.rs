//! Errors on the wire: one table of codes, statuses and close codes.

use std::fmt;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use progress_core::{
    ChannelError, InvalidPosition, InvalidTaskId, LookupError, SubscribeError, TaskError,
};
use serde::Serialize;

use crate::access;

/// The table: for each code its variant, name, HTTP status, close code, and whether the same
/// request may succeed later.
macro_rules! codes {
    ($($(#[$more:meta])* $code:ident = $name:literal, $status:ident, $close:literal, $retryable:literal;)*) => {
        /// What went wrong with a request or a connection. The table of the protocol: code, HTTP
        /// status, WebSocket close code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = concat!("`", $name, "`: ", stringify!($status), ", ", $close, ".")] $(#[$more])* $code,)*
        }

        impl Code {
            const ALL: &'static [Self] = &[$(Self::$code),*];

            fn row(self) -> (&'static str, StatusCode, u16, bool) {
                match self {
                    $(Self::$code => ($name, StatusCode::$status, $close, $retryable),)*
                }
            }
        }
    };
}

codes! {
    InvalidTaskId = "INVALID_TASK_ID", BAD_REQUEST, 4400, false;
    InvalidPosition = "INVALID_POSITION", BAD_REQUEST, 4400, false;
    InvalidQuery = "INVALID_QUERY", BAD_REQUEST, 4400, false;
    /// On a WebSocket the connection goes on.
    InvalidCommand = "INVALID_COMMAND", BAD_REQUEST, 4400, false;
    /// A body is not what the route takes.
    InvalidBody = "INVALID_BODY", BAD_REQUEST, 4400, false;
    /// A header is not what the route takes.
    InvalidHeader = "INVALID_HEADER", BAD_REQUEST, 4400, false;
    /// An event does not say what one of its type has to.
    InvalidEvent = "INVALID_EVENT", BAD_REQUEST, 4400, false;
    /// Only the server itself publishes events of that type.
    ReservedEventType = "RESERVED_EVENT_TYPE", BAD_REQUEST, 4400, false;
    InvalidChannel = "INVALID_CHANNEL", BAD_REQUEST, 4400, false;
    /// On a WebSocket the connection goes on.
    AlreadySubscribed = "ALREADY_SUBSCRIBED", CONFLICT, 4400, false;
    /// On a WebSocket the connection goes on.
    NotSubscribed = "NOT_SUBSCRIBED", NOT_FOUND, 4400, false;
    UpgradeRequired = "UPGRADE_REQUIRED", UPGRADE_REQUIRED, 4400, false;
    TooManyTopics = "TOO_MANY_TOPICS", BAD_REQUEST, 4409, false;
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", PAYLOAD_TOO_LARGE, 4409, false;
    /// The headers of a request have too many bytes.
    HeadersTooLarge = "HEADERS_TOO_LARGE", REQUEST_HEADER_FIELDS_TOO_LARGE, 4409, false;
    /// The path and query of a request have too many bytes.
    UriTooLong = "URI_TOO_LONG", URI_TOO_LONG, 4409, false;
    /// A body is coded, such as compressed.
    UnsupportedEncoding = "UNSUPPORTED_ENCODING", UNSUPPORTED_MEDIA_TYPE, 4400, false;
    Unauthenticated = "UNAUTHENTICATED", UNAUTHORIZED, 4401, false;
    Forbidden = "FORBIDDEN", FORBIDDEN, 4403, false;
    /// A page of another site may not open connections here.
    OriginNotAllowed = "ORIGIN_NOT_ALLOWED", FORBIDDEN, 4403, false;
    /// The server may not be asked under this name.
    HostNotAllowed = "HOST_NOT_ALLOWED", MISDIRECTED_REQUEST, 4400, false;
    /// So many tickets are out that nobody has taken.
    TooManyTickets = "TOO_MANY_TICKETS", SERVICE_UNAVAILABLE, 4029, true;
    TaskNotFound = "TASK_NOT_FOUND", NOT_FOUND, 4404, false;
    ClientNotFound = "CLIENT_NOT_FOUND", NOT_FOUND, 4400, false;
    NotFound = "NOT_FOUND", NOT_FOUND, 4404, false;
    MethodNotAllowed = "METHOD_NOT_ALLOWED", METHOD_NOT_ALLOWED, 4400, false;
    /// A task of this id is live, or its end is retained.
    AlreadyExists = "ALREADY_EXISTS", CONFLICT, 4400, false;
    /// The task has ended.
    AlreadyComplete = "ALREADY_COMPLETE", CONFLICT, 4400, false;
    /// The task has an owner, who alone publishes on it.
    TaskOwned = "TASK_OWNED", CONFLICT, 4400, false;
    /// The task has not ended.
    StillRunning = "STILL_RUNNING", CONFLICT, 4400, false;
    /// Another run of the task counts.
    Superseded = "SUPERSEDED", CONFLICT, 4400, false;
    /// A task or channel has as many keys of State as it can have.
    TooManyKeys = "TOO_MANY_KEYS", CONFLICT, 4400, false;
    /// There are as many channels as there can be.
    TooManyChannels = "TOO_MANY_CHANNELS", CONFLICT, 4400, false;
    /// There are as many tasks as there can be, and none has ended.
    TooManyTasks = "TOO_MANY_TASKS", SERVICE_UNAVAILABLE, 4029, true;
    /// An operator has sent the client away.
    Disconnected = "DISCONNECTED", FORBIDDEN, 4403, false;
    /// Whoever asked was known, and is no longer.
    CredentialExpired = "CREDENTIAL_EXPIRED", UNAUTHORIZED, 4013, true;
    /// Too many requests, messages or commands of one client.
    RateLimited = "RATE_LIMITED", TOO_MANY_REQUESTS, 4029, true;
    ConnectionLimit = "CONNECTION_LIMIT", SERVICE_UNAVAILABLE, 4029, true;
    Draining = "DRAINING", SERVICE_UNAVAILABLE, 4001, true;
    TooSlow = "TOO_SLOW", REQUEST_TIMEOUT, 4008, true;
    HeartbeatLost = "HEARTBEAT_LOST", REQUEST_TIMEOUT, 4012, true;
    TransportDown = "TRANSPORT_DOWN", SERVICE_UNAVAILABLE, 4014, true;
    /// Credentials cannot be checked now.
    AuthUnavailable = "AUTH_UNAVAILABLE", SERVICE_UNAVAILABLE, 4014, true;
    /// The broker refused what this server would have taken.
    Refused = "REFUSED", CONFLICT, 4400, false;
    Internal = "INTERNAL", INTERNAL_SERVER_ERROR, 1011, true;
}

impl Code {
    /// Returns all codes, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied()
    }

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
        self.row().3
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

    pub(crate) fn transport_down(error: impl fmt::Display) -> Self {
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

    /// Makes the HTTP answer, `{"error":{…}}`. Its extensions hold the [`Code`].
    #[must_use]
    pub fn to_response(&self) -> Response<Bytes> {
        #[derive(Serialize)]
        struct Body<'a> {
            error: &'a TaskError,
        }
        let error = access::refused(self.code, &self.object);
        let mut response = crate::http_api::json(self.code.status(), &Body { error: &error });
        response.extensions_mut().insert(self.code);
        if self.code.status() == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, bearer);
        }
        if let Some(wait) = self.object.retry_after_ms() {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(wait.div_ceil(1_000)));
        }
        if self.code == Code::UnsupportedEncoding {
            // RFC 9110: which codings there would be.
            let identity = HeaderValue::from_static("identity");
            response
                .headers_mut()
                .insert(header::ACCEPT_ENCODING, identity);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the document's table: code, status, close code, retryable.
    fn documented() -> Vec<[String; 4]> {
        let protocol = include_str!("../../docs/protocol.md");
        let (_, codes) = protocol.split_once("\n## Codes\n").unwrap();
        let (codes, _) = codes.split_once("\n## ").unwrap();
        let rows = codes.lines().filter(|line| line.starts_with("| `"));
        let cells = |row: &str| {
            let mut cells = row.split('|').skip(1).map(|cell| cell.trim().to_owned());
            [(); 4].map(|()| cells.next().unwrap())
        };
        rows.map(cells).collect()
    }

    #[test]
    fn the_document_has_each_code_as_it_is() {
        let rows = documented();
        let named: Vec<_> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
        let codes: Vec<_> = Code::all().map(Code::as_str).collect();
        assert_eq!(named, codes);
        for (row, code) in rows.iter().zip(Code::all()) {
            assert_eq!(row[1], code.status().as_str(), "{code}");
            let close = code.close_code().to_string();
            // A code that closes nothing has that of a bad request.
            let said = if row[2] == "none" { "4400" } else { &row[2] };
            assert_eq!(said, close, "{code}");
            assert_eq!(row[3] == "yes", code.is_retryable(), "{code}");
        }
    }
}
