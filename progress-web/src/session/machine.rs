//! The session as a state machine: frames, commands and time in, output and effects out.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use progress_core::{Position, Replay};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    command::{Parsed, Registration},
    door::Door,
    linger::Linger,
    output::{Close, Output},
    places::Places,
    rate::{Bucket, MessageRate},
    topic::{Name, Phase, Place, TopicKey, TopicState},
    vector::VectorIds,
    writer::{Made, Writer},
};
use crate::{
    access,
    error::{ApiError, Code},
    metrics::Tally,
    time::millis,
    trace::TraceId,
    wire::{Control, ControlData, Heads, PROTOCOL, VerdictData},
};

/// What kind of connection a session serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A WebSocket watching one task.
    Socket,
    /// A WebSocket watching what its client asks for.
    Sockets,
    /// An event stream watching one task.
    Stream,
    /// An event stream watching many topics, its ids vectors of positions.
    Streams,
}

impl Shape {
    /// The word that counts and lists have for it.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Socket | Self::Sockets => WEB_SOCKET,
            Self::Stream | Self::Streams => EVENT_STREAM,
        }
    }
}

pub(crate) const WEB_SOCKET: &str = "websocket";
pub(crate) const EVENT_STREAM: &str = "event_stream";

/// Times and bounds that a session keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) heartbeat: Duration,
    /// A WebSocket without a sign of life for this long is dead.
    pub(crate) dead_after: Duration,
    /// How long an unknown task is waited for.
    pub(crate) unknown_wait: Duration,
    /// How long a WebSocket may take to say who asks.
    pub(crate) auth_wait: Duration,
    /// How old a connection may get, about.
    pub(crate) max_age: Option<Duration>,
    /// For so long after a flush a connection gathers.
    pub(crate) linger: Duration,
    pub(crate) rate: MessageRate,
    /// Topics of one command, and of a WebSocket for many at a time.
    pub(crate) command_topics: usize,
    pub(crate) session_topics: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(30),
            dead_after: Duration::from_secs(60),
            unknown_wait: Duration::from_secs(10),
            auth_wait: Duration::from_secs(10),
            max_age: None,
            linger: Duration::from_millis(5),
            rate: MessageRate {
                burst: 200,
                per_minute: 100,
            },
            command_topics: 100,
            session_topics: 1_000,
        }
    }
}

/// Something that the shell is to do for the machine; what comes of it is told to the machine.
#[derive(Debug)]
pub(super) enum Effect {
    /// Ask for permission and subscribe: [`Machine::on_admitted`] or [`Machine::on_refused`].
    Subscribe {
        topic: TopicKey,
        name: Name,
        after: Option<Position>,
        replay: Replay,
    },
    /// Drop the subscription at this place.
    Leave(usize),
    /// Ask for permission and ask the task to stop: [`Machine::on_cancelled`].
    Cancel {
        task: Name,
        reason: Option<String>,
        request_id: Option<Box<Value>>,
    },
    /// Use these credentials from now on, and ask with them whether what is watched still may be:
    /// [`Machine::on_admitted`] or [`Machine::on_refused`] for each topic.
    Authorize(http::HeaderValue),
    /// Note what the client says of itself.
    Register(Registration),
    /// Count that the client was refused at a limit.
    Limited(&'static str),
}

#[derive(Debug)]
pub(crate) struct Machine {
    pub(super) shape: Shape,
    pub(super) writer: Writer,
    pub(super) pace: Pace,
    node: Arc<str>,
    /// Whether frames tell their type apart from their text.
    pub(super) named: bool,
    pub(super) topics: Vec<Option<TopicState>>,
    /// Of a connection that watches what its client asks for, once it asks.
    pub(super) places: Option<Box<Places>>,
    pub(super) serial: u32,
    pub(super) next_heartbeat: Instant,
    pub(super) last_life: Instant,
    /// When the client is to go to another node, if ever.
    pub(super) retires: Option<Instant>,
    pub(super) inbound: Bucket,
    pub(super) ids: VectorIds,
    pub(super) linger: Linger,
    pub(super) tally: Tally,
    /// Of the request that opened the connection.
    pub(super) trace: Option<TraceId>,
    pub(super) out: VecDeque<Output>,
    pub(super) effects: VecDeque<Effect>,
    /// Until it is known who the client is.
    pub(super) door: Option<Box<Door>>,
    /// What it has said behind its credentials, while they are looked into.
    pub(super) held: Vec<Parsed>,
    /// When the credentials end that the connection itself needs.
    pub(super) expires: Option<Instant>,
    /// The first end of those of the connection and of its topics, or earlier.
    ends: Option<Instant>,
    /// Credentials came by a way that only an option allows: it is closed as other systems close.
    is_legacy: bool,
    /// Cancellations that are under way.
    pub(super) cancels: u8,
    pub(super) closed: bool,
}

impl Machine {
    pub(crate) fn new(
        shape: Shape,
        writer: Writer,
        pace: Pace,
        node: Arc<str>,
        named: bool,
        is_legacy: bool,
        now: Instant,
    ) -> Self {
        Self {
            shape,
            writer,
            pace,
            node,
            named,
            topics: Vec::new(),
            places: None,
            serial: 0,
            next_heartbeat: now + pace.heartbeat,
            last_life: now,
            retires: None,
            inbound: Bucket::new(pace.rate, now),
            ids: VectorIds::default(),
            linger: Linger::new(pace.linger),
            tally: Tally::default(),
            trace: None,
            out: VecDeque::new(),
            effects: VecDeque::new(),
            door: None,
            held: Vec::new(),
            expires: None,
            ends: None,
            is_legacy,
            cancels: 0,
            closed: false,
        }
    }

