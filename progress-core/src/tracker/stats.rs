//! What a tracker has counted.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    link::{Backlog, Link, LinkCounts},
    tracker::shared::TrackerShared,
    transport::ForeignStats,
};

/// Counts of a tracker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TrackerStats {
    /// Tasks that are kept.
    pub tasks: usize,
    /// Those of them that have ended.
    pub ended: usize,
    /// Channels, besides the live list of tasks.
    pub channels: usize,
    /// Those of the subscriptions that wait for their task to come into being.
    pub waiting: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Bytes of the events that are kept, about: charged in steps, up to an
    /// eighth ahead while logs grow.
    pub bytes: usize,
    /// Reports that were refused without an error to their caller.
    pub refused: u64,
    /// Runs of this node in whose place another run counts.
    pub superseded: u64,
    /// Times that records from other nodes were found missing and read again.
    pub resyncs: u64,
    /// Those of them for which something had come before what was missing.
    pub holes: u64,
    /// Times that something which was to come here was lost for good, as readers are told.
    pub gaps: u64,
    /// Times that a task was told to the broker from its start again, because that had forgotten it.
    pub resends: u64,
    /// Tasks of this node with something to tell that the broker has not had yet.
    pub outbox_tasks: usize,
    /// Events for channels that the broker has not had yet.
    pub outbox_events: usize,
    /// Messages from those who speak to the broker and know nothing of nodes.
    pub foreign: ForeignStats,
    /// Records of the broker that could not be read, as often as they were met.
    pub unreadable: u64,
    /// Tasks that were forgotten before the broker had had all of them.
    pub unsent: u64,
    /// Events that the broker refused.
    pub refused_by_broker: u64,
}

impl TrackerShared {
    pub(super) fn stats(&self) -> TrackerStats {
        let link = self.link.as_deref();
        let backlog = link.map_or_else(Backlog::default, Link::backlog);
        let counted = |count: fn(&LinkCounts) -> &AtomicU64| {
            link.map_or(0, |link| count(&link.counts).load(Ordering::Relaxed))
        };
        let registry = self.registry.read();
        TrackerStats {
            tasks: registry.len(),
            ended: registry.ended(),
            channels: self.channels.len(),
            waiting: self.waiting.load(Ordering::Relaxed),
            subscriptions: self.subscriptions.load(Ordering::Relaxed),
            bytes: usize::try_from(self.bytes.load(Ordering::Relaxed)).unwrap_or(0),
            refused: self.refused.load(Ordering::Relaxed),
            superseded: counted(|counts| &counts.superseded),
            resyncs: counted(|counts| &counts.resyncs),
            holes: counted(|counts| &counts.holes),
            gaps: counted(|counts| &counts.gaps),
            resends: counted(|counts| &counts.resends),
            outbox_tasks: backlog.tasks,
            outbox_events: backlog.events,
            foreign: link.map_or_else(Default::default, |link| link.foreign_stats()),
            unreadable: counted(|counts| &counts.unreadable),
            unsent: counted(|counts| &counts.unsent),
            refused_by_broker: counted(|counts| &counts.refused),
        }
    }
}
