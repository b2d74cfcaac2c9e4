//! Cheap handles to report through.

use std::{borrow::Cow, fmt, sync::Arc};

use serde::Serialize;
use serde_json::Value as Json;

use crate::{
    error::PublishError,
    event::{
        Custom, Data, EventPayload, Level, LogLine, Metadata, Payload, TaskError, check_depth,
        check_event_type, check_text_depth,
    },
    id::{IntoTaskId, TaskId},
    limits::Limits,
    log::Class,
    position::{Epoch, Position, Seq},
    task::{TaskBuilder, counter::Counter, shared::TaskShared, value::Value},
    tracker::ProgressTracker,
};

/// Reports on a task or on one of its stages.
///
/// A cheap clone, `Send` and `Sync`; every method returns at once, whoever watches. Reports after
/// the task's end do nothing.
///
/// Counters are sampled every [tick](crate::TrackerBuilder::tick): the first change after a quiet
/// tick is published at once, later ones together.
#[derive(Clone)]
pub struct Reporter {
    /// None if the stage could not be made, or nobody listens: then nothing is reported.
    pub(super) task: Option<Arc<TaskShared>>,
    /// The task of a stage that could not be made: work on it is to stop with the task.
    pub(super) detached_from: Option<Arc<TaskShared>>,
    /// Index of the task's own value or of the stage's.
    pub(super) index: usize,
    pub(super) counter: Arc<Counter>,
}

impl Reporter {
    pub(crate) fn own(task: &Arc<TaskShared>) -> Self {
        Self {
            counter: task.own_counter(),
            task: Some(Arc::clone(task)),
            detached_from: None,
            index: 0,
        }
    }

    /// Makes a reporter to which nobody listens, for libraries whose caller does not want to know.
    ///
    /// Every method works and does nothing: counting costs what it costs otherwise, events are
    /// accepted at a [position](Position) that stands nowhere, work is never cancelled, and a
    /// [child](Self::child) is a task of its own that nobody can watch.
    ///
    /// ```
    /// use progress_core::Reporter;
    ///
    /// fn resize(pictures: &[&str], report: &Reporter) {
    ///     let report = report.stage("resize").total(pictures.len() as u64);
    ///     for _picture in pictures {
    ///         report.inc(1);
    ///     }
    /// }
    ///
    /// resize(&["a.png", "b.png"], &Reporter::noop());
    /// ```
    #[must_use]
    pub fn noop() -> Self {
        let counter = Counter::default();
        // Nobody publishes it: no change has anything more to do.
        counter.watch();
        Self {
            task: None,
            detached_from: None,
            index: 0,
            counter: Arc::new(counter),
        }
    }

    fn stage_of(task: &Arc<TaskShared>, path: &str) -> Self {
        match task.stage(path) {
            Ok((index, counter)) => Self {
                task: Some(Arc::clone(task)),
                detached_from: None,
                index,
                counter,
            },
            Err(error) => {
                tracing::warn!(task = %task.id, stage = path, %error, "stage not made");
                Self {
                    task: None,
                    detached_from: Some(Arc::clone(task)),
                    index: 0,
                    counter: Arc::default(),
                }
            }
        }
    }

    /// Returns the task's id; none if the stage could not be made, or nobody listens.
    #[must_use]
    pub fn task_id(&self) -> Option<&TaskId> {
        self.task.as_deref().map(|task| &task.id)
    }

    /// Returns a reporter of a stage of the task, which is made if it was not declared.
    ///
    /// A path that is none, or a stage past [`Limits::stages`], gives a reporter that reports
    /// nothing, and a warning through `tracing`.
    #[must_use]
    pub fn stage(&self, path: &str) -> Self {
        match &self.task {
            Some(task) => Self::stage_of(task, path),
            None => self.clone(),
        }
    }

    /// Describes a child: a task of its own that feeds a stage of this one. Many children may feed
    /// one stage; its fraction is their mean, and a [`total`](Self::set_total) says how many are
    /// still to come.
    ///
    /// A stage that children feed is theirs: counts and percents reported on it are ignored from
    /// then on. The first count and every percent are refused, and counted as such in
    /// [`TrackerStats::refused`](crate::TrackerStats::refused).
    pub fn child(&self, id: impl IntoTaskId, stage: &str) -> TaskBuilder {
        let tracker = match &self.task {
            Some(task) => task.tracker.upgrade(),
            None if self.is_noop() => Some(ProgressTracker::unwatched()),
            None => None,
        };
        let child = TaskBuilder::new(tracker, id);
        match &self.task {
            Some(task) => child.child_of(Arc::clone(task), stage),
            None => child,
        }
    }

