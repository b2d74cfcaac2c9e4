//! What a request's body may be: plain, of so many bytes, within its time.

use bytes::Bytes;
use http::{HeaderMap, header, request::Parts};

use crate::{
    body::RequestBody,
    builder::Settings,
    error::{ApiError, Code},
    metrics::Metrics,
};

/// Reads a body within its limits, and has it counted if it is past one.
pub(crate) async fn read_body(
    request: &Parts,
    body: RequestBody,
    largest: usize,
    settings: &Settings,
    counts: &Metrics,
) -> Result<Bytes, ApiError> {
    let headers = &request.headers;
    let largest = largest.min(settings.body);
    let read = match check_encoding(headers) {
        Ok(()) => body.read(headers, largest, settings.stuck_after).await,
        Err(error) => Err(error),
    };
    read.inspect_err(|error| match error.code() {
        Code::UnsupportedEncoding => counts.limited("encoding"),
        Code::PayloadTooLarge => counts.limited("body"),
        Code::TooSlow => counts.limited("slow_body"),
        // It broke off.
        _ => {}
    })
}

/// Refuses a body that is coded: a small one that inflates to a large one is never inflated.
fn check_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    let codings = headers.get_all(header::CONTENT_ENCODING);
    let is_plain = codings.iter().all(|coding| {
        let coding = coding.as_bytes().trim_ascii();
        coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")
    });
    if is_plain {
        return Ok(());
    }
    let message = "bodies are taken as they are: send it without Content-Encoding";
    Err(ApiError::new(Code::UnsupportedEncoding, message).field("content-encoding"))
}
