//! Events: what happens to a task, numbered, timed and encoded once.

mod custom;
mod data;
mod error_object;
mod json;
mod payload;

use std::sync::OnceLock;

use crate::{
    id::TaskId,
    log::Item,
    position::{Epoch, Position, Seq},
    time::Timestamp,
};

pub(crate) use self::data::stage_label;
use self::json::EventJson;
pub use self::{
    custom::{EventPayload, InvalidEventType, check_event_type},
    data::{
        Children, Complete, Custom, Data, Level, LogLine, Note, ProgressUpdate, Queued,
        StageChange, StageDecl, Started, Status, TaskState,
    },
    error_object::TaskError,
    json::DecodeError,
    payload::{Metadata, Payload},
};

/// One event of one run of a task.
///
/// Shared by everybody who reads it; its JSON text is made at most once while it is in the
/// log's window, whoever asks first.
#[derive(Debug)]
pub struct Event {
    task_id: TaskId,
    epoch: Epoch,
    seq: Seq,
    timestamp: Timestamp,
    data: Data,
    json: OnceLock<EventJson>,
}

impl Event {
    pub(crate) fn new(
        task_id: TaskId,
        epoch: Epoch,
        seq: Seq,
        timestamp: Timestamp,
        data: Data,
    ) -> Self {
        Self {
            task_id,
            epoch,
            seq,
            timestamp,
            data,
            json: OnceLock::new(),
        }
    }

    /// Returns the task.
    #[must_use]
    pub fn task_id(&self) -> &TaskId {
        &self.task_id
    }

    /// Returns the event's number within its run.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Returns the run.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Returns where the event stands: a reader that has it can come back after it.
    #[must_use]
    pub fn position(&self) -> Position {
        Position::new(self.epoch, self.seq)
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
}

impl Clone for Event {
    /// Copies the event without its encodings.
    fn clone(&self) -> Self {
        Self::new(
            self.task_id.clone(),
            self.epoch,
            self.seq,
            self.timestamp,
            self.data.clone(),
        )
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.task_id == other.task_id
            && self.epoch == other.epoch
            && self.seq == other.seq
            && self.timestamp == other.timestamp
            && self.data == other.data
    }
}

impl Item for std::sync::Arc<Event> {
    /// The event and one encoding of it, whether or not somebody has asked for that yet.
    fn size(&self) -> usize {
        size_of::<Event>() + ENVELOPE + 2 * self.data.size()
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
