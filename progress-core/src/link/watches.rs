//! Which topics somebody here watches: one watch for each, however many readers.

use std::{
    collections::HashMap,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    link::Link,
    subscription::{Place, Sleepers},
    sync::Mutex,
    transport::Topic,
};

#[derive(Debug, Default)]
pub(super) struct Watches {
    by_topic: Mutex<HashMap<Topic, Watch>>,
}

#[derive(Debug, Default)]
struct Watch {
    readers: usize,
    /// Since when there are none.
    idle_since: Option<Instant>,
    /// Whether the broker publishes it to this node.
    confirmed: bool,
    /// It is being let go of: nothing is to be read before that is over.
    closing: bool,
    located: Option<Located>,
    sleepers: Sleepers,
}

/// What the first look at a topic found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Located {
    /// It is mirrored here.
    Known,
    /// The broker knows of none.
    Unknown,
    /// The broker cannot be reached.
    Down,
}

/// Keeps a topic watched.
#[derive(Debug)]
pub(crate) struct WatchGuard {
    link: Arc<Link>,
    topic: Topic,
    place: Option<Place>,
}

impl Link {
    /// Watches a topic as long as the guard lives, and some seconds longer.
    pub(crate) fn watch(self: &Arc<Self>, topic: Topic) -> WatchGuard {
        self.watch_from(topic, false)
    }

    /// The same, but what is known of the topic here is not enough: it is looked at first.
    pub(crate) fn watch_anew(self: &Arc<Self>, topic: Topic) -> WatchGuard {
        self.watch_from(topic, true)
    }

    fn watch_from(self: &Arc<Self>, topic: Topic, anew: bool) -> WatchGuard {
        let look = {
            let mut watches = self.watches.by_topic.lock();
            let watch = watches.entry(topic.clone()).or_default();
            watch.readers += 1;
            watch.idle_since = None;
            // A broker that was away may be back, and a task may have started.
            let look = anew || watch.located != Some(Located::Known);
            if look {
                watch.located = None;
            }
            look
        };
        if look {
            self.sync_soon(topic.clone());
        }
        WatchGuard {
            link: Arc::clone(self),
            topic,
            place: None,
        }
    }

    pub(crate) fn is_watched(&self, topic: &Topic) -> bool {
        self.watches.by_topic.lock().contains_key(topic)
    }

    /// Whether a topic is published to this node; none if nobody watches it, or it is being let
    /// go of.
    pub(super) fn confirmed(&self, topic: &Topic) -> Option<bool> {
        let watches = self.watches.by_topic.lock();
        let watch = watches.get(topic).filter(|watch| !watch.closing)?;
        Some(watch.confirmed)
    }

    pub(super) fn confirm(&self, topic: &Topic) {
        if let Some(watch) = self.watches.by_topic.lock().get_mut(topic) {
            watch.confirmed = true;
        }
    }

    /// Tells those who wait for it what a look at the topic found.
    pub(super) fn located(&self, topic: &Topic, found: Located) {
        let wakers = {
            let mut watches = self.watches.by_topic.lock();
            let Some(watch) = watches.get_mut(topic) else {
                return;
            };
            // What is known stays known while the broker is away.
            if watch.located != Some(Located::Known) || found != Located::Down {
                watch.located = Some(found);
            }
            watch.sleepers.take()
        };
        drop(wakers.wake());
    }

    /// Tells all who wait that the broker cannot be reached, or that nothing more is to come.
    pub(super) fn none_located(&self) {
        let wakers: Vec<_> = {
            let mut watches = self.watches.by_topic.lock();
            let unlocated = watches.values_mut().filter(|watch| watch.located.is_none());
            unlocated
                .map(|watch| {
                    watch.located = Some(Located::Down);
                    watch.sleepers.take()
                })
                .collect()
        };
        for wakers in wakers {
            drop(wakers.wake());
        }
    }

    pub(super) fn watched(&self) -> Vec<Topic> {
        self.watches.by_topic.lock().keys().cloned().collect()
    }

    /// Some of the topics that nobody has watched for a while.
    pub(super) fn idle(&self, now: Instant, count: usize) -> Vec<Topic> {
        let watches = self.watches.by_topic.lock();
        let idle = watches.iter().filter(|(_, watch)| watch.is_idle(now));
        idle.map(|(topic, _)| topic.clone()).take(count).collect()
    }

    /// Begins to let go of a topic: calls `forget` if still nobody watches it.
    pub(super) fn begin_letting_go(
        &self,
        topic: &Topic,
        now: Instant,
        forget: impl FnOnce(),
    ) -> bool {
        let mut watches = self.watches.by_topic.lock();
        let Some(watch) = watches.get_mut(topic).filter(|watch| watch.is_idle(now)) else {
            return false;
        };
        watch.closing = true;
        watch.confirmed = false;
        watch.located = None;
        // Under the lock: who comes from now on finds nothing, and waits for a look.
        forget();
        true
    }

    /// It is let go of; unless somebody has come meanwhile, for whom it is looked at anew.
    pub(super) fn end_letting_go(&self, topic: &Topic) {
        {
            let mut watches = self.watches.by_topic.lock();
            let Some(watch) = watches.get_mut(topic) else {
                return;
            };
            if watch.readers == 0 {
                watches.remove(topic);
                return;
            }
            watch.closing = false;
        }
        self.sync_soon(topic.clone());
    }
}

impl Watch {
    fn is_idle(&self, now: Instant) -> bool {
        let unknown = self.located == Some(Located::Unknown);
        !self.closing
            && self.idle_since.is_some_and(|since| {
                // Of a task that is none there is nothing to come back to.
                unknown || now.saturating_duration_since(since) >= IDLE
            })
    }
}

impl WatchGuard {
    /// Waits until the topic has been looked at.
    pub(crate) fn poll_located(&mut self, cx: &Context<'_>) -> Poll<Located> {
        let mut watches = self.link.watches.by_topic.lock();
        let Some(watch) = watches.get_mut(&self.topic) else {
            return Poll::Ready(Located::Down);
        };
        match watch.located {
            Some(located) => Poll::Ready(located),
            None => {
                watch.sleepers.arm(&mut self.place, cx.waker());
                Poll::Pending
            }
        }
    }

    /// Has the topic looked at once more.
    pub(crate) fn look_again(&self) {
        if let Some(watch) = self.link.watches.by_topic.lock().get_mut(&self.topic) {
            watch.located = None;
        }
        self.link.sync_soon(self.topic.clone());
    }
}

impl Drop for WatchGuard {
    fn drop(&mut self) {
        let mut watches = self.link.watches.by_topic.lock();
        let Some(watch) = watches.get_mut(&self.topic) else {
            return;
        };
        if let Some(place) = &self.place {
            watch.sleepers.release(place);
        }
        watch.readers -= 1;
        if watch.readers == 0 {
            watch.idle_since = Some(Instant::now());
        }
    }
}

/// How long a topic stays watched that nobody reads: readers come back.
const IDLE: Duration = Duration::from_secs(10);
