//! Stages that work on many items at once.

mod collector;

use std::{fmt, sync::Arc, time::Duration};

use progress_core::TaskError;
use tokio::sync::{mpsc, oneshot};

use self::collector::{Collector, Entry, Limits};
use crate::{cancel::Cancel, context::Context, stage::Stage, sync::Mutex};

/// Work that is cheaper for many items at once: one run of a model on a batch.
///
/// [`Batched`] makes a [`Stage`] of it.
pub trait BatchStage<In, Out>: Send + Sync + 'static {
    /// Works on a batch, and gives a result for each item, in their order.
    ///
    /// # Errors
    ///
    /// An error in place of the results is that of every item. So is a panic, and another number of
    /// results than of items.
    ///
    /// # Cancel safety
    ///
    /// Once every item of the batch is to stop, [`BatchContext::cancel`] is set, and the future is
    /// dropped [`grace`](Self::grace) later if it has not come to an end by itself.
    fn run(
        &self,
        cx: BatchContext,
        inputs: Vec<In>,
    ) -> impl Future<Output = Result<Vec<Result<Out, TaskError>>, TaskError>> + Send;

    /// Returns how long it may go on once all of its items are to stop (default not at all).
    fn grace(&self) -> Duration {
        Duration::ZERO
    }

    /// Tells whether it reports no progress of its own. See [`Stage::is_opaque`] (default no).
    fn is_opaque(&self) -> bool {
        false
    }
}

impl<F, In, Out, Fut> BatchStage<In, Out> for F
where
    F: Fn(BatchContext, Vec<In>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Vec<Result<Out, TaskError>>, TaskError>> + Send,
{
    fn run(
        &self,
        cx: BatchContext,
        inputs: Vec<In>,
    ) -> impl Future<Output = Result<Vec<Result<Out, TaskError>>, TaskError>> + Send {
        self(cx, inputs)
    }
}

/// What a [`BatchStage`] knows of its batch.
#[derive(Debug, Clone)]
pub struct BatchContext {
    items: Arc<[Context]>,
    cancel: Cancel,
}

impl BatchContext {
    /// Returns what is known of each item, in the order of the inputs.
    #[must_use]
    pub fn items(&self) -> &[Context] {
        &self.items
    }

    /// Returns the flag that is set once every item of the batch is to stop.
    #[must_use]
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }
}

/// A [`Stage`] that gathers items into batches for a [`BatchStage`].
///
/// An item that finds the stage idle is run at once, with those that came together with it. While
/// the stage is busy items gather: a batch runs when it is full and, as soon as a run may begin,
/// when its first item has waited [`max_wait`](Self::max_wait), or at once if the batch before it
/// was one item alone. So a batch costs nothing where there is little to do, and little time where
/// there is much.
///
/// An item that is cancelled or paused leaves a batch that has not begun. An item that is retried
/// joins a later batch. Clones share their batches, also from stages of different pipelines. Batches
/// fill only where the stage's [concurrency](crate::PipelineBuilder::concurrency), by default twice
/// the size of a batch, is not set below that size.
///
/// ```
/// use pipeline_gpu::{BatchContext, Batched, Pipeline};
/// use progress_core::{Reporter, TaskError};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let roots = Batched::new(|_cx: BatchContext, numbers: Vec<f64>| async move {
///     Ok(numbers
///         .into_iter()
///         .map(|n| match n >= 0.0 {
///             true => Ok(n.sqrt()),
///             // This item's failure alone.
///             false => Err(TaskError::new("NEGATIVE", "There is no root of it")),
///         })
///         .collect())
/// })
/// .max_size(8);
/// let pipeline = Pipeline::builder("roots").stage("root", roots).build()?;
/// let nobody = Reporter::noop();
/// let (one, other) = tokio::join!(pipeline.run(&nobody, 4.0), pipeline.run(&nobody, -4.0));
/// assert_eq!(one?, 2.0);
/// assert!(other.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Batched<S, In, Out> {
    stage: Arc<S>,
    limits: Limits,
    /// None before the first item, or when the runtime that it worked on is gone.
    collector: Arc<Mutex<Option<Entries<In, Out>>>>,
}

/// Where a collector takes entries from.
type Entries<In, Out> = mpsc::Sender<Entry<In, Out>>;

