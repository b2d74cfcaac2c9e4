//! The work on one file: its analysis, reported through its task.

use std::sync::Arc;

use progress_core::{
    Reporter, Task, TaskError,
    batch::{RetryPolicy, retry},
};
use tokio::sync::watch;

use crate::{
    analysis::{Analysis, AnalysisError, Limits, Observer, Source, Step, analyse},
    batch::{Slot, upload_aborted},
};

/// Tells whether the batch was aborted, and why.
#[derive(Debug, Clone)]
pub(crate) struct Abort(watch::Receiver<Option<TaskError>>);

impl Abort {
    pub(crate) fn new(aborted: watch::Receiver<Option<TaskError>>) -> Self {
        Self(aborted)
    }

    fn error(&self) -> Option<TaskError> {
        // Without a batch, as when the process ends, there is nobody to work for.
        let orphaned = self.0.has_changed().is_err();
        let error = self.0.borrow().clone();
        error.or_else(|| orphaned.then(upload_aborted))
    }

    /// Waits for an abort, for ever if none can come any more.
    pub(crate) async fn wait(&mut self) -> TaskError {
        // What it borrows must not be held while waiting for ever.
        let error = self
            .0
            .wait_for(Option::is_some)
            .await
            .map(|error| error.clone());
        match error {
            Ok(error) => error.unwrap_or_else(upload_aborted),
            Err(_) => std::future::pending().await,
        }
    }
}

/// Analyses a file and ends its task with what was found, or why nothing was.
pub(crate) async fn process(
    task: Task,
    source: Source,
    limits: Limits,
    mut abort: Abort,
    slot: Slot,
) {
    if task.begin().is_err() {
        return;
    }
    let reporter = task.reporter();
    let aborted = abort.clone();
    let analysed = tokio::select! {
        analysed = attempts(&reporter, source, limits, Some(aborted), Some(slot)) => analysed,
        error = abort.wait() => return fail(task, error),
    };
    let ended = match analysed {
        Ok(analysis) => task.complete(analysis),
        Err(error) => match abort.error() {
            None if task.is_cancelled() => {
                let reason = task.cancel_reason();
                task.cancel(reason.as_deref().unwrap_or("cancel_requested"))
            }
            aborted => return fail(task, aborted.unwrap_or(error)),
        },
    };
    if let Err(error) = ended {
        tracing::warn!(%error, "a result was not taken");
        if let Some(task) = error.into_task() {
            fail(
                task,
                TaskError::new("RESULT_TOO_LARGE", "The result is too large to be shown"),
            );
        }
    }
}

/// Analyses a file, again if it may succeed then: a file that could not be read may come back.
pub(crate) async fn attempts(
    reporter: &Reporter,
    source: Source,
    limits: Limits,
    abort: Option<Abort>,
    slot: Option<Slot>,
) -> Result<Analysis, TaskError> {
    let work = Arc::new((source, limits, slot));
    retry(reporter, RetryPolicy::default(), || {
        let work = Arc::clone(&work);
        let abort = abort.clone();
        let stop = move || abort.as_ref().is_some_and(|abort| abort.error().is_some());
        // The slot is held by the work, not by whoever waits for it.
        attempt(reporter, "", stop, move |observer| {
            let (source, limits, _slot) = &*work;
            analyse(source, limits, observer)
        })
    })
    .await
}

/// Runs a part of an analysis on a thread that may block. Its steps are reported as stages of the
/// task, their names behind `prefix`, which for stages below another ends with a slash. It is asked to
/// stop when the task is, and when `stop` says so.
///
/// # Errors
///
/// What the analysis says, as the error object; `INTERNAL` if it panicked.
///
/// # Cancel safety
///
/// Dropping the future lets the thread go on until it next asks whether to stop.
pub async fn attempt<T: Send + 'static>(
    reporter: &Reporter,
    prefix: &'static str,
    stop: impl Fn() -> bool + Send + 'static,
    work: impl FnOnce(&mut dyn Observer) -> Result<T, AnalysisError> + Send + 'static,
) -> Result<T, TaskError> {
    let mut observer = Observed {
        steps: Vec::new(),
        task: reporter.clone(),
        prefix,
        stop,
    };
    match tokio::task::spawn_blocking(move || work(&mut observer)).await {
        Ok(done) => done.map_err(|error| to_task_error(&error)),
        Err(panic) => {
            tracing::error!(%panic, "an analysis panicked");
            let message = "The analysis broke down on this file";
            Err(TaskError::new("INTERNAL", message))
        }
    }
}

/// Ends a task with an error.
pub fn fail(task: Task, error: TaskError) {
    if let Err(error) = task.fail(error) {
        // Its parent ended first: then it has an end.
        tracing::debug!(%error, "a file did not end as it should");
    }
}

fn to_task_error(error: &AnalysisError) -> TaskError {
    let mut object = TaskError::new(error.code(), error.to_string())
        .retryable(error.is_retryable())
        .stage(error.step().name());
    for solution in error.solutions() {
        object = object.solution(solution);
    }
    if let Some(partial) = error.partial() {
        object = object
            .detail("size", partial.size)
            .detail("sha256", partial.sha256.as_str());
    }
    object
}

/// Passes the steps of an analysis on to the stages of its task.
struct Observed<S> {
    steps: Vec<(Step, Reporter)>,
    task: Reporter,
    prefix: &'static str,
    stop: S,
}

impl<S> Observed<S> {
    fn reporter(&mut self, step: Step) -> &Reporter {
        let index = match self.steps.iter().position(|(known, _)| *known == step) {
            Some(index) => index,
            None => {
                let path = format!("{}{step}", self.prefix);
                self.steps.push((step, self.task.stage(&path)));
                self.steps.len() - 1
            }
        };
        &self.steps[index].1
    }
}

impl<S: Fn() -> bool> Observer for Observed<S> {
    fn started(&mut self, step: Step) {
        // A sign of life; a percent reported here would count for more than the bytes to come.
        self.reporter(step).inc(0);
    }

    fn progress(&mut self, step: Step, done: u64, total: u64) {
        let reporter = self.reporter(step);
        if done == 0 {
            reporter.set_unit("bytes");
            reporter.set_total(total);
        }
        reporter.set(done);
    }

    fn finished(&mut self, step: Step) {
        self.reporter(step).finish();
    }

    fn is_cancelled(&self) -> bool {
        self.task.is_cancelled() || (self.stop)()
    }
}
