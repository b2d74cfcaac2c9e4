//! Cheap handles to report through.

use std::{fmt, sync::Arc};

use serde::Serialize;
use serde_json::Value as Json;

use crate::{
    error::PublishError,
    event::{
        Custom, Data, EventPayload, Level, LogLine, Metadata, Payload, TaskError, check_event_type,
    },
    id::{IntoTaskId, TaskId},
    limits::Limits,
    log::Class,
    position::Position,
    task::{TaskBuilder, counter::Counter, shared::TaskShared, value::Value},
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
    /// None if the stage could not be made: then nothing is reported.
    task: Option<Arc<TaskShared>>,
    /// Index of the task's own value or of the stage's.
    index: usize,
    counter: Arc<Counter>,
}

impl Reporter {
    pub(crate) fn own(task: &Arc<TaskShared>) -> Self {
        Self {
            counter: task.own_counter(),
            task: Some(Arc::clone(task)),
            index: 0,
        }
    }

    fn stage_of(task: &Arc<TaskShared>, path: &str) -> Self {
        match task.stage(path) {
            Ok((index, counter)) => Self {
                task: Some(Arc::clone(task)),
                index,
                counter,
            },
            Err(error) => {
                tracing::warn!(task = %task.id, stage = path, %error, "stage not made");
                Self {
                    task: None,
                    index: 0,
                    counter: Arc::default(),
                }
            }
        }
    }

    /// Returns the task's id; none if the stage could not be made.
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
        let tracker = self.task.as_ref().and_then(|task| task.tracker.upgrade());
        let child = TaskBuilder::new(tracker, id);
        match &self.task {
            Some(task) => child.child_of(Arc::clone(task), stage),
            None => child,
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
                value.unit = Some(shorten(unit, Limits::NAME_LEN));
            });
        }
    }

    /// Sets how many units there are in all, when that is learned late.
    pub fn set_total(&self, units: u64) {
        if let Some(task) = &self.task {
            task.describe_value(self.index, |value| value.total = Some(units));
        }
    }

    /// Adds to the units done. One atomic addition, one load and one predicted branch.
    #[inline]
    pub fn inc(&self, by: u64) {
        if self.counter.add(by) {
            self.counter_is_due();
        }
    }

    /// Sets the units done.
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
                value.fraction = Some(percent.clamp(0.0, 100.0) / 100.0);
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

    /// Says what is being done, for people. Longer text than an event can hold is cut.
    pub fn message(&self, text: impl AsRef<str>) {
        self.change(|value, _, limits| {
            value.message = Some(shorten(text.as_ref(), limits.message()));
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
    /// [`PublishError`] if the task has ended, the value has no JSON form, or all of the metadata
    /// together would take more than three quarters of an event's data.
    pub fn try_metadata(&self, name: &str, value: impl Serialize) -> Result<(), PublishError> {
        let json = serde_json::to_value(value).map_err(|error| PublishError::NotJson {
            reason: error.to_string(),
        })?;
        self.task()?.change_value(self.index, |value, _, limits| {
            set_metadata(&mut value.metadata, name, json, limits)
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
    /// [`PublishError`] if the task has ended or the error is too large.
    pub fn error(&self, error: TaskError) -> Result<Position, PublishError> {
        let task = self.task()?;
        let error = match self.path() {
            Some(path) => error.in_stage(&path),
            None => error,
        };
        task.publish(Class::Milestone, Data::Error(Box::new(error)))
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
    pub fn emit<T: EventPayload>(&self, event: T) -> Result<Position, PublishError> {
        let task = self.task()?;
        check_event_type(T::EVENT_TYPE).map_err(PublishError::InvalidEventType)?;
        let key: Option<Arc<str>> = event.key().map(Arc::from);
        if let Some(key) = &key
            && key.len() > Limits::NAME_LEN
        {
            return Err(PublishError::KeyTooLong { len: key.len() });
        }
        let data = to_payload(&event)?;
        drop(event);
        task.publish_custom(Custom {
            event_type: Arc::from(T::EVENT_TYPE),
            key,
            data,
        })
    }

    /// Shows life without saying more; a stage that was finished is no longer.
    #[cfg(feature = "tracing-layer")]
    pub(crate) fn open(&self) {
        self.change(|value, _, _| {
            value.fraction = value.fraction.filter(|fraction| *fraction < 1.0);
            Ok(())
        });
    }

    /// Marks a stage as done that does not count how far it is.
    #[cfg(feature = "tracing-layer")]
    pub(crate) fn close(&self) {
        self.change(|value, _, _| {
            if value.total.is_none() && value.fed().is_none() {
                value.fraction = Some(1.0);
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
                if let (None, Some(unit)) = (&value.unit, unit) {
                    value.unit = Some(Arc::from(unit));
                }
            });
        }
        self.inc(0);
    }

    pub(crate) fn task(&self) -> Result<&Arc<TaskShared>, PublishError> {
        self.task.as_ref().ok_or(PublishError::Detached)
    }

    fn path(&self) -> Option<Arc<str>> {
        let task = self.task.as_ref()?;
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

pub(crate) fn to_payload<T: Serialize + ?Sized>(value: &T) -> Result<Payload, PublishError> {
    Payload::new(value).map_err(|error| PublishError::NotJson {
        reason: error.to_string(),
    })
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
    metadata.insert(name, value);
    Ok(())
}

/// Cuts a text to `limit` bytes, at a character.
fn shorten(text: &str, limit: usize) -> Arc<str> {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Arc::from(&text[..end])
}
