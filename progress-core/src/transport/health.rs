//! How a transport's connections are, for operators.

use std::time::Duration;

use crate::{time::Timestamp, transport::TransportError};

/// How a transport is, as far as it has noticed by itself.
///
/// It is shown to whoever asks for the health of a service: no password and no credential is in it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TransportHealth {
    /// The connection over which this node writes and asks.
    pub publisher: ConnectionHealth,
    /// The connection over which it hears what others publish.
    pub subscriber: ConnectionHealth,
    /// The newest of what it has published to itself that came.
    pub probe: Option<Probe>,
    /// What went wrong last, however long ago.
    pub last_error: Option<LastError>,
    /// Times that a connection was made in place of one that was lost.
    pub reconnects: u64,
    /// Messages that came and were dropped for want of room; their topics were read again.
    pub dropped: u64,
    /// Messages that came and are none that a node publishes.
    pub malformed: u64,
}

impl TransportHealth {
    /// Makes one of the states of both connections, to which nothing has happened yet.
    #[must_use]
    pub fn new(publisher: ConnectionHealth, subscriber: ConnectionHealth) -> Self {
        Self {
            publisher,
            subscriber,
            probe: None,
            last_error: None,
            reconnects: 0,
            dropped: 0,
            malformed: 0,
        }
    }

    /// Tells whether both connections are up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        let both = [self.publisher, self.subscriber];
        both.iter().all(|side| side.state == ConnectionState::Up)
    }
}

/// How one connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionHealth {
    /// What it is.
    pub state: ConnectionState,
    /// Since when.
    pub since: Timestamp,
}

impl ConnectionHealth {
    /// Makes one.
    #[must_use]
    pub fn new(state: ConnectionState, since: Timestamp) -> Self {
        Self { state, since }
    }
}

/// What a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionState {
    /// What is to come over it comes.
    Up,
    /// It is open, but what is to come does not: what is shown of other nodes may be of before.
    Stale,
    /// There is none.
    Down,
}

impl ConnectionState {
    /// Returns the word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Stale => "stale",
            Self::Down => "down",
        }
    }
}

/// Something that a node has published to itself, to see that what is published comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probe {
    /// How long ago it came.
    pub age: Duration,
    /// How long it was under way.
    pub round_trip: Duration,
}

impl Probe {
    /// Makes one.
    #[must_use]
    pub fn new(age: Duration, round_trip: Duration) -> Self {
        Self { age, round_trip }
    }
}

/// What went wrong last.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastError {
    /// What it was.
    pub error: TransportError,
    /// When.
    pub timestamp: Timestamp,
}

impl LastError {
    /// Makes one.
    #[must_use]
    pub fn new(error: TransportError, timestamp: Timestamp) -> Self {
        Self { error, timestamp }
    }
}
