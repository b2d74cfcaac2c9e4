//! The lease of this node.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::link::{Backoff, Link};

impl Link {
    /// Renews the lease every third of it, and does nothing else: whatever took its time here would
    /// cost this node its tasks.
    pub(super) async fn keep(&self) {
        let period = self.lease / 3;
        let mut backoff = Backoff::new();
        let mut renewed_at: Option<Instant> = None;
        while !self.is_closed() {
            let begun = Instant::now();
            let renewed = self.transport.renew(&self.node, self.lease).await;
            let Some(tracker) = self.tracker() else {
                return;
            };
            let requests = match renewed {
                Ok(requests) => requests,
                Err(error) => {
                    tracing::debug!(node = %self.node, %error, "lease not renewed");
                    self.went_away();
                    drop(tracker);
                    self.pause(&mut backoff).await;
                    continue;
                }
            };
            backoff.reset();
            let now = Instant::now();
            if renewed_at.is_none_or(|at| now.duration_since(at) > self.lease / 2) {
                // A break, whether or not this node has noticed: it may have been stopped, or cut
                // off by a call that hung.
                self.went_away();
                *self.seen_since.lock() = Some(now);
            }
            renewed_at = Some(now);
            self.came_back(&tracker);
            for (id, request) in requests {
                tracker.requested(&id, &request);
            }
            drop(tracker);
            let closing = self.closing();
            let _either = timeout_at(begun + period, closing).await;
        }
    }

    /// For how long the lease has been renewed without a break of half its length: long enough,
    /// and the others have had the same chance.
    pub(super) fn seen_for(&self) -> Duration {
        self.seen_since
            .lock()
            .map_or(Duration::ZERO, |since| since.elapsed())
    }
}
