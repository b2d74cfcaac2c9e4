//! A task's log, fold and readers behind one lock.
//!
//! Invariants and order of locks:
//!
//! 1. Every event is appended to the log and applied to the fold under the same lock, so that a
//!    snapshot and the head always agree.
//! 2. Readers are woken, parents told, byte counts settled and the sampler informed by [`After`],
//!    when the lock is released: no task's lock is held while another's is taken.
//! 3. The registry's lock may be held while a task's is taken, never the other way round.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    task::Context,
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    channel::Feeds,
    error::PublishError,
    event::{Event, Origin, Started, TaskState},
    id::TaskId,
    limits::Limits,
    link::Outbox,
    position::{Epoch, Position},
    snapshot::Snapshot,
    subscription::{Place, Wakers},
    sync::{Mutex, atomic::AtomicU8},
    task::{
        children::{ChildMove, Family, Parent},
        counter::Counter,
        inner::Inner,
        lazy_fold::LazyFold,
        stop::Stop,
    },
    time::Clock,
    tracker::TrackerShared,
};

/// One run of a task; what handles, reporters, subscriptions and the registry share.
#[derive(Debug)]
pub(crate) struct TaskShared {
    pub(crate) id: TaskId,
    pub(crate) epoch: Epoch,
    /// Counts tasks in the order of their creation.
    pub(crate) number: u64,
    pub(crate) tracker: Weak<TrackerShared>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) parent: Option<Parent>,
    /// Whether a [`Task`](crate::Task) still holds it: then it is never forgotten.
    pub(super) hold: AtomicU8,
    /// Raised when cancellation was asked for or the task has ended.
    pub(crate) stop: Stop,
    /// After how long without a change it counts as stalled.
    pub(crate) stall_after: Option<Duration>,
    /// The channels of this process that its events are copied into, if there are any.
    pub(crate) feeds: Option<Arc<Feeds>>,
    /// How far the broker has been told of it; none if it is not this node's.
    pub(crate) outbox: Option<Box<Outbox>>,
    /// Whether its events are numbered elsewhere.
    pub(super) mirror: bool,
    /// Whether it has no owner, and its events are numbered here.
    pub(super) unowned: bool,
    pub(crate) inner: Mutex<Inner>,
}

/// What is left to do when the lock is released.
#[derive(Default)]
#[must_use]
struct After {
    wakers: Wakers,
    bytes: isize,
    aside: Option<Box<Aside>>,
    sample: bool,
    ended: bool,
    tell: bool,
    child_move: Option<ChildMove>,
    /// The broker is to be told.
    send: bool,
}

/// What there seldom is to be done: apart, for it is moved with all the rest at every publish.
#[derive(Default)]
struct Aside {
    /// Of the channels' readers.
    wakers: Vec<Wakers>,
    refused: Vec<PublishError>,
}

impl TaskShared {
    pub(crate) fn new(
        id: TaskId,
        epoch: Epoch,
        number: u64,
        tracker: &Arc<TrackerShared>,
        parent: Option<Parent>,
        family: Family,
        about: Started,
    ) -> Self {
        let limits = Arc::clone(&tracker.limits);
        let now = tracker.clock.at(Instant::now());
        let origin = Arc::new(Origin {
            task_id: id.clone(),
            epoch,
        });
        let fold = LazyFold::new(origin);
        let inner = Inner::new(&limits.log, fold, family, about, now);
        Self {
            id,
            epoch,
            number,
            tracker: Arc::downgrade(tracker),
            clock: Arc::clone(&tracker.clock),
            limits,
            parent,
            hold: AtomicU8::new(HELD),
            stop: Stop::default(),
            stall_after: None,
            feeds: None,
            outbox: None,
            mirror: false,
            unowned: false,
            inner: Mutex::new(inner),
        }
    }

    pub(crate) fn value_path(&self, index: usize) -> Option<Arc<str>> {
        self.inner.lock().work().values[index].path.clone()
    }

    pub(crate) fn own_counter(&self) -> Arc<Counter> {
        Arc::clone(&self.inner.lock().own)
    }

    /// What was known of it before it started.
    pub(crate) fn about(&self) -> Arc<Started> {
        Arc::clone(&self.inner.lock().about)
    }

