//! The session's shell: polls subscriptions and a timer, feeds the machine.

use std::{
    fmt, future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use progress_core::{Frame, Position, Subscription};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    error::{ApiError, Code},
    gateway::SessionPlace,
    session::machine::{Machine, Output, Pace, Shape},
};

/// One client's connection: yields what is to be sent, takes what the client says.
///
/// An adapter writes what [`next_batch`](Self::next_batch) yields, passes on what it reads, and
/// holds nothing itself. While its socket takes nothing it asks for nothing: the log goes on, and
/// [`socket_was_busy`](Self::socket_was_busy) has the client go on with what is then the present.
pub struct Session {
    machine: Machine,
    subscriptions: Vec<Option<Subscription>>,
    timer: Pin<Box<Sleep>>,
    frames: Vec<Frame>,
    place: SessionPlace,
}

/// A topic of a session that begins: its name, where its client stands, and its subscription or
/// why there is none.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) after: Option<Position>,
    pub(crate) subscription: Result<Subscription, ApiError>,
}

impl Session {
    pub(crate) fn new(
        shape: Shape,
        pace: Pace,
        node: Arc<str>,
        topics: Vec<Topic>,
        place: SessionPlace,
    ) -> Self {
        let mut machine = Machine::new(shape, pace, node, Instant::now());
        let mut refused = Vec::new();
        let mut subscriptions = Vec::with_capacity(topics.len());
        for topic in topics {
            let index = machine.add_topic(topic.name, topic.after);
            match topic.subscription {
                Ok(subscription) => subscriptions.push(Some(subscription)),
                Err(error) => {
                    refused.push((index, error));
                    subscriptions.push(None);
                }
            }
        }
        // Only now, so that the first refusal does not find every topic so far over.
        for (index, error) in &refused {
            machine.reject(*index, error);
        }
        Self {
            timer: Box::pin(sleep_until(machine.deadline())),
            machine,
            subscriptions,
            frames: Vec::new(),
            place,
        }
    }

    /// Waits until there is something to send and appends all that is ready; false after the
    /// [`Output::Close`], when nothing follows.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next_batch(&mut self, out: &mut Vec<Output>) -> bool {
        future::poll_fn(|cx| self.poll_batch(cx, out)).await
    }

    /// Polls for something to send; see [`next_batch`](Self::next_batch).
    pub fn poll_batch(&mut self, cx: &mut Context<'_>, out: &mut Vec<Output>) -> Poll<bool> {
        let before = out.len();
        loop {
            self.drain(out);
            if out.len() > before {
                return Poll::Ready(true);
            }
            if self.machine.is_closed() {
                return Poll::Ready(false);
            }
            self.poll_subscriptions(cx);
            self.poll_timer(cx);
            self.drain(out);
            if out.len() == before && !self.machine.is_closed() {
                return Poll::Pending;
            }
        }
    }

    /// Takes a text message of the client.
    pub fn on_text(&mut self, text: &str) {
        self.machine.on_text(text, Instant::now());
    }

    /// Takes any other sign of life of the client: a ping, a pong, a binary message.
    pub fn on_life(&mut self) {
        self.machine.on_life(Instant::now());
    }

    /// Has every topic skip superseded State up to its head: to be called when the socket takes
    /// bytes again after it did not. That it takes them is a sign of life, for while it did not
    /// none could be read.
    pub fn socket_was_busy(&mut self) {
        self.on_life();
        for subscription in self.subscriptions.iter_mut().flatten() {
            subscription.conflate();
        }
    }

    /// Closes the connection with a code of the table.
    pub fn close(&mut self, code: Code) {
        self.machine.close(code);
    }

    fn drain(&mut self, out: &mut Vec<Output>) {
        while let Some(output) = self.machine.pop() {
            if let Output::Close(close) = &output {
                self.place.closed(close.code);
            }
            out.push(output);
        }
    }

    fn poll_subscriptions(&mut self, cx: &mut Context<'_>) {
        for topic in 0..self.subscriptions.len() {
            let Some(subscription) = &mut self.subscriptions[topic] else {
                continue;
            };
            let Poll::Ready(count) = subscription.poll_batch(cx, &mut self.frames) else {
                continue;
            };
            let now = Instant::now();
            for frame in self.frames.drain(..) {
                self.machine.on_frame(topic, &frame, now);
            }
            if count == 0 {
                self.machine.on_over(topic);
            }
            if count == 0 || self.machine.is_over(topic) {
                self.subscriptions[topic] = None;
            }
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) {
        loop {
            let deadline = self.machine.deadline();
            if self.timer.deadline() != deadline {
                self.timer.as_mut().reset(deadline);
            }
            if self.machine.is_closed() || self.timer.as_mut().poll(cx).is_pending() {
                return;
            }
            let subscriptions = &self.subscriptions;
            self.machine.on_time(Instant::now(), |topic| {
                subscriptions[topic].as_ref().and_then(Subscription::head)
            });
            for (topic, subscription) in self.subscriptions.iter_mut().enumerate() {
                if self.machine.is_over(topic) {
                    *subscription = None;
                }
            }
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("machine", &self.machine)
            .finish_non_exhaustive()
    }
}
