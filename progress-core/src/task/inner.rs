//! What a task's lock guards: its log and fold, the present values behind the counters, the percent.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    error::PublishError,
    estimator::Estimator,
    event::{Data, Event, ProgressUpdate, StageChange, Started},
    limits::Limits,
    log::{Class, Log, LogLimits, PushErrorKind},
    position::Position,
    snapshot::Snapshot,
    stage_index::{StageIndex, push_exact},
    subscription::Sleepers,
    task::{
        children::{ChildMove, Family},
        custom_keys::CustomKeys,
        lazy_fold::LazyFold,
        shared::TaskShared,
        value::{CHILD, Percent, Value},
    },
    time::Timestamp,
};

/// What a task's lock guards.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) log: Log<Arc<Event>>,
    pub(crate) fold: LazyFold,
    pub(crate) sleepers: Sleepers,
    pub(crate) family: Family,
    /// Shared with the `started` event.
    pub(super) about: Arc<Started>,
    /// The task's own value, then those of its stages.
    pub(super) values: Vec<Value>,
    pub(super) paths: StageIndex,
    pub(super) custom_keys: CustomKeys,
    pub(super) next_key: u32,
    /// Indices of the values that the sampler looks at.
    pub(super) due: Vec<usize>,
    pub(super) percent: Percent,
    pub(super) estimator: Estimator,
    pub(super) started: Option<Instant>,
    pub(super) newest: Timestamp,
    pub(super) log_lines: u64,
    /// Refusals that no caller gets, to be noted when the lock is released.
    pub(super) refused: Vec<PublishError>,
    /// Whether the tracker has forgotten the task, and its bytes with it.
    pub(super) forgotten: bool,
    /// Bytes of the log that stand in the tracker's account: see [`Inner::charge`].
    pub(super) charged: usize,
    /// What the parent has been told of this task.
    told: ChildMove,
}

impl Inner {
    /// Makes the inside of a task that has no event yet.
    pub(super) fn new(
        limits: &Arc<LogLimits>,
        fold: LazyFold,
        family: Family,
        about: Started,
        now: Timestamp,
    ) -> Self {
        let mut inner = Self {
            log: Log::new(Arc::clone(limits)),
            fold,
            sleepers: Sleepers::default(),
            family,
            values: vec![Value::default()],
            paths: StageIndex::default(),
            custom_keys: CustomKeys::default(),
            next_key: 0,
            due: Vec::new(),
            percent: Percent::default(),
            estimator: Estimator::default(),
            started: None,
            newest: now,
            log_lines: 0,
            refused: Vec::new(),
            forgotten: false,
            charged: 0,
            told: ChildMove::default(),
            about: Arc::new(about),
        };
        for index in 0..inner.about.stages.len() {
            let stage = &inner.about.stages[index];
            let (path, weight) = (Arc::clone(&stage.path), stage.weight);
            let (total, unit) = (stage.total, stage.unit.clone());
            let index = inner.add_stage(path, weight);
            inner.values[index].total = total;
            inner.values[index].unit = unit;
        }
        inner
    }

    pub(crate) fn snapshot(&self, now: Instant) -> Snapshot {
        let mut snapshot = self.fold.to_snapshot(&self.log, &self.about);
        if !snapshot.state.is_ended() {
            snapshot.elapsed_ms = self.elapsed_ms(now);
        }
        snapshot.dropped_logs = self.log.dropped_lines();
        snapshot
    }

    /// What the tracker's account is to change by.
    ///
    /// It is charged in steps and ahead, so that threads that publish to different tasks seldom meet
    /// there. It never holds less than there is; an eighth more at most while a log grows, twice as
    /// much at most when it has shrunk.
    pub(super) fn charge(&mut self) -> isize {
        let bytes = self.log.bytes();
        if self.forgotten
            || (bytes <= self.charged && bytes >= self.charged / 2 && !self.log.is_ended())
        {
            return 0;
        }
        // A log that is as large as it may be grows no more.
        let ahead = (bytes + bytes / 8).min(self.log.limits().byte_budget());
        let charged = match self.log.is_ended() || bytes < self.charged {
            true => bytes,
            false => bytes.max(ahead),
        };
        let change = charged as isize - self.charged as isize;
        self.charged = charged;
        change
    }

