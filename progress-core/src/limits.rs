//! The bounds of a tracker.

use std::{sync::Arc, time::Duration};

use crate::{event::ProgressUpdate, log::LogLimits};

/// Bounds of a tracker and of each of its tasks. Every one has a default and a typed error.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use progress_core::{Limits, ProgressTracker};
///
/// let tracker = ProgressTracker::builder()
///     .limits(Limits::default().tasks(10_000).payload(16 * 1024))
///     .retention(Duration::from_secs(600))
///     .build();
/// # drop(tracker);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    pub(crate) log: Arc<LogLimits>,
    pub(crate) bytes: usize,
    pub(crate) tasks: usize,
    pub(crate) payload: usize,
    pub(crate) stages: usize,
    pub(crate) labels: usize,
    pub(crate) children: usize,
    pub(crate) subscriptions: usize,
    pub(crate) waiting: usize,
    pub(crate) channels: usize,
    pub(crate) channel_log: LogLimits,
}

impl Limits {
    /// The deepest stage path, in segments.
    pub const STAGE_DEPTH: usize = 8;
    /// The deepest nesting of an event's data, and of each value in it, in levels: arrays and objects
    /// in one another. In every frame that it comes to stand in, readers of JSON take it.
    pub const DEPTH: usize = 100;
    /// The longest stage path, key, or label, in bytes.
    pub const NAME_LEN: usize = 128;
    /// The most channels that one task's events are copied into.
    pub const TASK_CHANNELS: usize = 16;
    /// The most names that a tracker without a transport [remembers](crate::ProgressTracker::once)
    /// as used up.
    pub const ONCE: usize = 100_000;
    /// The largest weight of a stage: sums of any number of them are exact enough.
    pub const LARGEST_WEIGHT: f64 = 1e9;
    /// As good as for ever, and a clock can still count to it.
    pub(crate) const LONGEST_RETENTION: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
    /// The longest that a dead node's tasks may seem alive.
    pub(crate) const LONGEST_LEASE: Duration = Duration::from_secs(24 * 3600);
    /// The longest time between two samples of the counters.
    pub(crate) const LONGEST_TICK: Duration = Duration::from_secs(60);

    /// A time without a change, within what a clock can count to.
    pub(crate) fn stall_after(silence: Duration) -> Duration {
        silence.clamp(Duration::from_millis(1), Self::LONGEST_RETENTION)
    }

    /// Sets the bounds of each task's log; see [`LogLimits`] for their defaults.
    #[must_use]
    pub fn log(mut self, limits: LogLimits) -> Self {
        self.log = Arc::new(limits);
        self
    }

    /// Sets the bytes that all logs may hold together (default 1 GiB). Past it the oldest ended
    /// task goes; if none has ended, large logs shrink to their newest events.
    #[must_use]
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Sets how many tasks are kept (default 1 000 000). Past it the oldest ended one goes; if
    /// none has ended, no task can start.
    #[must_use]
    pub fn tasks(mut self, tasks: usize) -> Self {
        self.tasks = tasks;
        self
    }

    /// Sets the size of one event's data as JSON, in bytes (default 64 KiB).
    #[must_use]
    pub fn payload(mut self, bytes: usize) -> Self {
        self.payload = bytes;
        self
    }

    /// The longest message of an update, in bytes: a quarter of what its other fields leave.
    pub(crate) fn message(&self) -> usize {
        self.payload.saturating_sub(UPDATE_FIELDS) / 4
    }

    /// The most metadata of an update, in bytes: the rest.
    pub(crate) fn metadata(&self) -> usize {
        self.payload.saturating_sub(UPDATE_FIELDS) / 4 * 3
    }

    /// Sets how many stages a task can have (default 1 024).
    #[must_use]
    pub fn stages(mut self, stages: usize) -> Self {
        self.stages = stages;
        self
    }

    /// Sets how many labels a task can have (default 64).
    #[must_use]
    pub fn labels(mut self, labels: usize) -> Self {
        self.labels = labels;
        self
    }

    /// Sets how many children a task can have over its life (default 100 000).
    #[must_use]
    pub fn children(mut self, children: usize) -> Self {
        self.children = children;
        self
    }

    /// Sets how many subscriptions there can be at a time (default 1 000 000).
    #[must_use]
    pub fn subscriptions(mut self, subscriptions: usize) -> Self {
        self.subscriptions = subscriptions;
        self
    }

    /// Sets how many channels there can be (default 1 024), besides the live list of tasks.
    #[must_use]
    pub fn channels(mut self, channels: usize) -> Self {
        self.channels = channels;
        self
    }

    /// Sets the bounds of each channel's log (default those of [`LogLimits`], but 65 536 keys and
    /// 32 MiB). They count beside [`bytes`](Self::bytes), which is of tasks' logs.
    #[must_use]
    pub fn channel_log(mut self, limits: LogLimits) -> Self {
        self.channel_log = limits;
        self
    }

    /// Sets how many subscriptions can wait for tasks that do not exist yet (default 10 000).
    #[must_use]
    pub fn waiting(mut self, subscriptions: usize) -> Self {
        self.waiting = subscriptions;
        self
    }
}

/// What a progress update takes at most besides its message and metadata: its numbers, stage and
/// unit. Kept free, so that neither can crowd out progress.
const UPDATE_FIELDS: usize = ProgressUpdate::NUMBERS_LEN + 2 * Limits::NAME_LEN;

impl Default for Limits {
    fn default() -> Self {
        Self {
            log: Arc::default(),
            bytes: 1024 * 1024 * 1024,
            tasks: 1_000_000,
            payload: 64 * 1024,
            stages: 1_024,
            labels: 64,
            children: 100_000,
            subscriptions: 1_000_000,
            waiting: 10_000,
            channels: 1_024,
            channel_log: LogLimits::default().keys(65_536).bytes(32 * 1024 * 1024),
        }
    }
}
