//! Events as JSON text: encoded once, `from` and `dropped_logs` spliced in per reader.

use std::{borrow::Cow, fmt, io::Write, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    event::{Custom, Data, Event, Origin, Payload, check_event_type},
    id::TaskId,
    position::{Epoch, Seq},
    time::Timestamp,
};

/// The text of an event, and where a reader's own fields go.
#[derive(Debug)]
pub(super) struct EventJson {
    text: Bytes,
    /// Just behind the value of `seq`.
    splice: usize,
}

impl Event {
    /// Returns the event as one JSON object, as a reader gets it to whom it stands for
    /// `from..=seq` with `dropped_logs` lines missing before it.
    ///
    /// The text is made once and shared; only a reader to whom something of that range is missing
    /// gets a copy with the two fields put in.
    #[must_use]
    pub fn to_json(&self, from: Seq, dropped_logs: u32) -> Bytes {
        let json = self.json.get_or_init(|| Box::new(self.encode()));
        if from == self.seq && dropped_logs == 0 {
            return json.text.clone();
        }
        let (head, tail) = json.text.split_at(json.splice);
        let mut text = Vec::with_capacity(json.text.len() + 48);
        text.extend_from_slice(head);
        if from != self.seq {
            write_infallible(&mut text, format_args!(",\"from\":{from}"));
        }
        if dropped_logs != 0 {
            write_infallible(&mut text, format_args!(",\"dropped_logs\":{dropped_logs}"));
        }
        text.extend_from_slice(tail);
        text.into()
    }

    /// Reads an event from its JSON text. Unknown fields are ignored, also `from` and
    /// `dropped_logs`, which belong to a reader and not to the event.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the text is not an event of `progress.v1`.
    pub fn from_json(text: &[u8]) -> Result<Self, DecodeError> {
        let wire: Wire<'_> = serde_json::from_slice(text)?;
        let data = wire.data.get();
        let data = match wire.event_type.as_str() {
            "queued" => Data::Queued(serde_json::from_str(data)?),
            "started" => Data::Started(serde_json::from_str(data)?),
            "stage_change" => Data::StageChange(serde_json::from_str(data)?),
            "progress_update" => Data::ProgressUpdate(serde_json::from_str(data)?),
            "log" => Data::Log(serde_json::from_str(data)?),
            "error" => Data::Error(serde_json::from_str(data)?),
            "paused" => Data::Paused(serde_json::from_str(data)?),
            "resumed" => Data::Resumed(serde_json::from_str(data)?),
            "stalled" => Data::Stalled(serde_json::from_str(data)?),
            "recovered" => Data::Recovered(serde_json::from_str(data)?),
            "cancel_requested" => Data::CancelRequested(serde_json::from_str(data)?),
            "complete" => Data::Complete(serde_json::from_str(data)?),
            custom => {
                check_event_type(custom).map_err(|error| DecodeError(error.to_string()))?;
                Data::Custom(Custom {
                    event_type: Cow::Owned(wire.event_type),
                    key: wire.key,
                    data: Payload::new(wire.data)?,
                })
            }
        };
        let origin = Origin {
            task_id: wire.task_id,
            epoch: wire.epoch,
        };
        Ok(Self::new(
            Arc::new(origin),
            wire.seq,
            Seq::ZERO,
            wire.timestamp,
            data,
        ))
    }

    fn encode(&self) -> EventJson {
        let mut text = Vec::with_capacity(160 + self.data_size());
        // A task id needs no escaping, by its character set.
        write_infallible(
            &mut text,
            format_args!(
                "{{\"task_id\":\"{}\",\"epoch\":\"{}\",\"seq\":{}",
                self.task_id(),
                self.epoch(),
                self.seq
            ),
        );
        let splice = text.len();
        write_infallible(
            &mut text,
            format_args!(",\"event_type\":\"{}\"", self.event_type()),
        );
        if let Data::Custom(custom) = &self.data
            && let Some(key) = &custom.key
        {
            text.extend_from_slice(b",\"key\":");
            write_json(&mut text, key);
        }
        write_infallible(
            &mut text,
            format_args!(",\"timestamp\":\"{}\",\"data\":", self.timestamp),
        );
        match &self.data {
            Data::Queued(data) => write_json(&mut text, data),
            Data::Started(data) => write_json(&mut text, data),
            Data::StageChange(data) => write_json(&mut text, data),
            Data::ProgressUpdate(data) => write_json(&mut text, data),
            Data::Log(data) => write_json(&mut text, data),
            Data::Error(data) => write_json(&mut text, data),
            Data::Paused(data)
            | Data::Resumed(data)
            | Data::Stalled(data)
            | Data::Recovered(data)
            | Data::CancelRequested(data) => write_json(&mut text, data),
            Data::Complete(data) => write_json(&mut text, data),
            Data::Custom(custom) => text.extend_from_slice(custom.data.json().as_bytes()),
        }
        text.push(b'}');
        EventJson {
            text: text.into(),
            splice,
        }
    }
}

#[derive(Deserialize)]
struct Wire<'a> {
    task_id: TaskId,
    epoch: Epoch,
    seq: Seq,
    event_type: String,
    timestamp: Timestamp,
    #[serde(default)]
    key: Option<Arc<str>>,
    #[serde(borrow)]
    data: &'a RawValue,
}

fn write_infallible(text: &mut Vec<u8>, arguments: fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("writing to a Vec cannot fail");
}

fn write_json<T: Serialize + ?Sized>(text: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(text, value)
        .expect("the event types have string keys and finite text, and a Vec takes all bytes");
}

/// A text is not an event of `progress.v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError(String);

impl From<serde_json::Error> for DecodeError {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not an event of progress.v1: {}", self.0)
    }
}

impl std::error::Error for DecodeError {}
