//! Copies of tasks' events, on their way into channels.

use std::{collections::HashSet, sync::Arc};

use crate::{
    background::spawn,
    channel::ChannelName,
    event::Event,
    id::TaskId,
    link::{Backoff, Link},
    position::{Position, Seq},
    transport::{Draft, Record, Topic, TransportError},
};

impl Link {
    /// Has events copied into the channels of their task: the drafts' ids see to it that each is
    /// there once.
    pub(super) fn copy_soon(&self, channels: &[ChannelName], events: &[Arc<Event>]) {
        if events.is_empty() {
            return;
        }
        let copies = events.iter().flat_map(|event| {
            let listed = event.data().is_listed().then(ChannelName::tasks);
            let channels = channels.iter().cloned().chain(listed);
            channels.map(|channel| (channel, Draft::copy_of(Arc::clone(event))))
        });
        self.copies.extend(copies);
        self.wake_outbox();
    }

    pub(super) fn copies_waiting(&self) -> usize {
        self.copies.len()
    }

    pub(super) fn too_many_copies(&self) -> bool {
        self.copies_waiting() > MOST_WAITING
    }

    /// Sends the copies that wait, some at a time. What could not be sent waits on.
    pub(super) async fn send_copies(&self) -> Result<(), TransportError> {
        while self.send_drafts(&self.copies).await? {}
        Ok(())
    }

    /// Has what was published on a shared task without a node copied into its channels.
    pub(super) fn copy_untold(self: &Arc<Self>, id: TaskId, after: Position) {
        let link = Arc::clone(self);
        let _on_its_own = spawn("progress-copy", async move {
            let topic = Topic::Task(id);
            let mut backoff = Backoff::new();
            while !link.is_closed() {
                match link.transport.read(&topic, Some(after)).await {
                    Ok(page) => {
                        if let Some(page) = page.filter(|page| page.epoch == after.epoch()) {
                            let records = page.records.into_iter();
                            let events = records.filter_map(|record| match record {
                                Record::Task(event) => Some(event),
                                Record::Channel(_) => None,
                            });
                            link.copy_soon(&page.channels, &events.collect::<Vec<_>>());
                        }
                        return;
                    }
                    Err(error) => {
                        tracing::debug!(node = %link.node, %error, "not copied into a channel");
                        link.pause(&mut backoff).await;
                    }
                }
            }
        });
    }

    /// Reads what the broker has numbered of a shared task, so that this node sees at once what was
    /// published through it, and has it copied into the channels of its task.
    pub(crate) async fn copy_submitted(
        &self,
        id: &TaskId,
        positions: &[Position],
        channels: &[ChannelName],
    ) {
        let Some(first) = positions.iter().min_by_key(|position| position.seq()) else {
            return;
        };
        let before = Seq::new(first.seq().get().saturating_sub(1));
        let topic = Topic::Task(id.clone());
        let mut backoff = Backoff::new();
        let (page, after) = loop {
            let mirror = self.tracker().and_then(|tracker| tracker.find(id));
            let mirror = mirror.filter(|task| task.is_mirror() && task.epoch == first.epoch());
            // From where the mirror stands, if that is before them.
            let seen = mirror.and_then(|mirror| mirror.received());
            let seen = seen.map_or(Seq::ZERO, Position::seq);
            let after = Position::new(first.epoch(), before.min(seen));
            match self.transport.read(&topic, Some(after)).await {
                Ok(page) => break (page, after),
                Err(error) => {
                    tracing::debug!(node = %self.node, %error, "not copied into a channel");
                    self.pause(&mut backoff).await;
                }
            }
            if self.is_closed() {
                return;
            }
        };
        let Some(page) = page.filter(|page| page.epoch == first.epoch()) else {
            return;
        };
        if let Some(tracker) = self.tracker()
            && let Some(mirror) = tracker.find(id)
            && mirror.is_mirror()
            && mirror.epoch == page.epoch
            && !mirror.merge(&page, Some(after))
        {
            self.sync_soon(topic);
        }
        let positions: HashSet<_> = positions.iter().copied().collect();
        let events: Vec<_> = page
            .records
            .into_iter()
            .filter_map(|record| match record {
                Record::Task(event) if positions.contains(&event.position()) => Some(event),
                _ => None,
            })
            .collect();
        self.copy_soon(channels, &events);
    }
}

/// Copies that wait before the outbox tells no more: beyond them are those of the round it has told, and
/// what is published on shared tasks meanwhile.
const MOST_WAITING: usize = 4_096;
