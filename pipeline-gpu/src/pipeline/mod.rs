//! Stages in a row, each working on another item at the same time.

mod aside;
mod builder;
mod item;
mod ledger;
mod line;
mod pace;
mod request;
mod run;
mod shop;
mod turnstile;
mod worker;

use std::{fmt, sync::Arc, time::Duration};

use progress_core::{Reporter, StageDecl, TaskBuilder};
use serde::Serialize;
use tokio::runtime;

pub use self::{
    builder::PipelineBuilder,
    request::{ItemTask, Request},
    run::Run,
};
use self::{item::Stop, ledger::Ledger, line::Line, shop::Floor};
use crate::{
    error::{RunError, SubmitError},
    prior::Prior,
};

/// Typed stages in a row, through which items pass one behind the other: while one is in the second
/// stage the next is in the first. A cheap clone.
///
/// An item is the whole of a [task](progress_core::Task), by [`submit`](Self::submit), or a part of
/// something larger, by [`run`](Self::run).
///
/// ```
/// use pipeline_gpu::{Context, Pipeline, blocking};
/// use progress_core::{ProgressTracker, TaskError};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let pipeline = Pipeline::builder("word-count")
///     .waiting(100)
///     .stage("split", blocking(|_cx: &Context, text: String| {
///         Ok(text.split(' ').map(str::to_owned).collect::<Vec<_>>())
///     }))
///     .weight(3.0)
///     .stage("count", |cx: Context, words: Vec<String>| async move {
///         cx.reporter().metadata("words", words.len());
///         Ok::<_, TaskError>(words.len())
///     })
///     .build()?;
///
/// let tracker = ProgressTracker::new();
/// let run = pipeline.submit(tracker.task("count-7"), "to be or not to be".to_owned())?;
/// assert_eq!(run.await?, 6);
///
/// let task = tracker.snapshot("count-7").await?;
/// assert_eq!(task.stages[0].weight, 3.0);
/// assert_eq!(task.result.unwrap().json(), "6");
/// pipeline.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// When the last clone is dropped the pipeline takes no more items, goes on if it was
/// [paused](Self::pause), and its workers end when the items that it has are through.
pub struct Pipeline<In, Out>(Arc<Handle<In, Out>>);

/// Closes the pipeline with the last clone, and takes back its pause.
struct Handle<In, Out>(Parts<In, Out>);

struct Parts<In, Out> {
    floor: Arc<Floor>,
    ledger: Arc<Ledger<Out>>,
    first: Arc<Line<In>>,
    waiting: usize,
    deadline: Option<Duration>,
    /// On which items are watched, wherever they are given in.
    runtime: runtime::Handle,
}

impl<In: Send + 'static> Pipeline<In, In> {
    /// Describes a pipeline of that name, stage by stage.
    pub fn builder(name: &str) -> PipelineBuilder<In, In> {
        PipelineBuilder::new(name)
    }
}

impl<In, Out> Pipeline<In, Out>
where
    In: Send + 'static,
    Out: Send + 'static,
{
    fn new(parts: Parts<In, Out>) -> Self {
        Self(Arc::new(Handle(parts)))
    }

    /// Begins an item of which more is to be said than its input.
    #[must_use = "an item is taken when it is submitted or run"]
    pub fn item(&self, input: In) -> Request<'_, In, Out> {
        Request::new(self, input)
    }

    /// Takes an item that is the whole of a task: `queued` with its place until its work begins,
    /// then `started`, with the pipeline's stages and their weights, and ended as the item ends:
    /// `completed` with the output as its result, `failed` with the error of the stage, or
    /// `cancelled`, also when a watcher asks for it. A task that was started before shows no place.
    ///
    /// # Errors
    ///
    /// [`SubmitError`] with the input, if too many wait, the pipeline is closed, or the task cannot
    /// be made.
    pub fn submit(&self, task: impl Into<ItemTask>, input: In) -> Result<Run<Out>, SubmitError<In>>
    where
        Out: Serialize,
    {
        self.item(input).submit(task)
    }

    /// Has an item run that reports to stages of the task of `reporter`, which it does not end; or
    /// to nobody, with [`Reporter::noop`]. It is cancelled with that task, and when this future is
    /// dropped.
    ///
    /// Its place while it waits is told to nobody: that is told of an item whose own task is
    /// `queued`, see [`submit`](Self::submit).
    ///
    /// # Errors
    ///
    /// [`RunError`] if the item was not taken, failed, or was cancelled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the item.
    pub async fn run(&self, reporter: &Reporter, input: In) -> Result<Out, RunError> {
        self.item(input).run(reporter).await
    }
}

