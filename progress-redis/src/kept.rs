//! What this node has claimed, looked at now and then: Redis may have evicted it.
//!
//! Nothing says so when it happens. A run of which a part is gone is told again by its owner; what
//! is gone of the indices Redis makes anew while it looks.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use progress_core::{
    Epoch, TaskId,
    transport::{NodeId, Topic, TransportError},
};
use redis::Value;

use crate::{
    claims::{text, unexpected},
    functions::Function,
    shard::Shard,
};

/// The runs that were claimed here and, as far as is known, have not ended.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<Runs>);

#[derive(Debug, Default)]
struct Runs {
    claimed: BTreeMap<TaskId, (NodeId, Epoch)>,
    /// The one that was looked at last.
    last: Option<TaskId>,
}

impl Kept {
    pub(crate) fn add(&self, node: &NodeId, task: &TaskId, epoch: Epoch) {
        let mut runs = self.lock();
        runs.claimed.insert(task.clone(), (node.clone(), epoch));
    }

    /// Forgets a run, unless another of the task was claimed meanwhile.
    pub(crate) fn remove(&self, task: &TaskId, epoch: Epoch) {
        let mut runs = self.lock();
        if runs.claimed.get(task).is_some_and(|(_, of)| *of == epoch) {
            runs.claimed.remove(task);
        }
    }

    /// Looks at the next of a node's runs; of those that were evicted core is told.
    pub(crate) async fn look(&self, shard: &Shard, node: &NodeId) -> Result<(), TransportError> {
        let due = self.due(node);
        for some in due.chunks(AT_ONCE) {
            let mut call = Function::Keep.on(&shard.keys().index("lease"));
            call.arg(shard.keys().prefix()).arg(node.as_str());
            for (task, epoch) in some {
                call.arg(task.as_str()).arg(epoch.generation());
            }
            let answer = shard.function(&call).await.map_err(TransportError::from)?;
            let Value::Array(answers) = &answer else {
                return Err(unexpected("keep"));
            };
            for ((task, epoch), answer) in some.iter().zip(answers) {
                match text(answer) {
                    Some("k") => continue,
                    Some("e") => shard.resync(Topic::Task(task.clone())),
                    _ => {}
                }
                // What is told again is claimed again.
                self.remove(task, *epoch);
            }
        }
        Ok(())
    }

    /// The next ones: all within a few renewals, unless there are very many.
    fn due(&self, node: &NodeId) -> Vec<(TaskId, Epoch)> {
        let mut runs = self.lock();
        let count = (runs.claimed.len() / RENEWALS).clamp(LEAST, MOST);
        let last = runs.last.take();
        let after = last.map_or(Bound::Unbounded, Bound::Excluded);
        let next = |from| {
            let own = runs.claimed.range((from, Bound::Unbounded));
            own.filter(|(_, (of, _))| of == node)
                .map(|(task, (_, epoch))| (task.clone(), *epoch))
                .take(count)
                .collect()
        };
        let mut due: Vec<_> = next(after);
        if due.is_empty() {
            due = next(Bound::Unbounded);
        }
        runs.last = due.last().map(|(task, _)| task.clone());
        due
    }

    fn lock(&self) -> MutexGuard<'_, Runs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs in one call of the function: it holds up all others while it runs.
const AT_ONCE: usize = 256;
/// Runs looked at in one renewal.
const LEAST: usize = 256;
const MOST: usize = 4_096;
/// Renewals within which all are looked at.
const RENEWALS: usize = 6;
