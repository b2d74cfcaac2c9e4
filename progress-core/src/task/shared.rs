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
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    error::PublishError,
    estimator::Estimator,
    event::{Complete, Data, Event, ProgressUpdate, StageChange, Started, Status, TaskState},
    id::TaskId,
    limits::Limits,
    log::{Class, Log, PushErrorKind},
    position::{Epoch, Position},
    snapshot::{Fold, Snapshot},
    subscription::Sleepers,
    sync::Mutex,
    task::{
        children::{ChildMove, Family, Parent},
        counter::Counter,
        value::{Percent, Value},
    },
    time::{Clock, Timestamp},
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
    pub(crate) held: AtomicBool,
    pub(crate) inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) log: Log<Arc<Event>>,
    pub(crate) fold: Fold,
    pub(crate) sleepers: Sleepers,
    pub(crate) family: Family,
    about: Started,
    /// The task's own value, then those of its stages.
    values: Vec<Value>,
    paths: HashMap<Arc<str>, usize>,
    custom_keys: HashMap<(Arc<str>, Arc<str>), u32>,
    next_key: u32,
    /// Indices of the values that the sampler looks at.
    due: Vec<usize>,
    percent: Percent,
    estimator: Estimator,
    started: Option<Instant>,
    newest: Timestamp,
    log_lines: u64,
    /// What the parent has been told of this task.
    told: ChildMove,
}

