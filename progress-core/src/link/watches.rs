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

#[derive(Debug)]
struct Watch {
    readers: usize,
    /// Since when there are none.
    idle_since: Option<Instant>,
    /// Whether the broker publishes it to this node.
    confirmed: bool,
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
        let new = {
            let mut watches = self.watches.by_topic.lock();
            let watch = watches.entry(topic.clone()).or_insert_with(|| Watch {
                readers: 0,
                idle_since: None,
                confirmed: false,
                located: None,
                sleepers: Sleepers::default(),
            });
            watch.readers += 1;
            watch.idle_since = None;
            // A broker that was away may be back, and a task may have started.
            let retry = watch.located != Some(Located::Known);
            if retry {
                watch.located = None;
            }
            retry
        };
        if new {
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

    pub(super) fn is_confirmed(&self, topic: &Topic) -> bool {
        let watches = self.watches.by_topic.lock();
        watches.get(topic).is_some_and(|watch| watch.confirmed)
    }

    pub(super) fn confirm(&self, topic: &Topic) {
        if let Some(watch) = self.watches.by_topic.lock().get_mut(topic) {
            watch.confirmed = true;
        }
    }

    /// Has a topic watched again, if somebody here watches it, after the broker was told that nobody
    /// does.
    pub(super) fn watch_again(&self, topic: Topic) {
        let watched = match self.watches.by_topic.lock().get_mut(&topic) {
            Some(watch) => {
                watch.confirmed = false;
                true
            }
            None => false,
        };
        if watched {
            self.sync_soon(topic);
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

    pub(super) fn watched(&self) -> Vec<Topic> {
        self.watches.by_topic.lock().keys().cloned().collect()
    }

    /// Gives up what nobody has watched for a while.
    pub(super) fn take_idle(&self, now: Instant) -> Vec<Topic> {
        let mut watches = self.watches.by_topic.lock();
        let idle: Vec<Topic> = watches
            .iter()
            .filter(|(_, watch)| {
                watch
                    .idle_since
                    .is_some_and(|since| now.duration_since(since) >= IDLE)
            })
            .map(|(topic, _)| topic.clone())
            .collect();
        for topic in &idle {
            watches.remove(topic);
        }
        idle
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
