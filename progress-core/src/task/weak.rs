//! A reporter that keeps nothing.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use crate::task::{Reporter, counter::Counter, shared::TaskShared};

/// Stands for a [`Reporter`] without keeping the memory of its task.
///
/// A reporter never keeps a task alive (that is its one [`Task`](crate::Task)'s part), but it keeps
/// the task's log in memory after the tracker has forgotten it. Caches and registries that outlive
/// their tasks hold this instead.
///
/// ```
/// use progress_core::ProgressTracker;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let tracker = ProgressTracker::new();
/// let task = tracker.task("video-42").start()?;
/// let weak = task.downgrade();
/// assert!(weak.upgrade().is_some());
/// task.complete(())?;
/// tracker.remove("video-42").await?;
/// assert!(weak.upgrade().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct WeakReporter {
    task: Option<Weak<TaskShared>>,
    detached_from: Option<Weak<TaskShared>>,
    index: usize,
    counter: Weak<Counter>,
}

impl Reporter {
    /// Makes a handle that does not keep the task's memory.
    #[must_use]
    pub fn downgrade(&self) -> WeakReporter {
        WeakReporter {
            task: self.task.as_ref().map(Arc::downgrade),
            detached_from: self.detached_from.as_ref().map(Arc::downgrade),
            index: self.index,
            counter: Arc::downgrade(&self.counter),
        }
    }
}

impl WeakReporter {
    /// Returns the reporter, unless its task is gone from memory. Of [`Reporter::noop`] there is
    /// always one.
    #[must_use]
    pub fn upgrade(&self) -> Option<Reporter> {
        if self.task.is_none() && self.detached_from.is_none() {
            return Some(Reporter::noop());
        }
        let strong = |weak: &Option<Weak<TaskShared>>| match weak {
            Some(weak) => weak.upgrade().map(Some),
            None => Some(None),
        };
        let (task, detached_from) = (strong(&self.task)?, strong(&self.detached_from)?);
        let counter = match &task {
            Some(_) => self.counter.upgrade()?,
            // Nobody reads it.
            None => Reporter::noop().counter,
        };
        Some(Reporter {
            task,
            detached_from,
            index: self.index,
            counter,
        })
    }
}

impl fmt::Debug for WeakReporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let task = self.task.as_ref().and_then(Weak::upgrade);
        f.debug_struct("WeakReporter")
            .field("task", &task.as_deref().map(|task| &task.id))
            .finish_non_exhaustive()
    }
}
