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
    /// Held while they are changed, so that the task shows what came last.
    pausing: Mutex<()>,
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
            pausing: Mutex::default(),
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

    /// Tells its place among those that wait.
    pub(super) fn tell_place(&self, place: u64) {
        if let Some(task) = &*self.task.lock() {
            task.position(place);
        }
    }

    /// Its work begins. False if its task has ended meanwhile.
    pub(super) fn begin(&self) -> bool {
        match &*self.task.lock() {
            Some(task) => task.begin().is_ok(),
            None => true,
        }
    }

    pub(super) fn pause(&self, by: Pauser, reason: Option<&str>) {
        let _pausing = self.pausing.lock();
        self.set(by, true);
        // A task that is more than this item may have other work to do.
        if self.owns_task {
            self.reporter.pause(reason);
        }
    }

    /// Takes back a pause. True if it goes on.
    pub(super) fn resume(&self, by: Pauser) -> bool {
        let _pausing = self.pausing.lock();
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