impl<S, In, Out> Batched<S, In, Out>
where
    S: BatchStage<In, Out>,
{
    /// The most items that a batch can have.
    pub const SIZE: usize = 4_096;
    /// The most batches that run at a time.
    pub const AT_ONCE: usize = 256;

    /// Gathers items for `stage`.
    #[must_use]
    pub fn new(stage: S) -> Self {
        Self {
            stage: Arc::new(stage),
            limits: Limits {
                size: 16,
                wait: Duration::from_millis(5),
                at_once: 1,
            },
            collector: Arc::default(),
        }
    }

    /// Sets how many items a batch has at most (default 16; from 1 to [`SIZE`](Self::SIZE)).
    #[must_use]
    pub fn max_size(mut self, items: usize) -> Self {
        self.limits.size = items.clamp(1, Self::SIZE);
        self.apart()
    }

    /// Sets how long the first item of a batch waits for others at most, when a run could begin
    /// (default 5 ms).
    #[must_use]
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.limits.wait = wait;
        self.apart()
    }

    /// Sets how many batches run at a time (default 1; from 1 to [`AT_ONCE`](Self::AT_ONCE)).
    #[must_use]
    pub fn at_once(mut self, batches: usize) -> Self {
        self.limits.at_once = batches.clamp(1, Self::AT_ONCE);
        self.apart()
    }

    /// With limits of its own it gathers by itself.
    fn apart(self) -> Self {
        Self {
            collector: Arc::default(),
            ..self
        }
    }
}

impl<S, In, Out> Batched<S, In, Out>
where
    S: BatchStage<In, Out>,
    In: Send + 'static,
    Out: Send + 'static,
{
    fn collector(&self) -> Entries<In, Out> {
        let mut collector = self.collector.lock();
        match &*collector {
            Some(entries) if !entries.is_closed() => entries.clone(),
            _ => {
                let entries = Collector::start(Arc::clone(&self.stage), self.limits);
                collector.insert(entries).clone()
            }
        }
    }
}

impl<S, In, Out> Stage<In, Out> for Batched<S, In, Out>
where
    S: BatchStage<In, Out>,
    In: Send + 'static,
    Out: Send + 'static,
{
    async fn run(&self, cx: Context, input: In) -> Result<Out, TaskError> {
        let mut input = Some(input);
        while let Some(next) = input.take() {
            cx.ready().await?;
            let given = Given(Arc::new(Mutex::new(Some(next))));
            let (reply, mut result) = oneshot::channel();
            let entry = Entry {
                waited: cx.hold(),
                cx: cx.clone(),
                input: Arc::clone(&given.0),
                reply,
            };
            let entries = self.collector();
            // It fails only if the runtime goes away.
            if cx.or_cancelled(entries.send(entry)).await?.is_err() {
                break;
            }
            let mut ended = tokio::select! {
                biased;
                result = &mut result => Some(result),
                () = cx.cancel().cancelled() => None,
                () = cx.paused() => None,
            };
            if ended.is_none() {
                // It leaves a batch that has not begun, to come back if it goes on.
                input = given.take_back();
                if input.is_none() {
                    ended = Some(result.await);
                }
            }
            match ended {
                Some(Ok(Ok(result))) => return result,
                Some(Ok(Err(panic))) => std::panic::resume_unwind(Box::new(panic)),
                Some(Err(_)) => break,
                None => {}
            }
        }
        Err(cx.lost())
    }

    fn concurrency(&self) -> usize {
        // While a batch runs the next one gathers.
        self.limits.size * (self.limits.at_once + 1)
    }

    fn grace(&self) -> Duration {
        self.stage.grace()
    }

    fn is_opaque(&self) -> bool {
        self.stage.is_opaque()
    }
}

/// What an item has given to a batch. If the batch has not begun it is taken back, at the latest when
/// nobody waits any more: what drops it may panic, and the others are not to hear of that.
struct Given<In>(Arc<Mutex<Option<In>>>);

impl<In> Given<In> {
    fn take_back(&self) -> Option<In> {
        self.0.lock().take()
    }
}

impl<In> Drop for Given<In> {
    fn drop(&mut self) {
        drop(self.take_back());
    }
}

impl<S, In, Out> Clone for Batched<S, In, Out> {
    fn clone(&self) -> Self {
        Self {
            stage: Arc::clone(&self.stage),
            limits: self.limits,
            collector: Arc::clone(&self.collector),
        }
    }
}

impl<S, In, Out> fmt::Debug for Batched<S, In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batched")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
