//! How large a request's head may be.

use http::{HeaderMap, Uri};

use crate::error::{ApiError, Code};

/// Refuses a head whose headers have more bytes in all than `limit`, as they are on the wire of
/// HTTP/1.1 (`name: value` and the end of the line).
pub(super) fn check_headers(headers: &HeaderMap, limit: usize) -> Result<(), ApiError> {
    let lines = headers.iter();
    let bytes: usize = lines
        .map(|(name, value)| name.as_str().len() + value.len() + LINE)
        .sum();
    if bytes <= limit {
        return Ok(());
    }
    let message = format!("the request's headers are too large, the limit is {limit} bytes");
    Err(ApiError::new(Code::HeadersTooLarge, message)
        .field("headers")
        .detail("limit", limit))
}

/// Refuses a path and query of more bytes than `limit`.
pub(super) fn check_uri(uri: &Uri, limit: usize) -> Result<(), ApiError> {
    let bytes = uri.path_and_query().map_or(0, |text| text.as_str().len());
    if bytes <= limit {
        return Ok(());
    }
    let message = format!("the request's path and query are too long, the limit is {limit} bytes");
    Err(ApiError::new(Code::UriTooLong, message)
        .field("uri")
        .detail("limit", limit))
}

/// What a line has besides a header's name and value.
const LINE: usize = ": \r\n".len();
