//! What a stage knows of the item that it works on.

use std::{fmt, sync::Arc, time::Duration};

use progress_core::{Reporter, TaskError};
use serde_json::{Map, Value};
use tokio::{sync::watch, time::Instant};

use crate::{
    cancel::Cancel,
    desk::{Desk, Keeps, Pauses},
    error,
    stopwatch::{Held, Stopwatch},
    threads::CpuPool,
};

/// What a stage knows of the item that it works on: where to report, when to stop, and what was
/// given with the item. A cheap clone.
#[derive(Clone)]
pub struct Context {
    reporter: Reporter,
    cancel: Cancel,
    attempt: u32,
    site: Arc<Site>,
}

/// The parts of a context that are the same in every attempt.
pub(crate) struct Site {
    pub(crate) stage: Arc<str>,
    /// Whether its progress is estimated, by the pipeline.
    pub(crate) opaque: bool,
    pub(crate) deadline: Option<Instant>,
    pub(crate) metadata: Arc<Map<String, Value>>,
    /// Whether the item, or its whole pipeline, is paused.
    pub(crate) pauses: watch::Receiver<Pauses>,
    pub(crate) desk: Desk,
    pub(crate) stopwatch: Stopwatch,
    pub(crate) pool: CpuPool,
}

impl Context {
    /// Makes a context of no pipeline, to run a stage by itself: never paused, without a deadline,
    /// on the [pool of the process](CpuPool::shared).
    ///
    /// ```
    /// use pipeline_gpu::{Context, Stage};
    /// use progress_core::{Reporter, TaskError};
    ///
    /// struct Double;
    ///
    /// impl Stage<u32, u32> for Double {
    ///     async fn run(&self, _cx: Context, input: u32) -> Result<u32, TaskError> {
    ///         Ok(input * 2)
    ///     }
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let cx = Context::detached("double", Reporter::noop());
    /// assert_eq!(Double.run(cx, 21).await?, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn detached(stage: &str, reporter: Reporter) -> Self {
        // A watch whose sender is gone keeps its last value.
        let (_, pauses) = watch::channel(Pauses::default());
        Self::new(
            reporter,
            Cancel::new(),
            Site {
                stage: Arc::from(stage),
                opaque: false,
                deadline: None,
                metadata: Arc::default(),
                pauses,
                desk: Desk::default(),
                stopwatch: Stopwatch::start(),
                pool: CpuPool::shared().clone(),
            },
        )
    }

    pub(crate) fn new(reporter: Reporter, cancel: Cancel, site: Site) -> Self {
        Self {
            reporter,
            cancel,
            attempt: 1,
            site: Arc::new(site),
        }
    }

    /// Returns the reporter of this stage of the item's task.
    #[must_use]
    pub fn reporter(&self) -> &Reporter {
        &self.reporter
    }

    /// Returns the flag by which this work is told to stop.
    #[must_use]
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Tells whether the work is to stop: one atomic load, for inner loops.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Returns the stage's name.
    #[must_use]
    pub fn stage(&self) -> &str {
        &self.site.stage
    }

    /// Returns which attempt this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Returns when the item has to be through the pipeline, if it has to.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.site.deadline
    }

    /// Returns how long there is until the [deadline](Self::deadline), if there is one.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        self.deadline().map(left)
    }

    /// Returns a value that was [given](crate::Request::metadata) with the item.
    #[must_use]
    pub fn metadata(&self, name: &str) -> Option<&Value> {
        self.site.metadata.get(name)
    }

    /// Returns the pool for what keeps a processor busy.
    #[must_use]
    pub fn pool(&self) -> &CpuPool {
        &self.site.pool
    }

    /// Waits while the item or its pipeline is paused. Long stages call it between their parts, to
    /// be paused there too; between stages, and before each attempt, it is done for them.
    ///
    /// While an item that is paused by itself waits here, its stage works on another in its place;
    /// then it waits until the stage has room for it. So code that calls this should have nothing
    /// that another item of the stage waits for, such as a lock of its own. An item that has been
    /// admitted by an [`Admission`](crate::Admission), is on a thread of this crate or in a batch keeps its
    /// place in the stage as it keeps those.
    ///
    /// # Errors
    ///
    /// `CANCELLED` once the work is to stop.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped; what goes on then does so beside those that work in
    /// its place, until it calls this again.
    pub async fn ready(&self) -> Result<(), TaskError> {
        if self.is_cancelled() {
            return Err(error::cancelled());
        }
        while self.is_paused() || self.site.desk.is_left() {
            let _held = self.hold();
            let _waits = self.site.desk.wait();
            let mut pauses = self.site.pauses.clone();
            let goes_on = pauses.wait_for(|pauses| !pauses.any());
            if self.or_cancelled(goes_on).await?.is_err() {
                // Nobody can pause it any more, nor have it go on.
                break;
            }
            self.or_cancelled(self.site.desk.taken()).await?;
        }
        Ok(())
    }

    /// Awaits something, but not beyond the time when the work is to stop: then it is dropped.
    ///
    /// # Errors
    ///
    /// `CANCELLED` once the work is to stop.
    ///
    /// # Cancel safety
    ///
    /// That of `future`.
    pub async fn or_cancelled<F: Future>(&self, future: F) -> Result<F::Output, TaskError> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = self.cancel.cancelled() => Err(error::cancelled()),
        }
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.site.pauses.borrow().any()
    }

    pub(crate) fn is_opaque(&self) -> bool {
        self.site.opaque
    }

    /// Waits while it is paused or has no desk, as an onlooker. False if nobody can have it go on any
    /// more.
    pub(crate) async fn resumed(&self) -> bool {
        let mut pauses = self.site.pauses.clone();
        if pauses.wait_for(|pauses| !pauses.any()).await.is_err() {
            return false;
        }
        self.site.desk.taken().await;
        true
    }

    /// Waits until it is paused, or has no desk.
    pub(crate) async fn held_up(&self) {
        tokio::select! {
            () = self.paused() => {}
            () = self.site.desk.left() => {}
        }
    }

    /// Waits until the item, or its whole pipeline, is paused.
    pub(crate) async fn paused(&self) {
        let mut pauses = self.site.pauses.clone();
        if pauses.wait_for(|pauses| pauses.any()).await.is_err() {
            // Nobody can pause it any more.
            std::future::pending().await
        }
    }

    /// The error of work that whoever was to do it has dropped.
    pub(crate) fn lost(&self) -> TaskError {
        match self.is_cancelled() {
            true => error::cancelled(),
            false => error::item_lost(),
        }
    }

    /// The time until the guard is dropped is not the stage's.
    pub(crate) fn hold(&self) -> Held {
        self.site.stopwatch.hold()
    }

    /// Until the guard is dropped one of several works on the item, side by side: while one waits the
    /// others work.
    #[cfg(all(feature = "__runtime", feature = "audio"))]
    pub(crate) fn hand(&self) -> crate::stopwatch::Hand {
        self.site.stopwatch.hand()
    }

    /// Until the guard is dropped the item has something that others may wait for.
    pub(crate) fn keep(&self) -> Keeps {
        self.site.desk.keep()
    }

    /// The same, but none if the item is paused or its desk is for others: it could wait for one at
    /// which another waits for what it has.
    pub(crate) fn keep_unless_held_up(&self) -> Option<Keeps> {
        if self.is_paused() {
            return None;
        }
        self.site.desk.try_keep()
    }

    pub(crate) fn stopwatch(&self) -> &Stopwatch {
        &self.site.stopwatch
    }

    pub(crate) fn in_attempt(&self, attempt: u32) -> Self {
        Self {
            attempt,
            ..self.clone()
        }
    }

    /// The same work with a flag of its own below this one's.
    pub(crate) fn with_cancel(&self, cancel: Cancel) -> Self {
        Self {
            cancel,
            ..self.clone()
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("stage", &self.stage())
            .field("task", &self.reporter.task_id())
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
