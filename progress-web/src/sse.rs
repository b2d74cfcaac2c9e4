//! Event streams as bytes.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderValue, Response, header};

use crate::session::{Output, Session};

/// The body of an event stream: each item holds all frames that were ready, so that they go out in
/// one write.
///
/// It never fails; its end is the stream's.
#[derive(Debug)]
pub struct EventStream {
    session: Session,
    started: bool,
    outputs: Vec<Output>,
}

impl Stream for EventStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = &mut *self;
        match this.session.poll_batch(cx, &mut this.outputs) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(false) => return Poll::Ready(None),
            Poll::Ready(true) => {}
        }
        let mut text = Vec::new();
        if !std::mem::replace(&mut this.started, true) {
            text.extend_from_slice(b"retry: 1000\n\n");
        }
        for output in this.outputs.drain(..) {
            write_output(&mut text, &output);
        }
        Poll::Ready(Some(text.into()))
    }
}

pub(crate) fn event_stream_response(session: Session) -> Response<EventStream> {
    let mut response = Response::new(EventStream {
        session,
        started: false,
        outputs: Vec::new(),
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

fn write_output(text: &mut Vec<u8>, output: &Output) {
    match output {
        Output::Frame { json, id, event } => {
            if let Some(id) = id {
                write_id(text, id);
            }
            if let Some(event) = event {
                text.extend_from_slice(b"event: ");
                text.extend_from_slice(event.as_bytes());
                text.push(b'\n');
            }
            // JSON text has no line breaks but those that a payload brought along between tokens.
            for line in json.split(|byte| matches!(byte, b'\n' | b'\r')) {
                text.extend_from_slice(b"data: ");
                text.extend_from_slice(line);
                text.push(b'\n');
            }
            text.push(b'\n');
        }
        Output::Close(close) => {
            // An id without data dispatches nothing and still is what the client comes back with.
            if let Some(id) = &close.id {
                write_id(text, id);
                text.push(b'\n');
            }
        }
        Output::Ping | Output::Binary(_) => {}
    }
}

fn write_id(text: &mut Vec<u8>, id: &str) {
    text.extend_from_slice(b"id: ");
    text.extend_from_slice(id.as_bytes());
    text.push(b'\n');
}
