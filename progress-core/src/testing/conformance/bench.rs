//! What the suite needs of a broker beside its transports.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::transport::Transport;

/// A broker on the bench.
///
/// Only [`connect`](Self::connect) is needed. What a broker cannot do to order, or only in more time
/// than a test has, is left as it is: the behaviours that need it then show nothing, which they
/// tell by a `tracing` event at WARN.
#[async_trait]
pub trait Bench: Send + Sync {
    /// Connects one more node.
    async fn connect(&self) -> Arc<dyn Transport>;

    /// Lets time pass by the broker's clock (default: sleeps, by tokio's clock).
    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Returns the shortest lease that the broker keeps faithfully on this machine (default 1 s): leases
    /// and silences in the suite are of this length, and all that a behaviour does within one has to
    /// be done in that time.
    fn moment(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Returns how long the broker keeps a task after its end, if that can be waited for (default
    /// none).
    fn retention(&self) -> Option<Duration> {
        None
    }

    /// Returns how long a shared task may be silent before it is to be ended, if that can be waited
    /// for (default none).
    fn abandoned_after(&self) -> Option<Duration> {
        None
    }

    /// Has the broker lose all that it holds, as one that keeps nothing on disk does when it is
    /// started again; tells whether it did (default: it does not).
    async fn forget(&self) -> bool {
        false
    }

    /// Makes the broker unreachable for all nodes until [`mend`](Self::mend); tells whether it did
    /// (default: it does not). It may lose what it holds.
    async fn cut(&self) -> bool {
        false
    }

    /// Makes the broker reachable again.
    async fn mend(&self) {}
}
