//! In what shape a session's frames go out.

use std::sync::Arc;

use http::request::Parts;

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
