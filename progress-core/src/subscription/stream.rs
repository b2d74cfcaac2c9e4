//! The stream over a cursor.

use std::{
    collections::VecDeque,
    fmt, future, iter,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::time::Instant;

use crate::{
    id::TaskId,
    log::{Cursor, Delivery, Gap, GapReason, OnLag, Start},
    position::{Position, Seq},
    snapshot::Snapshot,
    subscription::{
        Delivered, Frame, GapFrame, Place, Replay, ResetFrame, ResetReason, Resume, SubscribeError,
        SubscribeOptions, Verdict,
    },
    task::{Inner, TaskShared},
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
    /// The newest position that was yielded or given by the caller.
    position: Option<Position>,
    resume: Option<Resume>,
    _permit: Option<SubscriptionPermit>,
}

enum Source {
    Known {
        task: Arc<TaskShared>,
        cursor: Cursor,
    },
    Awaited(Box<Awaited>),
    Over,
}

/// A task that does not exist yet.
struct Awaited {
    id: TaskId,
    tracker: Weak<TrackerShared>,
    options: SubscribeOptions,
    place: Option<WaitingPlace>,
    _waiting: SubscriptionPermit,
}

impl Subscription {
    pub(crate) fn known(
        task: Arc<TaskShared>,
        options: &SubscribeOptions,
        permit: SubscriptionPermit,
    ) -> Self {
        let (verdict, cursor, gap) = {
            let inner = task.inner.lock();
            let resume = verdict(&task, &inner, options);
            let snapshot = Arc::new(inner.snapshot(Instant::now()));
            let (cursor, ahead) = cursor(&inner, options, resume);
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
        let position =
            (verdict.resume != Resume::Fresh).then(|| Position::new(task.epoch, cursor.last()));
        let resume = verdict.resume;
        let source = match resume {
            Resume::Ended => Source::Over,
            _ => Source::Known { task, cursor },
        };
        Self {
            source,
            ready: [Some(Frame::Verdict(Box::new(verdict))), gap]
                .into_iter()
                .flatten()
                .collect(),
            place: None,
            position,
            resume: Some(resume),
            _permit: Some(permit),
        }
    }

    pub(crate) fn awaited(
        id: TaskId,
        tracker: &Arc<TrackerShared>,
        options: SubscribeOptions,
        permit: SubscriptionPermit,
        waiting: SubscriptionPermit,
    ) -> Self {
        let verdict = Frame::Verdict(Box::new(Verdict {
            task_id: id.clone(),
            resume: Resume::Unknown,
            snapshot: None,
        }));
        Self {
            source: Source::Awaited(Box::new(Awaited {
                id,
                tracker: Arc::downgrade(tracker),
                options,
                place: None,
                _waiting: waiting,
            })),
            ready: VecDeque::from([verdict]),
            place: None,
            position: None,
            resume: Some(Resume::Unknown),
            _permit: Some(permit),
        }
    }

    pub(crate) fn rejected(error: SubscribeError) -> Self {
        Self {
            source: Source::Over,
            ready: VecDeque::from([Frame::Rejected(error)]),
            place: None,
            position: None,
            resume: None,
            _permit: None,
        }
    }

    /// Returns the position of the newest event that was yielded, or that the reader came with if
    /// it still holds. A later subscription [`after`](SubscribeOptions::after) it goes on there.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// Returns the position of the task's newest event; none while there is no task, and after
    /// the end.
    #[must_use]
    pub fn head(&self) -> Option<Position> {
        match &self.source {
            Source::Known { task, .. } => Some(task.head()),
            Source::Awaited(_) | Source::Over => None,
        }
    }

    /// Returns what became of the reader's position when it subscribed; none if it was rejected.
    #[must_use]
    pub fn resume(&self) -> Option<Resume> {
        self.resume
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
        if self.ready.is_empty() {
            if self.poll_read(cx, out).is_pending() {
                return Poll::Pending;
            }
        } else {
            out.extend(self.ready.drain(..));
        }
        let read = &out[before..];
        self.position = read.iter().rev().find_map(position).or(self.position);
        Poll::Ready(read.len())
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        let mut frame = self.ready.pop_front();
        if frame.is_none() {
            let mut sink = FirstAndRest {
                first: None,
                rest: std::mem::take(&mut self.ready),
            };
            let read = self.poll_read(cx, &mut sink);
            (frame, self.ready) = (sink.first, sink.rest);
            if read.is_pending() {
                // While it sleeps it needs no memory for what it had to yield.
                self.ready = VecDeque::new();
                return Poll::Pending;
            }
        }
        self.position = frame.as_ref().and_then(position).or(self.position);
        Poll::Ready(frame)
    }

    /// Reads a batch; ready with nothing read after the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, sink: &mut impl Sink) -> Poll<()> {
        if let Source::Awaited(awaited) = &mut self.source {
            let Some(tracker) = awaited.tracker.upgrade() else {
                self.source = Source::Over;
                return Poll::Ready(());
            };
            let Some(task) = tracker.await_task(&awaited.id, &mut awaited.place, cx) else {
                return Poll::Pending;
            };
            let (source, reset) = adopt(task, &awaited.options);
            self.source = source;
            sink.push(reset);
            return Poll::Ready(());
        }
        let Source::Known { task, cursor } = &mut self.source else {
            return Poll::Ready(());
        };
        let mut guard = task.inner.lock();
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
        self.source = Source::Over;
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
            Source::Over => {}
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
            Source::Over => debug.field("over", &true),
        };
        debug
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// Decided in the order of the protocol: reset, ended, gap, resumed, fresh.
fn verdict(task: &TaskShared, inner: &Inner, options: &SubscribeOptions) -> Resume {
    let log = &inner.log;
    match options.after {
        Some(after) if after.epoch() != task.epoch => Resume::Reset,
        Some(after) if log.is_ended() && after.seq() >= log.head() => Resume::Ended,
        Some(after) if after.seq() < log.floor() || after.seq() > log.head() => Resume::Gap,
        Some(_) => Resume::Resumed,
        None if options.replay == Replay::All && log.floor() > Seq::ZERO => Resume::Gap,
        None => Resume::Fresh,
    }
}

/// The cursor, and up to where the reader's position is ahead of the log.
fn cursor(inner: &Inner, options: &SubscribeOptions, resume: Resume) -> (Cursor, Option<Seq>) {
    let log = &inner.log;
    let after = options.after.filter(|_| resume != Resume::Reset);
    let start = match (after, options.replay) {
        (Some(after), _) => Start::After(after.seq()),
        (None, Replay::All) => Start::Beginning,
        (None, Replay::Latest) => Start::Latest,
        (None, Replay::None) => Start::Head,
    };
    let mut cursor = Cursor::new(log, start);
    let buffer = match (options.buffer, options.on_lag) {
        (Some(buffer), _) => buffer as u64,
        // What left the window is conflated anyhow, and nothing else needs to be.
        (None, OnLag::Conflate) => u64::MAX,
        (None, OnLag::Gap | OnLag::Close) => log.limits().window_len() as u64,
    };
    cursor = cursor.buffer(buffer, options.on_lag);
    let ahead = after
        .map(Position::seq)
        .filter(|seq| resume != Resume::Ended && *seq > log.head());
    (cursor, ahead)
}

/// The awaited task has come into being.
fn adopt(task: Arc<TaskShared>, options: &SubscribeOptions) -> (Source, Frame) {
    let (cursor, snapshot) = {
        let inner = task.inner.lock();
        // A fresh reader of the whole task: the position it came with was of no run known.
        let fresh = SubscribeOptions {
            after: None,
            replay: Replay::All,
            ..options.clone()
        };
        let (cursor, _) = cursor(&inner, &fresh, Resume::Fresh);
        (cursor, Arc::new(inner.snapshot(Instant::now())))
    };
    let reset = Frame::Reset(Box::new(ResetFrame {
        task_id: task.id.clone(),
        epoch: task.epoch,
        reason: ResetReason::Created,
        snapshot,
    }));
    (Source::Known { task, cursor }, reset)
}

/// Where frames go as they are read.
trait Sink {
    /// Makes room for so many frames, in all likelihood.
    fn reserve(&mut self, frames: usize);
    fn push(&mut self, frame: Frame);

    /// Pushes a frame that is made when there is room for it, hence in its place: written out first
    /// and copied, a frame took a third more time.
    fn push_with(&mut self, frame: impl FnOnce() -> Frame);
}

impl Sink for Vec<Frame> {
    fn reserve(&mut self, frames: usize) {
        Self::reserve(self, frames);
    }

    fn push(&mut self, frame: Frame) {
        Self::push(self, frame);
    }

    #[inline(always)]
    fn push_with(&mut self, frame: impl FnOnce() -> Frame) {
        self.extend(iter::once_with(frame));
    }
}

/// The first frame for a caller who takes one, and the queue for the rest: a frame that comes alone
/// needs no queue.
struct FirstAndRest {
    first: Option<Frame>,
    rest: VecDeque<Frame>,
}

impl Sink for FirstAndRest {
    fn reserve(&mut self, frames: usize) {
        self.rest.reserve_exact(frames.saturating_sub(1));
    }

    fn push(&mut self, frame: Frame) {
        match &self.first {
            None => self.first = Some(frame),
            Some(_) => self.rest.push_back(frame),
        }
    }

    #[inline(always)]
    fn push_with(&mut self, frame: impl FnOnce() -> Frame) {
        match &self.first {
            None => self.first = Some(frame()),
            Some(_) => self.rest.extend(iter::once_with(frame)),
        }
    }
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

/// Frames read under one lock; measured as the best between lock traffic and latency.
const BATCH: usize = 64;
