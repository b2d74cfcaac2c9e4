//! Events of no task, on their way into channels.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    channel::ChannelName,
    error::PublishError,
    event::{Custom, Data},
    link::Link,
    position::Position,
    sync::Mutex,
    time::Timestamp,
    transport::{AppendError, Draft, Topic, TransportError},
};

/// Events that wait for the broker, in order.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queue: Mutex<VecDeque<(ChannelName, Draft)>>,
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
        {
            let mut queue = self.waiting.queue.lock();
            if queue.len() >= MOST_WAITING {
                return Err(PublishError::QueueFull {
                    limit: MOST_WAITING,
                });
            }
            queue.push_back((channel, draft));
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
        let (channel, drafts) = {
            let queue = self.waiting.queue.lock();
            let Some((channel, _)) = queue.front() else {
                return Ok(());
            };
            let same = queue.iter().take_while(|(other, _)| other == channel);
            let drafts: Vec<_> = same.take(AT_ONCE).map(|(_, draft)| draft.clone()).collect();
            (channel.clone(), drafts)
        };
        let count = drafts.len();
        let topic = Topic::Channel(channel);
        // They stay in the queue until the broker has them: their ids tell a repetition.
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
                    tracing::debug!(?topic, %error, "event refused by the broker");
                }
                Ok(_) => {}
            }
            done += 1;
        }
        self.waiting.queue.lock().drain(..done);
        unavailable.map_or(Ok(()), Err)
    }

    pub(super) fn nothing_waits(&self) -> bool {
        self.waiting.queue.lock().is_empty()
    }

    fn draft(&self, custom: Custom, now: Timestamp) -> Draft {
        let number = self.waiting.last_number.fetch_add(1, Ordering::Relaxed);
        let id: Arc<str> = format!("{}#{number}", self.node).into();
        Draft::new(Data::Custom(custom), now).id(id)
    }
}

/// Events of no task that go to the broker together.
const AT_ONCE: usize = 256;
/// Events of no task that wait for the broker, on one node.
pub(crate) const MOST_WAITING: usize = 4_096;
