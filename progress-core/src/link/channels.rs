//! Events of no task, on their way into channels.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    channel::ChannelName,
    error::PublishError,
    event::{Custom, Data},
    link::{Link, drafts::Drafts},
    position::Position,
    time::Timestamp,
    transport::{Draft, Topic, TransportError},
};

/// Events that wait for the broker, in order.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    drafts: Drafts,
    last_number: AtomicU64,
}

impl Link {
    /// Has an event sent as soon as that can be.
    pub(crate) fn emit(
        &self,
        channel: ChannelName,
        custom: Custom,
        now: Timestamp,
    ) -> Result<(), PublishError> {
        let draft = self.draft(custom, now);
        if !(self.waiting.drafts).push_below(MOST_WAITING, channel, draft) {
            return Err(PublishError::QueueFull {
                limit: MOST_WAITING,
            });
        }
        self.wake_outbox();
        Ok(())
    }

    pub(crate) async fn submit_to_channel(
        &self,
        channel: ChannelName,
        custom: Custom,
        now: Timestamp,
    ) -> Result<Position, PublishError> {
        let drafts = vec![self.draft(custom, now)];
        let topic = Topic::Channel(channel);
        let answers = self.transport.submit(&topic, drafts).await;
        answers
            .into_iter()
            .next()
            .unwrap_or_else(|| Err(TransportError::new("the broker gave no answer").into()))
            .map_err(PublishError::from)
    }

    /// Has the broker number some events, in order; answers as many, unless the broker does not.
    /// Those with an id of their own are told by it when they are repeated.
    pub(crate) async fn submit_all_to_channel(
        &self,
        channel: &ChannelName,
        events: Vec<(Custom, Option<Arc<str>>)>,
        now: Timestamp,
    ) -> Vec<Result<Position, PublishError>> {
        let drafts = events.into_iter().map(|(custom, id)| match id {
            Some(id) => Draft::new(Data::Custom(custom), now).id(id),
            None => self.draft(custom, now),
        });
        let topic = Topic::Channel(channel.clone());
        let answers = self.transport.submit(&topic, drafts.collect()).await;
        let answers = answers.into_iter();
        answers
            .map(|answer| answer.map_err(PublishError::from))
            .collect()
    }

    /// Sends some of what waits. What could not be sent waits on.
    pub(super) async fn send_waiting(&self) -> Result<(), TransportError> {
        self.send_drafts(&self.waiting.drafts).await.map(drop)
    }

    pub(super) fn nothing_waits(&self) -> bool {
        self.waiting_drafts() == 0
    }

    pub(super) fn waiting_drafts(&self) -> usize {
        self.waiting.drafts.len()
    }

    fn draft(&self, custom: Custom, now: Timestamp) -> Draft {
        let number = self.waiting.last_number.fetch_add(1, Ordering::Relaxed);
        let id: Arc<str> = format!("{}#{number}", self.node).into();
        Draft::new(Data::Custom(custom), now).id(id)
    }
}

/// Events of no task that wait for the broker, on one node.
pub(crate) const MOST_WAITING: usize = 4_096;
