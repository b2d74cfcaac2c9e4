//! The domain: what there is, what can be done to it, and what is told of that.
//!
//! All changes happen under one lock, and each is told while it is held: the events of a channel are
//! in the order of the changes. Telling never waits for those who listen.

mod exports;
mod jobs;
mod photos;
mod sessions;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indexmap::IndexMap;
use progress_core::{ProgressTracker, Replay, SubscribeOptions, TaskError};
use serde::Serialize;
use tokio::sync::{Notify, Semaphore};

pub(crate) use self::{
    jobs::{Arrived, Work},
    photos::{Decision, Found},
};
use crate::{
    bounds::Bounds,
    channel::Channel,
    events::{ErrorOccurred, HubEvent},
    queue::Queue,
    record::{Export, Job, Photo, Session},
    refusal::Refusal,
    store::Store,
};

/// The hub. A cheap clone.
#[derive(Debug, Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tracker: ProgressTracker,
    bounds: Bounds,
    store: Store,
    state: Mutex<State>,
    /// There is a job to do.
    work: Notify,
    exporting: Semaphore,
}

/// All records by id, in the order in which they came.
#[derive(Debug, Default)]
struct State {
    sessions: IndexMap<String, Session>,
    photos: IndexMap<String, Photo>,
    jobs: IndexMap<String, Job>,
    exports: IndexMap<String, Export>,
    queue: Queue<Work>,
}

/// A copy of what there is, and the position of the newest event that it holds: whoever listens to
/// the channel knows which events are news to it.
#[derive(Debug, Serialize)]
pub(crate) struct AsOf<T> {
    #[serde(flatten)]
    what: T,
    as_of: Option<String>,
}

impl<T> AsOf<T> {
    pub(crate) fn map<U>(self, to: impl FnOnce(T) -> U) -> AsOf<U> {
        AsOf {
            what: to(self.what),
            as_of: self.as_of,
        }
    }
}

impl Hub {
    /// Makes an empty one, which tells through this tracker's channels.
    pub(crate) fn new(tracker: ProgressTracker, bounds: Bounds) -> std::io::Result<Self> {
        Ok(Self {
            shared: Arc::new(Shared {
                store: Store::new(bounds.stored)?,
                tracker,
                bounds,
                state: Mutex::default(),
                work: Notify::new(),
                exporting: Semaphore::new(EXPORTS_AT_ONCE),
            }),
        })
    }

    pub(crate) fn bounds(&self) -> &Bounds {
        &self.shared.bounds
    }

    pub(crate) fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Tells an event to all who listen to its channel, now and later.
    pub fn tell<T: HubEvent>(&self, event: T) {
        let channel = self.shared.tracker.channel(T::CHANNEL.as_str());
        if let Err(error) = channel.emit(event) {
            tracing::error!(%error, event = T::EVENT_TYPE, "an event was not told");
        }
    }

    /// Tells that something went wrong and the hub goes on.
    pub(crate) fn tell_error(&self, subject: &str, error: TaskError) {
        self.tell(ErrorOccurred {
            subject: subject.to_owned(),
            error,
        });
    }

    /// Says where a channel stands. It tells of changes of `state`, which is locked: so it stays.
    fn as_of<T>(&self, channel: Channel, _state: &State, what: T) -> AsOf<T> {
        let channel = self.shared.tracker.channel(channel.as_str());
        let head = channel.subscribe(SubscribeOptions::new().replay(Replay::None));
        AsOf {
            what,
            as_of: head.head().map(|position| position.to_string()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a panic left is whole: each change is a few assignments.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest first, to `limit`.
fn newest<'a, T: Clone + 'a>(
    records: impl DoubleEndedIterator<Item = &'a T>,
    limit: usize,
) -> Vec<T> {
    records.rev().take(limit).cloned().collect()
}

fn short(field: &'static str, text: &str, limit: usize) -> Result<String, Refusal> {
    let text = text.trim();
    match text.chars().count() <= limit {
        true => Ok(text.to_owned()),
        false => Err(Refusal::field(
            field,
            format!("{field} has more than {limit} characters"),
        )),
    }
}

const EXPORTS_AT_ONCE: usize = 1;