/// What is left to do when the lock is released.
#[must_use]
struct After {
    wakers: Vec<Waker>,
    bytes: isize,
    sample: bool,
    ended: bool,
    child_move: Option<ChildMove>,
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
        let mut fold = Fold::new(id.clone(), epoch, now);
        fold.describe(&about);
        let mut inner = Inner {
            log: Log::new(limits.log.clone()),
            fold,
            sleepers: Sleepers::default(),
            family,
            values: vec![Value::default()],
            paths: HashMap::new(),
            custom_keys: HashMap::new(),
            next_key: 0,
            due: Vec::new(),
            percent: Percent::default(),
            estimator: Estimator::default(),
            started: None,
            newest: now,
            log_lines: 0,
            told: ChildMove::default(),
            about,
        };
        for index in 0..inner.about.stages.len() {
            let stage = &inner.about.stages[index];
            let (path, weight) = (Arc::clone(&stage.path), stage.weight);
            let (total, unit) = (stage.total, stage.unit.clone());
            let index = inner.add_stage(path, weight);
            inner.values[index].total = total;
            inner.values[index].unit = unit;
        }
        Self {
            id,
            epoch,
            number,
            tracker: Arc::downgrade(tracker),
            clock: Arc::clone(&tracker.clock),
            limits,
            parent,
            held: AtomicBool::new(true),
            inner: Mutex::new(inner),
        }
    }

    pub(crate) fn publish(
        self: &Arc<Self>,
        class: Class,
        data: Data,
    ) -> Result<Position, PublishError> {
        self.change(|inner, now| inner.append(self, class, data, now))
    }

    pub(crate) fn publish_log(
        self: &Arc<Self>,
        line: crate::event::LogLine,
    ) -> Result<Position, PublishError> {
        self.change(|inner, now| {
            let mut line = line;
            line.n = inner.log_lines + 1;
            let position = inner.append(self, Class::Log, Data::Log(Box::new(line)), now)?;
            inner.log_lines += 1;
            Ok(position)
        })
    }

    pub(crate) fn publish_custom(
        self: &Arc<Self>,
        custom: crate::event::Custom,
    ) -> Result<Position, PublishError> {
        self.change(|inner, now| {
            let class = match &custom.key {
                None => Class::Milestone,
                Some(key) => {
                    let name = (Arc::clone(&custom.event_type), Arc::clone(key));
                    let next = inner.next_key;
                    let known = inner.custom_keys.get(&name).copied();
                    Class::State(known.unwrap_or(next))
                }
            };
            let name = custom
                .key
                .as_ref()
                .map(|key| (Arc::clone(&custom.event_type), Arc::clone(key)));
            let position = inner.append(self, class, Data::Custom(Box::new(custom)), now)?;
            if let (Class::State(key), Some(name)) = (class, name)
                && key == inner.next_key
            {
                inner.custom_keys.insert(name, key);
                inner.next_key += 1;
            }
            Ok(position)
        })
    }

    /// Publishes `started`; the clocks of the task run from here.
    pub(crate) fn begin(self: &Arc<Self>) -> Result<Position, PublishError> {
        self.change(|inner, now| {
            let mut about = inner.about.clone();
            about.started_at = self.clock.at(now).max(inner.newest);
            let position =
                inner.append(self, Class::Milestone, Data::Started(Box::new(about)), now)?;
            inner.started = Some(now);
            inner.estimator.record(Duration::ZERO, 0.0);
            Ok(position)
        })
    }

    /// Publishes the end, after whatever the counters have not shown yet.
    pub(crate) fn end(self: &Arc<Self>, end: End) -> Result<Position, PublishError> {
        self.change(|inner, now| {
            if inner.log.is_ended() {
                return Err(PublishError::AlreadyComplete);
            }
            inner.flush(self, now);
            let complete = Complete {
                status: end.status,
                progress: match end.status {
                    Status::Completed => 100.0,
                    _ => inner.percent.displayed(),
                },
                duration_ms: inner.elapsed_ms(now),
                result: end.result,
                error: end.error,
                cause: end.cause,
            };
            inner.append(
                self,
                Class::Terminal,
                Data::Complete(Box::new(complete)),
                now,
            )
        })
    }

    /// Changes a value and has it published: at once if nothing was since the last tick, else by
    /// the sampler.
    pub(crate) fn change_value(
        self: &Arc<Self>,
        index: usize,
        change: impl FnOnce(&mut Value, &mut Percent, &Limits) -> Result<(), PublishError>,
    ) -> Result<(), PublishError> {
        self.change(|inner, now| {
            if inner.log.is_ended() {
                return Err(PublishError::AlreadyComplete);
            }
            change(&mut inner.values[index], &mut inner.percent, &self.limits)?;
            inner.values[index].dirty = true;
            inner.touch(self, index, now)
        })
    }

    /// Changes what is known of a value without anything having happened in its stage.
    pub(crate) fn describe_value(self: &Arc<Self>, index: usize, change: impl FnOnce(&mut Value)) {
        let changed = self.change(|inner, now| {
            change(&mut inner.values[index]);
            if !inner.values[index].begun || inner.log.is_ended() {
                return Ok(());
            }
            inner.values[index].dirty = true;
            inner.touch(self, index, now)
        });
        self.note_refusal(changed);
    }

    /// The slow path of a counter.
    #[cold]
    pub(crate) fn touch_counter(self: &Arc<Self>, index: usize) {
        let touched = self.change(|inner, now| {
            if inner.log.is_ended() {
                // Increments that race with the end may go uncounted; later ones cost nothing.
                inner.values[index].counter.watch();
                return Ok(());
            }
            inner.values[index].counted = true;
            inner.touch(self, index, now)
        });
        self.note_refusal(touched);
    }

    /// Looks at the watched values; tells whether any still is to be looked at.
    pub(crate) fn sample(self: &Arc<Self>) -> bool {
        let mut again = false;
        let sampled = self.change(|inner, now| {
            again = inner.sample(self, now);
            Ok(())
        });
        self.note_refusal(sampled);
        again
    }

    /// Finds or makes a stage; its value's index and its counter.
    pub(crate) fn stage(
        self: &Arc<Self>,
        path: &str,
    ) -> Result<(usize, Arc<Counter>), crate::error::StageError> {
        crate::task::builder::check_stage_path(path)?;
        let mut inner = self.inner.lock();
        let index = match inner.paths.get(path) {
            Some(index) => *index,
            None => {
                let limit = self.limits.stages;
                if inner.paths.len() >= limit {
                    return Err(crate::error::StageError::TooMany { limit });
                }
                let weight = if inner.about.stages.is_empty() {
                    1.0
                } else {
                    0.0
                };
                inner.add_stage(Arc::from(path), weight)
            }
        };
        Ok((index, Arc::clone(&inner.values[index].counter)))
    }

    pub(crate) fn value_path(&self, index: usize) -> Option<Arc<str>> {
        self.inner.lock().values[index].path.clone()
    }

    pub(crate) fn own_counter(&self) -> Arc<Counter> {
        Arc::clone(&self.inner.lock().values[0].counter)
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

    pub(crate) fn bytes(&self) -> usize {
        self.inner.lock().log.bytes()
    }

    /// Tells a family member's change; see [`ChildMove`].
    pub(crate) fn child_moved(self: &Arc<Self>, stage: usize, counter: &Counter, moved: ChildMove) {
        let due = counter.add(moved.fraction);
        if !due && moved.from == moved.to {
            return;
        }
        let told = self.change(|inner, now| {
            if inner.log.is_ended() {
                return Ok(());
            }
            inner.family.moved(moved.from, moved.to);
            let value = &mut inner.values[stage];
            if moved.from != moved.to {
                value.dirty = true;
                if let (Some(fed), Some(true)) = (&mut value.fed, moved.to.map(TaskState::is_ended))
                {
                    fed.ended += 1;
                }
            }
            inner.touch(self, stage, now)
        });
        self.note_refusal(told);
    }

    /// Counts and tells what a caller who gets no error would not learn.
    pub(crate) fn note_refusal<T>(&self, published: Result<T, PublishError>) {
        if let Err(error) = published {
            if let Some(tracker) = self.tracker.upgrade() {
                tracker.refused.fetch_add(1, Ordering::Relaxed);
            }
            tracing::debug!(task = %self.id, %error, "not published");
        }
    }

    /// Arms a reader. Call it with the lock held, after a read that gave nothing.
    pub(crate) fn arm(inner: &mut Inner, slot: &mut Option<u32>, cx: &Context<'_>) {
        inner.sleepers.arm(slot, cx.waker());
    }

    /// Makes room in a log for others; tells by how much.
    pub(crate) fn shrink(&self) -> usize {
        let mut inner = self.inner.lock();
        let before = inner.log.bytes();
        inner.log.shrink_to(before / 2);
        before - inner.log.bytes()
    }

    pub(crate) fn change<T>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut Inner, Instant) -> Result<T, PublishError>,
    ) -> Result<T, PublishError> {
        let now = Instant::now();
        let (result, after) = {
            let mut guard = self.inner.lock();
            let inner = &mut *guard;
            let (head, bytes) = (inner.log.head(), inner.log.bytes());
            let (was_ended, was_due) = (inner.log.is_ended(), !inner.due.is_empty());
            let result = change(inner, now);
            let appended = inner.log.head() != head;
            let after = After {
                wakers: if appended {
                    inner.sleepers.take()
                } else {
                    Vec::new()
                },
                bytes: inner.log.bytes() as isize - bytes as isize,
                sample: !was_due && !inner.due.is_empty(),
                ended: !was_ended && inner.log.is_ended(),
                child_move: match self.parent {
                    Some(_) if appended => inner.child_move(),
                    _ => None,
                },
            };
            (result, after)
        };
        self.run(after);
        result
    }

    fn run(self: &Arc<Self>, after: After) {
        for waker in after.wakers {
            waker.wake();
        }
        if let (Some(parent), Some(moved)) = (&self.parent, after.child_move) {
            parent
                .task
                .child_moved(parent.stage, &parent.counter, moved);
            if after.ended {
                parent.task.inner.lock().family.remove(self.number);
            }
        }
        if after.bytes == 0 && !after.sample && !after.ended {
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
        tracker.settle_bytes(after.bytes, self);
    }
}

