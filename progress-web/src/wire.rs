//! Control frames of `progress.v1`: no place in the sequence, never stored.

use std::sync::Arc;

use bytes::Bytes;
use progress_core::{Epoch, Position, Seq, Snapshot, TaskError, Timestamp};
use serde::{Serialize, ser::SerializeMap};
use serde_json::{Value, value::RawValue};

use crate::session::Name;

/// The protocol's name.
pub(crate) const PROTOCOL: &str = "progress.v1";

/// A control frame.
#[derive(Debug, Serialize)]
pub(crate) struct Control<'a> {
    event_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    timestamp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<ControlData<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum ControlData<'a> {
    Connected {
        protocol: &'static str,
        #[serde(flatten)]
        verdict: Option<VerdictData<'a>>,
        heartbeat_ms: u64,
        node: Arc<str>,
    },
    Subscribed {
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<&'a Value>,
        #[serde(flatten)]
        verdict: VerdictData<'a>,
    },
    /// The verdict of a channel, which has no snapshot.
    SubscribedChannel {
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<&'a Value>,
        epoch: Epoch,
        seq: Seq,
        resume: &'static str,
    },
    Heartbeat {
        heads: Heads<'a>,
        #[serde(skip_serializing_if = "Heads::is_empty")]
        channel_heads: Heads<'a>,
    },
    Gap {
        from: Seq,
        to: Seq,
        reason: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        snapshot: Option<&'a Snapshot>,
    },
    Reset {
        epoch: Epoch,
        seq: Seq,
        reason: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        snapshot: Option<&'a Snapshot>,
    },
    Draining {
        reconnect_after_ms: u64,
    },
    /// What was broadcast to every connection.
    Verbatim(&'a RawValue),
    Rejected {
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<&'a Value>,
        #[serde(flatten)]
        error: &'a TaskError,
    },
}

#[derive(Debug, Serialize)]
pub(crate) struct VerdictData<'a> {
    pub(crate) epoch: Option<Epoch>,
    pub(crate) seq: Seq,
    pub(crate) resume: &'static str,
    pub(crate) snapshot: Option<&'a Snapshot>,
}

/// Positions by the name of a task or channel.
#[derive(Debug, Default)]
pub(crate) struct Heads<'a>(pub(crate) Vec<(&'a str, Position)>);

impl Heads<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Heads<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (id, head) in &self.0 {
            map.serialize_entry(id, head)?;
        }
        map.end()
    }
}

impl<'a> Control<'a> {
    /// Makes a frame about a task, a channel or the connection itself.
    pub(crate) fn about(
        name: Option<&'a Name>,
        event_type: &'a str,
        data: Option<ControlData<'a>>,
    ) -> Self {
        let (task_id, channel) = match name {
            Some(Name::Task(id)) => (Some(&**id), None),
            Some(Name::Channel(name)) => (None, Some(&**name)),
            None => (None, None),
        };
        Self {
            event_type,
            task_id,
            channel,
            timestamp: Timestamp::now(),
            data,
        }
    }

    pub(crate) fn to_json(&self) -> Bytes {
        serde_json::to_vec(self)
            .expect("control frames have string keys and a Vec takes all bytes")
            .into()
    }
}
