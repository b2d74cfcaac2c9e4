//! One request, as often as it takes.

use std::{
    future::Future,
    time::{Duration, SystemTime},
};

use backon::{ExponentialBuilder, Retryable as _};
use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use reqwest::{RequestBuilder, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::sleep;

use super::{builder::Settings, error::RemoteError, link::said};
use crate::Cancel;

/// What may be asked a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Whatever happened.
    Always,
    /// Only if it surely was not taken.
    UnlessTaken,
}

/// An answer whose body has come whole.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, RemoteError> {
        serde_json::from_slice(&self.body).map_err(|error| RemoteError::Answer {
            reason: format!("no JSON as expected, at column {}", error.column()),
        })
    }
}

impl Settings {
    /// Makes a request until it is answered, or trying again makes no sense.
    pub(super) async fn call<F, Fut, T>(&self, repeat: Repeat, attempt: F) -> Result<T, RemoteError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, RemoteError>>,
    {
        self.call_until(&Cancel::new(), repeat, attempt).await
    }

    /// As [`call`](Self::call), but once the flag is set no attempt begins, and none is waited for.
    /// One that has begun is not cut short.
    pub(super) async fn call_until<F, Fut, T>(
        &self,
        stop: &Cancel,
        repeat: Repeat,
        mut attempt: F,
    ) -> Result<T, RemoteError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, RemoteError>>,
    {
        let delays = ExponentialBuilder::new()
            .with_min_delay(self.first_delay)
            .with_max_delay(self.longest_delay.max(self.first_delay))
            .with_max_times(self.attempts.saturating_sub(1))
            .with_jitter();
        let attempt = || {
            let attempt = (!stop.is_cancelled()).then(&mut attempt);
            async move {
                match attempt {
                    Some(attempt) => attempt.await,
                    None => Err(RemoteError::Cancelled),
                }
            }
        };
        let flag = stop.clone();
        let pause = move |delay| {
            let flag = flag.clone();
            async move {
                tokio::select! {
                    () = flag.cancelled() => {}
                    () = sleep(delay) => {}
                }
            }
        };
        attempt
            .retry(delays)
            .sleep(pause)
            .when(|error| match repeat {
                Repeat::Always => error.is_retryable(),
                Repeat::UnlessTaken => was_not_taken(error),
            })
            // `None` is the last attempt; there is no other after it, whatever the renderer asks.
            .adjust(|error, delay| match (delay?, error.retry_after()) {
                (_, Some(asked)) if asked > self.max_retry_after => None,
                (delay, Some(asked)) => Some(delay.max(asked)),
                (delay, None) => Some(delay),
            })
            .notify(|error, delay| {
                tracing::debug!(code = error.code(), ?delay, "the renderer is asked again");
            })
            .await
    }

    /// Sends a request and reads its answer; an answer that says no is an error.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Answer, RemoteError> {
        let limit = self.request_timeout;
        let lost = |error| RemoteError::of_transport(&error, "the renderer's answer", limit);
        let response = request.timeout(limit).send().await.map_err(lost)?;
        let status = response.status();
        let headers = response.headers().clone();
        let body = read(response).await?.map_err(lost)?;
        if status.is_success() {
            Ok(Answer { headers, body })
        } else {
            Err(refusal(status, &headers, &body))
        }
    }
}

/// Of a job that was submitted: whether it surely is not there. A 500 does not say so: the renderer may
/// have failed after taking it.
fn was_not_taken(error: &RemoteError) -> bool {
    match error {
        RemoteError::RateLimited { .. } => true,
        RemoteError::Unavailable { status, .. } => *status == 503,
        RemoteError::Unreachable { reason } => reason == "no connection",
        _ => false,
    }
}

/// Whether nothing can be known of a job that was submitted.
pub(super) fn is_unsure(error: &RemoteError) -> bool {
    error.is_retryable() && !was_not_taken(error)
}

/// The outer error is that there is too much, the inner that the connection failed.
async fn read(mut response: Response) -> Result<Result<Vec<u8>, reqwest::Error>, RemoteError> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > MAX_ANSWER => {
                return Err(RemoteError::Answer {
                    reason: format!("it has more than {MAX_ANSWER} bytes"),
                });
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(Ok(body)),
            Err(error) => return Ok(Err(error)),
        }
    }
}

pub(super) fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> RemoteError {
    let wait = retry_after(headers);
    match status.as_u16() {
        401 | 403 => RemoteError::Unauthorized,
        402 => RemoteError::NoCredit,
        429 => RemoteError::RateLimited { retry_after: wait },
        408 | 425 | 500.. => RemoteError::Unavailable {
            status: status.as_u16(),
            retry_after: wait,
        },
        status => RemoteError::Refused {
            status,
            message: message(body),
        },
    }
}

/// What an answer says to people: `description` or `message` of its JSON, cut.
fn message(body: &[u8]) -> String {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let fields = ["description", "message", "kind"];
    let told = fields.iter().find_map(|name| json[*name].as_str());
    said(told.unwrap_or("no reason given"))
}

/// `Retry-After`, in seconds or as a date.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    // A date that has passed asks for no wait.
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

/// The most bytes of an answer: some hundred times what a job's description has.
const MAX_ANSWER: usize = 256 << 10;
