//! Parents and children.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Weak},
};

use crate::{
    event::{Children, Status, TaskState},
    task::{counter::Counter, publish::End, shared::TaskShared},
};

/// Picks how a parent ends by how its children ended, when it calls
/// [`Task::finish`](crate::Task::finish).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ChildPolicy {
    /// Completed if all children completed, else failed.
    #[default]
    All,
    /// Completed if at least one child completed, else failed.
    Any,
    /// Completed with `result.failed`, the number of children that did not complete; failed only
    /// if there are children and none completed.
    Partial,
}

impl ChildPolicy {
    /// Tells whether a parent goes well of whose children so many completed.
    pub(crate) fn is_met(self, total: u64, completed: u64) -> bool {
        match self {
            Self::All => completed >= total,
            Self::Any | Self::Partial => completed > 0 || total == 0,
        }
    }
}

/// A child's way to its parent.
#[derive(Debug)]
pub(crate) struct Parent {
    pub(crate) task: Arc<TaskShared>,
    /// Index of the value that it feeds.
    pub(crate) stage: usize,
    /// That value's counter.
    pub(crate) counter: Arc<Counter>,
}

/// A child's change: of state, and by how much it is nearer to its end, in
/// [`CHILD`](crate::task::value::CHILD)s, negative if it begins again. Changes add up in any order.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ChildMove {
    pub(crate) from: Option<TaskState>,
    pub(crate) to: Option<TaskState>,
    pub(crate) fraction: i64,
}

/// A parent's view of its children.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) policy: ChildPolicy,
    /// Places taken so far, also by children that could not start after all.
    total: u64,
    /// Signed, because two moves of one child may arrive in the other order.
    by_state: BTreeMap<TaskState, i64>,
    /// Those that have not told their end, by number.
    live: HashMap<u64, Weak<TaskShared>>,
}

impl Family {
    pub(crate) fn new(policy: ChildPolicy) -> Self {
        Self {
            policy,
            ..Self::default()
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn add(&mut self, child: &Arc<TaskShared>) {
        self.total += 1;
        self.live.insert(child.number, Arc::downgrade(child));
    }

    /// The next run of a child that is counted already.
    pub(crate) fn add_again(&mut self, child: &Arc<TaskShared>) {
        self.live.insert(child.number, Arc::downgrade(child));
    }

    pub(crate) fn remove(&mut self, number: u64) {
        self.live.remove(&number);
    }

    pub(crate) fn moved(&mut self, from: Option<TaskState>, to: Option<TaskState>) {
        if let Some(state) = from {
            *self.by_state.entry(state).or_default() -= 1;
        }
        if let Some(state) = to {
            *self.by_state.entry(state).or_default() += 1;
        }
    }

    pub(crate) fn count(&self, state: TaskState) -> u64 {
        self.by_state
            .get(&state)
            .map_or(0, |count| u64::try_from(*count).unwrap_or(0))
    }

    pub(crate) fn counts(&self) -> Option<Children> {
        (self.total > 0).then(|| Children {
            total: self.total,
            by_state: self
                .by_state
                .keys()
                .map(|state| (*state, self.count(*state)))
                .filter(|(_, count)| *count > 0)
                .collect(),
        })
    }

    /// The children that have not told their end.
    pub(crate) fn live(&self) -> Vec<Arc<TaskShared>> {
        self.live.values().filter_map(Weak::upgrade).collect()
    }
}

/// Ends all live tasks below one, the nearest first: a loop, so that deep families do not exhaust
/// the stack.
pub(crate) fn end_descendants(task: &TaskShared) {
    let mut waiting = task.inner.lock().family.live();
    while let Some(child) = waiting.pop() {
        // A child that has just ended by itself has its own end.
        let _ended = child.end(End::new(Status::Cancelled).cause("parent_ended"));
        // From now on it can have no more.
        waiting.extend(child.inner.lock().family.live());
    }
}
