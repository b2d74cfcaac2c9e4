//! Stages by their paths.

use std::{collections::HashMap, sync::Arc};

/// Where the stage of each path stands.
///
/// Most tasks have a few: those are a short list, which is as fast and a tenth of the memory.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::box_collection,
    reason = "an empty map is 48 bytes, and mostly there is none"
)]
pub(crate) struct StageIndex {
    few: Vec<(Arc<str>, usize)>,
    /// All of them, once there are more than [`FEW`].
    many: Option<Box<HashMap<Arc<str>, usize>>>,
}

const FEW: usize = 8;

impl StageIndex {
    pub(crate) fn get(&self, path: &str) -> Option<&usize> {
        match &self.many {
            Some(many) => many.get(path),
            None => {
                let found = self.few.iter().find(|(known, _)| **known == *path);
                found.map(|(_, index)| index)
            }
        }
    }

    /// Adds a path that is not there yet.
    pub(crate) fn insert(&mut self, path: Arc<str>, index: usize) {
        if let Some(many) = &mut self.many {
            many.insert(path, index);
        } else if self.few.len() < FEW {
            push_exact(&mut self.few, (path, index));
        } else {
            let few = std::mem::take(&mut self.few);
            let all = few.into_iter().chain([(path, index)]);
            self.many = Some(Box::new(all.collect()));
        }
    }
}

/// Pushes what is seldom followed by another: room grows by one at first, by half later.
pub(crate) fn push_exact<T>(items: &mut Vec<T>, item: T) {
    if items.len() == items.capacity() {
        items.reserve_exact((items.len() / 2).max(1));
    }
    items.push(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_before_and_after_there_are_many() {
        let mut index = StageIndex::default();
        for number in 0..100 {
            assert_eq!(index.get(&number.to_string()), None);
            index.insert(Arc::from(number.to_string()), number);
            for known in 0..=number {
                assert_eq!(index.get(&known.to_string()), Some(&known));
            }
        }
    }
}