    #[cfg(feature = "batch")]
    pub(crate) fn set_child_policy(&self, policy: crate::task::ChildPolicy) {
        if let Some(task) = &self.task {
            task.inner.lock().family.policy = policy;
        }
    }

    /// Sets how many units there are in all.
    #[must_use]
    pub fn total(self, units: u64) -> Self {
        self.set_total(units);
        self
    }

    /// Sets what is counted.
    #[must_use]
    pub fn unit(self, unit: &str) -> Self {
        self.set_unit(unit);
        self
    }

    /// Sets what is counted, when that is learned late. Longer text than
    /// [`Limits::NAME_LEN`] is cut.
    pub fn set_unit(&self, unit: &str) {
        if let Some(task) = &self.task {
            task.describe_value(self.index, |value| {
                value.says().unit = Some(shorten(unit, Limits::NAME_LEN));
            });
        }
    }

    /// Sets how many units there are in all, when that is learned late.
    pub fn set_total(&self, units: u64) {
        if let Some(task) = &self.task {
            task.describe_value(self.index, |value| value.total = Some(units));
        }
    }

    /// Adds to the units done, of which there can be 2⁶³ - 1. One atomic addition and one predicted branch.
    #[inline]
    pub fn inc(&self, by: u64) {
        if self.counter.add(by) {
            self.counter_is_due();
        }
    }

    /// Sets the units done, 2⁶³ - 1 at most.
    #[inline]
    pub fn set(&self, units: u64) {
        if self.counter.set(units) {
            self.counter_is_due();
        }
    }

    /// Reports a percent, 0 to 100, where there is nothing to count. On a task it is the percent
    /// of the whole and replaces what its stages add up to; on a stage, that stage's, and counts
    /// no longer move it.
    pub fn progress(&self, percent: f64) {
        if percent.is_nan() {
            return;
        }
        self.change(|value, whole, _| {
            if value.path.is_none() {
                whole.report(percent);
            } else if value.fed().is_some() {
                return Err(PublishError::FedByChildren);
            } else {
                value.says().fraction = Some(percent.clamp(0.0, 100.0) / 100.0);
            }
            Ok(())
        });
    }

    /// Marks a stage as done. On a task it does nothing: that is what
    /// [`Task::complete`](crate::Task::complete) is for.
    pub fn finish(&self) {
        if self.index > 0 {
            self.progress(100.0);
        }
    }

    /// Takes back what was done: the work begins again within the run. On a task, its percent, its
    /// counters and those of its stages, and what was reported as progress are 0 again; on a stage,
    /// that stage's. This is the one way for the percent to fall. Estimates start afresh.
    ///
    /// Totals, messages and metadata stay; a stage that children feed stands as they do.
    ///
    /// ```
    /// use progress_core::ProgressTracker;
    ///
    /// let task = ProgressTracker::new().task("video-42").start()?;
    /// task.progress(60.0);
    /// task.reset();
    /// assert_eq!(task.snapshot().progress, 0.0);
    /// # Ok::<(), progress_core::StartError>(())
    /// ```
    pub fn reset(&self) {
        if let Some(task) = &self.task {
            task.reset(self.index);
        }
    }

    /// Says what is being done, for people. Longer text than an event can hold is cut.
    pub fn message(&self, text: impl AsRef<str>) {
        self.change(|value, _, limits| {
            value.says().message = Some(shorten(text.as_ref(), limits.message()));
            Ok(())
        });
    }

    /// Sets a value by name.
    ///
    /// A value that does not fit an event's data, or has no JSON form, is refused: see
    /// [`try_metadata`](Self::try_metadata) to learn of it.
    pub fn metadata(&self, name: &str, value: impl Serialize) {
        let published = self.try_metadata(name, value);
        if let Some(task) = &self.task {
            task.note_refusal(published);
        }
    }

    /// Sets a value by name.
    ///
    /// # Errors
    ///
    /// [`PublishError`] if the task has ended, the value has no JSON form or is nested deeper than
    /// [`Limits::DEPTH`], or all of the metadata together would take more than three quarters of an
    /// event's data.
    pub fn try_metadata(&self, name: &str, value: impl Serialize) -> Result<(), PublishError> {
        let json = serde_json::to_value(value).map_err(|error| PublishError::NotJson {
            reason: error.to_string(),
        })?;
        let Some(task) = self.task()? else {
            return Ok(());
        };
        task.change_value(self.index, |value, _, limits| {
            set_metadata(&mut value.says().metadata, name, json, limits)
        })
    }

