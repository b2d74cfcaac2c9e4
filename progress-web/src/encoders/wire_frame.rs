//! A frame of the protocol, taken apart.

use serde::Deserialize;
use serde_json::Value;

/// A frame of `progress.v1`, taken apart for a [`FrameEncoder`](super::FrameEncoder): an event of a
/// task or channel, or a control frame. `docs/protocol.md` has what there is and what `data` holds.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct WireFrame {
    /// What it is: `progress_update`, `complete`, `connected`, an application's own.
    pub event_type: String,
    /// The task that it is about; in a channel also the task that an event comes from.
    #[serde(default)]
    pub task_id: Option<String>,
    /// The channel that it came by or is about.
    #[serde(default)]
    pub channel: Option<String>,
    /// The run or, in a channel, the channel's.
    #[serde(default)]
    pub epoch: Option<String>,
    /// An event's number in its task or, in a channel, in the channel. None of control frames.
    #[serde(default)]
    pub seq: Option<u64>,
    /// The first number that it stands for, if that is another.
    #[serde(default)]
    pub from: Option<u64>,
    /// The key of a keyed custom event.
    #[serde(default)]
    pub key: Option<String>,
    /// When it happened, in RFC 3339.
    #[serde(default)]
    pub timestamp: String,
    /// What it says.
    #[serde(default)]
    pub data: Value,
    /// Whether the watcher has been told a state that takes account of it.
    #[serde(skip)]
    pub is_history: bool,
}

/// What stands around the event of a channel.
#[derive(Deserialize)]
struct InChannel {
    channel: String,
    channel_epoch: String,
    channel_seq: u64,
    channel_from: Option<u64>,
    event: WireFrame,
}

impl WireFrame {
    pub(super) fn parse(json: &[u8]) -> serde_json::Result<Self> {
        // So the text of a channel's event begins, and no other.
        if !json.starts_with(br#"{"channel":"#) {
            return serde_json::from_slice(json);
        }
        let outer: InChannel = serde_json::from_slice(json)?;
        Ok(Self {
            channel: Some(outer.channel),
            epoch: Some(outer.channel_epoch),
            seq: Some(outer.channel_seq),
            from: outer.channel_from,
            ..outer.event
        })
    }

    /// Returns where an event stands, for a client to come back with.
    #[must_use]
    pub fn position(&self) -> Option<String> {
        Some(format!("{}:{}", self.epoch.as_ref()?, self.seq?))
    }

    /// Returns a field of `data`; none also if it is null.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.data.get(field).filter(|value| !value.is_null())
    }

    /// Returns a field of `data` that is text.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<&str> {
        self.get(field)?.as_str()
    }

    /// Returns a field of `data` that is a number.
    #[must_use]
    pub fn number(&self, field: &str) -> Option<f64> {
        self.get(field)?.as_f64()
    }

    /// Returns the snapshot that a control frame carries, as in the protocol.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Value> {
        self.get("snapshot")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_of_a_channel_is_taken_out_of_it() {
        let text = json!({
            "channel": "jobs", "channel_epoch": "1a", "channel_seq": 9, "channel_from": 7,
            "event": {"task_id": "t", "epoch": "2b", "seq": 3, "event_type": "mark",
                      "timestamp": "then", "data": {"n": 1}},
        });
        let frame = WireFrame::parse(text.to_string().as_bytes()).unwrap();
        assert_eq!(frame.channel.as_deref(), Some("jobs"));
        assert_eq!(frame.epoch.as_deref(), Some("1a"));
        assert_eq!((frame.from, frame.seq), (Some(7), Some(9)));
        assert_eq!(frame.task_id.as_deref(), Some("t"));
        assert_eq!(frame.number("n"), Some(1.0));
    }

    #[test]
    fn a_control_frame_has_no_number() {
        let text = br#"{"event_type":"heartbeat","timestamp":"then","data":{"heads":{}}}"#;
        let frame = WireFrame::parse(text).unwrap();
        assert_eq!((frame.seq, frame.task_id.as_ref()), (None, None));
        assert_eq!(frame.text("none"), None);
    }
}
