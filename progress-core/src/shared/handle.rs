//! A handle of a task without an owner.

use std::{fmt, sync::Arc};

use crate::{
    error::PublishError,
    id::TaskId,
    link::WatchGuard,
    position::{Epoch, Position, Seq},
    shared::{
        input::EventInput,
        publish::{Published, publish, publish_here},
    },
    sync::Mutex,
    task::TaskShared,
    tracker::TrackerShared,
};

/// A task without an owner, to publish to.
///
/// A cheap clone of one task's run. It owns nothing: the task lives on when all clones are gone,
/// until somebody publishes its end or it has been silent for too long.
#[derive(Clone)]
pub struct SharedTask {
    tracker: Arc<TrackerShared>,
    id: TaskId,
    place: Place,
}

/// Who numbers its events.
#[derive(Clone)]
enum Place {
    Here(Arc<TaskShared>),
    Broker(Arc<Away>),
}

struct Away {
    epoch: Epoch,
    /// The newest that is known to be published.
    published: Mutex<Seq>,
    /// Keeps the mirror, so that what is published next need not be read from the first event.
    _watch: WatchGuard,
}

impl SharedTask {
    pub(super) fn local(tracker: Arc<TrackerShared>, task: Arc<TaskShared>) -> Self {
        Self {
            tracker,
            id: task.id.clone(),
            place: Place::Here(task),
        }
    }

    pub(super) fn away(
        tracker: Arc<TrackerShared>,
        id: TaskId,
        first: Position,
        watch: WatchGuard,
    ) -> Self {
        Self {
            tracker,
            id,
            place: Place::Broker(Arc::new(Away {
                epoch: first.epoch(),
                published: Mutex::new(first.seq()),
                _watch: watch,
            })),
        }
    }

    /// Returns the task's id.
    #[must_use]
    pub fn id(&self) -> &TaskId {
        &self.id
    }

    /// Returns the position of the newest event, as far as this node knows.
    #[must_use]
    pub fn head(&self) -> Position {
        match &self.place {
            Place::Here(task) => task.head(),
            Place::Broker(away) => {
                let mirrored = self
                    .tracker
                    .find(&self.id)
                    .map(|task| task.head())
                    .filter(|head| head.epoch() == away.epoch)
                    .map_or(Seq::ZERO, Position::seq);
                Position::new(away.epoch, mirrored.max(*away.published.lock()))
            }
        }
    }

    /// Publishes to this run of the task; see
    /// [`ProgressTracker::publish`](crate::ProgressTracker::publish).
    ///
    /// # Errors
    ///
    /// As there; [`PublishError::Superseded`] if another run has taken its place.
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub async fn publish(&self, events: Vec<EventInput>) -> Result<Published, PublishError> {
        match &self.place {
            Place::Here(task) => publish_here(task, &events),
            Place::Broker(away) => {
                let published = publish(&self.tracker, &self.id, Some(away.epoch), events).await?;
                if let Some(last) = published.last {
                    let mut newest = away.published.lock();
                    *newest = (*newest).max(last.seq());
                }
                Ok(published)
            }
        }
    }
}

impl fmt::Debug for SharedTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTask")
            .field("id", &self.id)
            .field("head", &self.head())
            .finish_non_exhaustive()
    }
}