    /// Writes a line to the task's log. Longer text than an event can hold is cut.
    pub fn log(&self, level: Level, message: impl AsRef<str>) {
        self.log_with(level, message.as_ref(), Metadata::default());
    }

    pub(crate) fn log_with(&self, level: Level, message: &str, fields: Metadata) {
        let Some(task) = &self.task else { return };
        let published = task.publish_log(LogLine {
            n: 0,
            level,
            message: (*shorten(message, task.limits.payload / 2)).into(),
            stage: self.path(),
            fields,
        });
        task.note_refusal(published);
    }

    /// Says that something failed and the task goes on. On a stage, the error names it unless it
    /// names one already.
    ///
    /// # Errors
    ///
    /// [`PublishError`] if the task has ended, or the error is too large or its details nested too deep.
    pub fn error(&self, error: TaskError) -> Result<Position, PublishError> {
        let Some(task) = self.task()? else {
            return Ok(NOWHERE);
        };
        let error = match self.path() {
            Some(path) => error.in_stage(&path),
            None => error,
        };
        task.publish(Class::Milestone, Data::Error(error))
    }

    /// Says that an attempt failed and retry number `attempt` of `max` follows.
    pub fn retrying(&self, error: TaskError, attempt: u32, max: u32) {
        if let Some(task) = &self.task {
            let published = self.error(error.retry(attempt, max));
            task.note_refusal(published);
        }
    }

    /// Publishes an event of the application's own.
    ///
    /// # Errors
    ///
    /// [`PublishError`] if the task has ended, or the event's type, key or size is out of bounds.
    #[expect(clippy::needless_pass_by_value, reason = "an event is given away")]
    pub fn emit<T: EventPayload>(&self, event: T) -> Result<Position, PublishError> {
        let Some(task) = self.task()? else {
            return Ok(NOWHERE);
        };
        let (key, data) = check_event(&event)?;
        task.publish_custom(Cow::Borrowed(T::EVENT_TYPE), key.as_deref(), data)
    }

    /// Says that the task waits for something and does no work: its estimate stands still, and it
    /// does not [stall](TaskBuilder::stall_after). `elapsed_ms` goes on.
    ///
    /// On a stage it pauses the whole task. On a task that is queued, paused already or ended it
    /// does nothing. A reason longer than an event can hold is cut.
    ///
    /// ```
    /// use progress_core::{ProgressTracker, TaskState};
    ///
    /// let task = ProgressTracker::new().task("video-42").start()?;
    /// task.pause("waiting for a GPU");
    /// assert_eq!(task.snapshot().state, TaskState::Paused);
    /// task.resume();
    /// assert_eq!(task.snapshot().state, TaskState::Running);
    /// # Ok::<(), progress_core::StartError>(())
    /// ```
    pub fn pause<'a>(&self, reason: impl Into<Option<&'a str>>) {
        if let Some(task) = &self.task {
            task.pause(reason.into());
        }
    }

    /// Says that the task goes on after a [pause](Self::pause). On a task that is not paused it
    /// does nothing.
    pub fn resume(&self) {
        if let Some(task) = &self.task {
            task.resume();
        }
    }

    /// Tells whether the work is to stop: cancellation was
    /// [asked for](crate::ProgressTracker::cancel), or the task has ended. One relaxed load, to be
    /// called in inner loops.
    #[must_use]
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.lives_with().is_some_and(|task| task.stop.is_raised())
    }

    /// Waits until the work is to stop: cancellation was
    /// [asked for](crate::ProgressTracker::cancel), or the task has ended, so that work does not
    /// outlive it. Other events of the task do not wake who waits.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn cancelled(&self) {
        match self.lives_with() {
            Some(task) => task.stop.wait().await,
            None => std::future::pending().await,
        }
    }

    /// Returns the reason given when cancellation was asked for; none if it was not, or without
    /// one.
    #[must_use]
    pub fn cancel_reason(&self) -> Option<Arc<str>> {
        self.lives_with()?.request_to_stop()?.reason
    }

    /// The task whose life the work is part of.
    fn lives_with(&self) -> Option<&Arc<TaskShared>> {
        self.task.as_ref().or(self.detached_from.as_ref())
    }

    /// Shows life without saying more; a stage that was finished is no longer.
    #[cfg(feature = "tracing-layer")]
    pub(crate) fn open(&self) {
        self.change(|value, _, _| {
            if value.reported().is_some_and(|fraction| fraction >= 1.0) {
                value.says().fraction = None;
            }
            Ok(())
        });
    }

    /// Marks a stage as done that does not count how far it is.
    #[cfg(feature = "tracing-layer")]
    pub(crate) fn close(&self) {
        self.change(|value, _, _| {
            if value.total.is_none() && value.fed().is_none() {
                value.says().fraction = Some(1.0);
            }
            Ok(())
        });
    }

    /// What an adapter knows before its first unit: taken where nothing was said yet, as a sign of
    /// life. `units` come on top of what is counted already.
    pub(crate) fn expect(&self, units: Option<u64>, unit: Option<&str>) {
        if let Some(task) = &self.task {
            task.describe_value(self.index, |value| {
                if value.fed().is_some() {
                    return;
                }
                if let (None, Some(units)) = (value.total, units) {
                    value.total = Some(value.counter.count().saturating_add(units));
                }
                if let (None, Some(unit)) = (value.unit(), unit) {
                    value.says().unit = Some(Arc::from(unit));
                }
            });
        }
        self.inc(0);
    }

    /// The task to report on; none if nobody listens.
    pub(super) fn task(&self) -> Result<Option<&Arc<TaskShared>>, PublishError> {
        match &self.task {
            None if !self.is_noop() => Err(PublishError::Detached),
            task => Ok(task.as_ref()),
        }
    }

    fn is_noop(&self) -> bool {
        self.task.is_none() && self.detached_from.is_none()
    }

    fn path(&self) -> Option<Arc<str>> {
        // The task's own value has none: no need to lock it to learn that.
        let task = self.task.as_ref().filter(|_| self.index > 0)?;
        task.value_path(self.index)
    }

    fn change(
        &self,
        change: impl FnOnce(
            &mut Value,
            &mut crate::task::value::Percent,
            &Limits,
        ) -> Result<(), PublishError>,
    ) {
        if let Some(task) = &self.task {
            let changed = task.change_value(self.index, change);
            task.note_refusal(changed);
        }
    }

    #[cold]
    fn counter_is_due(&self) {
        match &self.task {
            Some(task) => task.touch_counter(self.index),
            None => self.counter.watch(),
        }
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter")
            .field("task", &self.task_id())
            .field("stage", &self.path())
            .finish_non_exhaustive()
    }
}