    /// Takes the place of the run before under the same stage of the same parent, if it was there;
    /// tells whether it was. Call it before anybody else has the task.
    pub(crate) fn replaces(&self, previous: &Self) -> bool {
        let same = match (&self.parent, &previous.parent) {
            (Some(new), Some(old)) => Arc::ptr_eq(&new.task, &old.task) && new.stage == old.stage,
            _ => false,
        };
        if same {
            let told = previous.inner.lock().told();
            self.inner.lock().replace_child(told);
        }
        same
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.inner.lock().snapshot(Instant::now())
    }

    pub(crate) fn head(&self) -> Position {
        Position::new(self.epoch, self.inner.lock().log.head())
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.inner.lock().log.is_ended()
    }

    /// Tells whether a handle still lives: one whose task its parent has ended, if it has ended.
    pub(crate) fn is_held(&self) -> bool {
        // Relaxed: it only decides how long a task is kept.
        self.hold.load(Ordering::Relaxed) != FREE
    }

    /// Has the handle's drop told to the tracker, if there still is a handle. Call it with the
    /// registry locked, and set the task aside before unlocking if it is true.
    pub(crate) fn park(&self) -> bool {
        // Of this and the swap in `release` one is first. Relaxed: what else is to be seen is
        // behind the registry's lock.
        let parked = self
            .hold
            .compare_exchange(HELD, PARKED, Ordering::Relaxed, Ordering::Relaxed);
        !matches!(parked, Err(FREE))
    }

    /// The handle is gone.
    pub(super) fn release(&self) {
        if self.hold.swap(FREE, Ordering::Relaxed) == PARKED
            && let Some(tracker) = self.tracker.upgrade()
        {
            tracker.released(self);
        }
    }

    /// Bytes of its log in the tracker's account.
    pub(crate) fn log_bytes(&self) -> usize {
        let inner = self.inner.lock();
        if inner.forgotten {
            return 0;
        }
        inner.log.bytes()
    }

    /// Takes its bytes out of the tracker's account, in which it has no part from now on.
    pub(crate) fn forget(&self) -> usize {
        let mut inner = self.inner.lock();
        if std::mem::replace(&mut inner.forgotten, true) {
            return 0;
        }
        std::mem::take(&mut inner.charged)
    }

    /// Has it in the tracker's account again, with its next change.
    pub(crate) fn unforget(&self) {
        self.inner.lock().forgotten = false;
    }

    /// Tells a child's change; see [`ChildMove`].
    fn child_moved(self: &Arc<Self>, child: u64, feeds: &Parent, moved: ChildMove) -> After {
        let forth = u64::try_from(moved.fraction).unwrap_or(0);
        let back = u64::try_from(-moved.fraction).unwrap_or(0);
        let due = feeds.counter.add(forth);
        if !due && back == 0 && moved.from == moved.to {
            return After::default();
        }
        let ended = moved.to.is_some_and(TaskState::is_ended);
        let (told, after) = self.change_only(|inner, now| {
            inner.family.moved(moved.from, moved.to);
            if ended {
                // Together with its count: it is in one of the two.
                inner.family.remove(child);
            }
            if inner.log.is_ended() {
                return Ok(());
            }
            let value = &mut inner.work().values[feeds.stage];
            if let Some(fed) = value.fed_mut() {
                fed.taken_back += back;
                value.dirty |= back > 0;
            }
            if moved.from != moved.to {
                value.dirty = true;
                if let Some(fed) = value.fed_mut() {
                    let again = moved.from.is_some_and(TaskState::is_ended);
                    fed.ended += i64::from(ended) - i64::from(again);
                }
            }
            inner.touch(self, feeds.stage, now)
        });
        self.note_refusal(told);
        after
    }

    /// Counts and tells what a caller who gets no error would not learn. A report after the end is
    /// no mistake worth noting: stages outlive their task.
    pub(crate) fn note_refusal<T>(&self, published: Result<T, PublishError>) {
        if let Err(error) = published
            && error != PublishError::AlreadyComplete
        {
            if let Some(tracker) = self.tracker.upgrade() {
                tracker.refused.fetch_add(1, Ordering::Relaxed);
            }
            tracing::debug!(task = %self.id, %error, "not published");
        }
    }

    /// Arms a reader. Call it with the lock held, after a read that gave nothing.
    pub(crate) fn arm(inner: &mut Inner, place: &mut Option<Place>, cx: &Context<'_>) {
        inner.sleepers.arm(place, cx.waker());
    }

