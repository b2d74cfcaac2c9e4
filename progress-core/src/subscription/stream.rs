//! The stream over a cursor.

use std::{
    collections::VecDeque,
    fmt, future,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use tokio::time::Instant;

use super::begin::{cursor, verdict};
use super::sink::{BATCH, FirstAndRest, Sink};
use crate::{
    id::TaskId,
    link::{Located, WatchGuard},
    log::{Cursor, Delivery, Gap, GapReason},
    position::{Epoch, Position, Seq},
    snapshot::Snapshot,
    subscription::{
        Delivered, Frame, GapFrame, Place, Replay, ResetFrame, ResetReason, Resume, SubscribeError,
        SubscribeOptions, Verdict,
    },
    task::{Successor, TaskShared},
    tracker::{SubscriptionPermit, TrackerShared, WaitingPlace},
};

/// Reads a task's events: first the [verdict](Frame::Verdict) with the snapshot, then what is to
/// be replayed, then what happens; it ends after `complete`.
///
/// It is a cursor into the task's log and holds no events of its own but the batch being read: a
/// subscriber that never reads costs no memory and delays nobody. How far it may fall behind, and
/// what happens then, is set by [`SubscribeOptions::buffer`] and [`SubscribeOptions::on_lag`].
///
/// A task that does not exist yet is waited for, as long as the tracker lives.
///
/// # Cancel safety
///
/// Dropping the future of [`next`](Self::next) or [`next_batch`](Self::next_batch) loses nothing.
pub struct Subscription {
    source: Source,
    /// Read but not yet yielded; its memory goes when the reader sleeps.
    ready: VecDeque<Frame>,
    /// Among the sleepers of the task.
    place: Option<Place>,
    /// The newest position that was yielded or given by the caller, if `stands`: apart, for an
    /// `Option` of it would take another word of what there are so many of.
    position: Position,
    stands: bool,
    resume: Option<Resume>,
    /// Keeps a task mirrored that runs on another node.
    watch: Option<Box<WatchGuard>>,
    _permit: Option<SubscriptionPermit>,
}

enum Source {
    Known {
        task: Arc<TaskShared>,
        cursor: Cursor,
    },
    Awaited(Box<Awaited>),
    /// Whether another node has it is being looked up.
    Sought(Box<Sought>),
    /// With the task that was read, for who asks how it ended as long as it is kept.
    Over(Weak<TaskShared>),
}

/// A task that does not exist yet.
struct Awaited {
    id: TaskId,
    tracker: Weak<TrackerShared>,
    options: SubscribeOptions,
    place: Option<WaitingPlace>,
    _waiting: SubscriptionPermit,
}

/// A task that may run on another node.
struct Sought {
    id: TaskId,
    tracker: Weak<TrackerShared>,
    options: SubscribeOptions,
}

impl Subscription {
    pub(crate) fn known(
        task: Arc<TaskShared>,
        options: &SubscribeOptions,
        permit: SubscriptionPermit,
        watch: Option<WatchGuard>,
    ) -> Self {
        let mut this = Self::new(Source::Over(Weak::new()), Some(permit), watch);
        this.open(task, options);
        this
    }

    /// Looks for a task on other nodes; the verdict is the first thing that comes of it.
    pub(crate) fn sought(
        id: TaskId,
        tracker: &Arc<TrackerShared>,
        options: SubscribeOptions,
        permit: SubscriptionPermit,
        watch: WatchGuard,
    ) -> Self {
        let source = Source::Sought(Box::new(Sought {
            id,
            tracker: Arc::downgrade(tracker),
            options,
        }));
        Self::new(source, Some(permit), Some(watch))
    }

    pub(crate) fn awaited(
        id: TaskId,
        tracker: &Arc<TrackerShared>,
        options: SubscribeOptions,
        permit: SubscriptionPermit,
        waiting: SubscriptionPermit,
    ) -> Self {
        let mut this = Self::new(Source::Over(Weak::new()), Some(permit), None);
        this.wait_for(id, tracker, options, waiting);
        this
    }

    fn new(source: Source, permit: Option<SubscriptionPermit>, watch: Option<WatchGuard>) -> Self {
        Self {
            source,
            ready: VecDeque::new(),
            place: None,
            position: Position::new(Epoch::FOREIGN, Seq::ZERO),
            stands: false,
            resume: None,
            watch: watch.map(Box::new),
            _permit: permit,
        }
    }

    /// Begins to read a task, with the verdict.
    fn open(&mut self, task: Arc<TaskShared>, options: &SubscribeOptions) {
        let (verdict, cursor, gap) = {
            let inner = task.inner.lock();
            let resume = verdict(task.epoch, &inner.log, options);
            let snapshot = Arc::new(inner.snapshot(Instant::now()));
            let (cursor, ahead) = cursor(&inner.log, options, resume);
            let gap = ahead.map(|to| {
                Frame::Gap(Box::new(GapFrame {
                    task_id: task.id.clone(),
                    from: Seq::new(inner.log.head().get() + 1),
                    to,
                    reason: GapReason::Ahead,
                    snapshot: Arc::clone(&snapshot),
                }))
            });
            let verdict = Verdict {
                task_id: task.id.clone(),
                resume,
                snapshot: Some(snapshot),
            };
            (verdict, cursor, gap)
        };
        self.position = Position::new(task.epoch, cursor.last());
        self.stands = verdict.resume != Resume::Fresh;
        self.resume = Some(verdict.resume);
        self.source = match verdict.resume {
            Resume::Ended => Source::Over(Arc::downgrade(&task)),
            _ => Source::Known { task, cursor },
        };
        self.ready.push_back(Frame::Verdict(Box::new(verdict)));
        self.ready.extend(gap);
    }

    /// Begins to wait for a task, with the verdict that it is unknown.
    fn wait_for(
        &mut self,
        id: TaskId,
        tracker: &Arc<TrackerShared>,
        options: SubscribeOptions,
        waiting: SubscriptionPermit,
    ) {
        self.resume = Some(Resume::Unknown);
        self.ready.push_back(Frame::Verdict(Box::new(Verdict {
            task_id: id.clone(),
            resume: Resume::Unknown,
            snapshot: None,
        })));
        self.source = Source::Awaited(Box::new(Awaited {
            id,
            tracker: Arc::downgrade(tracker),
            options,
            place: None,
            _waiting: waiting,
        }));
    }

    pub(crate) fn rejected(error: SubscribeError) -> Self {
        let mut this = Self::new(Source::Over(Weak::new()), None, None);
        this.ready.push_back(Frame::Rejected(error));
        this
    }

    /// Returns the position of the newest event that was yielded, or that the reader came with if
    /// it still holds. A later subscription [`after`](SubscribeOptions::after) it goes on there.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.stands.then_some(self.position)
    }

    /// Returns the position of the task's newest event; none while there is no task, nor when it is
    /// kept no longer after its end.
    #[must_use]
    pub fn head(&self) -> Option<Position> {
        Some(self.task()?.head())
    }

    /// Returns the task as it is at its [`head`](Self::head), which is where the reader stands or
    /// further; none where that has none.
    #[must_use]
    pub fn snapshot(&self) -> Option<Snapshot> {
        Some(self.task()?.snapshot())
    }

    fn task(&self) -> Option<Arc<TaskShared>> {
        match &self.source {
            Source::Known { task, .. } => Some(Arc::clone(task)),
            Source::Over(task) => task.upgrade(),
            Source::Awaited(_) | Source::Sought(_) => None,
        }
    }

    /// Returns what became of the reader's position when it subscribed; none if it was rejected, and
    /// as long as other nodes are asked, which is before the first frame.
    #[must_use]
    pub fn resume(&self) -> Option<Resume> {
        self.resume
    }

    /// Waits until it is known what became of the reader's position: at once, unless other nodes
    /// have to be asked. The first frame is still to be read.
    ///
    /// # Errors
    ///
    /// [`SubscribeError`] if the subscription was not made; the first frame says so too.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn ready(&mut self) -> Result<Resume, SubscribeError> {
        future::poll_fn(|cx| self.poll_sought(cx)).await;
        match (self.resume, self.ready.front()) {
            (Some(resume), _) => Ok(resume),
            (None, Some(Frame::Rejected(error))) => Err(error.clone()),
            // The tracker is gone.
            (None, _) => Ok(Resume::Unknown),
        }
    }

    /// Makes the next read skip superseded State up to the head: for a reader whose own output is
    /// stuck, so that what it sends next is fresh.
    pub fn conflate(&mut self) {
        if let Source::Known { cursor, .. } = &mut self.source {
            cursor.conflate();
        }
    }

    /// Waits for the next frame; none after the end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Frame> {
        future::poll_fn(|cx| self.poll_frame(cx)).await
    }

    /// Waits until there are frames and appends all that are ready, about 64 at most unless
    /// they have to be taken at one instant; returns how many, 0 after the end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next_batch(&mut self, out: &mut Vec<Frame>) -> usize {
        future::poll_fn(|cx| self.poll_batch(cx, out)).await
    }

    /// Polls for frames and appends all that are ready; see [`next_batch`](Self::next_batch).
    pub fn poll_batch(&mut self, cx: &mut Context<'_>, out: &mut Vec<Frame>) -> Poll<usize> {
        let before = out.len();
        if self.poll_sought(cx).is_pending() {
            return Poll::Pending;
        }
        if self.ready.is_empty() {
            if self.poll_read(cx, out).is_pending() {
                return Poll::Pending;
            }
        } else {
            // Its memory goes too: it may sleep from now on.
            out.extend(std::mem::take(&mut self.ready));
        }
        let read = &out[before..];
        let (newest, count) = (read.iter().rev().find_map(position), read.len());
        self.move_to(newest);
        Poll::Ready(count)
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        if self.poll_sought(cx).is_pending() {
            return Poll::Pending;
        }
        let mut frame = self.ready.pop_front();
        if frame.is_none() {
            let mut sink = FirstAndRest::new(std::mem::take(&mut self.ready));
            let read = self.poll_read(cx, &mut sink);
            (frame, self.ready) = (sink.first, sink.rest);
            if read.is_pending() {
                // While it sleeps it needs no memory for what it had to yield.
                self.ready = VecDeque::new();
                return Poll::Pending;
            }
        }
        self.move_to(frame.as_ref().and_then(position));
        Poll::Ready(frame)
    }

    fn move_to(&mut self, position: Option<Position>) {
        if let Some(position) = position {
            self.position = position;
            self.stands = true;
        }
    }

    /// Finds out where the task is, if that is still to be done.
    fn poll_sought(&mut self, cx: &Context<'_>) -> Poll<()> {
        let (Source::Sought(sought), Some(watch)) = (&self.source, &mut self.watch) else {
            return Poll::Ready(());
        };
        let (tracker, found, located) = loop {
            let located = ready!(watch.poll_located(cx));
            let tracker = sought.tracker.upgrade();
            let found = tracker
                .as_ref()
                .and_then(|tracker| tracker.find(&sought.id));
            if found.is_none() && tracker.is_some() && located == Located::Known {
                // It was here and is no longer.
                watch.look_again();
                continue;
            }
            break (tracker, found, located);
        };
        let (id, options) = (sought.id.clone(), sought.options.clone());
        self.source = Source::Over(Weak::new());
        let Some(tracker) = tracker else {
            return Poll::Ready(());
        };
        // What became of a run that only the reader knows, nobody can tell without the broker.
        let later = |task: &TaskShared| {
            let after = options.after.map(Position::epoch);
            located == Located::Down && after.is_some_and(|after| task.is_before(after))
        };
        match (found.filter(|task| !later(task)), located) {
            (Some(task), _) => self.open(task, &options),
            (None, Located::Down) => {
                let rejected = Frame::Rejected(SubscribeError::Unavailable);
                self.ready.push_back(rejected);
            }
            (None, _) => match tracker.waiting_permit() {
                Ok(waiting) => self.wait_for(id, &tracker, options, waiting),
                Err(error) => self.ready.push_back(Frame::Rejected(error)),
            },
        }
        Poll::Ready(())
    }

    /// Goes on with the run that took the place of this one.
    fn go_on(&mut self, successor: Successor) -> Frame {
        self.release_place();
        let policy = match &self.source {
            Source::Known { cursor, .. } => Some(cursor.clone()),
            _ => None,
        };
        let Successor { task, reason } = successor;
        let Some(tracker) = task.tracker.upgrade() else {
            return self.adopted(task, reason, policy.as_ref());
        };
        if self.watch.is_none() {
            self.watch = tracker.watch_task(&task).map(Box::new);
        }
        self.adopted(tracker.take_back(task), reason, policy.as_ref())
    }

    fn adopted(
        &mut self,
        task: Arc<TaskShared>,
        reason: ResetReason,
        policy: Option<&Cursor>,
    ) -> Frame {
        let (mut source, reset) = adopt(task, &SubscribeOptions::default(), reason);
        if let (Source::Known { task, cursor }, Some(policy)) = (&mut source, policy) {
            *cursor = policy.anew(&task.inner.lock().log);
        }
        self.source = source;
        reset
    }

    /// Reads a batch; ready with nothing read after the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, sink: &mut impl Sink<Frame>) -> Poll<()> {
        if let Source::Awaited(awaited) = &mut self.source {
            let Some(tracker) = awaited.tracker.upgrade() else {
                self.source = Source::Over(Weak::new());
                return Poll::Ready(());
            };
            let Some(task) = tracker.await_task(&awaited.id, &mut awaited.place, cx) else {
                return Poll::Pending;
            };
            let (source, reset) = adopt(task, &awaited.options, ResetReason::Created);
            self.source = source;
            sink.push(reset);
            return Poll::Ready(());
        }
        let Source::Known { task, cursor } = &mut self.source else {
            return Poll::Ready(());
        };
        let mut guard = task.inner.lock();
        if let Some(successor) = guard.next_run() {
            drop(guard);
            sink.push(self.go_on(successor));
            return Poll::Ready(());
        }
        if guard.superseded && self.watch.is_none() {
            drop(guard);
            if let Some(tracker) = task.tracker.upgrade() {
                self.watch = tracker.watch_task(task).map(Box::new);
                let present = tracker.take_back(Arc::clone(task));
                if !Arc::ptr_eq(&present, task) {
                    sink.push(self.go_on(Successor {
                        task: present,
                        reason: ResetReason::Superseded,
                    }));
                    return Poll::Ready(());
                }
            }
            guard = task.inner.lock();
        }
        let inner = &mut *guard;
        // Exact inside the window, where a batch is all that is read at a time.
        sink.reserve(inner.log.unread(cursor).min(BATCH));
        let (mut snapshot, mut nothing) = (None, true);
        let read = inner.log.read_with(cursor, BATCH, |item| {
            nothing = false;
            match item {
                Delivery::Item {
                    item,
                    from,
                    dropped_logs,
                    ..
                } => sink.push_with(move || {
                    Frame::Event(Delivered {
                        event: item,
                        from,
                        dropped_logs,
                    })
                }),
                Delivery::Gap(gap) => {
                    let snapshot =
                        snapshot.get_or_insert_with(|| inner.snapshot(Instant::now()).into());
                    sink.push(gap_frame(task, gap, snapshot));
                }
            }
        });
        if nothing && read.is_ok() && !inner.log.is_ended() {
            if task.is_mirror() && task.tracker.strong_count() == 0 {
                // Nobody is left who could tell more.
                drop(guard);
                self.over();
                return Poll::Ready(());
            }
            TaskShared::arm(inner, &mut self.place, cx);
            return Poll::Pending;
        }
        if let Err(lagged) = read {
            sink.push(Frame::Lagged(lagged));
        }
        let over = read.is_err() || (inner.log.is_ended() && cursor.last() == inner.log.head());
        drop(guard);
        if over {
            self.over();
        }
        Poll::Ready(())
    }

    fn over(&mut self) {
        self.release_place();
        self.source = match &self.source {
            Source::Known { task, .. } => Source::Over(Arc::downgrade(task)),
            _ => Source::Over(Weak::new()),
        };
    }

    fn release_place(&mut self) {
        match &self.source {
            Source::Known { task, .. } => {
                if let Some(place) = self.place.take() {
                    task.inner.lock().sleepers.release(&place);
                }
            }
            Source::Awaited(awaited) => {
                if let Some(place) = &awaited.place
                    && let Some(tracker) = awaited.tracker.upgrade()
                {
                    tracker.stop_awaiting(&awaited.id, place);
                }
            }
            Source::Sought(_) | Source::Over(_) => {}
        }
    }
}

