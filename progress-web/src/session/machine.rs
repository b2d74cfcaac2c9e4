//! The session as a state machine: frames, commands and time in, output out.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use progress_core::{Data, Delivered, Frame, Position, Resume, Seq, TaskError};
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    error::{ApiError, Code},
    wire::{Control, ControlData, PROTOCOL, VerdictData},
};

/// Something for a session's client.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// A frame, as JSON text.
    #[non_exhaustive]
    Frame {
        /// The text.
        json: Bytes,
        /// The event id that an event stream gives it.
        id: Option<String>,
    },
    /// A ping of the WebSocket protocol.
    Ping,
    /// The connection is to be closed; nothing follows.
    Close(Close),
}

/// How a connection is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Close {
    /// The WebSocket close code.
    pub code: u16,
    /// The error code, or `ENDED`.
    pub reason: &'static str,
    /// The event id that an event stream gives its client to come back with.
    pub id: Option<String>,
}

/// What kind of connection a session serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A WebSocket watching one task.
    Socket,
    /// An event stream watching one task.
    Stream,
    /// An event stream watching many, its ids vectors of positions.
    Streams,
}

impl Shape {
    /// The word that counts are told by.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Socket => "websocket",
            Self::Stream | Self::Streams => "event_stream",
        }
    }
}

/// Times that a session keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) heartbeat: Duration,
    /// A WebSocket without a sign of life for this long is dead.
    pub(crate) dead_after: Duration,
    /// How long an unknown task is waited for.
    pub(crate) unknown_wait: Duration,
}

#[derive(Debug)]
pub(crate) struct Machine {
    shape: Shape,
    pace: Pace,
    node: Arc<str>,
    topics: Vec<TopicState>,
    next_heartbeat: Instant,
    last_life: Instant,
    /// When an id of a vector was sent last, and whether it is behind what was sent since.
    last_id: Option<Instant>,
    id_is_behind: bool,
    out: VecDeque<Output>,
    closed: bool,
}

#[derive(Debug)]
struct TopicState {
    name: String,
    phase: Phase,
    place: Place,
    /// Whether an id was sent with one of its events.
    has_id: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Live,
    /// The task does not exist yet; it is waited for until then.
    Unknown(Instant),
    Over,
}

/// A topic's part of an event id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    None,
    At(Position),
    End,
}

impl Machine {
    pub(crate) fn new(shape: Shape, pace: Pace, node: Arc<str>, now: Instant) -> Self {
        let mut machine = Self {
            shape,
            pace,
            node,
            topics: Vec::new(),
            next_heartbeat: now + pace.heartbeat,
            last_life: now,
            last_id: None,
            id_is_behind: false,
            out: VecDeque::new(),
            closed: false,
        };
        if shape == Shape::Streams {
            let connected = machine.connected(None);
            let frame = Control::connected(connected, None).to_json();
            machine.send(frame);
        }
        machine
    }

    /// Adds a topic; its frames come by [`on_frame`](Self::on_frame) with the index returned.
    pub(crate) fn add_topic(&mut self, name: String, after: Option<Position>) -> usize {
        self.topics.push(TopicState {
            name,
            phase: Phase::Live,
            place: after.map_or(Place::None, Place::At),
            has_id: false,
        });
        self.topics.len() - 1
    }

    /// Refuses a topic. The others stand; without others the connection ends.
    pub(crate) fn reject(&mut self, topic: usize, error: &ApiError) {
        let state = &mut self.topics[topic];
        state.phase = Phase::Over;
        // Who may try again keeps its place; to others an event stream says that this is the end.
        if !error.code().is_retryable() {
            state.place = Place::End;
        }
        let data = ControlData::Rejected {
            request_id: None,
            error: error.object(),
        };
        let json = Control::of_task(&state.name, data).to_json();
        let id = self.current_id();
        self.out.push_back(Output::Frame { json, id });
        match self.shape {
            Shape::Socket | Shape::Stream => self.close(error.code()),
            Shape::Streams => self.close_if_over(),
        }
    }

