//! The one owner of a task.

use std::{fmt, ops::Deref, sync::Arc};

use serde::Serialize;

use crate::{
    error::PublishError,
    event::{Payload, Status, TaskError, TaskState},
    id::TaskId,
    position::Position,
    snapshot::Snapshot,
    task::{
        Reporter, children::end_descendants, publish::End, reporter::to_payload, shared::TaskShared,
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

    /// Waits for the broker's answer: is the run this node's?
    pub(super) async fn confirmed(&self) -> bool {
        match &self.shared.outbox {
            Some(outbox) => outbox.confirmed().await.is_ok(),
            None => true,
        }
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

    /// Tells a queued task's place in the queue, from 1. On a task that has started it does
    /// nothing.
    pub fn position(&self, place: u64) {
        let published = self.shared.queued(Some(place));
        self.shared.note_refusal(published);
    }

    /// Starts a task that was queued; `elapsed_ms` counts from here. On a task that has started it
    /// does nothing.
    ///
    /// # Errors
    ///
    /// [`PublishError::AlreadyComplete`] if its parent has ended it meanwhile.
    pub fn begin(&self) -> Result<(), PublishError> {
        self.shared.begin()
    }

    /// Ends the task well. Live children end `cancelled`.
    ///
    /// # Errors
    ///
    /// [`EndError`] if its parent has ended it, or the result has no JSON form, is too large or nested too deep;
    /// it gives back a task that is still live.
    pub fn complete(self, result: impl Serialize) -> Result<Position, EndError> {
        let mut end = End::new(Status::Completed);
        match to_payload("result", &result) {
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

    /// Ends the task as its [`ChildPolicy`](crate::ChildPolicy) says, by how its children ended;
    /// those that live end `cancelled` first. The result holds `total`, `completed` and `failed` as numbers.
    ///
    /// # Errors
    ///
    /// As [`complete`](Self::complete).
    pub fn finish(self) -> Result<Position, EndError> {
        end_descendants(&self.shared);
        let (policy, total, told, untold) = {
            let inner = self.shared.inner.lock();
            let family = &inner.family;
            (
                family.policy,
                family.total(),
                family.count(TaskState::Completed),
                family.live(),
            )
        };
        // A child that has just ended may not have told yet.
        let untold = untold
            .iter()
            .filter(|child| child.snapshot().state == TaskState::Completed)
            .count();
        let completed = told + untold as u64;
        let failed = total.saturating_sub(completed);
        let well = policy.is_met(total, completed);
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
        // Before the children end for an end that is none.
        if let Err(error) = self.shared.check_end(&end) {
            return Err(EndError::new(error, self));
        }
        self.end_family(end)
            .map_err(|error| EndError::new(error, self))
    }

    /// The children first, so that the end takes account of theirs.
    fn end_family(&self, end: End) -> Result<Position, PublishError> {
        end_descendants(&self.shared);
        let ended = self.shared.end(end);
        // Those that were adopted meanwhile; from now on there can be no more.
        end_descendants(&self.shared);
        ended
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
            // Lost to an end that came first: fine, there is one.
            let _ended = self.end_family(End::new(Status::Abandoned).cause(cause));
        }
        self.shared.release();
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
