//! Items on their way in.

use std::{fmt, sync::Arc, time::Duration};

use progress_core::{Reporter, Task, TaskBuilder};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::{
    sync::{SemaphorePermit, oneshot},
    time::Instant,
};

use super::{
    Pipeline, Run,
    item::{Birth, Item, Job, Stop, Ticket},
    ledger::{Complete, Ends, Entry, Seat},
    shop::Floor,
};
use crate::error::{Refusal, SubmitError};

/// An item that is about to be given to a [`Pipeline`].
///
/// ```
/// use std::time::Duration;
///
/// use pipeline_gpu::{Context, Pipeline};
/// use progress_core::{ProgressTracker, TaskError};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let pipeline = Pipeline::builder("greet")
///     .stage("greet", |cx: Context, name: String| async move {
///         let word = cx.metadata("word").and_then(|word| word.as_str()).unwrap_or("Hello");
///         Ok::<_, TaskError>(format!("{word}, {name}"))
///     })
///     .build()?;
/// let tracker = ProgressTracker::new();
/// let run = pipeline
///     .item("Ada".to_owned())
///     .metadata("word", "Welcome")
///     .deadline(Duration::from_secs(60))
///     .submit(tracker.task("greet-1"))?;
/// assert_eq!(run.await?, "Welcome, Ada");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "an item is taken when it is submitted or run"]
pub struct Request<'a, In, Out> {
    pipeline: &'a Pipeline<In, Out>,
    input: In,
    deadline: Option<Duration>,
    metadata: Map<String, Value>,
}

/// The task of an item, or what it is to be made of.
#[derive(Debug)]
#[non_exhaustive]
pub enum ItemTask {
    /// It is made when the item is taken, with the pipeline's stages.
    Described(Box<TaskBuilder>),
    /// It is there, [queued](TaskBuilder::queue) or started; whoever made it
    /// [declared](Pipeline::declare) the stages.
    Made(Task),
}

impl From<TaskBuilder> for ItemTask {
    fn from(task: TaskBuilder) -> Self {
        Self::Described(Box::new(task))
    }
}

impl From<Task> for ItemTask {
    fn from(task: Task) -> Self {
        Self::Made(task)
    }
}

impl<'a, In, Out> Request<'a, In, Out> {
    /// How many values of metadata an item can have.
    pub const METADATA: usize = 64;

    pub(super) fn new(pipeline: &'a Pipeline<In, Out>, input: In) -> Self {
        Self {
            pipeline,
            input,
            deadline: None,
            metadata: Map::new(),
        }
    }

    /// Sets how long the item has from when it is taken to when it is through (default as the
    /// [pipeline](crate::PipelineBuilder::deadline) has it).
    pub fn deadline(mut self, time: Duration) -> Self {
        self.deadline = Some(time);
        self
    }

    /// Sets a value that every stage can [read](crate::Context::metadata) (default none; up to
    /// [`METADATA`](Self::METADATA) of them).
    pub fn metadata(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.metadata.insert(name.to_owned(), value.into());
        self
    }
}

