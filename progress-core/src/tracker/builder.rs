//! Settings of a tracker.

use std::{sync::Arc, time::Duration};

use crate::{
    limits::Limits,
    link::Link,
    tracker::{ProgressTracker, TrackerShared},
    transport::Transport,
};

/// Settings of a tracker.
#[derive(Debug, Clone)]
#[must_use = "nothing is made until build()"]
pub struct TrackerBuilder {
    limits: Limits,
    retention: Duration,
    tick: Duration,
    stall_after: Option<Duration>,
    shared_silence: Option<Duration>,
    shared_abandon_after: Duration,
    transport: Option<Arc<dyn Transport>>,
    lease: Duration,
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

    /// Sets after how long without a change a running task is `stalled` (default `None`: never; at
    /// least a millisecond); see [`TaskBuilder::stall_after`](crate::TaskBuilder::stall_after),
    /// which sets it for one task.
    pub fn stall_after(mut self, silence: impl Into<Option<Duration>>) -> Self {
        self.stall_after = silence.into().map(Limits::stall_after);
        self
    }

    /// Sets after how long without a publication a task without an owner is `stalled` (default 10
    /// minutes, or as the broker has it; at least a millisecond);
    /// [`TaskBuilder::silence`](crate::TaskBuilder::silence) sets it for one task.
    pub fn shared_silence(mut self, silence: Duration) -> Self {
        self.shared_silence = Some(Limits::stall_after(silence));
        self
    }

    /// Sets after how long without a publication a task without an owner is ended, `abandoned`
    /// with cause `silent` (default 1 hour; at least a millisecond). With a
    /// [transport](Self::transport) the broker has its own.
    pub fn shared_abandon_after(mut self, silence: Duration) -> Self {
        self.shared_abandon_after = Limits::stall_after(silence);
        self
    }

    /// Connects the tracker with those of other processes (default: it stands alone).
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Sets how long this node may be out of the broker's sight before others end its tasks
    /// (default 30 s, 300 ms to a day): its lease, renewed every third of it.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.clamp(Duration::from_millis(300), Limits::LONGEST_LEASE);
        self
    }

    /// Makes the tracker.
    #[must_use]
    pub fn build(self) -> ProgressTracker {
        let mut shared = TrackerShared::new(self.limits, self.retention, self.tick);
        shared.stall_after = self.stall_after;
        shared.shared_silence = self.shared_silence;
        shared.shared_abandon_after = self.shared_abandon_after;
        shared.link = self
            .transport
            .map(|transport| Arc::new(Link::new(transport, shared.node.clone(), self.lease)));
        ProgressTracker::from_shared(Arc::new(shared))
    }
}

impl Default for TrackerBuilder {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            retention: Duration::from_secs(3600),
            tick: Duration::from_millis(100),
            stall_after: None,
            shared_silence: None,
            shared_abandon_after: Duration::from_secs(3600),
            transport: None,
            lease: Duration::from_secs(30),
        }
    }
}
