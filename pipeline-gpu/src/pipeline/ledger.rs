//! Which items live, and how each ends: once.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use progress_core::{EndError, Position, Task, TaskError};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::item::{Item, Pauser, Stop};
use crate::{
    error::{self, RunError},
    sync::Mutex,
};

/// Ends a task with what came of its item.
pub(super) type Complete<Out> = Box<dyn FnOnce(Task, &Out) -> Result<Position, EndError> + Send>;

/// Why an item does not come through.
#[derive(Debug)]
pub(super) enum Failure {
    Failed(TaskError),
    /// As it was asked to; in this stage, if it was worked on.
    Stopped(Option<Arc<str>>),
}

/// Ends items, of whatever type their outputs are.
pub(super) trait Ends: Send + Sync {
    /// Ends an item that does not come through; one that has ended has its end.
    fn fail(&self, item: &Item, failure: Failure);

    /// Ends an item that nobody holds any more.
    fn lose(&self, item: &Item) {
        let failure = match item.is_stopped() {
            true => Failure::Stopped(None),
            false => Failure::Failed(error::item_lost()),
        };
        self.fail(item, failure);
    }
}

/// The live items of a pipeline.
pub(super) struct Ledger<Out> {
    book: Mutex<Book<Out>>,
    /// Items that live, and places for some that are about to.
    live: watch::Sender<usize>,
    /// Set when there are no items, and will be none.
    pub(super) done: CancellationToken,
}

/// Locked before an item's own locks, and by nobody who holds one.
struct Book<Out> {
    entries: HashMap<u64, Entry<Out>>,
    next_id: u64,
    closing: bool,
    paused: Option<Option<Arc<str>>>,
}

pub(super) struct Entry<Out> {
    pub(super) item: Arc<Item>,
    pub(super) reply: oneshot::Sender<Result<Out, RunError>>,
    /// For an item that is the whole of a task.
    pub(super) complete: Option<Complete<Out>>,
}

impl<Out> Ledger<Out> {
    pub(super) fn new() -> Self {
        Self {
            book: Mutex::new(Book {
                entries: HashMap::new(),
                next_id: 0,
                closing: false,
                paused: None,
            }),
            live: watch::Sender::new(0),
            done: CancellationToken::new(),
        }
    }

    /// Keeps a place for an item that is being made, with its number; none while it closes.
    pub(super) fn seat(self: &Arc<Self>) -> Option<Seat<Out>> {
        let mut book = self.book.lock();
        if book.closing {
            return None;
        }
        let id = book.next_id;
        book.next_id += 1;
        self.live.send_modify(|live| *live += 1);
        Some(Seat {
            ledger: Arc::clone(self),
            id,
            taken: false,
        })
    }

    pub(super) fn complete(&self, item: &Item, output: Out) {
        if let Some(entry) = self.strike(item) {
            self.end(entry, Ok(output));
        }
    }

