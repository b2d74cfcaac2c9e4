//! What is done to a task: publish, begin, count, end.

use std::{borrow::Cow, sync::Arc};

use crate::{
    error::{PublishError, StageError},
    event::{Complete, Custom, Data, LogLine, Payload, Queued, Started, Status, TaskError},
    limits::Limits,
    log::Class,
    position::Position,
    task::{
        builder::check_stage_path,
        counter::Counter,
        inner::check_size,
        shared::TaskShared,
        value::{Percent, Value},
    },
};

impl TaskShared {
    pub(crate) fn publish(
        self: &Arc<Self>,
        class: Class,
        data: Data,
    ) -> Result<Position, PublishError> {
        self.change(|inner, now| inner.append(self, class, data, now))
    }

    pub(crate) fn publish_log(self: &Arc<Self>, line: LogLine) -> Result<Position, PublishError> {
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
        event_type: Cow<'static, str>,
        key: Option<&str>,
        data: Payload,
    ) -> Result<Position, PublishError> {
        self.change(|inner, now| {
            let custom = |event_type, key| {
                Data::Custom(Custom {
                    event_type,
                    key,
                    data,
                })
            };
            let Some(key) = key else {
                return inner.append(self, Class::Milestone, custom(event_type, None), now);
            };
            if let Some((number, key)) = inner.custom_keys.find(&event_type, key) {
                let data = custom(event_type, Some(key));
                return inner.append(self, Class::State(number), data, now);
            }
            let (key, number) = (Arc::<str>::from(key), inner.next_key);
            let data = custom(event_type.clone(), Some(Arc::clone(&key)));
            let position = inner.append(self, Class::State(number), data, now)?;
            inner.custom_keys.insert(event_type, key, number);
            inner.next_key += 1;
            Ok(position)
        })
    }

    /// Publishes `queued`, on a task that has not begun.
    pub(crate) fn queued(self: &Arc<Self>, position: Option<u64>) -> Result<(), PublishError> {
        self.change(|inner, now| {
            if inner.started.is_some() {
                return Ok(());
            }
            let queued = Data::Queued(Queued {
                position,
                about: None,
            });
            inner.append(self, Class::Milestone, queued, now).map(drop)
        })
    }

    /// Publishes `started`, once; the clocks of the task run from here.
    pub(crate) fn begin(self: &Arc<Self>) -> Result<(), PublishError> {
        let begun = self.change(|inner, now| {
            if inner.log.is_ended() {
                return Err(PublishError::AlreadyComplete);
            }
            if inner.started.is_some() {
                return Ok(None);
            }
            let mut about = Started::clone(&inner.about);
            about.started_at = self.clock.at(now).max(inner.newest);
            let about = Arc::new(about);
            let started = Data::Started(Arc::clone(&about));
            inner.append(self, Class::Milestone, started, now)?;
            inner.about = about;
            inner.started = Some(now);
            Ok(Some(now))
        })?;
        if let (Some(now), Some(after)) = (begun, self.stall_after)
            && let Some(tracker) = self.tracker.upgrade()
        {
            tracker.watch_for_stall(self, now + after);
        }
        Ok(())
    }

    /// Tells whether an end would be refused as things stand.
    pub(crate) fn check_end(&self, end: &End) -> Result<(), PublishError> {
        if self.is_ended() {
            return Err(PublishError::AlreadyComplete);
        }
        check_size(&end.clone().into_data(0.0, 0), &self.limits)
    }

    /// Publishes the end, after whatever the counters have not shown yet.
    pub(crate) fn end(self: &Arc<Self>, end: End) -> Result<Position, PublishError> {
        let ended = self.change(|inner, now| {
            if inner.log.is_ended() {
                return Err(PublishError::AlreadyComplete);
            }
            inner.flush(self, now);
            inner.forgive_stall();
            let progress = match end.status {
                Status::Completed => 100.0,
                _ => inner.displayed(),
            };
            let data = end.into_data(progress, inner.elapsed_ms(now));
            inner.append(self, Class::Terminal, data, now)
        });
        if ended.is_ok() {
            self.stop.raise();
        }
        ended
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
            let work = inner.work();
            let value = &mut work.values[index];
            change(value, &mut work.percent, &self.limits)?;
            value.dirty = true;
            inner.touch(self, index, now)
        })
    }

    /// Changes what is known of a value without anything having happened in its stage.
    pub(crate) fn describe_value(self: &Arc<Self>, index: usize, change: impl FnOnce(&mut Value)) {
        let changed = self.change(|inner, now| {
            let ended = inner.log.is_ended();
            let value = &mut inner.work().values[index];
            change(value);
            // A stage of which nobody has heard tells what is known of it when it begins.
            if value.key.is_none() || ended {
                return Ok(());
            }
            value.dirty = true;
            inner.touch_quietly(self, index, now)?;
            inner.touch_ancestors(self, index, now);
            Ok(())
        });
        self.note_refusal(changed);
    }

    /// The slow path of a counter.
    #[cold]
    pub(crate) fn touch_counter(self: &Arc<Self>, index: usize) {
        let touched = self.change(|inner, now| {
            let ended = inner.log.is_ended();
            let value = &mut inner.work().values[index];
            if ended {
                // Increments that race with the end may go uncounted; later ones cost nothing.
                value.counter.watch();
                return Ok(());
            }
            if value.fed().is_some() {
                // Told once; it is not looked at, so that later ones cost nothing.
                value.counter.watch();
                return Err(PublishError::FedByChildren);
            }
            value.counted = true;
            // Also if the sampler looks at it already: at its largest, the counter forgets that.
            value.counter.watch();
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

    /// No longer leaves its values to the sampler: the next change of each is published at once.
    pub(crate) fn unwatch(&self) {
        self.inner.lock().unwatch();
    }

    /// Finds or makes a stage; its value's index and its counter.
    pub(crate) fn stage(self: &Arc<Self>, path: &str) -> Result<(usize, Arc<Counter>), StageError> {
        check_stage_path(path)?;
        let mut inner = self.inner.lock();
        let work = inner.work();
        let index = work.find_stage(path, self.limits.stages)?;
        Ok((index, Arc::clone(&work.values[index].counter)))
    }

    /// Finds or makes a stage for a child task to feed: its value's index, and the counter for what
    /// is done of the children.
    pub(crate) fn stage_to_feed(
        self: &Arc<Self>,
        path: &str,
    ) -> Result<(usize, Arc<Counter>), StageError> {
        let (index, _) = self.stage(path)?;
        let mut inner = self.inner.lock();
        let fed = inner.work().values[index]
            .says()
            .fed
            .get_or_insert_default();
        Ok((index, Arc::clone(&fed.counter)))
    }
}

/// How a task ends; the log knows the rest.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) status: Status,
    pub(crate) result: Option<Payload>,
    pub(crate) error: Option<TaskError>,
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

    fn into_data(self, progress: f64, duration_ms: u64) -> Data {
        Data::Complete(Box::new(Complete {
            status: self.status,
            progress,
            duration_ms,
            result: self.result,
            error: self.error,
            cause: self.cause,
        }))
    }
}