    /// Makes room in a log for others; tells by how much.
    pub(crate) fn shrink(&self) -> usize {
        let mut inner = self.inner.lock();
        if inner.forgotten {
            return 0;
        }
        let half = inner.log.bytes() / 2;
        inner.shrink_to(half);
        let bytes = inner.log.bytes();
        std::mem::replace(&mut inner.charged, bytes).saturating_sub(bytes)
    }

    pub(crate) fn change<T>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut Inner, Instant) -> Result<T, PublishError>,
    ) -> Result<T, PublishError> {
        let (result, mut after) = self.change_only(change);
        // A loop, so that a change that travels far up does not exhaust the stack.
        let mut task = self;
        while let (Some(parent), Some(moved)) = (&task.parent, after.child_move) {
            let parents = parent.task.child_moved(task.number, parent, moved);
            task.settle(after);
            (task, after) = (&parent.task, parents);
        }
        task.settle(after);
        result
    }

    /// Changes it and leaves to the caller what is to be done without the lock.
    fn change_only<T>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut Inner, Instant) -> Result<T, PublishError>,
    ) -> (Result<T, PublishError>, After) {
        let now = Instant::now();
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        let head = inner.log.head();
        let (was_ended, was_due) = (inner.log.is_ended(), inner.is_due());
        let result = change(inner, now);
        let appended = inner.log.head() != head;
        let (mut wakers, mut aside) = (Wakers::None, None);
        if appended {
            wakers = inner.sleepers.take();
            if let Some(feeds) = &self.feeds {
                for event in inner.log.since(head).filter(|event| feeds.take(event)) {
                    feed(feeds, event, &mut aside);
                }
            }
        }
        if let Some(refused) = inner.take_refused() {
            aside.get_or_insert_default().refused.extend(refused);
        }
        let after = After {
            wakers,
            aside,
            send: appended && self.outbox.is_some(),
            bytes: inner.charge(),
            sample: !was_due && inner.is_due(),
            ended: !was_ended && inner.log.is_ended(),
            tell: inner.untold.begin(),
            child_move: match self.parent {
                Some(_) if appended => inner.child_move(),
                _ => None,
            },
        };
        (result, after)
    }

    #[inline(never)]
    fn settle_aside(&self, aside: Aside) {
        for wakers in aside.wakers {
            drop(wakers.wake());
        }
        for refusal in aside.refused {
            self.note_refusal::<()>(Err(refusal));
        }
    }

    /// Does what is left but for telling the parent.
    fn settle(self: &Arc<Self>, after: After) {
        if let Some(storage) = after.wakers.wake() {
            self.inner.lock().sleepers.recycle(storage);
        }
        if after.tell {
            self.tell();
        }
        if let Some(aside) = after.aside {
            self.settle_aside(*aside);
        }
        if after.bytes == 0 && !after.sample && !after.ended && !after.send {
            return;
        }
        let Some(tracker) = self.tracker.upgrade() else {
            return;
        };
        if after.sample {
            tracker.sampler.add(Arc::clone(self));
            tracker.wake_sampler();
        }
        if after.ended {
            tracker.task_ended(self);
        }
        if let (true, Some(link)) = (after.send, &tracker.link) {
            link.send_soon(self);
        }
        tracker.settle_bytes(after.bytes, self);
    }
}

/// Copies an event into its task's channels; what is to be done then is put aside.
#[inline(never)]
fn feed(feeds: &Feeds, event: &Arc<Event>, aside: &mut Option<Box<Aside>>) {
    let mut wakers = Vec::new();
    let copied = feeds.copy(event, &mut wakers);
    if copied.is_err() || !wakers.is_empty() {
        let aside = aside.get_or_insert_default();
        aside.wakers.extend(wakers);
        aside.refused.extend(copied.err().map(PublishError::from));
    }
}

/// A handle holds the task.
const HELD: u8 = 0;
/// A handle holds the task, and its drop is to be told to the tracker.
const PARKED: u8 = 1;
/// No handle holds the task.
pub(super) const FREE: u8 = 2;

impl Drop for TaskShared {
    fn drop(&mut self) {
        // One by one, so that the last of a deep family does not exhaust the stack.
        let mut next = self.parent.take();
        while let Some(parent) = next {
            next = Arc::into_inner(parent.task).and_then(|mut task| task.parent.take());
        }
    }
}