/// How a task ends; the log knows the rest.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) status: Status,
    pub(crate) result: Option<crate::event::Payload>,
    pub(crate) error: Option<crate::event::TaskError>,
    pub(crate) cause: Option<Arc<str>>,
}

impl End {
    pub(crate) fn new(status: Status) -> Self {
        Self {
            status,
            result: None,
            error: None,
            cause: None,
        }
    }

    pub(crate) fn cause(mut self, cause: &str) -> Self {
        self.cause = Some(Arc::from(cause));
        self
    }
}

impl Inner {
    pub(crate) fn snapshot(&self, now: Instant) -> Snapshot {
        let mut snapshot = self.fold.snapshot().clone();
        if !snapshot.state.is_ended() {
            snapshot.elapsed_ms = self.elapsed_ms(now);
        }
        snapshot.dropped_logs = self.log.dropped_lines();
        snapshot
    }

    /// Marks a stage as fed by one more child.
    pub(crate) fn feed(&mut self, stage: usize) {
        self.values[stage].fed.get_or_insert_default().children += 1;
    }

    fn append(
        &mut self,
        shared: &TaskShared,
        class: Class,
        data: Data,
        now: Instant,
    ) -> Result<Position, PublishError> {
        let len = data.size();
        let limit = shared.limits.payload;
        if len > limit {
            return Err(PublishError::PayloadTooLarge {
                field: "data",
                len,
                limit,
            });
        }
        let timestamp = shared.clock.at(now).max(self.newest);
        let event = Arc::new(Event::new(
            shared.id.clone(),
            shared.epoch,
            self.log.next_seq(),
            timestamp,
            data,
        ));
        let seq = self
            .log
            .push(class, Arc::clone(&event))
            .map_err(|refused| match refused.kind {
                PushErrorKind::Ended => PublishError::AlreadyComplete,
                PushErrorKind::TooManyKeys { limit } => PublishError::TooManyKeys { limit },
                PushErrorKind::Full { limit } => PublishError::HistoryFull { limit },
            })?;
        self.newest = timestamp;
        self.fold.apply(&event);
        Ok(Position::new(shared.epoch, seq))
    }

