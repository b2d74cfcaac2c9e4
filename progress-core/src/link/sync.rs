//! Reading what a mirror lacks: one read at a time for each topic.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{sync::Notify, time::sleep};

use crate::{
    link::{Backoff, Link, Located, at_random},
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
    /// Has a topic read; once, however often it is asked for meanwhile. Tells whether this was the first.
    pub(super) fn sync_soon(&self, topic: Topic) -> bool {
        {
            let mut queue = self.syncs.queue.lock();
            if !queue.queued.insert(topic.clone()) {
                return false;
            }
            queue.order.push_back(topic);
        }
        self.syncs.wake.notify_one();
        true
    }

    /// Has all that is watched read.
    pub(super) fn resync_all(&self) {
        for topic in self.watched() {
            self.sync_soon(topic);
        }
    }

    /// Reads what is to be read, as long as the link is open.
    pub(super) async fn synchronise(self: &Arc<Self>) {
        let mut backoff = Backoff::new();
        let mut tries = 0_u32;
        let mut reached = false;
        while !self.is_closed() {
            let chunk = self.next_chunk();
            if chunk.is_empty() {
                self.syncs.wake.notified().await;
                continue;
            }
            if chunk.len() == CHUNK {
                // Of many: all nodes may have found the same broker again at the same time, and others have
                // their turn with it between.
                sleep(at_random(SPREAD)).await;
            }
            let Some(tracker) = self.tracker() else {
                return;
            };
            let read = join_all(chunk.iter().map(|topic| self.sync(&tracker, topic))).await;
            let count = chunk.len();
            let mut failed = Vec::new();
            for (topic, read) in chunk.into_iter().zip(read) {
                if let Err(error) = read {
                    tracing::debug!(node = %self.node, ?topic, %error, "not read");
                    failed.push(topic);
                }
            }
            if failed.len() < count {
                reached = true;
                self.came_back(&tracker);
            }
            drop(tracker);
            if failed.is_empty() {
                backoff.reset();
                tries = 0;
                continue;
            }
            tries += 1;
            // A failure or two may be of these reads alone, unless it is known to be away.
            if tries > FEW_TRIES || (reached && !self.is_up()) {
                for topic in &failed {
                    self.located(topic, Located::Down);
                }
                if failed.len() == count {
                    self.went_away();
                    self.none_located();
                }
                self.pause(&mut backoff).await;
            }
            for topic in failed {
                self.sync_soon(topic);
            }
        }
    }

    pub(super) fn wake_syncs(&self) {
        self.syncs.wake.notify_one();
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
        self: &Arc<Self>,
        tracker: &Arc<TrackerShared>,
        topic: &Topic,
    ) -> Result<(), TransportError> {
        let Some(confirmed) = self.confirmed(topic) else {
            return self.look_at_own(tracker, topic).await;
        };
        // Watched first and read then: what is published in between arrives.
        if !confirmed {
            self.transport.watch(topic).await?;
            self.confirm(topic);
        }
        let after = self.received(tracker, topic);
        let found = match self.transport.read(topic, after).await? {
            Some(page) => {
                let unreadable = page.unreadable as u64;
                self.counts
                    .unreadable
                    .fetch_add(unreadable, Ordering::Relaxed);
                tracker.take_page(topic, &page, after)
            }
            None => {
                if let Topic::Task(id) = topic {
                    tracker.forget_superseded(id);
                }
                Some(Located::Unknown)
            }
        };
        match found {
            Some(found) => self.located(topic, found),
            None => {
                self.sync_soon(topic.clone());
            }
        }
        Ok(())
    }

    /// Somebody else has said something of a task of this node that nobody watches: it may have
    /// been ended, or superseded.
    async fn look_at_own(
        self: &Arc<Self>,
        tracker: &Arc<TrackerShared>,
        topic: &Topic,
    ) -> Result<(), TransportError> {
        // What nobody watches any more, or what is being let go of, is not to be mirrored.
        if !self.is_own(topic) || self.is_watched(topic) {
            return Ok(());
        }
        match self.transport.read(topic, None).await? {
            Some(page) => {
                // Kept up to date and let go of like any other, if it becomes a mirror.
                let watch = self.watch(topic.clone());
                if tracker.take_page(topic, &page, None).is_none() {
                    self.sync_soon(topic.clone());
                }
                drop(watch);
            }
            None => {
                if let Topic::Task(id) = topic {
                    tracker.forget_superseded(id);
                }
            }
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

/// Failures that are not yet taken for the broker's absence.
const FEW_TRIES: u32 = 3;
/// Topics read at a time.
const CHUNK: usize = 64;
/// How long a full chunk may wait before it is read.
const SPREAD: Duration = Duration::from_millis(20);
