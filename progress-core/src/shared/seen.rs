//! What tells a repetition.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use crate::position::Position;

/// The newest ids that were published under, and where their events went.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    positions: HashMap<Arc<str>, Position>,
    order: VecDeque<Arc<str>>,
}

impl Seen {
    /// Where the first event of an id went, if that is remembered.
    pub(crate) fn position(&self, id: &str) -> Option<Position> {
        self.positions.get(id).copied()
    }

    pub(crate) fn remember(&mut self, id: &Arc<str>, position: Position) {
        self.positions.insert(Arc::clone(id), position);
        self.order.push_back(Arc::clone(id));
        if self.order.len() > MOST_SEEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.positions.remove(&oldest);
        }
    }
}

/// Ids remembered of each task and channel: what is repeated is repeated soon.
const MOST_SEEN: usize = 1_024;
