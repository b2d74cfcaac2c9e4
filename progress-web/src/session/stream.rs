//! The session's shell: polls subscriptions, answers and a timer, feeds the machine.

mod begin;

use std::{
    fmt, future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use serde_json::Value;
use tokio::time::{Instant, Sleep};

pub(super) use self::begin::Wanted;
pub(crate) use self::begin::{Opening, Topic};
use super::{
    flight::{Flights, Landed, Question, Review},
    machine::{Effect, Machine, Shape},
    open::expiry,
    output::Output,
    source::{Frames, Opened, Source},
    topic::TopicKey,
    writer::Writer,
};
use crate::{
    access::SessionLog,
    auth::Principal,
    clients::{Order, Seat, reconnect_after},
    error::{ApiError, Code},
    gateway::WeakGateway,
    metrics::Metrics,
    msgpack,
};

/// One client's connection: yields what is to be sent, takes what the client says.
///
/// An adapter writes what [`next_batch`](Self::next_batch) yields, passes on what it reads, and
/// holds nothing itself. While its socket takes nothing it asks for nothing: the log goes on, and
/// [`socket_was_busy`](Self::socket_was_busy) has the client go on with what is then the present.
///
/// A connection that asks again within 5 ms ([`linger`](crate::GatewayBuilder::linger)) of what it
/// was given gathers until then, so that a busy one costs a write per batch and not per frame; an
/// idle one gets what happens at once.
pub struct Session {
    machine: Machine,
    sources: Vec<Option<Source>>,
    /// Where the next round begins: whoever is first must not always be the same.
    first: usize,
    timer: Pin<Box<Sleep>>,
    frames: Frames,
    /// Something was yielded that the adapter has written when it asks again.
    yielded: bool,
    /// More was ready than was yielded.
    more: bool,
    /// Since others were told.
    topics_changed: bool,
    gateway: WeakGateway,
    /// Of a connection whose client gives commands.
    flights: Option<Box<Flights>>,
    seat: Option<Seat>,
    counts: Arc<Metrics>,
    log: SessionLog,
}

impl Session {
    /// Waits until there is something to send and appends all that is ready; false after the
    /// [`Output::Close`], when nothing follows.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next_batch(&mut self, out: &mut Vec<Output>) -> bool {
        future::poll_fn(|cx| self.poll_batch(cx, out)).await
    }

    /// Polls for something to send; see [`next_batch`](Self::next_batch). Call it only when what
    /// it yielded before has been written.
    pub fn poll_batch(&mut self, cx: &mut Context<'_>, out: &mut Vec<Output>) -> Poll<bool> {
        if std::mem::take(&mut self.yielded) {
            self.machine.linger.on_flushed(Instant::now(), self.more);
        }
        loop {
            self.poll_orders(cx);
            self.poll_flights(cx);
            if self.machine.is_due(Instant::now()) {
                self.on_time(cx);
            }
            self.poll_sources(cx);
            if self.machine.linger.goes(Instant::now()) {
                let first = out.len();
                out.extend(self.machine.out.drain(..));
                self.count(&out[first..]);
                self.machine.linger.on_taken();
                self.carry_out();
                self.note_topics();
                self.yielded = true;
                return Poll::Ready(true);
            }
            if self.machine.is_closed() {
                return Poll::Ready(false);
            }
            // What the machine asks for is polled before there is a sleep.
            if !self.carry_out() && !self.poll_timer(cx) {
                self.note_topics();
                self.rest();
                return Poll::Pending;
            }
        }
    }

    /// Takes a text message of the client.
    pub fn on_text(&mut self, text: &str) {
        let message = serde_json::from_str::<Value>(text).ok();
        self.on_message(message.as_ref());
    }

    /// Takes a binary message of the client: MessagePack, where that is spoken, else no more than
    /// a sign of life.
    pub fn on_binary(&mut self, message: &[u8]) {
        match self.machine.writer {
            Writer::MessagePack(_) => self.on_message(msgpack::read(message).as_ref()),
            Writer::Json | Writer::Format(_) => self.on_life(),
        }
    }

    /// Takes any other sign of life of the client: a ping, a pong. Of those that answer no
    /// heartbeat a client has no more than of messages.
    pub fn on_life(&mut self) {
        self.machine.on_sign(Instant::now());
        self.carry_out();
    }

    /// Takes that the client has sent a message of more bytes than there may be: the connection
    /// ends.
    pub(crate) fn on_too_large(&mut self, limit: usize) {
        let message = format!("the message is too large, the limit is {limit} bytes");
        let error = ApiError::new(Code::PayloadTooLarge, message).detail("limit", limit);
        self.machine.on_dismissed(&error);
        self.counts.limited("message");
    }

    /// Has every topic skip superseded State up to its head: to be called when the socket takes
    /// bytes again after it did not. That it takes them is a sign of life, for while it did not
    /// none could be read.
    pub fn socket_was_busy(&mut self) {
        self.machine.on_life(Instant::now());
        self.counts.late(self.machine.shape.kind());
        for source in self.sources.iter_mut().flatten() {
            source.conflate();
        }
    }

    /// Closes the connection with a code of the table.
    pub fn close(&mut self, code: Code) {
        self.machine.close(code);
    }

    /// Notes that what was yielded so far is with the socket, or with the server: so far runs the
    /// latency that the metrics tell. An adapter that drives a session itself calls it after each
    /// write; without it there is no latency told.
    pub fn was_written(&mut self) {
        let kind = self.machine.shape.kind();
        self.counts.delivered(kind, &mut self.machine.tally);
    }

    fn count(&mut self, said: &[Output]) {
        let kind = self.machine.shape.kind();
        let frames = self.counts.delivers(kind, &mut self.machine.tally);
        self.log.frames(frames);
        if let Some(Output::Close(close)) = said.last() {
            self.was_closed(close.code);
        }
    }

    /// Has it counted that the connection was closed with this code, be it by its carrier.
    pub(crate) fn was_closed(&mut self, code: u16) {
        self.log.closed(code);
        self.counts.closed(self.machine.shape.kind(), code);
    }

    fn on_message(&mut self, message: Option<&Value>) {
        self.machine.on_message(message, Instant::now());
        // At once: a command counts with the credentials of its time.
        self.carry_out();
    }

    fn on_opened(&mut self, key: TopicKey, opened: Result<Opened, ApiError>) {
        let expected = self.machine.expects(key);
        match opened {
            Ok(opened) if expected => {
                self.on_principal(key, &opened.principal);
                if self.sources.len() <= key.index {
                    self.sources.resize_with(key.index + 1, || None);
                }
                self.sources[key.index] = Some(opened.source);
            }
            // Unsubscribed meanwhile.
            Ok(_) => {}
            Err(error) => {
                // Without a seat that is the reason, and is counted.
                if self.machine.shape == Shape::Socket && self.seat.is_some() {
                    self.counts.connection_refused(error.code());
                }
                self.machine.on_refused(key, &error);
            }
        }
        self.topics_changed = true;
    }

    fn on_principal(&mut self, key: TopicKey, principal: &Principal) {
        let expires = expiry(principal, Instant::now());
        self.machine.on_admitted(key, expires);
        self.note_subject(principal);
    }

    /// The client may be here.
    pub(super) fn on_known(&mut self, principal: &Principal) {
        // Of a connection for one task that task's permission counts, which is asked for too.
        let expires = expiry(principal, Instant::now());
        self.machine.on_known(expires);
        self.note_subject(principal);
    }

    fn note_subject(&mut self, principal: &Principal) {
        let Some(subject) = &principal.subject else {
            return;
        };
        self.log.subject(subject);
        if let Some(seat) = &mut self.seat
            && let Err(error) = seat.claim(subject, &self.counts)
        {
            // Of a connection that tells only now whose it is.
            self.machine.on_dismissed(&error);
        }
    }

    fn poll_orders(&mut self, cx: &mut Context<'_>) {
        let Some(seat) = &self.seat else { return };
        for order in seat.poll_orders(cx) {
            match order {
                Order::Broadcast { event_type, json } => {
                    self.machine.on_broadcast(&event_type, &json);
                }
                Order::Drain { reconnect_after } => self.send_away(cx, reconnect_after),
                Order::Dismiss => {
                    let message = "this connection was closed by the operator";
                    let error = ApiError::new(Code::Disconnected, message);
                    self.machine.on_dismissed(&error);
                }
            }
        }
    }

    /// Has the client go to another node. What happened before is told before: its end may be part
    /// of it.
    fn send_away(&mut self, cx: &mut Context<'_>, reconnect_after: Duration) {
        self.read_sources(cx, false);
        self.machine.on_drain(reconnect_after);
    }

    fn poll_flights(&mut self, cx: &mut Context<'_>) {
        while let Some(flights) = &mut self.flights
            && let Poll::Ready(landed) = flights.poll_landed(cx)
        {
            match landed {
                Landed::Subscribed {
                    topic,
                    opened,
                    request,
                } => {
                    let is_current = flights.is_current(&request);
                    self.on_opened(topic, opened);
                    if !is_current {
                        self.review();
                    }
                }
                Landed::Cancelled {
                    task,
                    request_id,
                    result,
                } => self
                    .machine
                    .on_cancelled(&task, request_id.as_deref(), result),
                Landed::Reviewed(Review { known, topics }) => {
                    match known {
                        Ok(principal) => self.on_known(&principal),
                        Err(error) => self.machine.on_unknown(&error),
                    }
                    for (topic, principal) in topics {
                        match principal {
                            Ok(principal) => self.on_principal(topic, &principal),
                            Err(error) => self.machine.on_refused(topic, &error),
                        }
                    }
                }
            }
            self.machine.catch_up();
        }
    }

    fn poll_sources(&mut self, cx: &mut Context<'_>) {
        self.more = false;
        let now = Instant::now();
        if !self.machine.linger.may_read(now) || self.machine.is_closed() {
            return;
        }
        let once = self.machine.linger.is_within_moment(now);
        self.read_sources(cx, once);
    }

    /// Reads what is ready, as far as a batch holds; of each topic `once`, or all.
    fn read_sources(&mut self, cx: &mut Context<'_>, once: bool) {
        let count = self.sources.len();
        let mut reads = 0;
        for round in 0..count {
            let index = (self.first + round) % count;
            // Until nothing is ready, so that it is woken for what comes next; but where something
            // was found that is held back anyway, what comes next can wait until then too.
            while let Some(source) = &mut self.sources[index]
                && let Poll::Ready(goes_on) =
                    source.poll_into(cx, index, &mut self.machine, &mut self.frames)
            {
                if !goes_on {
                    self.leave(index);
                }
                self.leave_what_is_over();
                if self.machine.linger.is_full() || self.machine.is_closed() {
                    self.first = (index + 1) % count;
                    self.more = true;
                    return;
                }
                if once && !self.machine.linger.is_empty() {
                    break;
                }
                reads += 1;
                if reads == READS {
                    // All of it may have been nothing that the client is told: others wait too.
                    self.first = (index + 1) % count;
                    self.more = true;
                    cx.waker().wake_by_ref();
                    return;
                }
            }
        }
    }

    /// Does what the time brings; false if it is still to come.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let deadline = self.machine.deadline();
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.on_time(cx);
        true
    }

    /// Does what is due.
    fn on_time(&mut self, cx: &mut Context<'_>) {
        let Some(gateway) = self.gateway.upgrade() else {
            return self.machine.close(Code::Draining);
        };
        if self.machine.is_retired(Instant::now()) {
            let number = self.seat.as_ref().map_or(0, |seat| seat.client().number);
            return self.send_away(cx, reconnect_after(number));
        }
        let sources = &self.sources;
        self.machine.on_time(
            Instant::now(),
            |index| sources.get(index)?.as_ref()?.head(),
            || gateway.tracker().is_connected(),
        );
    }

    /// Drops the subscriptions of topics that are over; nothing of theirs may be read any more.
    fn leave_what_is_over(&mut self) {
        while let Some(Effect::Leave(_)) = self.machine.effects.front() {
            if let Some(Effect::Leave(index)) = self.machine.effects.pop_front() {
                self.leave(index);
            }
        }
    }

    fn leave(&mut self, index: usize) {
        if let Some(source) = self.sources.get_mut(index) {
            *source = None;
        }
        self.topics_changed = true;
    }

    /// Does what the machine asks for; false if it asks for nothing.
    fn carry_out(&mut self) -> bool {
        let mut any = false;
        while let Some(effect) = self.machine.effects.pop_front() {
            any = true;
            match effect {
                Effect::Leave(index) => self.leave(index),
                Effect::Limited(what) => self.counts.limited(what),
                Effect::Register(registration) => {
                    if let Some(seat) = &self.seat {
                        seat.client().about().registration = registration;
                    }
                }
                Effect::Authorize(authorization) => {
                    if let Some(flights) = &mut self.flights {
                        flights.replace_credentials(authorization);
                        self.review();
                    }
                }
                Effect::Subscribe {
                    topic,
                    name,
                    after,
                    replay,
                } => self.ask(Question::Subscribe {
                    topic,
                    name,
                    after,
                    replay,
                }),
                Effect::Cancel {
                    task,
                    reason,
                    request_id,
                } => self.ask(Question::Cancel {
                    task,
                    reason,
                    request_id,
                }),
            }
        }
        any
    }

    fn ask(&mut self, question: Question) {
        if let Some(flights) = &mut self.flights {
            let machine = &self.machine;
            flights.ask(question, |topic| machine.expects(topic));
        }
    }

    fn review(&mut self) {
        if let Some(flights) = &mut self.flights {
            flights.review(self.machine.admitted());
        }
    }

    /// Keeps what others see of this connection true.
    fn note_topics(&mut self) {
        if std::mem::take(&mut self.topics_changed)
            && let Some(seat) = &self.seat
        {
            seat.client().about().topics = self.machine.names();
        }
    }

    /// Gives memory back while there is nothing to do.
    fn rest(&mut self) {
        self.frames.rest();
        if self.machine.out.is_empty() && self.machine.out.capacity() > 0 {
            self.machine.out = std::collections::VecDeque::new();
        }
    }
}

/// How often logs are read before others have their turn.
const READS: usize = 64;

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("machine", &self.machine)
            .finish_non_exhaustive()
    }
}
