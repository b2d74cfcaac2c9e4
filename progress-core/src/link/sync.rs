//! Reading what a mirror lacks: one read at a time for each topic.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use futures_util::future::join_all;
use tokio::sync::Notify;

use crate::{
    link::{Backoff, Link, Located},
    position::Position,
    sync::Mutex,
    tracker::TrackerShared,
    transport::{Topic, TransportError},
};

/// The topics to read.
#[derive(Debug, Default)]
pub(super) struct Syncs {
    queue: Mutex<Queue>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    order: VecDeque<Topic>,
    /// Those in `order`, so that each stands there once.
    queued: HashSet<Topic>,
}

impl Link {
    /// Has a topic read; once, however often it is asked for meanwhile.
    pub(super) fn sync_soon(&self, topic: Topic) {
        {
            let mut queue = self.syncs.queue.lock();
            if !queue.queued.insert(topic.clone()) {
                return;
            }
            queue.order.push_back(topic);
        }
        self.syncs.wake.notify_one();
    }

    /// Reads what is to be read, for ever.
    pub(super) async fn synchronise(&self) {
        let mut backoff = Backoff::new();
        let mut first = true;
        loop {
            let chunk = self.next_chunk();
            if chunk.is_empty() {
                self.syncs.wake.notified().await;
                continue;
            }
            let Some(tracker) = self.tracker() else {
                return;
            };
            let read = join_all(chunk.iter().map(|topic| self.sync(&tracker, topic))).await;
            drop(tracker);
            let was_up = self.is_up() || first;
            first = false;
            let mut failed = false;
            for (topic, read) in chunk.into_iter().zip(read) {
                if let Err(error) = read {
                    tracing::debug!(node = %self.node, ?topic, %error, "not read");
                    failed = true;
                    // One failure may be of this one read alone.
                    if !was_up {
                        self.located(&topic, Located::Down);
                    }
                    self.sync_soon(topic);
                }
            }
            self.saw(!failed);
            if failed && !was_up {
                self.pause(&mut backoff).await;
            } else {
                backoff.reset();
            }
        }
    }

    fn next_chunk(&self) -> Vec<Topic> {
        let mut queue = self.syncs.queue.lock();
        let count = queue.order.len().min(CHUNK);
        let chunk: Vec<_> = queue.order.drain(..count).collect();
        for topic in &chunk {
            queue.queued.remove(topic);
        }
        chunk
    }

    async fn sync(
        &self,
        tracker: &Arc<TrackerShared>,
        topic: &Topic,
    ) -> Result<(), TransportError> {
        if !self.is_watched(topic) && !self.is_confirmed(topic) {
            return self.look_at_own(tracker, topic).await;
        }
        // Watched first and read then: what is published in between arrives.
        if !self.is_confirmed(topic) {
            self.transport.watch(topic).await?;
            self.confirm(topic);
        }
        let page = self
            .transport
            .read(topic, self.received(tracker, topic))
            .await?;
        let found = match page {
            Some(page) => tracker.take_page(topic, &page),
            None => Located::Unknown,
        };
        self.located(topic, found);
        Ok(())
    }

    /// Somebody else has said something of a task of this node: it may have been ended.
    async fn look_at_own(
        &self,
        tracker: &Arc<TrackerShared>,
        topic: &Topic,
    ) -> Result<(), TransportError> {
        if let Some(page) = self.transport.read(topic, None).await? {
            tracker.take_page(topic, &page);
        }
        Ok(())
    }

    fn received(&self, tracker: &TrackerShared, topic: &Topic) -> Option<Position> {
        match topic {
            Topic::Task(id) => tracker
                .find(id)
                .filter(|task| task.is_mirror())
                .and_then(|task| task.received()),
            Topic::Channel(name) => tracker.channels.get(name).map(|channel| channel.head()),
        }
    }
}

/// Topics read at a time.
const CHUNK: usize = 64;
