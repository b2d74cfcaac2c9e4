//! An item that is on its way, as whoever gave it sees it.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use progress_core::TaskId;
use tokio::sync::oneshot;

use super::{
    item::{Item, Pauser, Stop},
    shop::Floor,
};
use crate::error::{self, Refusal, RunError};

/// An item that is on its way: a future of what comes of it.
///
/// # Cancel safety
///
/// Dropped, an item that was [submitted](crate::Pipeline::submit) goes on, also if this had
/// [paused](Self::pause) it, and its task tells what comes of it; one that is
/// [run](crate::Pipeline::run) for somebody who waits for it is cancelled.
#[must_use = "an item that is run for somebody is cancelled when this is dropped"]
pub struct Run<Out> {
    state: State<Out>,
}

enum State<Out> {
    Refused(Refusal),
    Taken {
        floor: Arc<Floor>,
        item: Arc<Item>,
        result: oneshot::Receiver<Result<Out, RunError>>,
        /// Whether it is for nobody else.
        attached: bool,
    },
}

impl<Out> Run<Out> {
    pub(super) fn taken(
        floor: Arc<Floor>,
        item: Arc<Item>,
        result: oneshot::Receiver<Result<Out, RunError>>,
    ) -> Self {
        let attached = !item.owns_task;
        Self {
            state: State::Taken {
                floor,
                item,
                result,
                attached,
            },
        }
    }

    pub(super) fn refused(refusal: Refusal) -> Self {
        Self {
            state: State::Refused(refusal),
        }
    }

    /// Returns the id of the task that the item reports to; none if nobody listens.
    #[must_use]
    pub fn task_id(&self) -> Option<&TaskId> {
        self.taken_item()?.reporter.task_id()
    }

    /// Tells whether it has ended.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        match self.taken_item() {
            Some(item) => item.ended.is_cancelled(),
            None => true,
        }
    }

    /// Has the item stop, with a reason for people. One that waits ends at once; one that is worked
    /// on, as soon as its stage stops. One that has ended has its end.
    pub fn cancel<'a>(&self, reason: impl Into<Option<&'a str>>) {
        if let State::Taken { floor, item, .. } = &self.state {
            let reason = reason.into().map(Arc::from);
            floor.stop(item, Stop::Cancelled(reason));
        }
    }

    /// Has nothing more be started of the item. A stage that works on it comes to its end, or to
    /// where it [looks](crate::Context::ready). Time goes on for its deadline, not for
    /// [`Stage::timeout`](crate::Stage::timeout).
    ///
    /// Others pass an item that is paused, also within a stage: while it waits there, the stage works
    /// on another. When it goes on it comes before those that begin, and leaves the stage as soon as
    /// it is done. As many items as may [wait](crate::PipelineBuilder::waiting) let others pass within
    /// stages, and as many between them; more keep their places, and so do those that wait for the
    /// first stage.
    ///
    /// A task that is the item's own shows as `paused`, with the reason, if it has started.
    pub fn pause<'a>(&self, reason: impl Into<Option<&'a str>>) {
        if let State::Taken { floor, item, .. } = &self.state {
            item.pause(Pauser::Run, reason.into());
            floor.wake();
        }
    }

    /// Has the item go on, unless its pipeline is paused too.
    pub fn resume(&self) {
        if let State::Taken { floor, item, .. } = &self.state
            && item.resume(Pauser::Run)
        {
            floor.wake();
        }
    }

    fn taken_item(&self) -> Option<&Arc<Item>> {
        match &self.state {
            State::Taken { item, .. } => Some(item),
            State::Refused(_) => None,
        }
    }
}

impl<Out> Future for Run<Out> {
    type Output = Result<Out, RunError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Refused(refusal) => Poll::Ready(Err(RunError::Refused(refusal.clone()))),
            State::Taken { result, .. } => Pin::new(result)
                .poll(cx)
                .map(|result| result.unwrap_or_else(|_| Err(RunError::Failed(error::item_lost())))),
        }
    }
}

impl<Out> Drop for Run<Out> {
    fn drop(&mut self) {
        let State::Taken {
            floor,
            item,
            attached,
            ..
        } = &self.state
        else {
            return;
        };
        match attached {
            _ if item.ended.is_cancelled() => {}
            true => floor.stop(item, Stop::Cancelled(None)),
            // Nobody could take it back any more.
            false if item.lets_pass() => self.resume(),
            false => {}
        }
    }
}

impl<Out> fmt::Debug for Run<Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("task", &self.task_id())
            .field("ended", &self.is_ended())
            .finish_non_exhaustive()
    }
}
