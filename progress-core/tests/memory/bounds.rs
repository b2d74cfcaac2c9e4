//! The documented bounds in bytes, and how they are held against what is.
//!
//! The numbers are those of `docs/architecture.md`, section "Memory".

use allocation_counter::AllocationInfo;
use progress_core::{Limits, log::LogLimits};
use tokio::runtime::{Builder, Runtime};

/// What a test says of a log, and what a log may hold by it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogBound {
    pub(crate) window: usize,
    pub(crate) milestones: usize,
    pub(crate) logs: usize,
    pub(crate) keys: u32,
    pub(crate) bytes: usize,
}

impl LogBound {
    /// The defaults of a task's log, in numbers.
    pub(crate) const DEFAULT: Self = Self {
        window: 256,
        milestones: 1_024,
        logs: 200,
        keys: 4_096,
        bytes: 1024 * 1024,
    };

    pub(crate) fn limits(self) -> LogLimits {
        LogLimits::default()
            .window(self.window)
            .milestones(self.milestones)
            .logs(self.logs)
            .keys(self.keys)
            .bytes(self.bytes)
    }

    /// The byte budget, which is of events and their encodings, and a place for each of them.
    pub(crate) fn most(self) -> usize {
        let places = self.window + self.milestones + self.logs + self.keys as usize;
        self.bytes + places * PLACE
    }

    pub(crate) fn of_a_task(self) -> Limits {
        Limits::default().log(self.limits())
    }
}

/// What an item takes in a log beside itself: its place in a ring that has doubled, or in an
/// ordered map, and its key's number.
const PLACE: usize = 64;

/// What a task takes beside the events of its log: its values, its fold, its part in the indices
/// of the tracker.
pub(crate) const TASK: usize = 4 * 1024;

/// An idle task with four events, the events included. The target is 1.5 KiB, and the benches measure
/// how far it is met.
pub(crate) const IDLE_TASK: usize = 2 * 1024;

/// What the indices of the tracker take for a task: grown by doubling, hence twice what they need.
pub(crate) const INDEX: usize = 512;

/// A tracker without tasks, its sampler and the list of tasks included.
pub(crate) const TRACKER: usize = 16 * 1024;

/// What stays on a thread that has used tokio and the clock.
pub(crate) const SMALL: usize = 1024;

/// A subscription that sleeps, without the future that polls it.
pub(crate) const SUBSCRIPTION: usize = 200;

/// Measures what a closure makes of the memory; what it returns counts as held.
pub(crate) fn measure<T>(work: impl FnOnce() -> T) -> (T, AllocationInfo) {
    let mut out = None;
    let info = allocation_counter::measure(|| out = Some(work()));
    (out.expect("it ran"), info)
}

pub(crate) fn held(info: &AllocationInfo) -> usize {
    usize::try_from(info.bytes_current).unwrap_or(0)
}

pub(crate) fn most(info: &AllocationInfo) -> usize {
    usize::try_from(info.bytes_max).unwrap_or(usize::MAX)
}

#[track_caller]
pub(crate) fn assert_within(what: &str, bytes: usize, bound: usize) {
    println!("{what}: {bytes} of {bound} bytes");
    assert!(
        bytes <= bound,
        "{what}: {bytes} bytes, the bound is {bound}"
    );
}

/// On this thread, so that what it runs is counted.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
}
