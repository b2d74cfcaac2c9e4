//! What a session has for its client.

use std::time::Duration;

use bytes::Bytes;

/// Something for a session's client.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// A frame, as text.
    #[non_exhaustive]
    Frame {
        /// The text: JSON, or an application's own. Empty where that has nothing to say, which
        /// only event streams see: they still tell the id, or that they live.
        text: Bytes,
        /// The event id that an event stream gives it.
        id: Option<String>,
        /// The event's name, on event streams that asked for names.
        event: Option<Box<str>>,
    },
    /// A frame as a binary message, of a client that speaks MessagePack.
    Binary(Bytes),
    /// A ping of the WebSocket protocol.
    Ping,
    /// The connection is to be closed; nothing follows.
    Close(Close),
}

/// How a connection is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Close {
    /// The WebSocket close code.
    pub code: u16,
    /// The error code, or `ENDED`.
    pub reason: &'static str,
    /// The event id that an event stream gives its client to come back with.
    pub id: Option<String>,
    /// How long the client was asked to wait; an event stream says it as `retry:` too, which is
    /// what an `EventSource` goes by.
    pub reconnect_after: Option<Duration>,
}
