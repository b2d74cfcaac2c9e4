//! Settings of a tracker.

use std::{sync::Arc, time::Duration};

use crate::{
    limits::Limits,
    tracker::{ProgressTracker, TrackerShared},
};

/// Settings of a tracker.
#[derive(Debug, Clone)]
#[must_use = "nothing is made until build()"]
pub struct TrackerBuilder {
    limits: Limits,
    retention: Duration,
    tick: Duration,
}

impl TrackerBuilder {
    /// Sets the bounds; see [`Limits`] for their defaults.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how long a task is kept after its end (default 1 hour, at most 10 years).
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention.min(Limits::LONGEST_RETENTION);
        self
    }

    /// Sets how often counters are looked at (default 100 ms, 1 ms to 60 s): a counter that keeps
    /// moving makes one event a tick.
    pub fn tick(mut self, tick: Duration) -> Self {
        self.tick = tick.clamp(Duration::from_millis(1), Limits::LONGEST_TICK);
        self
    }

    /// Makes the tracker.
    #[must_use]
    pub fn build(self) -> ProgressTracker {
        ProgressTracker::from_shared(Arc::new(TrackerShared::new(
            self.limits,
            self.retention,
            self.tick,
        )))
    }
}

impl Default for TrackerBuilder {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            retention: Duration::from_secs(3600),
            tick: Duration::from_millis(100),
        }
    }
}