    /// Says hello, where no topic's verdict does.
    pub(crate) fn greet(&mut self) {
        if matches!(self.shape, Shape::Streams | Shape::Sockets) {
            self.say(None, "connected", Some(self.connected(None)), None);
        }
    }

    /// Adds a topic; its frames come by [`on_frame`](Self::on_frame) with the index returned.
    pub(crate) fn add_topic(
        &mut self,
        name: Name,
        after: Option<Position>,
        request_id: Option<Box<Value>>,
    ) -> TopicKey {
        self.serial = self.serial.wrapping_add(1);
        let serial = self.serial;
        let state = TopicState {
            name,
            serial,
            phase: Phase::Asked,
            place: after.map_or(Place::None, Place::At),
            has_id: false,
            told: None,
            request_id,
            admitted: false,
            expires: None,
        };
        let next = self.topics.len();
        let index = match self.shape {
            Shape::Sockets => {
                let places = self.places.get_or_insert_default();
                places.take(state.name.clone(), next)
            }
            // Of these no topic makes way for another.
            Shape::Socket | Shape::Stream | Shape::Streams => next,
        };
        if index == next {
            self.topics.push(None);
        }
        self.topics[index] = Some(state);
        TopicKey { index, serial }
    }

    /// Whether an answer about a topic is still waited for by somebody.
    pub(crate) fn expects(&self, key: TopicKey) -> bool {
        let topic = self.topics.get(key.index).and_then(Option::as_ref);
        let open = |topic: &TopicState| topic.serial == key.serial && topic.phase != Phase::Over;
        !self.closed && topic.is_some_and(open)
    }

    /// The topics that are not over.
    pub(crate) fn names(&self) -> Vec<Name> {
        let live = self.topics.iter().flatten();
        live.filter(|topic| topic.phase != Phase::Over)
            .map(|topic| topic.name.clone())
            .collect()
    }

    /// The topics that somebody was allowed to watch.
    pub(crate) fn admitted(&self) -> Vec<(TopicKey, Name)> {
        let topics = self.topics.iter().enumerate();
        topics
            .filter_map(|(index, topic)| Some((index, topic.as_ref()?)))
            .filter(|(_, topic)| topic.admitted && topic.phase != Phase::Over)
            .map(|(index, topic)| {
                let serial = topic.serial;
                (TopicKey { index, serial }, topic.name.clone())
            })
            .collect()
    }

    /// The client may watch a topic, until then.
    pub(crate) fn on_admitted(&mut self, topic: TopicKey, expires: Option<Instant>) {
        if let Some(state) = self.of_key(topic) {
            (state.admitted, state.expires) = (true, expires);
            self.door = None;
            self.note_end(expires);
        }
    }

    /// The client may not watch a topic, or it cannot be watched.
    pub(crate) fn on_refused(&mut self, topic: TopicKey, error: &ApiError) {
        if !self.closed && self.of_key(topic).is_some() {
            self.reject(topic.index, error);
        }
    }

    /// Refuses a topic. The others stand; without others an event stream ends, and a connection for
    /// one topic in any case.
    pub(super) fn reject(&mut self, index: usize, error: &ApiError) {
        let Some(state) = self.topics[index].as_mut() else {
            return;
        };
        state.phase = Phase::Over;
        state.expires = None;
        // Who may try again keeps its place; to others an event stream says that this is the end.
        if !error.code().is_retryable() {
            state.place = Place::End;
        }
        let (name, request_id) = (state.name.clone(), state.request_id.take());
        self.say_rejected(Some(&name), request_id.as_deref(), error);
        match self.shape {
            Shape::Socket | Shape::Stream => self.close(error.code()),
            Shape::Streams | Shape::Sockets => self.over(index),
        }
    }