    /// Takes a frame of a topic's subscription.
    pub(crate) fn on_frame(&mut self, topic: usize, frame: &Frame, now: Instant) {
        if self.closed || self.topics[topic].phase == Phase::Over {
            return;
        }
        match frame {
            Frame::Event(delivered) => self.on_event(topic, delivered, now),
            Frame::Verdict(verdict) => {
                let data = VerdictData {
                    epoch: verdict.snapshot.as_ref().map(|snapshot| snapshot.epoch),
                    seq: verdict
                        .snapshot
                        .as_ref()
                        .map_or(Seq::ZERO, |snapshot| snapshot.seq),
                    resume: verdict.resume.as_str(),
                    snapshot: verdict.snapshot.as_deref(),
                };
                let json = match self.shape {
                    Shape::Streams => {
                        Control::of_task(verdict.task_id.as_str(), ControlData::Subscribed(data))
                            .to_json()
                    }
                    Shape::Socket | Shape::Stream => {
                        Control::connected(self.connected(Some(data)), Some(&verdict.task_id))
                            .to_json()
                    }
                };
                self.send(json);
                let state = &mut self.topics[topic];
                match verdict.resume {
                    Resume::Unknown => {
                        state.phase = Phase::Unknown(now + self.pace.unknown_wait);
                        state.place = Place::None;
                    }
                    Resume::Reset => state.place = Place::None,
                    Resume::Ended => self.over(topic),
                    _ => {}
                }
            }
            Frame::Gap(gap) => {
                let data = ControlData::Gap {
                    from: gap.from,
                    to: gap.to,
                    reason: gap.reason.as_str(),
                    snapshot: &gap.snapshot,
                };
                self.send(Control::of_task(gap.task_id.as_str(), data).to_json());
            }
            Frame::Reset(reset) => {
                let data = ControlData::Reset {
                    epoch: reset.epoch,
                    seq: reset.snapshot.seq,
                    reason: reset.reason.as_str(),
                    snapshot: &reset.snapshot,
                };
                let json = Control::of_task(reset.task_id.as_str(), data).to_json();
                let state = &mut self.topics[topic];
                state.phase = Phase::Live;
                state.place = Place::At(reset.position());
                let id = self.current_id();
                self.out.push_back(Output::Frame { json, id });
            }
            Frame::Rejected(error) => self.reject(topic, &ApiError::from(error.clone())),
            // Sessions conflate and never ask to be closed; a new kind of frame is of no use to
            // clients of this protocol.
            _ => {}
        }
    }

    /// A topic's subscription has nothing more.
    pub(crate) fn on_over(&mut self, topic: usize) {
        if !self.closed && self.topics[topic].phase != Phase::Over {
            // No end was seen: the tracker is going down.
            self.close(Code::Draining);
        }
    }

    /// Takes something that the client said.
    pub(crate) fn on_text(&mut self, text: &str, now: Instant) {
        self.on_life(now);
        if self.closed {
            return;
        }
        let command = serde_json::from_str::<Value>(text).unwrap_or_default();
        // "event" says the same in the words of other systems' clients.
        let name = command.get("type").or_else(|| command.get("event"));
        let refusal = match name.and_then(Value::as_str) {
            Some("pong") => return,
            Some("ping") => return self.send(Control::pong().to_json()),
            Some(_) => "this connection watches one task and takes ping and pong only",
            None => "not a command: a JSON object with a type is needed",
        };
        let refusal = TaskError::new(Code::InvalidCommand.as_str(), refusal);
        let request_id = command
            .get("request_id")
            .filter(|id| id.is_number() || id.is_string());
        self.send(Control::rejected(&refusal, request_id).to_json());
    }

    /// Takes note that the client lives.
    pub(crate) fn on_life(&mut self, now: Instant) {
        self.last_life = now;
    }

    /// Does what is due. `head` tells where a topic's task stands.
    pub(crate) fn on_time(&mut self, now: Instant, head: impl Fn(usize) -> Option<Position>) {
        if self.closed {
            return;
        }
        if self.shape == Shape::Socket && now >= self.last_life + self.pace.dead_after {
            return self.close(Code::HeartbeatLost);
        }
        for topic in 0..self.topics.len() {
            if let Phase::Unknown(until) = self.topics[topic].phase
                && now >= until
            {
                let name = &self.topics[topic].name;
                let error = ApiError::new(Code::TaskNotFound, format!("there is no task {name}"));
                self.reject(topic, &error);
            }
        }
        if now >= self.next_heartbeat && !self.closed {
            self.next_heartbeat = now + self.pace.heartbeat;
            let heads = self
                .topics
                .iter()
                .enumerate()
                .filter_map(|(topic, state)| Some((state.name.as_str(), head(topic)?)))
                .collect();
            let json = Control::heartbeat(heads).to_json();
            self.send(json);
            if self.shape == Shape::Socket {
                self.out.push_back(Output::Ping);
            }
        }
    }

