//! What is asked of a client of Redis. `connection.rs` is the one for a server; one that first has to ask
//! who is in charge opens its connections otherwise, and nothing else changes.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use progress_core::transport::TransportError;
use redis::{Cmd, Pipeline, PushInfo, Value};

/// Where connections come from.
#[async_trait]
pub(crate) trait Connect: fmt::Debug + Send + Sync {
    /// Opens one; `pushed` is told what comes by itself, its end too, and must not block.
    async fn connect(&self, pushed: Pushed) -> Result<Connection, Failure>;

    /// How long [`connect`](Self::connect) may take, and how long an answer.
    fn patience(&self) -> Patience;
}

/// One connection. All calls fail in a time that can be waited for.
#[async_trait]
pub(crate) trait Client: fmt::Debug + Send + Sync {
    /// What Redis knows it as.
    fn known(&self) -> &Known;

    async fn call(&self, command: &Cmd) -> Result<Value, Failure>;

    /// Has commands done one after the other with nothing between, or none of them; answers each.
    async fn transact(&self, commands: &Pipeline) -> Result<Vec<Value>, Failure>;

    /// Subscribes, and waits until Redis has confirmed it.
    async fn subscribe(&self, channels: &[String]) -> Result<(), Failure>;

    async fn unsubscribe(&self, channels: &[String]) -> Result<(), Failure>;

    /// Subscribes to all channels of a pattern, and waits until Redis has confirmed it.
    async fn psubscribe(&self, pattern: &str) -> Result<(), Failure>;

    async fn punsubscribe(&self, pattern: &str) -> Result<(), Failure>;
}

pub(crate) type Connection = Arc<dyn Client>;
pub(crate) type Pushed = Box<dyn Fn(PushInfo) + Send + Sync>;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) connect: Duration,
    pub(crate) answer: Duration,
}

/// What Redis knows a connection as. The number alone is not enough: a server that was started again
/// gives it to another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) id: String,
    pub(crate) addr: String,
}

impl Known {
    /// Has it closed, if it is there.
    pub(crate) fn kill(&self) -> Cmd {
        let mut kill = redis::cmd("CLIENT");
        kill.arg("KILL").arg("ID").arg(&self.id);
        kill.arg("ADDR").arg(&self.addr);
        kill
    }
}

/// Why a command was not answered.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// Redis cannot be reached; what was asked may have taken effect.
    Away(TransportError),
    /// The connection broke; another may be had at once. What was asked may have taken effect.
    Lost(TransportError),
    /// Redis has answered with an error.
    Refused(String),
}

impl From<Failure> for TransportError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Away(error) | Failure::Lost(error) => error,
            Failure::Refused(error) => Self::new(error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(error) | Self::Lost(error) => fmt::Display::fmt(error, f),
            Self::Refused(error) => f.write_str(error),
        }
    }
}