    /// Takes note that the client lives.
    pub(crate) fn on_life(&mut self, now: Instant) {
        self.last_life = now;
    }

    /// Does what is due. `head` tells where a topic stands, `is_connected` whether other nodes can
    /// be asked for a task.
    pub(crate) fn on_time(
        &mut self,
        now: Instant,
        head: impl Fn(usize) -> Option<Position>,
        is_connected: impl Fn() -> bool,
    ) {
        if self.closed {
            return;
        }
        if self.is_socket() && now >= self.last_life + self.pace.dead_after {
            return self.close(Code::HeartbeatLost);
        }
        let expired = |topic: &TopicState| topic.expires.is_some_and(|at| now >= at);
        if self.topics.iter().flatten().any(expired) || self.expires.is_some_and(|at| now >= at) {
            return self.close(Code::CredentialExpired);
        }
        if self.ends.is_some_and(|at| now >= at) {
            // They were renewed, or their topic is over.
            let topics = self.topics.iter().flatten();
            let ends = topics.filter_map(|topic| topic.expires);
            self.ends = ends.chain(self.expires).min();
        }
        if let Some(door) = &self.door {
            if now >= door.until {
                let message = "no credentials came in time";
                self.on_dismissed(&ApiError::new(Code::Unauthenticated, message));
            }
            return;
        }
        for index in 0..self.topics.len() {
            if let Some(topic) = &self.topics[index]
                && let Phase::Unknown(until) = topic.phase
                && now >= until
            {
                let (Name::Task(name) | Name::Channel(name)) = &topic.name;
                let error = if is_connected() {
                    ApiError::new(Code::TaskNotFound, format!("there is no task {name}"))
                } else {
                    // Another node may well have it.
                    ApiError::from(progress_core::SubscribeError::Unavailable)
                };
                self.reject(index, &error);
            }
        }
        if now >= self.next_heartbeat && !self.closed {
            self.next_heartbeat = now + self.pace.heartbeat;
            self.beat(head);
        }
    }

    fn beat(&mut self, head: impl Fn(usize) -> Option<Position>) {
        let (mut tasks, mut channels) = (Vec::new(), Vec::new());
        for (index, topic) in self.topics.iter().enumerate() {
            let (Some(topic), Some(head)) = (topic, head(index)) else {
                continue;
            };
            match &topic.name {
                Name::Task(id) => tasks.push((&**id, head)),
                Name::Channel(name) => channels.push((&**name, head)),
            }
        }
        let data = ControlData::Heartbeat {
            heads: Heads(tasks),
            channel_heads: Heads(channels),
        };
        let json = Control::about(None, "heartbeat", Some(data)).to_json();
        self.push_frame(Made::of("heartbeat", json, None), true);
        if self.is_socket() && !self.closed {
            self.push(Output::Ping, true);
            // The frame and the ping.
            self.inbound.ask();
            self.inbound.ask();
        }
    }

    /// Sets that the connection gets no older than its age, give or take a tenth: those that came
    /// together are not to leave together. `share` is the client's of one.
    pub(crate) fn retire(&mut self, share: f64, now: Instant) {
        let age = self.pace.max_age;
        self.retires = age.and_then(|age| now.checked_add(age.mul_f64(0.9 + 0.2 * share)));
    }

    /// Whether the connection is as old as it may get.
    pub(crate) fn is_retired(&self, now: Instant) -> bool {
        !self.closed && self.retires.is_some_and(|at| now >= at)
    }

    /// Whether something is due, however much there is to say: whoever takes slowly what is said
    /// would else never come to it. It may be less than it seems; [`on_time`](Self::on_time) knows.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let ends = self.ends.is_some_and(|at| now >= at);
        !self.closed && (ends || now >= self.next_heartbeat || self.is_retired(now))
    }

    /// Notes an end of credentials; the first that was noted counts, also if it was put off since.
    pub(super) fn note_end(&mut self, expires: Option<Instant>) {
        self.ends = self.ends.into_iter().chain(expires).min();
    }

