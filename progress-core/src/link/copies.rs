//! Copies of a shared task's events in its channels: whoever has them numbered sees to it.

use std::collections::HashSet;

use crate::{
    channel::ChannelName,
    id::TaskId,
    link::{Backoff, Link},
    position::{Position, Seq},
    transport::{Record, Topic},
};

impl Link {
    /// Reads what the broker has numbered, and copies it into the channels of its task, again and
    /// again until the broker has it.
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
        let after = Position::new(first.epoch(), before);
        let topic = Topic::Task(id.clone());
        let mut backoff = Backoff::new();
        let page = loop {
            match self.transport.read(&topic, Some(after)).await {
                Ok(page) => break page,
                Err(error) => {
                    tracing::debug!(node = %self.node, %error, "not copied into a channel");
                    self.saw(false);
                    self.pause(&mut backoff).await;
                }
            }
            if self.tracker().is_none() {
                return;
            }
        };
        let Some(page) = page.filter(|page| page.epoch == first.epoch()) else {
            return;
        };
        // So that this node sees at once what was published through it.
        if let Some(tracker) = self.tracker()
            && let Some(mirror) = tracker.find(id)
            && mirror.is_mirror()
            && mirror.epoch == page.epoch
        {
            mirror.merge(&page);
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
        // It ends when the broker has them; what it refuses, it has answered.
        let _copied = self.copy_to_channels(channels, &events).await;
    }
}
