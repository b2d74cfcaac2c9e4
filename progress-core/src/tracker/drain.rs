//! Coming to a stop: no new tasks, the live ones end.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::tracker::{ProgressTracker, TrackerShared};

/// What became of the tasks while a tracker was [drained](ProgressTracker::drain).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Drained {
    /// How many tasks have ended meanwhile.
    pub ended: u64,
    /// How many are still live: none, unless the time was up.
    pub live: usize,
    /// Whether the broker has had all that was published here; always without a transport.
    pub flushed: bool,
}

impl ProgressTracker {
    /// Takes no new tasks from now on, and waits until every live one has ended and the broker, if
    /// there is one, has had all of it, or the time is up.
    ///
    /// [`StartError::Draining`](crate::StartError::Draining) is what tasks get that are started or
    /// restarted after this. Children of tasks that are still live may start: without them their
    /// parents might never end. Nobody is asked to stop: [`cancel`](Self::cancel) does that. What
    /// is retained stays readable.
    ///
    /// It can be called again, and by several at a time; each call counts from its own beginning.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the wait. The tracker takes no new tasks all the same.
    ///
    /// # Panics
    ///
    /// Where there is no tokio runtime with time.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use progress_core::{ProgressTracker, StartError};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
    /// let tracker = ProgressTracker::new();
    /// let task = tracker.task("video-42").start()?;
    /// let worker = tokio::spawn(async move { task.complete(()) });
    /// let drained = tracker.drain(Duration::from_secs(30)).await;
    /// assert_eq!((drained.ended, drained.live), (1, 0));
    /// assert_eq!(tracker.task("late").start().unwrap_err(), StartError::Draining);
    /// # worker.await??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn drain(&self, at_most: Duration) -> Drained {
        let ends = {
            let mut registry = self.shared.registry.write();
            registry.draining = true;
            registry.ends()
        };
        // Past what a clock can count to there is no deadline.
        let deadline = Instant::now().checked_add(at_most);
        loop {
            // Before the look, so that no end between the two is missed.
            let drained = self.shared.drained.notified();
            let now = {
                let registry = self.shared.registry.read();
                Drained {
                    ended: registry.ends() - ends,
                    live: registry.live(),
                    flushed: true,
                }
            };
            if now.live == 0 || deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Drained {
                    flushed: self.sent_by(deadline).await,
                    ..now
                };
            }
            match deadline {
                // Whether it is over is looked at in any case.
                Some(deadline) => drop(timeout_at(deadline, drained).await),
                None => drained.await,
            }
        }
    }

    /// Waits until the broker has had all; tells whether it has in time.
    async fn sent_by(&self, deadline: Option<Instant>) -> bool {
        let Some(link) = &self.shared.link else {
            return true;
        };
        match deadline {
            Some(deadline) => timeout_at(deadline, link.sent_all()).await.is_ok(),
            None => {
                link.sent_all().await;
                true
            }
        }
    }

    /// Tells whether new tasks are [refused](Self::drain).
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.is_draining()
    }
}

impl TrackerShared {
    pub(crate) fn is_draining(&self) -> bool {
        self.registry.read().draining
    }
}
