//! In what shape a session's frames go out.

use std::{fmt::Display, sync::Arc};

use bytes::Bytes;
use http::request::Parts;

use super::{
    machine::Machine,
    output::{Close, Output},
};
use crate::{
    encoders::Format,
    error::{ApiError, Code},
    gateway::Gateway,
    msgpack::{Subprotocol, Transcoder},
    query::Query,
};

/// What writes a session's frames.
#[derive(Debug, Default)]
pub(crate) enum Writer {
    /// They go out as they are.
    #[default]
    Json,
    /// As binary messages.
    MessagePack(Arc<Transcoder>),
    /// In an application's own shape.
    Format(Arc<Format>),
}

impl Gateway {
    /// What a request asks for: `?format=`, else its subprotocol, else the default format.
    pub(crate) fn writer(&self, request: &Parts) -> Result<Writer, ApiError> {
        let asked = Query::of(&request.uri).text("format");
        let subprotocol = Subprotocol::asked(&request.headers);
        let format = match (&asked, subprotocol) {
            (None, Some(_)) => None,
            _ => self.formats().find(asked.as_deref())?,
        };
        match (format, subprotocol) {
            (Some(_), Some(Subprotocol::MessagePack)) => {
                let message = "an application's format is text, and the subprotocol is not";
                Err(ApiError::new(Code::InvalidQuery, message).field("format"))
            }
            (Some(format), _) => Ok(Writer::Format(format)),
            (None, Some(Subprotocol::MessagePack)) => {
                Ok(Writer::MessagePack(Arc::clone(self.transcoder())))
            }
            (None, _) => Ok(Writer::Json),
        }
    }
}

/// A frame of the protocol, made but not yet written in the client's shape.
#[derive(Debug)]
pub(super) struct Made<'a> {
    pub(super) event_type: &'a str,
    pub(super) json: Bytes,
    pub(super) id: Option<String>,
    /// Whether the client knows a state that takes account of it.
    pub(super) is_history: bool,
}

impl<'a> Made<'a> {
    pub(super) fn of(event_type: &'a str, json: Bytes, id: Option<String>) -> Self {
        Self {
            event_type,
            json,
            id,
            is_history: false,
        }
    }
}

impl Machine {
    /// Has a frame written in the client's shape.
    pub(super) fn push_frame(&mut self, frame: Made<'_>, urgent: bool) {
        if self.closed {
            return;
        }
        let (event_type, json) = (frame.event_type, frame.json);
        let text = match &self.writer {
            Writer::Json => json,
            Writer::Format(format) => match format.frame(&json, frame.is_history) {
                Ok(text) => text,
                Err(error) => return self.break_off(&error),
            },
            Writer::MessagePack(transcoder) => {
                return match transcoder.transcode(&json) {
                    Ok(binary) => self.push(Output::Binary(binary), urgent),
                    Err(error) => self.break_off(&error),
                };
            }
        };
        if text.is_empty() {
            self.push_silence(event_type, frame.id);
        } else {
            self.push_text(event_type, text, frame.id, urgent);
        }
    }

    /// Has a text go out as it is.
    pub(super) fn push_text(
        &mut self,
        event_type: &str,
        text: Bytes,
        id: Option<String>,
        urgent: bool,
    ) {
        let event = self.named.then(|| event_type.into());
        self.push(Output::Frame { text, id, event }, urgent);
    }

    /// A frame of which the application's clients are not told. An event stream still tells where
    /// its client stands, and with a heartbeat that it lives.
    fn push_silence(&mut self, event_type: &str, id: Option<String>) {
        if self.is_socket() || (id.is_none() && event_type != "heartbeat") {
            return;
        }
        if let Some(Output::Frame { text, id: last, .. }) = self.out.back_mut()
            && text.is_empty()
        {
            // The newer id is all that counts.
            *last = id.or_else(|| last.take());
            return;
        }
        let silent = Output::Frame {
            text: Bytes::new(),
            id,
            event: None,
        };
        self.push(silent, false);
    }

    pub(super) fn push(&mut self, output: Output, urgent: bool) {
        let len = match &output {
            Output::Frame { text: bytes, .. } | Output::Binary(bytes) => bytes.len(),
            _ => 0,
        };
        if len > 0 {
            self.tally.frame();
        }
        self.linger.push(len, urgent);
        self.out.push_back(output);
    }

    /// Ends the session without a further word: rather no frame than another than everybody
    /// else's. Only what another node let in is nested so deep that it has no form.
    fn break_off(&mut self, error: &impl Display) {
        tracing::error!(%error, "a frame has no form in the client's shape");
        self.closed = true;
        self.out.clear();
        let (code, reason) = (Code::Internal.close_code(), Code::Internal.as_str());
        let close = Close {
            code,
            reason,
            id: None,
            reconnect_after: None,
        };
        self.push(Output::Close(close), true);
    }
}
