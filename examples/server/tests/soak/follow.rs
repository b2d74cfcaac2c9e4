//! What a client checks of the frames that it gets.

use serde_json::Value;

/// Where a client stands in its task.
#[derive(Debug, Default)]
pub(super) struct Follower {
    /// The position it comes back with.
    pub(super) position: Option<String>,
    epoch: String,
    pub(super) seq: u64,
    pub(super) events: u64,
    pub(super) ended: bool,
    /// How often its credentials did.
    #[allow(dead_code, reason = "in a drain they last")]
    pub(super) expired: u64,
}

impl Follower {
    /// Takes a frame: each event follows the one before, and nothing is lost.
    pub(super) fn on_frame(&mut self, text: &str) {
        let frame: Value =
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        match frame["event_type"].as_str() {
            Some("connected") => match frame["data"]["resume"].as_str() {
                Some("unknown" | "fresh" | "resumed") => {}
                // It came back for what it had.
                Some("ended") => self.ended = true,
                other => panic!("{other:?}: {text}"),
            },
            Some("reset") => {
                assert_eq!(frame["data"]["reason"], "created", "{text}");
                assert!(self.epoch.is_empty(), "a second reset: {text}");
            }
            Some("gap" | "rejected" | "draining") => panic!("{text}"),
            Some("heartbeat" | "pong") => {}
            _ => self.on_event(&frame),
        }
    }

    fn on_event(&mut self, frame: &Value) {
        let epoch = frame["epoch"].as_str().unwrap();
        let seq = frame["seq"].as_u64().unwrap();
        let from = frame["from"].as_u64().unwrap_or(seq);
        if self.epoch.is_empty() {
            epoch.clone_into(&mut self.epoch);
        }
        assert_eq!(self.epoch, epoch, "another run");
        assert!(from <= self.seq + 1, "{from} follows {}", self.seq);
        assert!(seq > self.seq, "{seq} once more after {}", self.seq);
        self.seq = seq;
        self.events += 1;
        self.position = Some(format!("{epoch}:{seq}"));
        self.ended = frame["event_type"] == "complete";
    }
}
