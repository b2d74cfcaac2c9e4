//! Who says when it is over.

use std::{fmt, future::Future, future::pending, io, pin::Pin};

/// What tells a server to stop.
pub(super) enum Stop {
    /// SIGTERM and Ctrl-C.
    Signals,
    Given(Told),
}

pub(super) type Told = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The same, listened to.
pub(super) enum Listening {
    Signals(Signals),
    /// None once it has told.
    Given(Option<Told>),
}

impl Stop {
    /// Listens from now on.
    pub(super) fn listen(self) -> io::Result<Listening> {
        Ok(match self {
            Self::Signals => Listening::Signals(Signals::new()?),
            Self::Given(told) => Listening::Given(Some(told)),
        })
    }
}

impl Listening {
    /// Waits until it is told to stop, once more if it was before.
    pub(super) async fn told(&mut self) {
        match self {
            Self::Signals(signals) => signals.next().await,
            Self::Given(Some(told)) => {
                told.await;
                *self = Self::Given(None);
            }
            Self::Given(None) => pending().await,
        }
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signals => "Signals",
            Self::Given(_) => "Given",
        })
    }
}

#[cfg(unix)]
pub(super) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    #[expect(clippy::unnecessary_wraps, reason = "it can fail elsewhere")]
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::warn!(%error, "Ctrl-C is not heard");
            pending().await
        }
    }
}
