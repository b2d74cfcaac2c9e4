//! Control frames of `progress.v1`: no place in the sequence, never stored.

use bytes::Bytes;
use progress_core::{Epoch, Position, Seq, Snapshot, TaskError, TaskId, Timestamp};
use serde::{Serialize, ser::SerializeMap};
use serde_json::Value;

/// The protocol's name.
pub(crate) const PROTOCOL: &str = "progress.v1";

/// A control frame.
#[derive(Debug, Serialize)]
pub(crate) struct Control<'a> {
    event_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<&'a str>,
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
        node: &'a str,
    },
    Subscribed(VerdictData<'a>),
    Heartbeat {
        heads: Heads<'a>,
    },
    Gap {
        from: Seq,
        to: Seq,
        reason: &'static str,
        snapshot: &'a Snapshot,
    },
    Reset {
        epoch: Epoch,
        seq: Seq,
        reason: &'static str,
        snapshot: &'a Snapshot,
    },
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

/// Positions by task.
#[derive(Debug)]
pub(crate) struct Heads<'a>(pub(crate) Vec<(&'a str, Position)>);

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
    pub(crate) fn connected(verdict: ControlData<'a>, task: Option<&'a TaskId>) -> Self {
        Self::new("connected", task.map(TaskId::as_str), Some(verdict))
    }

    pub(crate) fn of_task(task: &'a str, data: ControlData<'a>) -> Self {
        let event_type = match data {
            ControlData::Connected { .. } => "connected",
            ControlData::Subscribed(_) => "subscribed",
            ControlData::Heartbeat { .. } => "heartbeat",
            ControlData::Gap { .. } => "gap",
            ControlData::Reset { .. } => "reset",
            ControlData::Rejected { .. } => "rejected",
        };
        Self::new(event_type, Some(task), Some(data))
    }

    pub(crate) fn heartbeat(heads: Vec<(&'a str, Position)>) -> Self {
        let heads = Heads(heads);
        Self::new("heartbeat", None, Some(ControlData::Heartbeat { heads }))
    }

    pub(crate) fn rejected(error: &'a TaskError, request_id: Option<&'a Value>) -> Self {
        let data = ControlData::Rejected { request_id, error };
        Self::new("rejected", None, Some(data))
    }

    pub(crate) fn pong() -> Self {
        Self::new("pong", None, None)
    }

    fn new(
        event_type: &'static str,
        task_id: Option<&'a str>,
        data: Option<ControlData<'a>>,
    ) -> Self {
        Self {
            event_type,
            task_id,
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
