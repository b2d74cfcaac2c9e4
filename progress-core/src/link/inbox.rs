//! What arrives.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, atomic::Ordering},
};

use futures_util::future::{Either, select};

use crate::{
    link::Link,
    task::Received,
    transport::{Record, Topic, TransportEvent},
};

impl Link {
    /// Hands on what arrives, as long as the link is open.
    pub(super) async fn receive(self: &Arc<Self>) {
        let mut events = self.transport.events();
        loop {
            let closing = pin!(self.closing());
            let next = poll_fn(|cx| events.as_mut().poll_next(cx));
            match select(next, closing).await {
                Either::Left((Some(event), _)) => self.arrived(event),
                Either::Left((None, _)) => break,
                Either::Right(_) => return,
            }
        }
        // The transport has nothing more to say; the keeper's reads go on.
        tracing::debug!(node = %self.node, "the transport's events have ended");
    }

    fn arrived(self: &Arc<Self>, event: TransportEvent) {
        let Some(tracker) = self.tracker() else {
            return;
        };
        match event {
            TransportEvent::Record(record) => {
                let complete = match &record {
                    Record::Task(event) => match tracker.find(event.task_id()) {
                        Some(task) if task.is_mirror() => task.receive(event) == Received::Taken,
                        // An owner's own events come back to it, unless somebody has ended its run.
                        Some(task) => {
                            task.epoch == event.epoch()
                                || !(task.is_before(event.epoch()) || task.is_superseded())
                        }
                        None => false,
                    },
                    Record::Channel(event) => tracker
                        .channels
                        .get(event.channel())
                        .is_some_and(|channel| channel.receive(event).is_ok()),
                };
                if !complete {
                    self.resync(record.topic());
                }
            }
            TransportEvent::Foreign(foreign) => self.take_in(&tracker, foreign),
            TransportEvent::Untold(id, after) => self.copy_untold(id, after),
            TransportEvent::Request(id, request) => tracker.requested(&id, &request),
            TransportEvent::Removed(id, up_to) => {
                if !tracker.removed(&id, up_to) {
                    self.resync(Topic::Task(id));
                }
            }
            TransportEvent::Resync(topic) => self.resync(topic),
            TransportEvent::Down => self.went_away(),
            TransportEvent::Up => {
                // It may have been away without anybody here having noticed.
                self.went_away();
                self.came_back(&tracker);
            }
        }
    }

    fn resync(&self, topic: Topic) {
        if self.is_watched(&topic) || self.is_own(&topic) {
            self.counts.resyncs.fetch_add(1, Ordering::Relaxed);
            self.sync_soon(topic);
        }
    }

    pub(super) fn resync_all(&self) {
        for topic in self.watched() {
            self.sync_soon(topic);
        }
    }

    pub(super) fn is_own(&self, topic: &Topic) -> bool {
        let (Topic::Task(id), Some(tracker)) = (topic, self.tracker()) else {
            return false;
        };
        tracker.find(id).is_some_and(|task| !task.is_mirror())
    }
}