    /// When [`on_time`](Self::on_time) is to be called next.
    pub(crate) fn deadline(&self) -> Instant {
        let dead = match self.shape {
            Shape::Socket => Some(self.last_life + self.pace.dead_after),
            Shape::Stream | Shape::Streams => None,
        };
        let unknown = self.topics.iter().filter_map(|topic| match topic.phase {
            Phase::Unknown(until) => Some(until),
            Phase::Live | Phase::Over => None,
        });
        unknown.chain(dead).fold(self.next_heartbeat, std::cmp::min)
    }

    pub(crate) fn is_over(&self, topic: usize) -> bool {
        self.topics[topic].phase == Phase::Over
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Closes the connection.
    pub(crate) fn close(&mut self, code: Code) {
        self.close_with(code.close_code(), code.as_str());
    }

    fn on_event(&mut self, topic: usize, delivered: &Delivered, now: Instant) {
        self.topics[topic].place = Place::At(delivered.event.position());
        let ends = matches!(delivered.event.data(), Data::Complete(_));
        if ends {
            self.topics[topic].phase = Phase::Over;
        }
        let id = match self.shape {
            Shape::Socket => None,
            Shape::Stream => self.current_id(),
            Shape::Streams => {
                // A vector is long: after the first one of each of the first topics it comes at most
                // once a second, and with the last event before the close.
                let first =
                    !std::mem::replace(&mut self.topics[topic].has_id, true) && topic < FIRST_IDS;
                let due = first
                    || self
                        .last_id
                        .is_none_or(|last| now >= last + VECTOR_ID_EVERY)
                    || self.all_over();
                self.id_is_behind = !due;
                due.then(|| {
                    self.last_id = Some(now);
                    self.current_id()
                })
                .flatten()
            }
        };
        let json = delivered.to_json();
        self.out.push_back(Output::Frame { json, id });
        if ends {
            self.close_if_over();
        }
    }

    fn over(&mut self, topic: usize) {
        self.topics[topic].phase = Phase::Over;
        self.close_if_over();
    }

    fn close_if_over(&mut self) {
        if self.all_over() {
            self.close_with(1000, "ENDED");
        }
    }

    fn all_over(&self) -> bool {
        self.topics.iter().all(|topic| topic.phase == Phase::Over)
    }

    fn close_with(&mut self, code: u16, reason: &'static str) {
        if self.closed {
            return;
        }
        self.closed = true;
        let id = self.current_id().filter(|_| self.id_is_behind);
        self.out
            .push_back(Output::Close(Close { code, reason, id }));
    }

    /// The event id for where the client stands now.
    fn current_id(&self) -> Option<String> {
        let part = |place: Place| match place {
            Place::None => "-".to_owned(),
            Place::At(position) => position.to_string(),
            Place::End => "end".to_owned(),
        };
        match self.shape {
            Shape::Socket => None,
            Shape::Stream => self.topics.first().map(|topic| part(topic.place)),
            Shape::Streams => {
                let parts: Vec<_> = self.topics.iter().map(|topic| part(topic.place)).collect();
                Some(parts.join(","))
            }
        }
    }

    fn connected<'a>(&'a self, verdict: Option<VerdictData<'a>>) -> ControlData<'a> {
        ControlData::Connected {
            protocol: PROTOCOL,
            verdict,
            heartbeat_ms: u64::try_from(self.pace.heartbeat.as_millis()).unwrap_or(u64::MAX),
            node: &self.node,
        }
    }

    fn send(&mut self, json: Bytes) {
        self.out.push_back(Output::Frame { json, id: None });
    }
}

const VECTOR_ID_EVERY: Duration = Duration::from_secs(1);
/// Past this many topics their first ids together would outweigh what they are for.
const FIRST_IDS: usize = 64;
