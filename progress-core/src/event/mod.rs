//! Events: what happens to a task, numbered, timed and encoded once.

mod custom;
mod data;
mod depth;
mod error_object;
mod json;
mod payload;
mod retention;

use std::sync::{Arc, OnceLock};

use crate::{
    id::TaskId,
    log::Item,
    position::{Epoch, Position, Seq},
    time::Timestamp,
};

use self::json::EventJson;
pub(crate) use self::json::{read_said, write_said};
pub use self::{
    custom::{EventPayload, InvalidEventType, check_event_type},
    data::{
        Children, Complete, Custom, Data, Level, LogLine, Note, ProgressUpdate, Queued,
        StageChange, StageDecl, Started, Status, TaskState,
    },
    error_object::TaskError,
    json::DecodeError,
    payload::{Metadata, Payload},
    retention::Retention,
};
pub(crate) use self::{
    data::stage_label,
    depth::{check_depth, check_text_depth},
};

/// One event of one run of a task.
///
/// Shared by everybody who reads it; its JSON text is made at most once while it is in the
/// log's window, whoever asks first.
#[derive(Debug)]
pub struct Event {
    origin: Arc<Origin>,
    seq: Seq,
    /// The newest milestone before it.
    prev: Seq,
    timestamp: Timestamp,
    data: Data,
    /// [`Data::size`], asked for several times in an event's life.
    size: u32,
    json: OnceLock<Box<EventJson>>,
}

/// With the counts of an `Arc` two cache lines: the window's 256 stay in the nearest caches.
const _: () = assert!(size_of::<Event>() <= 112);

/// The run of a task; its events share it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) task_id: TaskId,
    pub(crate) epoch: Epoch,
}

impl Event {
    pub(crate) fn new(
        origin: Arc<Origin>,
        seq: Seq,
        prev: Seq,
        timestamp: Timestamp,
        data: Data,
    ) -> Self {
        Self {
            origin,
            seq,
            prev,
            timestamp,
            size: u32::try_from(data.size()).unwrap_or(u32::MAX),
            data,
            json: OnceLock::new(),
        }
    }

    /// Makes an event that has been numbered elsewhere, for a transport that has read one.
    ///
    /// `prev` is the number of the newest milestone before it, [`Seq::ZERO`] if there is none.
    #[must_use]
    pub fn numbered(
        task_id: TaskId,
        position: Position,
        prev: Seq,
        timestamp: Timestamp,
        data: Data,
    ) -> Self {
        let epoch = position.epoch();
        let origin = Arc::new(Origin { task_id, epoch });
        Self::new(origin, position.seq(), prev, timestamp, data)
    }

    /// Makes another event of the same run in the place of one that is over.
    pub(crate) fn renew(&mut self, seq: Seq, prev: Seq, timestamp: Timestamp, data: Data) {
        self.seq = seq;
        self.prev = prev;
        self.timestamp = timestamp;
        self.size = u32::try_from(data.size()).unwrap_or(u32::MAX);
        self.data = data;
        self.json = OnceLock::new();
    }

    /// Returns the task.
    #[must_use]
    pub fn task_id(&self) -> &TaskId {
        &self.origin.task_id
    }

    /// Returns the event's number within its run.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Returns the run.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.origin.epoch
    }

    /// Returns the number of the newest milestone before it, [`Seq::ZERO`] if there is none or the
    /// event was read from a client's frame: who has that one misses nothing but State and log
    /// lines.
    #[must_use]
    pub fn prev(&self) -> Seq {
        self.prev
    }

    /// Returns where the event stands: a reader that has it can come back after it.
    #[must_use]
    pub fn position(&self) -> Position {
        Position::new(self.origin.epoch, self.seq)
    }

    /// Returns when it happened; never before the event before it.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// Returns what it says.
    #[must_use]
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Returns its type on the wire.
    #[must_use]
    pub fn event_type(&self) -> &str {
        self.data.event_type()
    }

    /// Bytes of its data as JSON, about.
    pub(crate) fn data_size(&self) -> usize {
        self.size as usize
    }
}

impl Clone for Event {
    /// Copies the event without its encodings.
    fn clone(&self) -> Self {
        Self {
            origin: Arc::clone(&self.origin),
            data: self.data.clone(),
            json: OnceLock::new(),
            ..*self
        }
    }
}

impl PartialEq for Event {
    /// Compares what is on the wire.
    fn eq(&self, other: &Self) -> bool {
        self.origin == other.origin
            && self.seq == other.seq
            && self.timestamp == other.timestamp
            && self.data == other.data
    }
}

impl Item for Arc<Event> {
    /// The event and one encoding of it, whether or not somebody has asked for that yet.
    fn size(&self) -> usize {
        size_of::<Event>() + ENVELOPE + 2 * self.data_size()
    }

    fn release(&mut self) {
        if self.json.get().is_some() {
            // A reader may still hold the event with its encoding; the log keeps one without.
            match Self::get_mut(self) {
                Some(event) => drop(event.json.take()),
                None => *self = Self::new(Event::clone(self)),
            }
        }
    }
}

/// Bytes of JSON around `data`, about.
const ENVELOPE: usize = 160;
