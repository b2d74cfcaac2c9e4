//! What a task's lock guards: its log and fold, how far its work is.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    error::PublishError,
    event::{Data, Event, ProgressUpdate, StageChange, Started, Status, TaskState},
    limits::Limits,
    log::{Class, Log, LogLimits},
    position::Position,
    snapshot::{Fold, Snapshot},
    subscription::Sleepers,
    task::{
        children::{ChildMove, Family},
        counter::Counter,
        custom_keys::CustomKeys,
        lazy_fold::{LazyFold, Sources},
        rare::Rare,
        shared::TaskShared,
        tell::Untold,
        value::CHILD,
        work::Work,
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
    /// The count that was never of a stage.
    pub(super) own: Arc<Counter>,
    /// None before the first report of progress.
    pub(super) work: Option<Box<Work>>,
    pub(super) custom_keys: CustomKeys,
    pub(super) next_key: u32,
    pub(super) started: Option<Instant>,
    pub(super) newest: Timestamp,
    pub(super) log_lines: u64,
    /// Whether the tracker has forgotten the task, and its bytes with it.
    pub(super) forgotten: bool,
    /// When the work last did anything that shows.
    pub(super) changed: Option<Instant>,
    /// Whether `stalled` was published and no change since.
    pub(super) stalled: bool,
    pub(super) rare: Option<Box<Rare>>,
    /// Whether another run is the one that counts.
    pub(crate) superseded: bool,
    pub(super) untold: Untold,
    /// Bytes of the log that stand in the tracker's account: see [`Inner::charge`].
    pub(super) charged: usize,
    /// What the parent has been told of this task.
    told: Told,
}

