//! What a request's body may be: plain, of so many bytes, within its time, and while there is room.

use std::{
    ops::Deref,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, header, request::Parts};

use crate::{
    body::RequestBody,
    builder::Settings,
    error::{ApiError, Code},
    metrics::Metrics,
};

/// Room for the bodies that are held at a time, in all.
#[derive(Debug)]
pub(crate) struct Room {
    bytes: usize,
    taken: AtomicUsize,
}

/// What one body takes of it, until it is dropped.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    room: &'a Room,
    bytes: usize,
}

/// A body that was read, and its room.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    body: Bytes,
    _taken: Taken<'a>,
}

impl Room {
    pub(crate) const fn new(bytes: usize) -> Self {
        Self {
            bytes,
            taken: AtomicUsize::new(0),
        }
    }

    /// Begins a body, of which nothing is there yet.
    pub(crate) fn begin(&self) -> Taken<'_> {
        let room = self;
        Taken { room, bytes: 0 }
    }
}

impl Taken<'_> {
    /// Takes room for so many bytes more, if there is.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), ApiError> {
        let Room { bytes: limit, .. } = *self.room;
        let with_these = |taken: usize| taken.checked_add(bytes).filter(|all| *all <= limit);
        let ordering = Ordering::Relaxed;
        match (self.room.taken).fetch_update(ordering, ordering, with_these) {
            Ok(_) => {
                self.bytes += bytes;
                Ok(())
            }
            Err(_) => {
                let message = format!("too many bodies at a time, there is room for {limit} bytes");
                let error = ApiError::new(Code::ConnectionLimit, message).field("body");
                Err(error.detail("limit", limit).retry_after(RETRY))
            }
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Deref for Held<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.body
    }
}

/// Reads a body within its limits, and has it counted if it is past one.
pub(crate) async fn read_body<'a>(
    request: &Parts,
    body: RequestBody,
    largest: usize,
    room: &'a Room,
    settings: &Settings,
    counts: &Metrics,
) -> Result<Held<'a>, ApiError> {
    let headers = &request.headers;
    let largest = largest.min(settings.body);
    let mut taken = room.begin();
    let read = match check_encoding(headers) {
        Ok(()) => {
            let patience = settings.stuck_after;
            body.read(headers, largest, patience, &mut taken).await
        }
        Err(error) => Err(error),
    };
    let read = read.map(|body| Held {
        body,
        _taken: taken,
    });
    read.inspect_err(|error| match error.code() {
        Code::UnsupportedEncoding => counts.limited("encoding"),
        Code::PayloadTooLarge => counts.limited("body"),
        Code::TooSlow => counts.limited("slow_body"),
        Code::ConnectionLimit => counts.limited("bodies"),
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

/// When to try again: bodies are let go as soon as what they ask for is done.
const RETRY: Duration = Duration::from_secs(1);
