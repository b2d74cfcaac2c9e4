//! Starting a task without an owner.

use std::{sync::Arc, time::Duration};

use crate::{
    channel::ChannelName,
    error::StartError,
    event::Started,
    id::TaskId,
    shared::{handle::SharedTask, remote},
    task::{Family, Silence, TaskBuilder},
    tracker::{Run, TrackerShared},
};

/// A task without an owner that is to be.
#[derive(Debug)]
pub(crate) struct SharePlan {
    pub(crate) tracker: Arc<TrackerShared>,
    pub(crate) id: TaskId,
    pub(crate) about: Started,
    pub(crate) channels: Vec<ChannelName>,
    pub(crate) queued: bool,
    pub(crate) silence: Option<Duration>,
}

impl TaskBuilder {
    /// Makes a task without an owner: anybody with its id can
    /// [publish](crate::ProgressTracker::publish) to it, on any node, and no handle ends it.
    ///
    /// It ends with a `complete` that is published to it. Until then it lives as long as
    /// something is: after [some silence](Self::silence) it is `stalled` (reason `silent`), until
    /// the next publication, which publishes `recovered` before it; after
    /// [more of it](crate::TrackerBuilder::shared_abandon_after) it is ended, `abandoned` with
    /// cause `silent`. A pause is silence too.
    ///
    /// As a [child](crate::Reporter::child) it names its parent and has no part in it: it feeds no
    /// stage, and does not end with it. With a transport it exists once the broker knows it.
    ///
    /// # Errors
    ///
    /// [`StartError`] if the id or a description is bad, the id is taken, a limit is reached, or
    /// the broker cannot be reached.
    ///
    /// # Cancel safety
    ///
    /// With a transport, dropping the future leaves it open whether there is such a task.
    ///
    /// # Examples
    ///
    /// ```
    /// use progress_core::{EventInput, ProgressTracker};
    /// use serde_json::json;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
    /// let tracker = ProgressTracker::new();
    /// let task = tracker.task("video-42").stage("matte", 1.0).share().await?;
    /// let half = json!({"stage": "matte", "current": 60, "total": 120});
    /// task.publish(vec![EventInput::new("progress_update", &half)?]).await?;
    ///
    /// assert_eq!(tracker.snapshot("video-42").await?.progress, 50.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn share(self) -> Result<SharedTask, StartError> {
        let plan = self.plan()?;
        match plan.tracker.link.clone() {
            None => plan.open(),
            Some(link) => remote::open(plan, &link).await,
        }
    }
}

impl SharePlan {
    /// Makes the task here.
    fn open(self) -> Result<SharedTask, StartError> {
        let silence = Silence {
            stalled: self.silence.unwrap_or_else(|| self.tracker.silence()),
            abandoned: self.tracker.shared_abandon_after,
        };
        let run = Run {
            stall_after: None,
            channels: self.channels,
            restart: false,
            previous: None,
            silence: Some(silence),
        };
        let alone = (None, Family::default());
        let task = self
            .tracker
            .create(self.id, alone, self.about, run, |task| {
                // Nothing but an end could refuse it, and nobody can have ended it yet: who comes
                // first starts it.
                let opened = task.open(self.queued);
                task.note_refusal(opened);
            })?;
        Ok(SharedTask::local(self.tracker, task))
    }
}

impl TrackerShared {
    fn silence(&self) -> Duration {
        self.shared_silence.unwrap_or(DEFAULT_SILENCE)
    }
}

const DEFAULT_SILENCE: Duration = Duration::from_secs(600);
