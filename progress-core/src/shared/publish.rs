//! Publishing to a task without an owner.

use std::sync::Arc;

use crate::{
    error::{LookupError, PublishError},
    event::Note,
    id::{IntoTaskId, TaskId},
    position::{Epoch, Position},
    shared::{input::EventInput, remote, said::Said},
    task::TaskShared,
    tracker::{ProgressTracker, TrackerShared},
};

/// What became of what was published.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Published {
    /// How many of the events stand in the task's log, repetitions included.
    pub accepted: usize,
    /// The newest of them.
    pub last: Option<Position>,
    /// Those that were refused: their places among the inputs, from 0, and why.
    pub errors: Vec<(usize, PublishError)>,
    /// Whether somebody has asked for cancellation: the work should end, and say so.
    pub cancel_requested: Option<Note>,
}

impl ProgressTracker {
    /// Publishes to a [shared](crate::TaskBuilder::share) task, one event after the other; what
    /// is refused does not keep the others from being published.
    ///
    /// An event with an [`id`](EventInput::id) is published once: sent again it is answered with
    /// its first position, also after the end. A task that was queued starts with the first event;
    /// one that has stalled recovers; a stage that is mentioned for the first time becomes the
    /// current one.
    ///
    /// With a transport, partial updates are merged with what the broker held when the call
    /// began: of two that are published to the same stage at the same time on two nodes, the later
    /// one's view stays.
    ///
    /// # Errors
    ///
    /// [`PublishError`] if nothing was published for a reason that concerns all of it:
    /// [`NotFound`](PublishError::NotFound), [`Owned`](PublishError::Owned),
    /// [`AlreadyComplete`](PublishError::AlreadyComplete) if the task had ended before,
    /// [`Unavailable`](PublishError::Unavailable). What concerns single events is in
    /// [`Published::errors`].
    ///
    /// # Cancel safety
    ///
    /// With a transport, dropping the future leaves it open what was published. Without one it
    /// takes effect at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use progress_core::{EventInput, ProgressTracker};
    /// use serde_json::json;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
    /// let tracker = ProgressTracker::new();
    /// tracker.task("video-42").share().await?;
    /// let input = EventInput::new("log", &json!({"message": "decoding"}))?.id("worker-3/1");
    ///
    /// let first = tracker.publish("video-42", vec![input.clone()]).await?;
    /// let again = tracker.publish("video-42", vec![input]).await?;
    /// assert_eq!((first.accepted, first.last), (again.accepted, again.last));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn publish(
        &self,
        id: impl IntoTaskId,
        events: Vec<EventInput>,
    ) -> Result<Published, PublishError> {
        let id = id.into_task_id().map_err(LookupError::from)?;
        publish(self.shared(), &id, None, events).await
    }

    /// Checks what can be told of an event before it is published: whether a task that takes
    /// publications from outside could take it at all.
    ///
    /// # Errors
    ///
    /// [`PublishError`] if none could.
    pub fn check(&self, event: &EventInput) -> Result<(), PublishError> {
        Said::read(event, &self.shared().limits).map(drop)
    }
}

/// Publishes to a task, to this run of it if one is given.
pub(crate) async fn publish(
    tracker: &Arc<TrackerShared>,
    id: &TaskId,
    run: Option<Epoch>,
    events: Vec<EventInput>,
) -> Result<Published, PublishError> {
    let here = tracker.find(id).filter(|task| !task.is_mirror());
    match (here, &tracker.link) {
        // One that has ended may run again elsewhere.
        (Some(task), link) if link.is_none() || !task.is_ended() => {
            if run.is_some_and(|run| run != task.epoch) {
                return Err(PublishError::Superseded);
            }
            publish_here(&task, &events)
        }
        (_, Some(link)) => remote::publish(tracker, link, id, run, events).await,
        (_, None) => Err(PublishError::NotFound),
    }
}

/// Publishes to a task that this tracker numbers.
pub(super) fn publish_here(
    task: &Arc<TaskShared>,
    events: &[EventInput],
) -> Result<Published, PublishError> {
    if !task.is_unowned() {
        return Err(match task.is_ended() {
            true => PublishError::AlreadyComplete,
            false => PublishError::Owned,
        });
    }
    let mut published = Published::none();
    for (index, event) in events.iter().enumerate() {
        let position = Said::read(event, &task.limits)
            .and_then(|said| task.publish_said(said, event.id.as_ref()));
        published.note(index, position);
    }
    published.cancel_requested = task.request_to_stop();
    published.or_whole()
}

impl Published {
    pub(crate) fn none() -> Self {
        Self {
            accepted: 0,
            last: None,
            errors: Vec::new(),
            cancel_requested: None,
        }
    }

    pub(crate) fn note(&mut self, index: usize, position: Result<Position, PublishError>) {
        match position {
            Ok(position) => {
                self.accepted += 1;
                if self.last.is_none_or(|last| last.seq() < position.seq()) {
                    self.last = Some(position);
                }
            }
            Err(error) => self.errors.push((index, error)),
        }
    }

    /// An error of the whole, if that is what it is.
    pub(crate) fn or_whole(self) -> Result<Self, PublishError> {
        if self.accepted > 0 {
            return Ok(self);
        }
        let whole = self.errors.iter().find(|(_, error)| {
            matches!(
                error,
                PublishError::AlreadyComplete
                    | PublishError::Owned
                    | PublishError::Superseded
                    | PublishError::NotFound
                    | PublishError::Unavailable(_)
                    | PublishError::Channel(_)
            )
        });
        match whole {
            Some((_, error)) => Err(error.clone()),
            None => Ok(self),
        }
    }
}
