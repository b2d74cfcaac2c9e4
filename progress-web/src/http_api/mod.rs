//! The routes that answer and are done.

mod ask;
mod create;
mod dashboard;
mod health;
mod items;
mod list;
mod openapi;
mod publish;
mod settings;
mod task;
mod tickets;
mod wait;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::error::ApiError;

pub(crate) use self::openapi::is_described;
pub(crate) use self::settings::HttpSettings;
pub use self::settings::{BaseUrl, InvalidBaseUrl};

/// Makes an error its answer.
pub(crate) fn answer(result: Result<Response<Bytes>, ApiError>) -> Response<Bytes> {
    result.unwrap_or_else(|error| error.to_response())
}

pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    let text =
        serde_json::to_vec(body).expect("answers have string keys and a Vec takes all bytes");
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, REVALIDATE);
    response
}

/// A snapshot from a cache is not the truth; revalidation by `ETag` is cheap.
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");
