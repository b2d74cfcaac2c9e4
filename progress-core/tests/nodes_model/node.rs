//! A node of the model.

use std::time::Duration;

use progress_core::{
    Limits, ProgressTracker,
    log::LogLimits,
    testing::{MemoryBus, MemoryTransport},
};

/// Its tracker, and its connection to break.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) tracker: ProgressTracker,
    pub(crate) wire: MemoryTransport,
    /// Whether anything was ever made to go wrong there.
    pub(crate) rough: bool,
    pub(crate) up: bool,
}

impl Node {
    /// Its logs are tiny, so that every bound is met all the time.
    pub(crate) fn new(bus: &MemoryBus) -> Self {
        let log = || {
            LogLimits::default()
                .window(WINDOW)
                .milestones(MILESTONES)
                .logs(3)
        };
        let wire = bus.connect();
        let tracker = ProgressTracker::builder()
            .limits(Limits::default().log(log()).channel_log(log()))
            .lease(LEASE)
            .transport(wire.clone())
            .build();
        Self {
            tracker,
            wire,
            rough: false,
            up: true,
        }
    }
}

/// More than one operation publishes.
const WINDOW: usize = 8;
/// Milestones kept below the window.
pub(crate) const MILESTONES: usize = 6;
pub(crate) const LEASE: Duration = Duration::from_secs(6);