    /// Makes room in the log for others.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        self.fold.keep(&self.log, &self.about);
        self.log.shrink_to(bytes);
    }

    /// Marks a stage as fed by one more child.
    pub(crate) fn feed(&mut self, stage: usize) {
        self.values[stage].fed.get_or_insert_default().children += 1;
    }

    pub(super) fn append(
        &mut self,
        shared: &TaskShared,
        class: Class,
        data: Data,
        now: Instant,
    ) -> Result<Position, PublishError> {
        let timestamp = shared.clock.at(now).max(self.newest);
        let (seq, prev) = (self.log.next_seq(), self.log.newest_milestone());
        let make = |data| {
            let origin = Arc::clone(&shared.origin);
            Arc::new(Event::new(origin, seq, prev, timestamp, data))
        };
        let event = match self.log.take_spare() {
            None => make(data),
            Some(mut spare) => match Arc::get_mut(&mut spare) {
                None => make(data),
                // Nobody holds it any more: the new event takes its place.
                Some(event) => {
                    event.renew(seq, prev, timestamp, data);
                    spare
                }
            },
        };
        check_len(event.data(), event.data_size(), &shared.limits)?;
        self.fold.before(&event, &self.log, &self.about);
        let seq = self
            .log
            .push(class, event)
            .map_err(|refused| match refused.kind {
                PushErrorKind::Ended => PublishError::AlreadyComplete,
                PushErrorKind::TooManyKeys { limit } => PublishError::TooManyKeys { limit },
                PushErrorKind::Full { limit } => PublishError::HistoryFull { limit },
            })?;
        self.newest = timestamp;
        if let Some(event) = self.log.newest() {
            self.fold.apply(event);
        }
        Ok(Position::new(shared.epoch, seq))
    }

    pub(super) fn add_stage(&mut self, path: Arc<str>, weight: f64) -> usize {
        let index = self.values.len();
        self.paths.insert(Arc::clone(&path), index);
        push_exact(&mut self.values, Value::stage(path, weight));
        self.percent.add_stage(weight);
        index
    }

    /// Has a changed value published: now, if the sampler was not looking at it.
    pub(super) fn touch(
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

    pub(super) fn sample(&mut self, shared: &TaskShared, now: Instant) -> bool {
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
            self.refused.extend(published.err());
            self.due.push(index);
        }
        !self.due.is_empty()
    }

    pub(super) fn unwatch(&mut self) {
        for index in std::mem::take(&mut self.due) {
            let value = &mut self.values[index];
            value.watched = false;
            value.counter.unwatch();
        }
    }

    /// Publishes what the sampler has not yet seen.
    pub(super) fn flush(&mut self, shared: &TaskShared, now: Instant) {
        for index in std::mem::take(&mut self.due) {
            let value = &self.values[index];
            if value.dirty || value.counter.count() != value.published {
                let published = self.publish_value(shared, index, now);
                self.refused.extend(published.err());
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
        let count = self.measure(index);
        let value = &mut self.values[index];
        value.published = count;
        value.dirty = false;
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

    /// Takes a value's count into the percent of the whole.
    fn measure(&mut self, index: usize) -> u64 {
        let value = &mut self.values[index];
        let count = value.counter.count();
        value.counted |= count != 0 && value.fed.is_none();
        if let Some(fraction) = value.fraction(count) {
            match value.path {
                Some(_) => self.percent.move_stage(value.weight, value.done, fraction),
                None => self.percent.set_own(fraction),
            }
            value.done = fraction;
        }
        count
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
        let current_stage = Arc::clone(path);
        // The stages before have come further than the sampler has seen.
        for due in 0..self.due.len() {
            self.measure(self.due[due]);
        }
        let change = StageChange {
            previous_stage: self.fold.snapshot().stage.clone(),
            current_stage,
            progress: self.percent.display(),
            elapsed_ms: self.elapsed_ms(now),
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
    pub(super) fn child_move(&mut self) -> Option<ChildMove> {
        let state = self.fold.snapshot().state;
        let done = if state.is_ended() {
            CHILD
        } else {
            (self.percent.displayed() / 100.0 * CHILD as f64) as u64
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

    pub(super) fn elapsed_ms(&self, now: Instant) -> u64 {
        millis(self.elapsed(now))
    }
}

/// `started` is bounded by the number and length of its parts, so that it is never too large for
/// what may be declared.
pub(super) fn check_size(data: &Data, limits: &Limits) -> Result<(), PublishError> {
    check_len(data, data.size(), limits)
}

fn check_len(data: &Data, len: usize, limits: &Limits) -> Result<(), PublishError> {
    let limit = limits.payload;
    if len > limit && !matches!(data, Data::Started(_)) {
        return Err(PublishError::PayloadTooLarge {
            field: "data",
            len,
            limit,
        });
    }
    Ok(())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
