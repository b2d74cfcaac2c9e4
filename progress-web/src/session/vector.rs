//! Event ids: where a client stands, to come back with.

use std::time::Duration;

use tokio::time::Instant;

use super::machine::{Machine, Shape};

/// Keeps vectors rare. A vector is long: after the first one of each of the first topics it comes
/// at most once a second, and with the last event before the close.
#[derive(Debug, Default)]
pub(super) struct VectorIds {
    last: Option<Instant>,
    behind: bool,
}

impl VectorIds {
    /// Whether the last id is older than the last event.
    pub(super) fn is_behind(&self) -> bool {
        self.behind
    }
}

impl Machine {
    /// The id of an event of a topic that is sent now, if it has one.
    pub(super) fn event_id(&mut self, index: usize, now: Instant) -> Option<String> {
        match self.shape {
            Shape::Socket | Shape::Sockets => None,
            Shape::Stream => self.current_id(),
            Shape::Streams => {
                let had = self.topics[index]
                    .as_mut()
                    .is_none_or(|topic| std::mem::replace(&mut topic.has_id, true));
                let due = (!had && index < FIRST_IDS)
                    || self.ids.last.is_none_or(|last| now >= last + EVERY)
                    || self.all_over();
                self.ids.behind = !due;
                if !due {
                    return None;
                }
                self.ids.last = Some(now);
                self.current_id()
            }
        }
    }

    /// The event id for where the client stands now.
    pub(super) fn current_id(&self) -> Option<String> {
        let mut parts = self.topics.iter().flatten().map(|topic| topic.place.text());
        match self.shape {
            Shape::Socket | Shape::Sockets => None,
            Shape::Stream => parts.next(),
            Shape::Streams => Some(parts.collect::<Vec<_>>().join(",")),
        }
    }
}

const EVERY: Duration = Duration::from_secs(1);
/// Past this many topics their first ids together would outweigh what they are for.
const FIRST_IDS: usize = 64;
