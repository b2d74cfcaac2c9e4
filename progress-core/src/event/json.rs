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
        let said = Said {
            event_type: wire.event_type,
            timestamp: wire.timestamp,
            key: wire.key,
            data: wire.data,
        };
        let (data, timestamp) = said.read()?;
        let origin = Origin {
            task_id: wire.task_id,
            epoch: wire.epoch,
        };
        Ok(Self::new(
            Arc::new(origin),
            wire.seq,
            Seq::ZERO,
            timestamp,
            data,
        ))
    }

    /// Writes what the event says as one JSON object, without where it stands, which a broker keeps
    /// beside it: `event_type`, `key`, `timestamp` and `data`. [`Draft::from_json`] reads it.
    ///
    /// [`Draft::from_json`]: crate::transport::Draft::from_json
    pub fn write_body(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        match self.json.get() {
            // Behind the comma.
            Some(json) => out.extend_from_slice(&json.text[json.splice + 1..]),
            None => write_said(out, &self.data, self.timestamp),
        }
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
        text.push(b',');
        write_said(&mut text, &self.data, self.timestamp);
        EventJson {
            text: text.into(),
            splice,
        }
    }
}

/// What an event says, as text, up to its closing brace.
pub(crate) fn write_said(text: &mut Vec<u8>, data: &Data, timestamp: Timestamp) {
    write_infallible(
        text,
        format_args!("\"event_type\":\"{}\"", data.event_type()),
    );
    if let Data::Custom(custom) = data
        && let Some(key) = &custom.key
    {
        text.extend_from_slice(b",\"key\":");
        write_json(text, key);
    }
    write_infallible(
        text,
        format_args!(",\"timestamp\":\"{}\",\"data\":", timestamp),
    );
    match data {
        Data::Queued(data) => write_json(text, data),
        Data::Started(data) => write_json(text, data),
        Data::StageChange(data) => write_json(text, data),
        Data::ProgressUpdate(data) => write_json(text, data),
        Data::Log(data) => write_json(text, data),
        Data::Error(data) => write_json(text, data),
        Data::Paused(data)
        | Data::Resumed(data)
        | Data::Stalled(data)
        | Data::Recovered(data)
        | Data::CancelRequested(data) => write_json(text, data),
        Data::Complete(data) => write_json(text, data),
        Data::Custom(custom) => text.extend_from_slice(custom.data.json().as_bytes()),
    }
    text.push(b'}');
}

/// Reads what an event says, wherever it stands.
pub(crate) fn read_said(text: &[u8]) -> Result<(Data, Timestamp), DecodeError> {
    serde_json::from_slice::<Said<'_>>(text)?.read()
}

#[derive(Deserialize)]
struct Wire<'a> {
    task_id: TaskId,
    epoch: Epoch,
    seq: Seq,
    // Not flattened: that would read `data` into values first.
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    timestamp: Timestamp,
    #[serde(default)]
    key: Option<Arc<str>>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    timestamp: Timestamp,
    #[serde(default)]
    key: Option<Arc<str>>,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Said<'_> {
    fn read(self) -> Result<(Data, Timestamp), DecodeError> {
        let data = self.data.get();
        let data = match &*self.event_type {
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
                    event_type: Cow::Owned(self.event_type.into_owned()),
                    key: self.key,
                    data: Payload::new(self.data)?,
                })
            }
        };
        Ok((data, self.timestamp))
    }
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
