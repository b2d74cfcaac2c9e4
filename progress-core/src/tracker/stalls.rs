//! The watch for tasks that show no change any more.
//!
//! Nothing is done when a task changes: it is looked at when its time would be up, and put back to
//! the time that its last change gives it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use tokio::time::Instant;

use crate::{task::TaskShared, tracker::TrackerShared};

/// When to look at which task; each at most once.
#[derive(Debug, Default)]
pub(super) struct Stalls {
    due: BTreeSet<(Instant, u64)>,
    armed: HashMap<u64, Instant>,
}

impl Stalls {
    /// Tells whether it is now the first.
    pub(super) fn arm(&mut self, number: u64, at: Instant) -> bool {
        self.disarm(number);
        self.armed.insert(number, at);
        self.due.insert((at, number));
        self.due.first() == Some(&(at, number))
    }

    pub(super) fn disarm(&mut self, number: u64) {
        if let Some(at) = self.armed.remove(&number) {
            self.due.remove(&(at, number));
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Up to `count` of those whose time is up.
    pub(super) fn take(&mut self, now: Instant, count: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        while numbers.len() < count
            && let Some((at, number)) = self.due.first().copied()
            && at <= now
        {
            self.disarm(number);
            numbers.push(number);
        }
        numbers
    }
}

impl TrackerShared {
    /// Has a task that has just begun looked at when it could have stalled.
    pub(crate) fn watch_for_stall(self: &Arc<Self>, task: &TaskShared, at: Instant) {
        let first = self.registry.write().arm_stall(task.number, at);
        if first {
            self.wake_sampler();
        }
    }

    /// Looks at some of the tasks whose time is up; tells when to come again.
    pub(super) fn check_stalls(&self, now: Instant) -> Option<Instant> {
        let next = self.registry.read().next_stall()?;
        if next > now {
            return Some(next);
        }
        let due = self.registry.write().take_stalls(now, CHUNK);
        // Looking publishes, which no lock of the tracker may be held for.
        let again: Vec<_> = due
            .iter()
            .filter_map(|task| Some((task.number, task.check_stall()?)))
            .collect();
        let mut registry = self.registry.write();
        for (number, at) in again {
            registry.arm_stall(number, at);
        }
        registry.next_stall()
    }
}

/// Tasks looked at in one turn.
const CHUNK: usize = 1_024;
