//! Drafts for channels that wait for the broker, in order.

use std::{collections::VecDeque, sync::atomic::Ordering};

use crate::{
    channel::ChannelName,
    link::Link,
    sync::Mutex,
    transport::{AppendError, Draft, Topic, TransportError},
};

/// Drafts that wait for the broker, in order. How many may wait is said where they come from.
#[derive(Debug, Default)]
pub(super) struct Drafts(Mutex<VecDeque<(ChannelName, Draft)>>);

impl Drafts {
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }

    pub(super) fn extend(&self, drafts: impl IntoIterator<Item = (ChannelName, Draft)>) {
        self.0.lock().extend(drafts);
    }

    /// Takes one more, if there are fewer than so many.
    pub(super) fn push_below(&self, limit: usize, channel: ChannelName, draft: Draft) -> bool {
        let mut queue = self.0.lock();
        let room = queue.len() < limit;
        if room {
            queue.push_back((channel, draft));
        }
        room
    }

    /// The first ones, as far as they are for one channel.
    fn first(&self) -> Option<(ChannelName, Vec<Draft>)> {
        let queue = self.0.lock();
        let (channel, _) = queue.front()?;
        let same = queue.iter().take_while(|(other, _)| other == channel);
        let drafts = same.take(AT_ONCE).map(|(_, draft)| draft.clone()).collect();
        Some((channel.clone(), drafts))
    }
}

impl Link {
    /// Sends some of what waits; tells whether there was any. What could not be sent waits on: it
    /// stays in the queue until the broker has it, and its ids tell a repetition.
    pub(super) async fn send_drafts(&self, drafts: &Drafts) -> Result<bool, TransportError> {
        let Some((channel, first)) = drafts.first() else {
            return Ok(false);
        };
        let count = first.len();
        let topic = Topic::Channel(channel);
        let answers = self.transport.submit(&topic, first).await;
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
                    tracing::debug!(?topic, %error, "refused by the broker");
                }
                Ok(_) => {}
            }
            done += 1;
        }
        drafts.0.lock().drain(..done);
        unavailable.map_or(Ok(true), Err)
    }
}

/// Drafts that go to the broker together.
const AT_ONCE: usize = 256;
