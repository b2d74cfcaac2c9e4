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
                let mut hole = false;
                let complete =
                    match &record {
                        Record::Task(event) => match tracker.find(event.task_id()) {
                            Some(task) if task.is_mirror() => {
                                let received = task.receive(event);
                                hole = received == Received::Early;
                                received == Received::Taken
                            }
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
                            .is_some_and(|channel| {
                                let received = channel.receive(event);
                                let epoch = event.position().epoch();
                                hole = received.is_err() && channel.head().epoch() == epoch;
                                received.is_ok()
                            }),
                    };
                if !complete && self.resync(record.topic()) && hole {
                    self.counts.holes.fetch_add(1, Ordering::Relaxed);
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
            TransportEvent::Resync(topic) => {
                self.verify_soon(&tracker, &topic);
                self.resync(topic);
            }
            TransportEvent::Down => self.went_away(),
            TransportEvent::Up => {
                // It may have been away without anybody here having noticed.
                self.went_away();
                self.came_back(&tracker);
            }
        }
    }

    /// Has a topic read of which something is missing; tells whether that is news.
    fn resync(&self, topic: Topic) -> bool {
        let news = (self.is_watched(&topic) || self.is_own(&topic)) && self.sync_soon(topic);
        if news {
            self.counts.resyncs.fetch_add(1, Ordering::Relaxed);
        }
        news
    }

    pub(super) fn is_own(&self, topic: &Topic) -> bool {
        let (Topic::Task(id), Some(tracker)) = (topic, self.tracker()) else {
            return false;
        };
        tracker.find(id).is_some_and(|task| !task.is_mirror())
    }
}
