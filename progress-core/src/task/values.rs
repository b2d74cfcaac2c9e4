//! The present values of a task, by index.

use std::{
    collections::HashMap,
    ops::{Index, IndexMut},
    sync::{Arc, LazyLock},
};

use crate::{
    stage_index::push_exact,
    task::{counter::Counter, value::Value},
};

/// The task's own value, at 0, then those of its stages.
///
/// Its own is made when something is first said of it: a task with stages mostly says nothing of
/// itself.
#[derive(Debug)]
#[expect(
    clippy::box_collection,
    reason = "an empty map is 48 bytes, and mostly there is none"
)]
pub(super) struct Values {
    counter: Arc<Counter>,
    own: Option<Box<Value>>,
    stages: Vec<Value>,
    /// Indices by path, once there are more than a few.
    by_path: Option<Box<HashMap<Arc<str>, usize>>>,
}

impl Values {
    pub(super) fn new(own: Arc<Counter>) -> Self {
        Self {
            counter: own,
            own: None,
            stages: Vec::new(),
            by_path: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        1 + self.stages.len()
    }

    /// How many stages there are.
    pub(super) fn stages(&self) -> usize {
        self.stages.len()
    }

    /// The index of a stage.
    pub(super) fn find(&self, path: &str) -> Option<usize> {
        if let Some(by_path) = &self.by_path {
            return by_path.get(path).copied();
        }
        let mut stages = self.stages.iter();
        let place = stages.position(|stage| stage.path.as_deref() == Some(path));
        place.map(|place| place + 1)
    }

    /// Adds a stage whose path is not there yet; gives its index.
    pub(super) fn push(&mut self, stage: Value) -> usize {
        push_exact(&mut self.stages, stage);
        let index = self.stages.len();
        match &mut self.by_path {
            Some(by_path) => by_path.extend(entry((index, &self.stages[index - 1]))),
            None if index > FEW => {
                let all = (1..).zip(&self.stages).filter_map(entry);
                self.by_path = Some(Box::new(all.collect()));
            }
            None => {}
        }
        index
    }
}

fn entry((index, stage): (usize, &Value)) -> Option<(Arc<str>, usize)> {
    Some((Arc::clone(stage.path.as_ref()?), index))
}

/// To look at so many costs no more than to hash a path.
const FEW: usize = 8;

impl Index<usize> for Values {
    type Output = Value;

    fn index(&self, index: usize) -> &Value {
        /// What is known of a task that has said nothing of itself.
        static NOTHING: LazyLock<Value> = LazyLock::new(Value::default);
        match index {
            0 => self.own.as_deref().unwrap_or_else(|| &NOTHING),
            stage => &self.stages[stage - 1],
        }
    }
}

impl IndexMut<usize> for Values {
    fn index_mut(&mut self, index: usize) -> &mut Value {
        let Some(stage) = index.checked_sub(1) else {
            let counter = &self.counter;
            return self
                .own
                .get_or_insert_with(|| Box::new(Value::new(Arc::clone(counter))));
        };
        &mut self.stages[stage]
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn stages_are_found_before_and_after_there_are_many() {
        let mut values = Values::new(Arc::default());
        for number in 1..=100 {
            assert_eq!(values.find(&number.to_string()), None);
            let stage = Value::stage(Arc::from(number.to_string()), 1.0);
            assert_eq!(values.push(stage), number);
            for known in 1..=number {
                assert_eq!(values.find(&known.to_string()), Some(known));
            }
        }
        assert_eq!((values.stages(), values.len()), (100, 101));
    }

    #[test]
    fn a_tasks_own_value_counts_with_the_tasks_counter() {
        let own = Arc::new(Counter::default());
        let mut values = Values::new(Arc::clone(&own));
        own.add(7);
        assert_eq!(values[0].count(), 0, "nothing was said of it yet");
        values[0].total = Some(9);
        assert_eq!((values[0].count(), values[0].total), (7, Some(9)));
    }
}
