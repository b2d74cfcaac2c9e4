//! Event streams as bytes.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderValue, Response, header};
use tokio::time::Instant;

use crate::session::{Output, Session};

/// The body of an event stream: each item holds all frames that were ready, so that they go out in
/// one write.
///
/// It never fails; its end is the stream's.
#[derive(Debug)]
pub struct EventStream {
    session: Session,
    started: bool,
    /// When something was yielded that the server has taken on when it asks again.
    yielded: Option<Instant>,
}

impl Stream for EventStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = &mut *self;
        if let Some(yielded) = this.yielded.take()
            && yielded.elapsed() >= BUSY
        {
            this.session.socket_was_busy();
        }
        let mut outputs = Vec::new();
        match this.session.poll_batch(cx, &mut outputs) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(false) => return Poll::Ready(None),
            Poll::Ready(true) => {}
        }
        let begins = !mem::replace(&mut this.started, true);
        let first = if begins { RETRY } else { b"" };
        // Exact, and no buffer is kept: most streams are idle most of the time.
        let size: usize = outputs.iter().map(size).sum();
        let mut text = Vec::with_capacity(first.len() + size);
        text.extend_from_slice(first);
        for output in &outputs {
            write_output(&mut text, output);
        }
        this.session.was_written();
        this.yielded = Some(Instant::now());
        Poll::Ready(Some(text.into()))
    }
}

pub(crate) fn event_stream_response(session: Session) -> Response<EventStream> {
    let mut response = Response::new(EventStream {
        session,
        started: false,
        yielded: None,
    });
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store, no-transform"),
        // nginx buffers answers unless told not to.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The most that an output takes as text, unless its JSON has line breaks.
fn size(output: &Output) -> usize {
    let id = |id: &Option<String>| id.as_ref().map_or(0, |id| "id: \n".len() + id.len());
    match output {
        Output::Frame {
            text,
            id: at,
            event,
        } => {
            let event = event
                .as_ref()
                .map_or(0, |event| "event: \n".len() + event.len());
            "data: \n\n".len() + text.len() + id(at) + event
        }
        // Of the number at most 20 digits.
        Output::Close(close) => "retry: \n\n".len() + 20 + id(&close.id),
        // Of other connections.
        Output::Ping | Output::Binary(_) => 0,
    }
}

fn write_output(out: &mut Vec<u8>, output: &Output) {
    match output {
        Output::Frame { text, id, event } => {
            if let Some(id) = id {
                write_id(out, id);
            }
            if text.is_empty() {
                // An id without data dispatches nothing and still is what the client comes back
                // with; a comment tells proxies that somebody is there.
                let comment: &[u8] = if id.is_none() { b":\n" } else { b"" };
                out.extend_from_slice(comment);
                out.push(b'\n');
                return;
            }
            if let Some(event) = event {
                out.extend_from_slice(b"event: ");
                out.extend_from_slice(event.as_bytes());
                out.push(b'\n');
            }
            // JSON text has no line breaks but those that a payload brought along between tokens.
            for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(line);
                out.push(b'\n');
            }
            out.push(b'\n');
        }
        Output::Close(close) => {
            if let Some(after) = close.reconnect_after {
                out.extend_from_slice(format!("retry: {}\n", after.as_millis()).as_bytes());
            }
            if let Some(id) = &close.id {
                write_id(out, id);
            }
            if close.reconnect_after.is_some() || close.id.is_some() {
                out.push(b'\n');
            }
        }
        Output::Ping | Output::Binary(_) => {}
    }
}

/// What to set as `TCP_USER_TIMEOUT` on the connections that a server accepts, or on its listener:
/// for so long what was written may wait for the peer's acknowledgement, or for room in its window,
/// before the connection is given up.
///
/// An event stream says something at least every 30 s but does not see its socket: with this, a
/// client that is gone without a word is found within 90 s.
pub const TCP_USER_TIMEOUT: Duration = Duration::from_secs(50);

/// A server asks for more as soon as it has room: one that asks so late had none.
const BUSY: Duration = Duration::from_millis(250);

/// What an `EventSource` waits before it comes back, in ms.
const RETRY: &[u8] = b"retry: 1000\n";

fn write_id(text: &mut Vec<u8>, id: &str) {
    text.extend_from_slice(b"id: ");
    text.extend_from_slice(id.as_bytes());
    text.push(b'\n');
}