impl Stream for Subscription {
    type Item = Frame;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        self.poll_frame(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.release_place();
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Subscription");
        match &self.source {
            Source::Known { task, .. } => debug.field("task", &task.id),
            Source::Awaited(awaited) => debug.field("awaits", &awaited.id),
            Source::Sought(sought) => debug.field("seeks", &sought.id),
            Source::Over(_) => debug.field("over", &true),
        };
        debug
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

/// Begins to read a run from its beginning, which the reset says.
fn adopt(
    task: Arc<TaskShared>,
    options: &SubscribeOptions,
    reason: ResetReason,
) -> (Source, Frame) {
    let (cursor, snapshot) = {
        let inner = task.inner.lock();
        // A fresh reader of the whole task: the position it came with was of no run known.
        let fresh = SubscribeOptions {
            after: None,
            replay: Replay::All,
            ..options.clone()
        };
        let (cursor, _) = cursor(&inner.log, &fresh, Resume::Fresh);
        (cursor, Arc::new(inner.snapshot(Instant::now())))
    };
    let reset = Frame::Reset(Box::new(ResetFrame {
        task_id: task.id.clone(),
        epoch: task.epoch,
        reason,
        snapshot,
    }));
    (Source::Known { task, cursor }, reset)
}

#[cold]
fn gap_frame(task: &TaskShared, gap: Gap, snapshot: &Arc<Snapshot>) -> Frame {
    Frame::Gap(Box::new(GapFrame {
        task_id: task.id.clone(),
        from: gap.from,
        to: gap.to,
        reason: gap.reason,
        snapshot: Arc::clone(snapshot),
    }))
}

/// Where a reader stands that was given a frame, if it moves it.
fn position(frame: &Frame) -> Option<Position> {
    match frame {
        Frame::Event(delivered) => Some(delivered.event.position()),
        Frame::Reset(reset) => Some(reset.position()),
        _ => None,
    }
}