impl<In, Out> Request<'_, In, Out>
where
    In: Send + 'static,
    Out: Send + 'static,
{
    /// Gives the item in as the whole of a task, whose result is the output. See
    /// [`Pipeline::submit`].
    ///
    /// # Errors
    ///
    /// [`SubmitError`] with the input, if too many wait, the pipeline is closed, or the task cannot
    /// be made.
    pub fn submit(self, task: impl Into<ItemTask>) -> Result<Run<Out>, SubmitError<In>>
    where
        Out: Serialize,
    {
        let complete: Complete<Out> = Box::new(|task, output| task.complete(output));
        self.give_in(task.into(), complete)
    }

    /// Gives the item in as the whole of a task, whose result is what `result` makes of the output.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit).
    pub fn submit_with<R, F>(
        self,
        task: impl Into<ItemTask>,
        result: F,
    ) -> Result<Run<Out>, SubmitError<In>>
    where
        F: FnOnce(&Out) -> R + Send + 'static,
        R: Serialize,
    {
        let complete: Complete<Out> = Box::new(|task, output| task.complete(result(output)));
        self.give_in(task.into(), complete)
    }

    /// Has the item run, with its stages those of the task of `reporter`. See [`Pipeline::run`]: its
    /// place while it waits is not told. One that is not taken says so when it is awaited.
    pub fn run(self, reporter: &Reporter) -> Run<Out> {
        self.attach(reporter, None)
    }

    /// Has the item run, with its stages below a path in the task of `reporter`: the stage `detect`
    /// under `video` is `video/detect`.
    pub fn run_under(self, reporter: &Reporter, path: &str) -> Run<Out> {
        self.attach(reporter, Some(Arc::from(path)))
    }

    fn give_in(self, task: ItemTask, complete: Complete<Out>) -> Result<Run<Out>, SubmitError<In>> {
        let pipeline = self.pipeline;
        let admitted = self.check().and_then(|()| pipeline.admit());
        let (admission, task) = match (admitted, task) {
            (Ok(admission), ItemTask::Made(task)) => (admission, task),
            (Ok(admission), ItemTask::Described(task)) => match pipeline.declare(*task).queue() {
                Ok(task) => (admission, task),
                Err(error) => {
                    return Err(SubmitError::new(Refusal::Task(error), self.input, None));
                }
            },
            (Err(refusal), ItemTask::Made(task)) => {
                return Err(SubmitError::new(refusal, self.input, Some(task)));
            }
            (Err(refusal), ItemTask::Described(_)) => {
                return Err(SubmitError::new(refusal, self.input, None));
            }
        };
        let birth = Birth {
            id: admission.seat.id,
            reporter: task.reporter(),
            under: None,
            task: Some(task),
            deadline: self.due(),
            metadata: Arc::new(self.metadata),
        };
        Ok(pipeline.take(admission, birth, Some(complete), self.input))
    }

    fn attach(self, reporter: &Reporter, under: Option<Arc<str>>) -> Run<Out> {
        let pipeline = self.pipeline;
        match self.check().and_then(|()| pipeline.admit()) {
            Ok(admission) => {
                let birth = Birth {
                    id: admission.seat.id,
                    reporter: reporter.clone(),
                    under,
                    task: None,
                    deadline: self.due(),
                    metadata: Arc::new(self.metadata),
                };
                pipeline.take(admission, birth, None, self.input)
            }
            Err(refusal) => Run::refused(refusal),
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        match self.metadata.len() > Self::METADATA {
            true => Err(Refusal::TooMuchMetadata {
                limit: Self::METADATA,
            }),
            false => Ok(()),
        }
    }

    /// When it has to be through; a time too far to be one is none.
    fn due(&self) -> Option<Instant> {
        let time = self.deadline.or_else(|| self.pipeline.parts().deadline)?;
        Instant::now().checked_add(time)
    }
}

/// Room for an item that is being made.
struct Seated<'a, Out> {
    seat: Seat<Out>,
    place: SemaphorePermit<'a>,
}

impl<In, Out> Pipeline<In, Out>
where
    In: Send + 'static,
    Out: Send + 'static,
{
    fn admit(&self) -> Result<Seated<'_, Out>, Refusal> {
        let parts = self.parts();
        let seat = parts.ledger.seat().ok_or(Refusal::Closed)?;
        let place = parts.first.reserve().ok_or(Refusal::Full {
            limit: parts.waiting,
        })?;
        Ok(Seated { seat, place })
    }

    fn take(
        &self,
        admission: Seated<'_, Out>,
        birth: Birth,
        complete: Option<Complete<Out>>,
        input: In,
    ) -> Run<Out> {
        let parts = self.parts();
        let item = Arc::new(Item::new(birth));
        let (reply, result) = oneshot::channel();
        admission.seat.take(Entry {
            item: Arc::clone(&item),
            reply,
            complete,
        });
        let ends = Arc::clone(&parts.ledger) as Arc<dyn Ends>;
        let job = Job {
            ticket: Ticket::new(Arc::clone(&item), ends),
            value: input,
        };
        // Given back, it is lost with the job.
        drop(parts.first.put(admission.place, job));
        if item.reporter.task_id().is_some() || item.deadline.is_some() {
            parts
                .runtime
                .spawn(watch(Arc::clone(&parts.floor), Arc::clone(&item)));
        }
        Run::taken(Arc::clone(&parts.floor), item, result)
    }
}

/// Has an item stop when its task is to, or when its time is up.
async fn watch(floor: Arc<Floor>, item: Arc<Item>) {
    let late = async {
        match item.deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    let stop = tokio::select! {
        biased;
        () = item.ended.cancelled() => return,
        () = item.reporter.cancelled() => Stop::Cancelled(item.reporter.cancel_reason()),
        () = late => Stop::Deadline,
    };
    floor.stop(&item, stop);
}

impl<In, Out> fmt::Debug for Request<'_, In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("pipeline", &self.pipeline.name())
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
