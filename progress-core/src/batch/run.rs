//! Many items at a time, each a child.

use std::{
    collections::{HashMap, VecDeque},
    fmt, future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

use serde::Serialize;
use tokio::task::{Id, JoinError, JoinSet};

use crate::{
    error::StartError,
    event::TaskError,
    task::{ChildPolicy, Reporter, Task, TaskBuilder},
};

/// What became of the items of a [batch](Reporter::for_each_tracked).
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub struct Batch<T> {
    /// What came of each item, in their order.
    pub results: Vec<Result<T, ItemError>>,
    policy: ChildPolicy,
}

impl<T> Batch<T> {
    /// Returns how many items completed.
    #[must_use]
    pub fn completed(&self) -> usize {
        self.results.iter().filter(|result| result.is_ok()).count()
    }

    /// Returns how many items did not.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.results.len() - self.completed()
    }

    /// Tells whether the batch went well, as its policy has it.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.policy
            .is_met(self.results.len() as u64, self.completed() as u64)
    }
}

/// An item of a batch did not complete.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ItemError {
    /// Its task could not be made.
    NotStarted(StartError),
    /// It failed.
    Failed(TaskError),
    /// It was to stop, and did, or never began.
    Cancelled,
    /// It panicked.
    Panicked,
}

impl fmt::Display for ItemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotStarted(_) => "the item's task could not be made",
            Self::Failed(_) => "the item failed",
            Self::Cancelled => "the item was cancelled",
            Self::Panicked => "the item panicked",
        })
    }
}

impl std::error::Error for ItemError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotStarted(error) => Some(error),
            Self::Failed(error) => Some(error),
            Self::Cancelled | Self::Panicked => None,
        }
    }
}

impl Reporter {
    /// Works on many items, `at_once` at a time (at least one), each as a child of this task, and
    /// returns what became of them.
    ///
    /// An item is a [child](Self::child) that has not started, and whatever `work` needs for it.
    /// All children are queued first, each with its place, and begin in that order. A child ends as
    /// its work says: `completed` with the value as its result, or `failed` with the error. Each
    /// runs as a task of the runtime of its own; one that panics ends `abandoned` (`panicked`) and
    /// takes no other along.
    ///
    /// When this task is [to stop](Self::is_cancelled), its children are asked too, and those that
    /// have not begun end `cancelled` at once; so does one whose work fails after it was asked.
    /// What runs decides for itself how soon it stops, and is waited for.
    ///
    /// `policy` says when the batch [is a success](Batch::is_success), and becomes that of this
    /// task, for [`Task::finish`]. The task is not ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future aborts the work; children that have not ended end `abandoned`.
    ///
    /// # Panics
    ///
    /// Where there is no tokio runtime.
    ///
    /// # Examples
    ///
    /// See the [module `batch`](crate::batch).
    pub async fn for_each_tracked<V, T, W, F>(
        &self,
        items: impl IntoIterator<Item = (TaskBuilder, V)>,
        at_once: usize,
        policy: ChildPolicy,
        mut work: W,
    ) -> Batch<T>
    where
        W: FnMut(Self, V) -> F,
        F: Future<Output = Result<T, TaskError>> + Send + 'static,
        T: Serialize + Send + 'static,
    {
        self.set_child_policy(policy);
        let mut crew = Crew::new();
        let mut waiting = VecDeque::new();
        for (index, (child, value)) in items.into_iter().enumerate() {
            match child.queue_at(waiting.len() as u64 + 1) {
                Ok(task) => {
                    crew.results.push(None);
                    waiting.push_back((index, task, value));
                }
                Err(error) => crew.results.push(Some(Err(ItemError::NotStarted(error)))),
            }
        }
        let mut stop = pin!(self.cancelled());
        let mut stopped = false;
        loop {
            while crew.running.len() < at_once.max(1)
                && let Some((index, task, value)) = waiting.pop_front()
            {
                crew.start(index, task, |reporter| work(reporter, value));
            }
            if crew.running.is_empty() && waiting.is_empty() {
                break;
            }
            let ended = future::poll_fn(|cx| {
                if !stopped && stop.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
                crew.running.poll_join_next_with_id(cx)
            });
            match ended.await {
                Some(joined) => crew.note(joined),
                None => {
                    stopped = true;
                    for (index, task, _) in waiting.drain(..) {
                        crew.results[index] = Some(Err(cancel(task)));
                    }
                }
            }
        }
        Batch {
            results: crew
                .results
                .into_iter()
                // Each that is started is noted; one that were not would not have run.
                .map(|result| result.unwrap_or(Err(ItemError::Cancelled)))
                .collect(),
            policy,
        }
    }
}

/// Those at work, and what became of the others.
struct Crew<T> {
    running: JoinSet<Result<T, ItemError>>,
    /// Which item each of them works on.
    items: HashMap<Id, usize>,
    results: Vec<Option<Result<T, ItemError>>>,
}

impl<T: Serialize + Send + 'static> Crew<T> {
    fn new() -> Self {
        Self {
            running: JoinSet::new(),
            items: HashMap::new(),
            results: Vec::new(),
        }
    }

    fn start<F>(&mut self, index: usize, task: Task, work: impl FnOnce(Reporter) -> F)
    where
        F: Future<Output = Result<T, TaskError>> + Send + 'static,
    {
        if task.is_cancelled() || task.begin().is_err() {
            self.results[index] = Some(Err(cancel(task)));
            return;
        }
        // The task goes in, so that it unwinds with the work.
        let begun = catch_unwind(AssertUnwindSafe(move || {
            let task = task;
            let work = work(task.reporter());
            (task, work)
        }));
        match begun {
            Ok((task, work)) => {
                let running = self.running.spawn(run(task, work));
                self.items.insert(running.id(), index);
            }
            Err(_) => self.results[index] = Some(Err(ItemError::Panicked)),
        }
    }

    fn note(&mut self, joined: Result<(Id, Result<T, ItemError>), JoinError>) {
        let (id, result) = match joined {
            Ok(ended) => ended,
            Err(error) if error.is_panic() => (error.id(), Err(ItemError::Panicked)),
            // The runtime is shutting down.
            Err(error) => (error.id(), Err(ItemError::Cancelled)),
        };
        if let Some(index) = self.items.remove(&id) {
            self.results[index] = Some(result);
        }
    }
}

async fn run<T: Serialize>(
    task: Task,
    work: impl Future<Output = Result<T, TaskError>>,
) -> Result<T, ItemError> {
    match work.await {
        Ok(value) => match task.complete(&value) {
            Ok(_) => Ok(value),
            Err(refused) => match refused.into_task() {
                Some(task) => Err(fail(task, result_refused())),
                None => Err(ItemError::Cancelled),
            },
        },
        Err(_) if task.is_cancelled() => Err(cancel(task)),
        Err(error) => Err(fail(task, error)),
    }
}

fn cancel(task: Task) -> ItemError {
    let reason = task.cancel_reason();
    // One that has ended has its end.
    let _ended = task.cancel(reason.as_deref().unwrap_or("cancel_requested"));
    ItemError::Cancelled
}

fn fail(task: Task, error: TaskError) -> ItemError {
    if let Err(refused) = task.fail(error.clone())
        && let Some(task) = refused.into_task()
    {
        // Its code says more than that nobody finished it.
        let short = TaskError::new(error.code(), "The error is too large to be shown");
        let _ended = task.fail(short);
    }
    ItemError::Failed(error)
}

fn result_refused() -> TaskError {
    TaskError::new("RESULT_TOO_LARGE", "The result is too large to be kept")
}