/// What a parent has been told of a child.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Told {
    state: Option<TaskState>,
    /// In [`CHILD`]s, to one.
    fraction: i32,
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
            own: Arc::default(),
            work: None,
            custom_keys: CustomKeys::default(),
            next_key: 0,
            started: None,
            newest: now,
            log_lines: 0,
            forgotten: false,
            changed: None,
            stalled: false,
            rare: None,
            superseded: false,
            untold: Untold::default(),
            charged: 0,
            told: Told::default(),
            about: Arc::new(about),
        };
        let about = Arc::clone(&inner.about);
        for stage in &about.stages {
            let work = inner.work();
            let index = work.declare_stage(Arc::clone(&stage.path), stage.weight);
            work.values[index].total = stage.total;
            if stage.unit.is_some() {
                work.values[index].says().unit.clone_from(&stage.unit);
            }
        }
        inner
    }

    pub(crate) fn snapshot(&self, now: Instant) -> Snapshot {
        let mut snapshot = self
            .fold
            .to_snapshot(Sources::new(&self.log, &self.about, self.newest));
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

    /// The fold itself, kept from now on: for a task whose events are numbered elsewhere, or
    /// authored from its present.
    pub(crate) fn full_fold(&mut self) -> &mut Fold {
        self.fold
            .full(Sources::new(&self.log, &self.about, self.newest))
    }

    /// Makes room in the log for others.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        self.fold
            .keep(Sources::new(&self.log, &self.about, self.newest));
        self.log.shrink_to(bytes);
    }

    /// Marks a stage as fed by one more child.
    pub(crate) fn feed(&mut self, stage: usize) {
        self.work().values[stage].feed();
    }

    pub(super) fn append(
        &mut self,
        shared: &TaskShared,
        class: Class,
        data: Data,
        now: Instant,
    ) -> Result<Position, PublishError> {
        if self.superseded {
            return Err(PublishError::Superseded);
        }
        self.note_change(shared, now)?;
        let timestamp = shared.clock.at(now).max(self.newest);
        let (seq, prev) = (self.log.next_seq(), self.log.newest_milestone());
        let make = |data| {
            let origin = self.fold.origin();
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
        self.fold
            .before(&event, Sources::new(&self.log, &self.about, self.newest));
        let seq = self
            .log
            .push(class, event)
            .map_err(|refused| PublishError::from(refused.kind))?;
        self.newest = timestamp;
        if let Some(event) = self.log.newest() {
            self.fold.apply(event);
            self.untold.note(class, event);
        }
        Ok(Position::new(shared.epoch, seq))
    }

    /// Has a value published that has shown life: now, if the sampler was not looking at it.
    pub(super) fn touch(
        &mut self,
        shared: &TaskShared,
        index: usize,
        now: Instant,
    ) -> Result<(), PublishError> {
        self.work().values[index].alive = true;
        self.touch_quietly(shared, index, now)?;
        self.touch_ancestors(shared, index, now);
        Ok(())
    }

    /// The same for a value that has changed without having shown life.
    pub(super) fn touch_quietly(
        &mut self,
        shared: &TaskShared,
        index: usize,
        now: Instant,
    ) -> Result<(), PublishError> {
        let work = self.work();
        let value = &mut work.values[index];
        if value.watched {
            return Ok(());
        }
        value.watch();
        work.due.push(index);
        self.publish_value(shared, index, now)
    }

    pub(super) fn sample(&mut self, shared: &TaskShared, now: Instant) -> bool {
        let Some(work) = &mut self.work else {
            return false;
        };
        let mut due = std::mem::take(&mut work.due);
        if self.log.is_ended() {
            return false;
        }
        work.gather(&mut due);
        for index in due {
            let value = &mut self.work().values[index];
            if !value.has_moved() {
                // A whole tick without a change: the next one is published at once again.
                if value.unwatch() == value.published {
                    continue;
                }
                value.watch();
            }
            // A value that is refused stays watched: it may fit again when it has changed.
            let published = self.publish_value(shared, index, now);
            self.refuse(published.err());
            self.work().due.push(index);
        }
        self.is_due()
    }

    pub(super) fn unwatch(&mut self) {
        let Some(work) = &mut self.work else { return };
        for index in std::mem::take(&mut work.due) {
            work.values[index].unwatch();
        }
    }

    /// Publishes what the sampler has not yet seen.
    pub(super) fn flush(&mut self, shared: &TaskShared, now: Instant) {
        let Some(work) = &mut self.work else { return };
        let mut due = std::mem::take(&mut work.due);
        work.gather(&mut due);
        for index in due {
            if self.work().values[index].has_moved() {
                let published = self.publish_value(shared, index, now);
                self.refuse(published.err());
            }
        }
    }

    pub(super) fn publish_value(
        &mut self,
        shared: &TaskShared,
        index: usize,
        now: Instant,
    ) -> Result<(), PublishError> {
        let value = &mut self.work().values[index];
        value.alive |= value.count() != value.published;
        if value.alive {
            self.begin_stage(shared, index, now)?;
        }
        let elapsed = self.elapsed(now);
        // What estimates build on: the time in which work was done.
        let active = self.active_elapsed(now);
        let children = self.family.counts();
        let work = self.work();
        let count = work.measure(index);
        let value = &mut work.values[index];
        value.published = count;
        value.dirty = false;
        let known_key = value.key;
        work.record_pace(index, active);
        let stage_eta = match index {
            0 => None,
            _ => work.stage_eta(index, active),
        };
        let update = ProgressUpdate {
            progress: work.percent.display(),
            stage_eta_ms: stage_eta.map(millis),
            eta_ms: work.eta(active).map(millis),
            elapsed_ms: millis(elapsed),
            children,
            ..work.values[index].to_update(count)
        };
        let key = known_key.unwrap_or(self.next_key);
        self.append(
            shared,
            Class::State(key),
            Data::ProgressUpdate(Box::new(update)),
            now,
        )?;
        if known_key.is_none() {
            self.work().values[index].key = Some(key);
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
        let elapsed_ms = self.elapsed_ms(now);
        let work = self.work();
        let value = &mut work.values[index];
        if value.begun {
            return Ok(());
        }
        value.begun = true;
        let Some(path) = &value.path else {
            return Ok(());
        };
        let current_stage = Arc::clone(path);
        let top = work.top_of(index);
        work.begin_course(top);
        // The stages before have come further than the sampler has seen. Not all of them, where
        // hundreds run at a time: then none of them is the one before.
        for due in work.due.len().saturating_sub(MEASURED_AT_ONCE)..work.due.len() {
            work.measure(work.due[due]);
        }
        let previous_stage = match work.current {
            0 => None,
            previous => work.values[previous as usize].path.clone(),
        };
        let change = StageChange {
            previous_stage,
            current_stage,
            progress: work.percent.display(),
            elapsed_ms,
        };
        self.append(
            shared,
            Class::Milestone,
            Data::StageChange(Box::new(change)),
            now,
        )?;
        self.work().current = index as u32;
        Ok(())
    }

    /// What has changed for the parent since it was told last.
    pub(super) fn child_move(&mut self) -> Option<ChildMove> {
        let state = self.fold.state();
        let done = if state.is_ended() {
            CHILD as i32
        } else {
            (self.displayed() / 100.0 * CHILD as f64) as i32
        };
        let new = Told {
            state: Some(state),
            fraction: done,
        };
        let old = std::mem::replace(&mut self.told, new);
        let moved = ChildMove {
            from: old.state,
            to: new.state,
            fraction: i64::from(new.fraction) - i64::from(old.fraction),
        };
        (moved.from != moved.to || moved.fraction != 0).then_some(moved)
    }

    pub(super) fn told(&self) -> Told {
        self.told
    }

    /// Makes a new run go on in its parent's account where the run before stands there.
    pub(super) fn replace_child(&mut self, told: Told) {
        self.told = told;
    }

    fn elapsed(&self, now: Instant) -> Duration {
        self.started.map_or(Duration::ZERO, |started| {
            now.saturating_duration_since(started)
        })
    }

    /// The time in which work was done: since the start, without pauses. What estimates build on.
    pub(super) fn active_elapsed(&self, now: Instant) -> Duration {
        self.elapsed(now).saturating_sub(self.paused(now))
    }

    pub(super) fn elapsed_ms(&self, now: Instant) -> u64 {
        millis(self.elapsed(now))
    }
}

/// Stages that are looked at when another begins.
const MEASURED_AT_ONCE: usize = 16;

/// `started` and `queued` are bounded by the number and length of their parts, so that they are
/// never too large for what may be declared; an end that nobody asked for is never too large.
pub(super) fn check_size(data: &Data, limits: &Limits) -> Result<(), PublishError> {
    check_len(data, data.size(), limits)
}

fn check_len(data: &Data, len: usize, limits: &Limits) -> Result<(), PublishError> {
    let limit = limits.payload;
    let exempt = match data {
        Data::Started(_) | Data::Queued(_) => true,
        Data::Complete(end) => end.status == Status::Abandoned,
        _ => false,
    };
    if len > limit && !exempt {
        return Err(PublishError::PayloadTooLarge {
            field: "data",
            len,
            limit,
        });
    }
    // Payloads and metadata were checked where they came in.
    let error = match data {
        Data::Error(error) => Some(error),
        Data::Complete(end) => end.error.as_ref(),
        _ => None,
    };
    match error {
        Some(error) => error.check_depth(),
        None => Ok(()),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
