//! The stream over a cursor.

use std::{
    collections::VecDeque,
    fmt, future,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::time::Instant;

use crate::{
    event::Event,
    id::TaskId,
    log::{Cursor, Delivery, GapReason, OnLag, Start},
    position::{Position, Seq},
    subscription::{
        Delivered, Frame, GapFrame, Replay, ResetFrame, ResetReason, Resume, SubscribeError,
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
    options: SubscribeOptions,
    /// Read but not yet yielded; its memory goes when the reader sleeps.
    ready: VecDeque<Frame>,
    slot: Option<u32>,
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
    Awaited {
        id: TaskId,
        tracker: Weak<TrackerShared>,
        place: Option<WaitingPlace>,
        _waiting: SubscriptionPermit,
    },
    Over,
}

impl Subscription {
    pub(crate) fn known(
        task: Arc<TaskShared>,
        options: SubscribeOptions,
        permit: SubscriptionPermit,
    ) -> Self {
        let (verdict, cursor, gap) = {
            let inner = task.inner.lock();
            let resume = verdict(&task, &inner, &options);
            let snapshot = Arc::new(inner.snapshot(Instant::now()));
            let (cursor, ahead) = cursor(&inner, &options, resume);
            let gap = ahead.map(|to| {
                Frame::Gap(GapFrame {
                    task_id: task.id.clone(),
                    from: Seq::new(inner.log.head().get() + 1),
                    to,
                    reason: GapReason::Ahead,
                    snapshot: Arc::clone(&snapshot),
                })
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
            options,
            ready: [Some(Frame::Verdict(verdict)), gap]
                .into_iter()
                .flatten()
                .collect(),
            slot: None,
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
        let verdict = Frame::Verdict(Verdict {
            task_id: id.clone(),
            resume: Resume::Unknown,
            snapshot: None,
        });
        Self {
            source: Source::Awaited {
                id,
                tracker: Arc::downgrade(tracker),
                place: None,
                _waiting: waiting,
            },
            options,
            ready: VecDeque::from([verdict]),
            slot: None,
            position: None,
            resume: Some(Resume::Unknown),
            _permit: Some(permit),
        }
    }

    pub(crate) fn rejected(error: SubscribeError) -> Self {
        Self {
            source: Source::Over,
            options: SubscribeOptions::default(),
            ready: VecDeque::from([Frame::Rejected(error)]),
            slot: None,
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
            Source::Awaited { .. } | Source::Over => None,
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
        if self.ready.is_empty() && self.poll_fill(cx).is_pending() {
            return Poll::Pending;
        }
        let count = self.ready.len();
        for frame in &self.ready {
            note_position(&mut self.position, frame);
        }
        out.extend(self.ready.drain(..));
        Poll::Ready(count)
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        if self.ready.is_empty() && self.poll_fill(cx).is_pending() {
            return Poll::Pending;
        }
        let frame = self.ready.pop_front();
        if let Some(frame) = &frame {
            note_position(&mut self.position, frame);
        }
        Poll::Ready(frame)
    }

    /// Reads a batch into `ready`; ready with nothing in it after the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Source::Awaited {
            id, tracker, place, ..
        } = &mut self.source
        {
            let Some(tracker) = tracker.upgrade() else {
                self.source = Source::Over;
                return Poll::Ready(());
            };
            let Some(task) = tracker.await_task(id, place, cx) else {
                return Poll::Pending;
            };
            self.adopt(task);
            return Poll::Ready(());
        }
        let Source::Known { task, cursor } = &mut self.source else {
            return Poll::Ready(());
        };
        let mut batch = Vec::new();
        let (snapshot, over) = {
            let mut inner = task.inner.lock();
            if let Err(lagged) = inner.log.read(cursor, BATCH, &mut batch) {
                drop(inner);
                self.ready.push_back(Frame::Lagged(lagged));
                self.over();
                return Poll::Ready(());
            }
            let at_head = cursor.last() == inner.log.head();
            if batch.is_empty() && !inner.log.is_ended() {
                TaskShared::arm(&mut inner, &mut self.slot, cx);
                drop(inner);
                self.ready.shrink_to_fit();
                return Poll::Pending;
            }
            let gap = batch.iter().any(|item| matches!(item, Delivery::Gap(_)));
            let snapshot = gap.then(|| Arc::new(inner.snapshot(Instant::now())));
            (snapshot, at_head && inner.log.is_ended())
        };
        self.ready.reserve_exact(batch.len());
        self.ready.extend(
            batch
                .into_iter()
                .filter_map(|item| to_frame(item, task, &snapshot)),
        );
        if over {
            self.over();
        }
        Poll::Ready(())
    }

    /// The awaited task has come into being.
    fn adopt(&mut self, task: Arc<TaskShared>) {
        let (cursor, snapshot) = {
            let inner = task.inner.lock();
            // A fresh reader of the whole task: the position it came with was of no run known.
            let fresh = SubscribeOptions {
                after: None,
                replay: Replay::All,
                ..self.options.clone()
            };
            let (cursor, _) = cursor(&inner, &fresh, Resume::Fresh);
            (cursor, Arc::new(inner.snapshot(Instant::now())))
        };
        self.ready.push_back(Frame::Reset(ResetFrame {
            task_id: task.id.clone(),
            epoch: task.epoch,
            reason: ResetReason::Created,
            snapshot,
        }));
        self.source = Source::Known { task, cursor };
    }

    fn over(&mut self) {
        self.release_slot();
        self.source = Source::Over;
    }

    fn release_slot(&mut self) {
        match &self.source {
            Source::Known { task, .. } => {
                if let Some(slot) = self.slot.take() {
                    task.inner.lock().sleepers.release(slot);
                }
            }
            Source::Awaited {
                id,
                tracker,
                place: Some(place),
                ..
            } => {
                if let Some(tracker) = tracker.upgrade() {
                    tracker.stop_awaiting(id, place);
                }
            }
            Source::Awaited { .. } | Source::Over => {}
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
        self.release_slot();
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Subscription");
        match &self.source {
            Source::Known { task, .. } => debug.field("task", &task.id),
            Source::Awaited { id, .. } => debug.field("awaits", id),
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

fn to_frame(
    item: Delivery<Arc<Event>>,
    task: &TaskShared,
    snapshot: &Option<Arc<crate::snapshot::Snapshot>>,
) -> Option<Frame> {
    match item {
        Delivery::Item {
            item,
            from,
            dropped_logs,
            ..
        } => Some(Frame::Event(Delivered {
            event: item,
            from,
            dropped_logs,
        })),
        Delivery::Gap(gap) => snapshot.as_ref().map(|snapshot| {
            Frame::Gap(GapFrame {
                task_id: task.id.clone(),
                from: gap.from,
                to: gap.to,
                reason: gap.reason,
                snapshot: Arc::clone(snapshot),
            })
        }),
    }
}

fn note_position(position: &mut Option<Position>, frame: &Frame) {
    match frame {
        Frame::Event(delivered) => *position = Some(delivered.event.position()),
        Frame::Reset(reset) => *position = Some(reset.position()),
        _ => {}
    }
}

/// Frames read under one lock; measured as the best between lock traffic and latency.
const BATCH: usize = 64;
