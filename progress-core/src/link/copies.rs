//! Copies of tasks' events, on their way into channels.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, atomic::Ordering},
};

use crate::{
    channel::ChannelName,
    event::Event,
    id::TaskId,
    link::{Backoff, Link},
    position::{Position, Seq},
    sync::Mutex,
    transport::{AppendError, Draft, Record, Topic, TransportError},
};

/// Copies that wait for the broker, in order. It holds what one round of the outbox has told, and
/// what was published on shared tasks meanwhile: past [`MOST_WAITING`] the outbox tells no more.
#[derive(Debug, Default)]
pub(super) struct Copies {
    queue: Mutex<VecDeque<(ChannelName, Draft)>>,
}

impl Link {
    /// Has events copied into the channels of their task: the drafts' ids see to it that each is
    /// there once.
    pub(super) fn copy_soon(&self, channels: &[ChannelName], events: &[Arc<Event>]) {
        if events.is_empty() {
            return;
        }
        {
            let mut queue = self.copies.queue.lock();
            for event in events {
                let listed = event.data().is_listed().then(ChannelName::tasks);
                for channel in channels.iter().cloned().chain(listed) {
                    queue.push_back((channel, Draft::copy_of(Arc::clone(event))));
                }
            }
        }
        self.wake_outbox();
    }

    pub(super) fn copies_waiting(&self) -> usize {
        self.copies.queue.lock().len()
    }

    pub(super) fn too_many_copies(&self) -> bool {
        self.copies_waiting() > MOST_WAITING
    }

    /// Sends the copies that wait, some at a time. What could not be sent waits on.
    pub(super) async fn send_copies(&self) -> Result<(), TransportError> {
        loop {
            let (channel, drafts) = {
                let queue = self.copies.queue.lock();
                let Some((channel, _)) = queue.front() else {
                    return Ok(());
                };
                let same = queue.iter().take_while(|(other, _)| other == channel);
                let drafts: Vec<_> = same.take(AT_ONCE).map(|(_, draft)| draft.clone()).collect();
                (channel.clone(), drafts)
            };
            let count = drafts.len();
            let topic = Topic::Channel(channel);
            let answers = self.transport.submit(&topic, drafts).await;
            if answers.len() < count {
                return Err(TransportError::new("the broker has not answered all"));
            }
            let mut done = 0;
            let mut unavailable = None;
            for answer in answers {
                match answer {
                    Err(AppendError::Unavailable(error)) => {
                        unavailable = Some(error);
                        break;
                    }
                    Err(error) => {
                        self.counts.refused.fetch_add(1, Ordering::Relaxed);
                        tracing::debug!(?topic, %error, "copy refused by the broker");
                    }
                    Ok(_) => {}
                }
                done += 1;
            }
            self.copies.queue.lock().drain(..done);
            if let Some(error) = unavailable {
                return Err(error);
            }
        }
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

/// Copies that go to the broker together.
const AT_ONCE: usize = 256;
/// Copies that wait before the outbox stops making more.
const MOST_WAITING: usize = 4_096;
