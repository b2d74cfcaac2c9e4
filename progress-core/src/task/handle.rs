//! The one owner of a task.

use std::{
    fmt,
    ops::Deref,
    sync::{Arc, atomic::Ordering},
};

use serde::Serialize;

use crate::{
    error::PublishError,
    event::{Data, Payload, Queued, Status, TaskError, TaskState},
    id::{IntoTaskId, TaskId},
    log::Class,
    position::Position,
    snapshot::Snapshot,
    task::{
        Reporter, TaskBuilder,
        children::{ChildPolicy, end_descendants},
        reporter::to_payload,
        shared::{End, TaskShared},
    },
    tracker::TrackerShared,
};

/// A live task: its one owner, who reports on it and ends it.
///
/// It is also a [`Reporter`] of the task itself. Dropped unfinished, the task ends `abandoned`
/// (cause `dropped`, or `panicked` while its thread unwinds), so that no watcher waits for ever.
pub struct Task {
    reporter: Reporter,
    shared: Arc<TaskShared>,
    /// Kept, so that counters are sampled as long as somebody works.
    _tracker: Arc<TrackerShared>,
}

impl Task {
    pub(crate) fn new(shared: Arc<TaskShared>, tracker: Arc<TrackerShared>) -> Self {
        Self {
            reporter: Reporter::own(&shared),
            shared,
            _tracker: tracker,
        }
    }

    /// Returns the task's id.
    #[must_use]
    pub fn id(&self) -> &TaskId {
        &self.shared.id
    }

    /// Returns the position of the newest event.
    #[must_use]
    pub fn head(&self) -> Position {
        self.shared.head()
    }

    /// Returns the task as it stands.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// Returns a reporter of the task itself, to hand to those who do the work.
    #[must_use]
    pub fn reporter(&self) -> Reporter {
        self.reporter.clone()
    }

    /// Returns a reporter of a stage, which is made if it was not declared.
    ///
    /// A path that is none, or a stage past [`Limits::stages`](crate::Limits::stages), gives a
    /// reporter that reports nothing, and a warning through `tracing`.
    #[must_use]
    pub fn stage(&self, path: &str) -> Reporter {
        Reporter::stage_of(&self.shared, path)
    }

    /// Describes a child: a task of its own that feeds a stage of this one. Many children may feed
    /// one stage; its fraction is their mean, and a [`total`](Reporter::set_total) says how many
    /// are still to come.
    pub fn child(&self, id: impl IntoTaskId, stage: &str) -> TaskBuilder {
        TaskBuilder::new(self.shared.tracker.upgrade(), id)
            .child_of(Arc::clone(&self.shared), stage)
    }

    /// Tells a queued task's place in the queue, from 1.
    pub fn position(&self, place: u64) {
        let queued = Queued {
            position: Some(place),
        };
        let published = self.shared.publish(Class::Milestone, Data::Queued(queued));
        self.shared.note_refusal(published);
    }

    /// Starts a task that was queued; `elapsed_ms` counts from here. On a task that has started it
    /// does nothing.
    ///
    /// # Errors
    ///
    /// [`PublishError::AlreadyComplete`] if its parent has ended it meanwhile.
    pub fn begin(&self) -> Result<(), PublishError> {
        match self.shared.snapshot().state {
            TaskState::Queued => self.shared.begin().map(drop),
            state if state.is_ended() => Err(PublishError::AlreadyComplete),
            _ => Ok(()),
        }
    }

    /// Ends the task well. Live children end `cancelled`.
    ///
    /// # Errors
    ///
    /// [`EndError`] if its parent has ended it, or the result has no JSON form or is too large;
    /// it gives back a task that is still live.
    pub fn complete(self, result: impl Serialize) -> Result<Position, EndError> {
        let mut end = End::new(Status::Completed);
        match to_payload(&result) {
            Ok(payload) => end.result = Some(payload).filter(|payload| payload.json() != "null"),
            Err(error) => return Err(EndError::new(error, self)),
        }
        self.end(end)
    }

    /// Ends the task in an error. Live children end `cancelled`.
    ///
    /// # Errors
    ///
    /// As [`complete`](Self::complete).
    pub fn fail(self, error: TaskError) -> Result<Position, EndError> {
        let mut end = End::new(Status::Failed);
        end.error = Some(error);
        self.end(end)
    }

    /// Ends the task because somebody asked for it. Live children end `cancelled`.
    ///
    /// # Errors
    ///
    /// As [`complete`](Self::complete).
    pub fn cancel(self, reason: &str) -> Result<Position, EndError> {
        self.end(End::new(Status::Cancelled).cause(reason))
    }

    /// Ends the task as its [`ChildPolicy`] says, by how its children ended; those that live end
    /// `cancelled` first. The result holds `total`, `completed` and `failed` as numbers.
    ///
    /// # Errors
    ///
    /// As [`complete`](Self::complete).
    pub fn finish(self) -> Result<Position, EndError> {
        end_descendants(&self.shared);
        let (policy, total, completed) = {
            let inner = self.shared.inner.lock();
            let family = &inner.family;
            (
                family.policy,
                family.total(),
                family.count(TaskState::Completed),
            )
        };
        let failed = total.saturating_sub(completed);
        let well = match policy {
            ChildPolicy::All => failed == 0,
            ChildPolicy::Any | ChildPolicy::Partial => completed > 0 || total == 0,
        };
        let mut end = End::new(if well {
            Status::Completed
        } else {
            Status::Failed
        });
        end.result = Some(Payload::from(serde_json::json!({
            "total": total, "completed": completed, "failed": failed,
        })));
        if !well {
            end.error = Some(TaskError::new(
                "CHILDREN_FAILED",
                format!("{failed} of {total} parts did not complete"),
            ));
        }
        self.end(end)
    }

    fn end(self, end: End) -> Result<Position, EndError> {
        end_descendants(&self.shared);
        self.shared
            .end(end)
            .map_err(|error| EndError::new(error, self))
    }
}

impl Deref for Task {
    type Target = Reporter;

    fn deref(&self) -> &Reporter {
        &self.reporter
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if !self.shared.is_ended() {
            let cause = if std::thread::panicking() {
                "panicked"
            } else {
                "dropped"
            };
            end_descendants(&self.shared);
            // Lost to an end that came first: fine, there is one.
            let _ended = self.shared.end(End::new(Status::Abandoned).cause(cause));
        }
        // Relaxed: only retention reads it, at leisure.
        self.shared.held.store(false, Ordering::Relaxed);
    }
}

/// A task was not ended as asked.
///
/// It holds the task if that is still live; dropped with the error, the task ends `abandoned`.
#[derive(Debug)]
pub struct EndError {
    error: PublishError,
    task: Option<Task>,
}

impl EndError {
    fn new(error: PublishError, task: Task) -> Self {
        let live = error != PublishError::AlreadyComplete;
        Self {
            error,
            task: live.then_some(task),
        }
    }

    /// Returns why.
    #[must_use]
    pub fn reason(&self) -> &PublishError {
        &self.error
    }

    /// Returns the task, unless it has ended already.
    #[must_use]
    pub fn into_task(self) -> Option<Task> {
        self.task
    }
}

impl fmt::Display for EndError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task was not ended as asked")
    }
}

impl std::error::Error for EndError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("id", self.id())
            .field("head", &self.head())
            .finish_non_exhaustive()
    }
}
