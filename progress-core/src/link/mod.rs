//! The link to a broker: what turns trackers in several processes into nodes of one system.
//!
//! Six loops drive a [`Transport`]:
//!
//! - the [outbox] sends what the logs of this node's tasks hold, each from a cursor of its
//!   own, so that a log's bounds are the outbox's bounds;
//! - the [inbox] hands what arrives to the mirrors of watched topics;
//! - [syncing](self::sync) reads what a mirror lacks: at first, after a hole, after an outage, and now
//!   and then to be sure;
//! - the [keeper] renews the node's lease;
//! - the [intake](foreign) publishes what comes from those who know nothing of nodes;
//! - [tidying](tidy) ends the tasks of dead nodes, lets go of what nobody watches, and looks at
//!   what is watched now and then.

mod channels;
mod copies;
mod drafts;
mod foreign;
mod inbox;
mod keeper;
mod listed;
mod outbox;
mod sync;
mod tidy;
mod watches;

use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{sync::Notify, task::JoinHandle, time::Instant};

pub(crate) use self::{
    outbox::{Backlog, Outbox},
    watches::{Located, WatchGuard},
};
use self::{sync::Syncs, watches::Watches};
use crate::{
    background::spawn,
    sync::Mutex,
    tracker::TrackerShared,
    transport::{NodeId, Transport},
};

/// One tracker's link.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) node: NodeId,
    pub(crate) lease: Duration,
    pub(crate) counts: LinkCounts,
    tracker: OnceLock<Weak<TrackerShared>>,
    outbox: outbox::Dirty,
    waiting: channels::Waiting,
    copies: drafts::Drafts,
    listed: listed::Listed,
    intake: foreign::Intake,
    watches: Watches,
    syncs: Syncs,
    /// Since when the broker has been seen without a break.
    up_since: Mutex<Option<Instant>>,
    /// Since when the lease has been renewed without a break.
    seen_since: Mutex<Option<Instant>>,
    /// Told at each change of the broker's being there.
    changed: Notify,
    running: AtomicBool,
    closed: AtomicBool,
    loops: Mutex<Vec<JoinHandle<()>>>,
}

/// What the link has been through.
#[derive(Debug, Default)]
pub(crate) struct LinkCounts {
    pub(crate) superseded: AtomicU64,
    pub(crate) resyncs: AtomicU64,
    pub(crate) holes: AtomicU64,
    pub(crate) gaps: AtomicU64,
    pub(crate) resends: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) unsent: AtomicU64,
    pub(crate) unreadable: AtomicU64,
}

impl Link {
    pub(crate) fn new(transport: Arc<dyn Transport>, node: NodeId, lease: Duration) -> Self {
        Self {
            transport,
            node,
            lease,
            counts: LinkCounts::default(),
            tracker: OnceLock::new(),
            outbox: outbox::Dirty::default(),
            waiting: channels::Waiting::default(),
            copies: drafts::Drafts::default(),
            listed: listed::Listed::default(),
            intake: foreign::Intake::default(),
            watches: Watches::default(),
            syncs: Syncs::default(),
            up_since: Mutex::new(None),
            seen_since: Mutex::new(None),
            changed: Notify::new(),
            running: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            loops: Mutex::default(),
        }
    }

    /// Starts the loops if they do not run: on the current runtime, else on a thread.
    pub(crate) fn ensure_running(self: &Arc<Self>, tracker: &Arc<TrackerShared>) {
        // Acquire pairs with the Release in Running::drop.
        if self.running.swap(true, Ordering::Acquire) {
            return;
        }
        let _once = self.tracker.set(Arc::downgrade(tracker));
        // Owned by the loops, so that it is dropped also if the runtime drops them.
        let running = Arc::new(Running(Arc::downgrade(self)));
        let start = |work: fn(Arc<Self>) -> BoxFuture<'static, ()>| {
            let (running, work) = (Arc::clone(&running), work(Arc::clone(self)));
            spawn("progress-link", async move {
                let _running = running;
                work.await;
            })
        };
        self.loops.lock().extend(
            [
                start(|link| Box::pin(async move { link.send().await })),
                start(|link| Box::pin(async move { link.receive().await })),
                start(|link| Box::pin(async move { link.synchronise().await })),
                start(|link| Box::pin(async move { link.keep().await })),
                start(|link| Box::pin(async move { link.tidy().await })),
                start(|link| Box::pin(async move { link.publish_foreign().await })),
            ]
            .into_iter()
            .flatten(),
        );
    }

    /// Ends the loops, and tells all who wait that nothing more is to come.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.changed.notify_waiters();
        self.wake_outbox();
        self.wake_syncs();
        self.none_located();
        for handle in self.loops.lock().drain(..) {
            handle.abort();
        }
    }

    /// Tells whether the broker was reached the last time.
    pub(crate) fn is_up(&self) -> bool {
        self.up_since.lock().is_some()
    }

    fn tracker(&self) -> Option<Arc<TrackerShared>> {
        self.tracker.get().and_then(Weak::upgrade)
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Waits for the link to be closed.
    async fn closing(&self) {
        loop {
            let changed = self.changed.notified();
            if self.is_closed() {
                return;
            }
            changed.await;
        }
    }

    /// Takes note that the broker was reached. After a break whatever was published meanwhile is
    /// lost, and the broker may have forgotten what it was told.
    fn came_back(&self, tracker: &TrackerShared) {
        let news = {
            let mut since = self.up_since.lock();
            let news = since.is_none();
            since.get_or_insert_with(Instant::now);
            news
        };
        if news {
            self.changed.notify_waiters();
            self.resync_all();
            self.resend_all(tracker);
        }
    }

    /// Takes note that the broker was not reached.
    fn went_away(&self) {
        if self.up_since.lock().take().is_some() {
            self.changed.notify_waiters();
        }
    }

    /// Waits before another try: until the broker is back, but not longer than the pause.
    async fn pause(&self, backoff: &mut Backoff) {
        let back = self.changed.notified();
        if self.is_closed() {
            return;
        }
        let _either = tokio::time::timeout(backoff.next(), back).await;
    }
}

/// Says that the loops run, as long as they do.
struct Running(Weak<Link>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(link) = self.0.upgrade() {
            link.running.store(false, Ordering::Release);
        }
    }
}

/// Pauses between tries, for ever: 100 ms, doubling to 2 s, each up to a half shorter by chance.
#[derive(Debug)]
struct Backoff {
    pause: Duration,
    dice: u64,
}

impl Backoff {
    fn new() -> Self {
        Self {
            pause: SHORTEST_PAUSE,
            dice: uuid::Uuid::new_v4().as_u64_pair().0 | 1,
        }
    }

    fn reset(&mut self) {
        self.pause = SHORTEST_PAUSE;
    }

    fn next(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        pause.mul_f64(1.0 - (self.dice % 1_000) as f64 / 2_000.0)
    }
}

/// Some time up to the longest.
fn at_random(longest: Duration) -> Duration {
    let dice = uuid::Uuid::new_v4().as_u64_pair().0;
    longest.mul_f64((dice % 1_024) as f64 / 1_024.0)
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