impl<In, Out> Pipeline<In, Out> {
    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.parts().floor.shop.name
    }

    /// Returns its stages with their present weights, to declare them in a larger task below the
    /// path that items are [run](Request::run_under) under.
    #[must_use]
    pub fn stages<'a>(&self, under: impl Into<Option<&'a str>>) -> Vec<StageDecl> {
        self.parts().floor.shop.stages(under.into())
    }

    /// Declares its stages with their present weights in a task, as
    /// [`submit`](Self::submit) does for a task that has not begun.
    pub fn declare(&self, task: TaskBuilder) -> TaskBuilder {
        self.stages(None)
            .into_iter()
            .fold(task, TaskBuilder::declare)
    }

    /// Returns how long its stages took lately, to be kept for
    /// [the next start](PipelineBuilder::prior).
    #[must_use]
    pub fn prior(&self) -> Prior {
        self.parts().floor.shop.prior.lock().clone()
    }

    /// Returns how many items wait for the first stage.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.parts()
            .floor
            .lines
            .first()
            .map_or(0, |line| line.len())
    }

    /// Returns how many items it has, waiting or worked on.
    #[must_use]
    pub fn live(&self) -> usize {
        self.parts().ledger.live()
    }

    /// Has nothing more be started until [`resume`](Self::resume): stages that work come to their
    /// end, items are still taken and wait. Tasks that are items' own and have started show as
    /// `paused`, with the reason.
    pub fn pause<'a>(&self, reason: impl Into<Option<&'a str>>) {
        let reason: Option<Arc<str>> = reason.into().map(Arc::from);
        self.parts().ledger.pause(Some(&reason));
    }

    /// Goes on after a [pause](Self::pause); items that are paused by themselves stay so.
    pub fn resume(&self) {
        self.parts().ledger.pause(None);
        self.parts().floor.wake();
    }

    /// Tells whether it is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.parts().ledger.is_paused()
    }

    /// Has all items stop that it has now.
    pub fn cancel_all<'a>(&self, reason: impl Into<Option<&'a str>>) {
        let reason: Option<Arc<str>> = reason.into().map(Arc::from);
        for item in self.parts().ledger.items() {
            self.parts()
                .floor
                .stop(&item, Stop::Cancelled(reason.clone()));
        }
    }

    /// Takes no more items, and waits until those that it has are through. While the pipeline or an
    /// item is paused, that is not before it is resumed or cancelled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the pipeline closed; it can be called again, and by many.
    pub async fn close(&self) {
        self.parts().ledger.close();
        self.parts().ledger.idle().await;
    }

    /// Tells whether it takes no more items.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.parts().ledger.is_closed()
    }

    fn parts(&self) -> &Parts<In, Out> {
        &self.0.0
    }
}

impl<In, Out> Drop for Handle<In, Out> {
    fn drop(&mut self) {
        self.0.ledger.close();
        if self.0.ledger.is_paused() {
            // Nobody could take it back any more.
            self.0.ledger.pause(None);
            self.0.floor.wake();
        }
    }
}

impl<In, Out> Clone for Pipeline<In, Out> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<In, Out> fmt::Debug for Pipeline<In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("name", &self.name())
            .field("waiting", &self.waiting())
            .field("live", &self.live())
            .field("paused", &self.is_paused())
            .field("closed", &self.is_closed())
            .finish()
    }
}
