//! Where a topic's frames come from.

use std::task::{Context, Poll};

use progress_core::{ChannelFrame, ChannelSubscription, Frame, Position, Subscription};
use tokio::time::Instant;

use super::machine::Machine;
use crate::auth::Principal;

/// A topic's subscription.
#[derive(Debug)]
pub(crate) enum Source {
    Task(Subscription),
    Channel(ChannelSubscription),
}

/// A topic that may be watched.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) source: Source,
    pub(crate) principal: Principal,
}

/// Batches on their way from a log to the machine.
#[derive(Debug, Default)]
pub(super) struct Frames {
    task: Vec<Frame>,
    channel: Vec<ChannelFrame>,
}

impl Source {
    /// Hands what is ready to the machine; false if nothing follows.
    pub(super) fn poll_into(
        &mut self,
        cx: &mut Context<'_>,
        index: usize,
        machine: &mut Machine,
        frames: &mut Frames,
    ) -> Poll<bool> {
        let count = match self {
            Self::Task(subscription) => subscription.poll_batch(cx, &mut frames.task),
            Self::Channel(subscription) => subscription.poll_batch(cx, &mut frames.channel),
        };
        let Poll::Ready(count) = count else {
            return Poll::Pending;
        };
        if machine.takes_snapshots()
            && let Self::Task(subscription) = self
            && let Some(head) = subscription.head()
        {
            machine.on_state(index, head, || subscription.snapshot());
        }
        let now = Instant::now();
        for frame in frames.task.drain(..) {
            machine.on_frame(index, &frame, now);
        }
        for frame in frames.channel.drain(..) {
            machine.on_channel_frame(index, &frame, now);
        }
        if count == 0 {
            machine.on_over(index);
        }
        Poll::Ready(count > 0)
    }

    pub(super) fn conflate(&mut self) {
        match self {
            Self::Task(subscription) => subscription.conflate(),
            Self::Channel(subscription) => subscription.conflate(),
        }
    }

    pub(super) fn head(&self) -> Option<Position> {
        match self {
            Self::Task(subscription) => subscription.head(),
            Self::Channel(subscription) => subscription.head(),
        }
    }
}

impl Frames {
    /// Gives memory back that a sleeping session has no use for.
    pub(super) fn rest(&mut self) {
        if self.task.capacity() + self.channel.capacity() > 0 {
            *self = Self::default();
        }
    }
}
