//! The rule that a client of the protocol goes by, and nothing more.

use serde_json::Value;

use crate::{kind, seq};

/// Reads the frames of one task across connections and fails where they break the rule:
/// `seq ≤ last` is a repeat, `from ≤ last + 1` continues, anything else must have been declared.
#[derive(Debug, Default)]
pub struct Reader {
    pub epoch: Option<String>,
    pub last: u64,
    pub repeats: usize,
    pub ended: bool,
    /// The frames that were news, in order.
    pub news: Vec<Value>,
}

impl Reader {
    /// Takes a frame; tells whether it is an event that is news.
    pub fn take(&mut self, frame: &Value) -> bool {
        match kind(frame) {
            "connected" | "subscribed" => {
                self.take_verdict(&frame["data"]);
                return false;
            }
            "reset" => {
                self.restart(&frame["data"]["epoch"]);
                return false;
            }
            "heartbeat" | "pong" => return false,
            "gap" | "rejected" | "draining" => panic!("nothing was to go missing: {frame}"),
            _ => {}
        }
        assert_eq!(frame["epoch"].as_str(), self.epoch.as_deref(), "{frame}");
        let seq = seq(frame);
        let from = frame.get("from").map_or(seq, |from| from.as_u64().unwrap());
        assert!(from <= seq, "{frame}");
        if seq <= self.last {
            self.repeats += 1;
            return false;
        }
        assert!(!self.ended, "nothing follows the end: {frame}");
        assert!(
            from <= self.last + 1,
            "{}..{from} is missing before {frame}",
            self.last + 1
        );
        self.last = seq;
        self.ended = kind(frame) == "complete";
        self.news.push(frame.clone());
        true
    }

    /// Where to go on.
    pub fn position(&self) -> Option<String> {
        let epoch = self.epoch.as_ref()?;
        Some(format!("{epoch}:{}", self.last))
    }

    fn take_verdict(&mut self, data: &Value) {
        match data["resume"].as_str() {
            // A bare one of a connection for many.
            None => {}
            Some("fresh" | "reset") => self.restart(&data["epoch"]),
            Some("resumed" | "ended") => {
                assert_eq!(data["epoch"].as_str(), self.epoch.as_deref());
                assert!(data["snapshot"]["seq"].as_u64().unwrap() >= self.last);
            }
            Some("unknown") => {}
            Some(other) => panic!("verdict {other} where nothing was lost"),
        }
    }

    fn restart(&mut self, epoch: &Value) {
        let epoch = epoch.as_str().unwrap().to_owned();
        if self.epoch.replace(epoch.clone()) != Some(epoch) {
            self.last = 0;
            self.news.clear();
        }
    }
}