/// The key and data of an event of the application's own, if it can be one.
fn check_event<T: EventPayload>(
    event: &T,
) -> Result<(Option<Cow<'_, str>>, Payload), PublishError> {
    const { check_event_type(T::EVENT_TYPE) }.map_err(PublishError::InvalidEventType)?;
    let key = event.key();
    if let Some(key) = &key
        && key.len() > Limits::NAME_LEN
    {
        return Err(PublishError::KeyTooLong { len: key.len() });
    }
    let data = to_payload("data", event)?;
    Ok((key, data))
}

/// An event of the application's own that is of no task.
pub(crate) fn to_custom<T: EventPayload>(
    event: &T,
    limits: &Limits,
) -> Result<Custom, PublishError> {
    let (key, data) = check_event(event)?;
    let limit = limits.payload;
    let len = data.json().len();
    if len > limit {
        return Err(PublishError::PayloadTooLarge {
            field: "data",
            len,
            limit,
        });
    }
    Ok(Custom {
        event_type: Cow::Borrowed(T::EVENT_TYPE),
        key: key.as_deref().map(Arc::from),
        data,
    })
}
/// Where events stand that nobody takes.
const NOWHERE: Position = Position::new(Epoch::FOREIGN, Seq::ZERO);

pub(crate) fn to_payload<T: Serialize + ?Sized>(
    field: &'static str,
    value: &T,
) -> Result<Payload, PublishError> {
    let payload = Payload::new(value).map_err(|error| PublishError::NotJson {
        reason: error.to_string(),
    })?;
    check_text_depth(field, payload.json())?;
    Ok(payload)
}

fn set_metadata(
    metadata: &mut Metadata,
    name: &str,
    value: Json,
    limits: &Limits,
) -> Result<(), PublishError> {
    let limit = limits.metadata();
    let len = metadata.size_with(name, &value);
    if len > limit {
        return Err(PublishError::PayloadTooLarge {
            field: "metadata",
            len,
            limit,
        });
    }
    check_depth("metadata", &value)?;
    metadata.insert(name, value);
    Ok(())
}

/// Cuts a text to `limit` bytes, at a character.
pub(crate) fn shorten(text: &str, limit: usize) -> Arc<str> {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Arc::from(&text[..end])
}