    /// When [`on_time`](Self::on_time) is to be called next.
    pub(crate) fn deadline(&self) -> Instant {
        let dead = (self.is_socket()).then(|| self.last_life + self.pace.dead_after);
        let topics = self.topics.iter().flatten().flat_map(|topic| {
            let unknown = match topic.phase {
                Phase::Unknown(until) => Some(until),
                Phase::Asked | Phase::Live | Phase::Over => None,
            };
            [unknown, topic.expires]
        });
        let due = (topics.flatten())
            .chain(dead)
            .chain(self.expires)
            .chain(self.retires)
            .chain(self.linger.deadline());
        match &self.door {
            Some(door) => due.fold(door.until, std::cmp::min),
            None => due.fold(self.next_heartbeat, std::cmp::min),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Says that the server is going down, and closes.
    pub(crate) fn on_drain(&mut self, reconnect_after: Duration) {
        if self.closed {
            return;
        }
        let data = ControlData::Draining {
            reconnect_after_ms: millis(reconnect_after),
        };
        self.say(None, "draining", Some(data), None);
        let code = Code::Draining;
        self.close_with(code.close_code(), code.as_str(), Some(reconnect_after));
    }

    /// Says something to the client that is about no topic of its own.
    pub(crate) fn on_broadcast(&mut self, event_type: &str, json: &Bytes) {
        if self.closed || self.door.is_some() {
            return;
        }
        self.push_frame(Made::of(event_type, json.clone(), None), true);
    }

    /// Sends the client away: for good, unless it may try again.
    pub(crate) fn on_dismissed(&mut self, error: &ApiError) {
        if self.closed {
            return;
        }
        if !error.code().is_retryable() {
            for topic in self.topics.iter_mut().flatten() {
                topic.place = Place::End;
            }
        }
        self.say_rejected(None, None, error);
        self.close(error.code());
    }

    /// Closes the connection.
    pub(crate) fn close(&mut self, code: Code) {
        let number = match code {
            Code::Unauthenticated | Code::Forbidden | Code::CredentialExpired if self.is_legacy => {
                POLICY
            }
            code => code.close_code(),
        };
        self.close_with(number, code.as_str(), None);
    }

    /// A topic has nothing more.
    pub(super) fn over(&mut self, index: usize) {
        if self.shape == Shape::Sockets {
            if let Some(topic) = self.topics[index].take()
                && let Some(places) = &mut self.places
            {
                places.leave(&topic.name);
            }
        } else if let Some(topic) = &mut self.topics[index] {
            topic.phase = Phase::Over;
            topic.expires = None;
        }
        self.effects.push_back(Effect::Leave(index));
        if self.all_over() {
            self.close_with(1000, "ENDED", None);
        }
    }

    /// Whether nothing can come any more; never of a connection that may ask for more.
    pub(super) fn all_over(&self) -> bool {
        let mut topics = self.topics.iter().flatten();
        self.shape != Shape::Sockets && topics.all(|topic| topic.phase == Phase::Over)
    }

    fn close_with(&mut self, code: u16, reason: &'static str, reconnect_after: Option<Duration>) {
        if self.closed {
            return;
        }
        self.closed = true;
        let id = self.ids.is_behind().then(|| self.current_id()).flatten();
        let close = Close {
            code,
            reason,
            id,
            reconnect_after,
        };
        self.push(Output::Close(close), true);
    }

    pub(super) fn is_socket(&self) -> bool {
        matches!(self.shape, Shape::Socket | Shape::Sockets)
    }

    fn of_key(&mut self, key: TopicKey) -> Option<&mut TopicState> {
        let state = self.topics.get_mut(key.index)?.as_mut()?;
        (state.serial == key.serial && state.phase != Phase::Over).then_some(state)
    }

    pub(super) fn connected<'a>(&self, verdict: Option<VerdictData<'a>>) -> ControlData<'a> {
        ControlData::Connected {
            protocol: PROTOCOL,
            verdict,
            heartbeat_ms: millis(self.pace.heartbeat),
            node: Arc::clone(&self.node),
        }
    }

    pub(super) fn say_rejected(
        &mut self,
        name: Option<&Name>,
        request_id: Option<&Value>,
        error: &ApiError,
    ) {
        if error.code() == Code::TooManyTopics {
            self.effects.push_back(Effect::Limited("topics"));
        }
        self.tally.rejected(error.code());
        let object = access::traced(self.trace, error.object());
        let data = ControlData::Rejected {
            request_id,
            error: &object,
        };
        let id = self.current_id();
        self.say(name, "rejected", Some(data), id);
    }

    pub(super) fn say(
        &mut self,
        name: Option<&Name>,
        event_type: &'static str,
        data: Option<ControlData<'_>>,
        id: Option<String>,
    ) {
        let json = Control::about(name, event_type, data).to_json();
        self.push_frame(Made::of(event_type, json, id), true);
    }
}

/// The close code of systems that have one for all that is not allowed.
const POLICY: u16 = 1008;
