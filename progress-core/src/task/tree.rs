//! The tree of stages: where a stage hangs, and what its child stages add up to.

use std::sync::Arc;

use tokio::time::Instant;

use crate::{
    error::StageError,
    task::{inner::Inner, shared::TaskShared, value::Value, work::Work},
};

/// A stage's place in the tree, and the sum over its child stages: kept as they move, so that a
/// move costs as much as the tree is deep, however many stages it has.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Index of the parent's value; 0, the task itself, above the top level.
    parent: u32,
    depth: u8,
    /// It says by itself how far it is, so that its child stages do not.
    own: bool,
    complete: bool,
    /// At the top: it has shown life, or a stage below it.
    entered: bool,
    /// None while it has no child stage.
    below: Option<Box<Below>>,
}

/// What the child stages of a stage add up to.
#[derive(Debug, Default)]
struct Below {
    /// Some child stage was declared, so that others weigh nothing.
    declared: bool,
    children: u32,
    complete_children: u32,
    weights: f64,
    weighted: f64,
}

impl Node {
    /// Whether anything says how far it is.
    pub(super) fn is_known(&self) -> bool {
        self.own || self.below.is_some()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Notes a sign of life; tells whether it is the first.
    pub(super) fn enter(&mut self) -> bool {
        !std::mem::replace(&mut self.entered, true)
    }

    /// The weighted mean of the child stages, and whether all of them are done: exactly, however
    /// the sums are rounded.
    fn mean(&self) -> (f64, bool) {
        let Some(below) = &self.below else {
            return (0.0, false);
        };
        if below.complete_children == below.children {
            return (1.0, true);
        }
        let mean = match below.weights > 0.0 {
            true => below.weighted / below.weights,
            false => 0.0,
        };
        (mean.clamp(0.0, 1.0), false)
    }
}

impl Work {
    /// Makes a stage that was declared, as were the stages above it before.
    pub(super) fn declare_stage(&mut self, path: Arc<str>, weight: f64) -> usize {
        self.declared = true;
        let parent = self.parent_of(&path);
        let index = self.insert_stage(parent, path, weight);
        if parent > 0 {
            self.below(parent).declared = true;
        }
        index
    }

    /// Finds or makes a stage and those above it.
    pub(super) fn find_stage(&mut self, path: &str, limit: usize) -> Result<usize, StageError> {
        if let Some(index) = self.values.find(path) {
            return Ok(index);
        }
        let missing = 1 + ancestors(path)
            .take_while(|above| self.values.find(above).is_none())
            .count();
        if self.values.stages() + missing > limit {
            return Err(StageError::TooMany { limit });
        }
        Ok(self.add_stage(path))
    }

    fn add_stage(&mut self, path: &str) -> usize {
        let parent = self.parent_of(path);
        let declared = match parent {
            0 => self.declared,
            _ => self.below(parent).declared,
        };
        let weight = if declared { 0.0 } else { 1.0 };
        self.insert_stage(parent, Arc::from(path), weight)
    }

    /// The stage above, which is made if it is missing; 0 at the top level.
    fn parent_of(&mut self, path: &str) -> usize {
        match path.rsplit_once('/') {
            None => 0,
            Some((above, _)) => match self.values.find(above) {
                Some(index) => index,
                None => self.add_stage(above),
            },
        }
    }

    /// The sums of a stage that has a child stage, or gets one now.
    fn below(&mut self, parent: usize) -> &mut Below {
        self.values[parent].node.below.get_or_insert_default()
    }

    fn insert_stage(&mut self, parent: usize, path: Arc<str>, weight: f64) -> usize {
        let mut value = Value::stage(path, weight);
        value.node.parent = u32::try_from(parent).unwrap_or(0);
        if parent == 0 {
            self.percent.add_stage(weight);
            return self.values.push(value);
        }
        self.nested = true;
        value.node.depth = self.values[parent].node.depth.saturating_add(1);
        let index = self.values.push(value);
        let below = self.below(parent);
        below.children += 1;
        below.weights += weight;
        let above = &self.values[parent].node;
        // There is more to do than was known.
        if !above.own {
            let (done, complete) = above.mean();
            self.move_stage(parent, done, complete);
        }
        index
    }

    /// Takes over how far a stage says it is; if it says nothing, its child stages do.
    pub(super) fn set_fraction(&mut self, index: usize, own: Option<f64>) {
        let node = &mut self.values[index].node;
        node.own = own.is_some();
        let (done, complete) = match own {
            Some(fraction) => (fraction, fraction >= 1.0),
            None => node.mean(),
        };
        self.move_stage(index, done, complete);
    }

    /// Moves a stage, and those above it that its movement reaches.
    fn move_stage(&mut self, mut index: usize, mut done: f64, mut complete: bool) {
        loop {
            let value = &mut self.values[index];
            let from = std::mem::replace(&mut value.done, done);
            let was_complete = std::mem::replace(&mut value.node.complete, complete);
            if from == done && was_complete == complete {
                return;
            }
            value.dirty = true;
            let (parent, weight) = (value.node.parent as usize, value.weight);
            if parent == 0 {
                let entered = value.node.entered;
                self.percent.move_stage(weight, from, done);
                if entered && was_complete != complete {
                    self.move_course(index, complete);
                }
                return;
            }
            let below = self.below(parent);
            below.weighted += weight * (done - from);
            below.complete_children += u32::from(complete);
            below.complete_children -= u32::from(was_complete);
            let above = &self.values[parent].node;
            if above.own {
                return;
            }
            index = parent;
            (done, complete) = above.mean();
        }
    }

    /// The stage at the top that a stage is part of.
    pub(super) fn top_of(&self, mut index: usize) -> usize {
        loop {
            match self.values[index].node.parent {
                0 => return index,
                parent => index = parent as usize,
            }
        }
    }

    /// Takes what is due as far as it is now, has the stages above looked at that move with it,
    /// and puts each stage before those above it, which then tell of all that is below them.
    pub(super) fn gather(&mut self, due: &mut Vec<usize>) {
        if !self.nested {
            return;
        }
        for index in due.iter() {
            self.measure(*index);
        }
        for index in 0..due.len() {
            let mut at = self.values[due[index]].node.parent as usize;
            while at > 0 {
                let value = &mut self.values[at];
                if value.dirty && !value.watched {
                    value.watch();
                    due.push(at);
                }
                at = value.node.parent as usize;
            }
        }
        due.sort_by_key(|index| std::cmp::Reverse(self.values[*index].node.depth));
    }
}

impl Inner {
    /// Publishes the stages above one that have moved with it: now, if the sampler was not looking
    /// at them. A refusal is not its caller's: what he reported was published.
    pub(super) fn touch_ancestors(&mut self, shared: &TaskShared, index: usize, now: Instant) {
        let mut at = self.work().values[index].node.parent as usize;
        while at > 0 {
            if self.work().values[at].dirty {
                let published = self.touch_quietly(shared, at, now);
                self.refuse(published.err());
            }
            at = self.work().values[at].node.parent as usize;
        }
    }
}

/// The paths above a path, the nearest first.
pub(crate) fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(path.rsplit_once('/'), |(above, _)| above.rsplit_once('/'))
        .map(|(above, _)| above)
}