    fn add_stage(&mut self, path: Arc<str>, weight: f64) -> usize {
        let index = self.values.len();
        self.paths.insert(Arc::clone(&path), index);
        self.values.push(Value::stage(path, weight));
        self.percent.add_stage(weight);
        index
    }

    /// Has a changed value published: now, if the sampler was not looking at it.
    fn touch(
        &mut self,
        shared: &TaskShared,
        index: usize,
        now: Instant,
    ) -> Result<(), PublishError> {
        let value = &mut self.values[index];
        if value.watched {
            return Ok(());
        }
        value.watched = true;
        value.counter.watch();
        self.due.push(index);
        self.publish_value(shared, index, now)
    }

    fn sample(&mut self, shared: &TaskShared, now: Instant) -> bool {
        let due = std::mem::take(&mut self.due);
        if self.log.is_ended() {
            return false;
        }
        for index in due {
            let value = &mut self.values[index];
            if !value.dirty && value.counter.count() == value.published {
                // A whole tick without a change: the next one is published at once again.
                if value.counter.unwatch() == value.published {
                    value.watched = false;
                    continue;
                }
                value.counter.watch();
            }
            // A value that is refused stays watched: it may fit again when it has changed.
            let published = self.publish_value(shared, index, now);
            shared.note_refusal(published);
            self.due.push(index);
        }
        !self.due.is_empty()
    }

    /// Publishes what the sampler has not yet seen.
    fn flush(&mut self, shared: &TaskShared, now: Instant) {
        for index in std::mem::take(&mut self.due) {
            let value = &self.values[index];
            if value.dirty || value.counter.count() != value.published {
                let published = self.publish_value(shared, index, now);
                shared.note_refusal(published);
            }
        }
    }

    fn publish_value(
        &mut self,
        shared: &TaskShared,
        index: usize,
        now: Instant,
    ) -> Result<(), PublishError> {
        self.begin_stage(shared, index, now)?;
        let value = &mut self.values[index];
        let count = value.counter.count();
        value.counted |= count != 0 && value.fed.is_none();
        value.published = count;
        value.dirty = false;
        if let Some(fraction) = value.fraction(count) {
            match value.path {
                Some(_) => self.percent.move_stage(value.weight, value.done, fraction),
                None => self.percent.set_own(fraction),
            }
            value.done = fraction;
        }
        let elapsed = self.elapsed(now);
        self.estimator.record(elapsed, self.percent.fraction());
        let update = ProgressUpdate {
            progress: self.percent.display(),
            eta_ms: self.estimator.remaining(elapsed).map(millis),
            elapsed_ms: millis(elapsed),
            children: self.family.counts(),
            ..self.values[index].to_update(count)
        };
        let key = self.values[index].key.unwrap_or(self.next_key);
        self.append(
            shared,
            Class::State(key),
            Data::ProgressUpdate(Box::new(update)),
            now,
        )?;
        if self.values[index].key.replace(key).is_none() {
            self.next_key += 1;
        }
        Ok(())
    }

    /// Publishes `stage_change` when a stage shows its first sign of life.
    fn begin_stage(
        &mut self,
        shared: &TaskShared,
        index: usize,
        now: Instant,
    ) -> Result<(), PublishError> {
        let value = &mut self.values[index];
        if value.begun {
            return Ok(());
        }
        value.begun = true;
        let Some(path) = &value.path else {
            return Ok(());
        };
        let change = StageChange {
            previous_stage: self.fold.snapshot().stage.clone(),
            current_stage: Arc::clone(path),
            progress: self.percent.displayed(),
        };
        self.append(
            shared,
            Class::Milestone,
            Data::StageChange(Box::new(change)),
            now,
        )
        .map(drop)
    }

    /// What has changed for the parent since it was told last.
    fn child_move(&mut self) -> Option<ChildMove> {
        let state = self.fold.snapshot().state;
        let done = if state.is_ended() {
            crate::task::value::CHILD
        } else {
            (self.percent.displayed() / 100.0 * crate::task::value::CHILD as f64) as u64
        };
        let moved = ChildMove {
            from: self.told.to,
            to: Some(state),
            fraction: done - self.told.fraction,
        };
        if moved.from == moved.to && moved.fraction == 0 {
            return None;
        }
        self.told = ChildMove {
            from: moved.from,
            to: moved.to,
            fraction: done,
        };
        Some(moved)
    }

    fn elapsed(&self, now: Instant) -> Duration {
        self.started.map_or(Duration::ZERO, |started| {
            now.saturating_duration_since(started)
        })
    }

    fn elapsed_ms(&self, now: Instant) -> u64 {
        millis(self.elapsed(now))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
