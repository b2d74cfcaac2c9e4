//! Which place each topic of a connection for many has.

use std::collections::HashMap;

use super::topic::Name;

/// Topics by name and the places that are free, beside the topics themselves: a command takes no
/// longer for a topic where there are many.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: HashMap<Name, usize>,
    free: Vec<usize>,
}

impl Places {
    pub(super) fn of(&self, name: &Name) -> Option<usize> {
        self.taken.get(name).copied()
    }

    pub(super) fn count(&self) -> usize {
        self.taken.len()
    }

    /// A place for a topic that has none: one that is free, else the `next`.
    pub(super) fn take(&mut self, name: Name, next: usize) -> usize {
        let index = self.free.pop().unwrap_or(next);
        self.taken.insert(name, index);
        index
    }

    pub(super) fn leave(&mut self, name: &Name) {
        self.free.extend(self.taken.remove(name));
    }
}