    /// Takes no more items.
    pub(super) fn close(&self) {
        let mut book = self.book.lock();
        book.closing = true;
        if *self.live.borrow() == 0 {
            self.done.cancel();
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.book.lock().closing
    }

    pub(super) fn live(&self) -> usize {
        *self.live.borrow()
    }

    /// Waits until no item lives.
    pub(super) async fn idle(&self) {
        let mut live = self.live.subscribe();
        // It fails without a sender, which is here.
        let _idle = live.wait_for(|live| *live == 0).await;
    }

    pub(super) fn items(&self) -> Vec<Arc<Item>> {
        let book = self.book.lock();
        let items = book.entries.values().map(|entry| Arc::clone(&entry.item));
        items.collect()
    }

    /// Pauses all items, and those that are still to come; `None` has them go on.
    pub(super) fn pause(&self, paused: Option<&Option<Arc<str>>>) {
        // Under the lock: what is asked for last is what each comes to.
        let mut book = self.book.lock();
        book.paused = paused.cloned();
        for entry in book.entries.values() {
            match paused {
                Some(reason) => entry.item.pause(Pauser::Pipeline, reason.as_deref()),
                None => drop(entry.item.resume(Pauser::Pipeline)),
            }
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.book.lock().paused.is_some()
    }

    /// Takes an item out: who gets it ends it.
    fn strike(&self, item: &Item) -> Option<Entry<Out>> {
        self.book.lock().entries.remove(&item.id)
    }

    fn end(&self, entry: Entry<Out>, outcome: Result<Out, Failure>) {
        let Entry {
            item,
            reply,
            complete,
        } = entry;
        // What is dropped from here on may panic.
        let leaving = Leaving { ledger: self, item };
        let item = &leaving.item;
        // Its code may look whether it is to go on after a timeout.
        item.cancel.cancel();
        let task = item.task.lock().take();
        let mut unwanted = None;
        let result = match outcome {
            Ok(output) => match finish(task, complete, &output) {
                Ok(()) => Ok(output),
                Err(error) => {
                    unwanted = Some(output);
                    Err(error)
                }
            },
            Err(Failure::Failed(error)) => Err(fail(task, error)),
            Err(Failure::Stopped(stage)) => Err(match item.stop() {
                Some(Stop::Deadline) => fail(task, error::deadline_exceeded(stage.as_deref())),
                Some(Stop::Cancelled(reason)) => cancel(task, reason.clone()),
                None => cancel(task, None),
            }),
        };
        item.ended.cancel();
        // Nobody may wait for it.
        let unsent = reply.send(result);
        drop(leaving);
        drop((unwanted, unsent));
    }

    fn leave(&self) {
        let book = self.book.lock();
        self.live.send_modify(|live| *live -= 1);
        if book.closing && *self.live.borrow() == 0 {
            self.done.cancel();
        }
    }
}

/// An item that leaves, whatever breaks down meanwhile.
struct Leaving<'a, Out> {
    ledger: &'a Ledger<Out>,
    item: Arc<Item>,
}

impl<Out> Drop for Leaving<'_, Out> {
    fn drop(&mut self) {
        self.item.ended.cancel();
        self.ledger.leave();
    }
}

impl<Out: Send> Ends for Ledger<Out> {
    fn fail(&self, item: &Item, failure: Failure) {
        if let Some(entry) = self.strike(item) {
            self.end(entry, Err(failure));
        }
    }
}

/// A place for an item.
pub(super) struct Seat<Out> {
    ledger: Arc<Ledger<Out>>,
    pub(super) id: u64,
    taken: bool,
}

impl<Out> Seat<Out> {
    pub(super) fn take(mut self, entry: Entry<Out>) {
        self.taken = true;
        let mut book = self.ledger.book.lock();
        if let Some(reason) = &book.paused {
            entry.item.pause(Pauser::Pipeline, reason.as_deref());
        }
        book.entries.insert(self.id, entry);
    }
}

impl<Out> Drop for Seat<Out> {
    fn drop(&mut self) {
        if !self.taken {
            self.ledger.leave();
        }
    }
}

fn finish<Out>(
    task: Option<Task>,
    complete: Option<Complete<Out>>,
    output: &Out,
) -> Result<(), RunError> {
    let (Some(task), Some(complete)) = (task, complete) else {
        return Ok(());
    };
    // How it is serialised is the application's; a task that unwinds with it ends by itself.
    match catch_unwind(AssertUnwindSafe(|| complete(task, output))) {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(refused)) => {
            let error = error::result_refused(refused.reason());
            match refused.into_task() {
                Some(task) => Err(fail(Some(task), error)),
                // Its parent has ended it.
                None => Err(RunError::Cancelled { reason: None }),
            }
        }
        Err(_) => Err(RunError::Failed(TaskError::new(
            "RESULT_REFUSED",
            "The result broke down",
        ))),
    }
}

fn fail(task: Option<Task>, error: TaskError) -> RunError {
    if let Some(task) = task
        && let Err(refused) = task.fail(error.clone())
        && let Some(task) = refused.into_task()
    {
        // More than an event holds: what it is called fits.
        let short = TaskError::new(error.code(), "It failed; its error is too large to show");
        let _ended = task.fail(short.retryable(error.is_retryable()));
    }
    RunError::Failed(error)
}

fn cancel(task: Option<Task>, reason: Option<Arc<str>>) -> RunError {
    if let Some(task) = task {
        // One that has ended has its end.
        let _ended = task.cancel(reason.as_deref().unwrap_or("cancel_requested"));
    }
    RunError::Cancelled { reason }
}
