//! One item on its way through a pipeline.

use std::sync::{Arc, OnceLock};

use progress_core::{Reporter, Task};
use serde_json::{Map, Value};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::ledger::Ends;
use crate::{cancel::Cancel, desk::Pauses, sync::Mutex};

/// What the pipeline knows of an item, whatever it is at the moment.
pub(crate) struct Item {
    pub(super) id: u64,
    pub(super) reporter: Reporter,
    /// The path below which its stages are.
    pub(super) under: Option<Arc<str>>,
    /// The task that it is the whole of. Taken by whoever ends it.
    pub(super) task: Mutex<Option<Task>>,
    pub(super) owns_task: bool,
    pub(super) cancel: Cancel,
    pub(super) deadline: Option<Instant>,
    pub(super) metadata: Arc<Map<String, Value>>,
    pub(super) ended: CancellationToken,
    stop: OnceLock<Stop>,
    pauses: watch::Sender<Pauses>,
    /// Why it was paused last. Held while that is changed, so that the task shows what came last;
    /// before the lock of the task.
    reason: Mutex<Option<Arc<str>>>,
}

/// Why an item does not go on.
#[derive(Debug, Clone)]
pub(super) enum Stop {
    Cancelled(Option<Arc<str>>),
    Deadline,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pauser {
    Run,
    Pipeline,
}

/// What an item is made of.
pub(super) struct Birth {
    pub(super) id: u64,
    pub(super) reporter: Reporter,
    pub(super) under: Option<Arc<str>>,
    pub(super) task: Option<Task>,
    pub(super) deadline: Option<Instant>,
    pub(super) metadata: Arc<Map<String, Value>>,
}

impl Item {
    pub(super) fn new(birth: Birth) -> Self {
        Self {
            id: birth.id,
            reporter: birth.reporter,
            under: birth.under,
            owns_task: birth.task.is_some(),
            task: Mutex::new(birth.task),
            cancel: Cancel::new(),
            deadline: birth.deadline,
            metadata: birth.metadata,
            ended: CancellationToken::new(),
            stop: OnceLock::new(),
            pauses: watch::Sender::default(),
            reason: Mutex::default(),
        }
    }

    /// The path of one of its stages in its task.
    pub(super) fn path(&self, stage: &str) -> Arc<str> {
        match &self.under {
            Some(under) => format!("{under}/{stage}").into(),
            None => stage.into(),
        }
    }

    /// Notes why it is to stop, and sets its flag; only the first reason counts.
    pub(super) fn ask_to_stop(&self, stop: Stop) {
        let _earlier = self.stop.set(stop);
        self.cancel.cancel();
    }

    pub(super) fn stop(&self) -> Option<&Stop> {
        self.stop.get()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// The same, also if nobody but its task knows of it as yet.
    pub(super) fn is_to_stop(&self) -> bool {
        if !self.is_stopped() && self.reporter.is_cancelled() {
            self.ask_to_stop(Stop::Cancelled(self.reporter.cancel_reason()));
        }
        self.is_stopped()
    }

    /// Tells its place among those that wait.
    pub(super) fn tell_place(&self, place: u64) {
        if let Some(task) = &*self.task.lock() {
            task.position(place);
        }
    }

    /// Its work begins. False if its task has ended meanwhile.
    pub(super) fn begin(&self) -> bool {
        let reason = self.reason.lock();
        let begun = match &*self.task.lock() {
            Some(task) => task.begin().is_ok(),
            None => true,
        };
        // Paused after it was taken: a task that has not begun shows no pause.
        if begun && self.owns_task && self.is_paused() {
            self.reporter.pause(reason.as_deref());
        }
        begun
    }

    pub(super) fn pause(&self, by: Pauser, reason: Option<&str>) {
        let mut last = self.reason.lock();
        *last = reason.map(Arc::from);
        self.set(by, true);
        // A task that is more than this item may have other work to do.
        if self.owns_task {
            self.reporter.pause(reason);
        }
    }

    /// Takes back a pause. True if it goes on.
    pub(super) fn resume(&self, by: Pauser) -> bool {
        let _last = self.reason.lock();
        self.set(by, false);
        let goes_on = !self.is_paused();
        if goes_on && self.owns_task {
            self.reporter.resume();
        }
        goes_on
    }

    fn set(&self, by: Pauser, paused: bool) {
        self.pauses.send_modify(|pauses| match by {
            Pauser::Run => pauses.by_run = paused,
            Pauser::Pipeline => pauses.by_pipeline = paused,
        });
    }

    pub(super) fn is_paused(&self) -> bool {
        self.pauses.borrow().any()
    }

    /// Tells whether it is to let others pass: one that is paused with all has nobody to.
    pub(super) fn lets_pass(&self) -> bool {
        self.pauses.borrow().by_run
    }

    pub(super) fn watch_pauses(&self) -> watch::Receiver<Pauses> {
        self.pauses.subscribe()
    }
}

/// An item with what it is at the moment.
pub(super) struct Job<T> {
    pub(super) ticket: Ticket,
    pub(super) value: T,
}

/// The one right to move an item. Lost, the item ends.
pub(super) struct Ticket {
    pub(super) item: Arc<Item>,
    ends: Arc<dyn Ends>,
}

impl Ticket {
    pub(super) fn new(item: Arc<Item>, ends: Arc<dyn Ends>) -> Self {
        Self { item, ends }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.item.ended.is_cancelled() {
            self.ends.lose(&self.item);
        }
    }
}

#[cfg(test)]
mod tests {
    use progress_core::{ProgressTracker, TaskState};

    use super::*;

    #[tokio::test]
    async fn a_pause_that_comes_as_it_begins_is_shown() {
        let tracker = ProgressTracker::new();
        let task = tracker.task("t").queue().expect("it is the first");
        let item = Item::new(Birth {
            id: 0,
            reporter: task.reporter(),
            under: None,
            task: Some(task),
            deadline: None,
            metadata: Arc::default(),
        });
        let state = async || tracker.snapshot("t").await.expect("it lives").state;
        item.pause(Pauser::Run, Some("to think"));
        assert_eq!(state().await, TaskState::Queued);
        assert!(item.begin());
        assert_eq!(state().await, TaskState::Paused);
        item.resume(Pauser::Run);
        assert_eq!(state().await, TaskState::Running);
    }
}
