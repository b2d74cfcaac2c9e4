//! A worker in Rust: takes jobs from the queue, and owns the tasks that tell of them.

use std::{process, time::Duration};

use clap::Args;
use progress_core::{LookupError, ProgressTracker, StartError, Task, TaskState};
use progress_redis::RedisTransport;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    Shared, child,
    job::{Job, Kind},
    produce::Production,
    queue::Desk,
    store::Store,
};

#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// The Redis that all share
    #[arg(long, value_name = "URL")]
    redis: String,
    /// Which of the workers in Rust it is
    #[arg(long, default_value = "1")]
    name: String,
    #[command(flatten)]
    shared: Shared,
}

/// Works until the launcher goes.
///
/// # Errors
///
/// If the settings make no sense.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    let tracker = settings
        .shared
        .tracker(RedisTransport::builder(&settings.redis).build()?);
    let name = format!("rust-{}", settings.name);
    let id = format!("{name}-{}", process::id());
    let desk = Desk::new(Store::new(&settings.redis)?, Kind::Rust, id.clone());
    let worker = Worker {
        tracker,
        desk,
        store: Store::new(&settings.redis)?,
        pace: settings.shared.pace,
        id,
    };
    child::ready(&name, process::id())?;
    tokio::select! {
        () = child::told_to_end() => {}
        () = worker.work() => {}
        () = worker.desk.stay_alive() => {}
    }
    worker.leave().await;
    Ok(())
}

struct Worker {
    tracker: ProgressTracker,
    desk: Desk,
    store: Store,
    pace: Duration,
    /// No other process has the same.
    id: String,
}

impl Worker {
    /// Does one job after the other. If it is dropped meanwhile, the job's task is abandoned.
    async fn work(&self) {
        loop {
            let (job, text) = self.desk.take().await;
            if let Some(task) = self.begin(&job).await {
                self.perform(&job, task).await;
                // Whoever finds the job still waiting would do it again.
                while self.tracker.flush(Instant::now() + AWHILE).await.is_err() {
                    sleep(LOOK_AGAIN).await;
                }
            }
            self.desk.done(&text).await;
        }
    }

    /// Begins the next run of the job's task; none if there is nothing left to do.
    ///
    /// A job comes again if the worker died that had it, or seemed to. Its task may then still be
    /// live: it ends when the lease of that worker is over, or by that worker's own doing.
    async fn begin(&self, job: &Job) -> Option<Task> {
        loop {
            match self.tracker.snapshot(&job.id).await {
                Ok(task) if task.state == TaskState::Abandoned => {}
                Ok(task) if task.state.is_ended() => return None,
                Ok(_) => {
                    self.ended(job).await;
                    continue;
                }
                Err(LookupError::NotFound(_)) => {}
                Err(_) => {
                    sleep(LOOK_AGAIN).await;
                    continue;
                }
            }
            let task = job.stages().fold(
                self.tracker
                    .task(&job.id)
                    .name(&job.title)
                    .kind("video")
                    .label("worker", &self.id)
                    .trace_id(&*job.trace_id),
                |task, stage| task.declare(stage),
            );
            match task.restart_confirmed().await {
                Ok(task) => return Some(task),
                // Somebody was faster; what it makes of it is seen above.
                Err(StartError::AlreadyExists(_)) => {}
                Err(error) => {
                    tracing::error!(%error, job = %job.id, "the job cannot be begun");
                    return None;
                }
            }
        }
    }

    /// Waits until the run that there is has ended.
    async fn ended(&self, job: &Job) {
        tracing::info!(job = %job.id, "waits for the end of the run before");
        let mut frames = self.tracker.subscribe(&job.id);
        while frames.next().await.is_some() {}
        sleep(LOOK_AGAIN).await;
    }

    async fn perform(&self, job: &Job, task: Task) {
        let reporter = task.reporter();
        let production = Production {
            job,
            task: &reporter,
            store: &self.store,
            pace: self.pace,
            worker: &self.id,
        };
        let ended = match production.run().await {
            Ok(result) => task.complete(result),
            Err(_) if task.is_cancelled() => {
                let reason = task.cancel_reason();
                task.cancel(reason.as_deref().unwrap_or("cancelled"))
            }
            Err(error) => task.fail(error),
        };
        if let Err(error) = ended {
            // Somebody has ended it who took this worker for dead.
            tracing::warn!(%error, job = %job.id, "the end was refused");
        }
    }

    /// Tells the others that what it was doing is for them to do.
    async fn leave(&self) {
        let drained = self.tracker.drain(AWHILE).await;
        let left = timeout(AWHILE, self.desk.leave()).await;
        if !drained.flushed || !matches!(left, Ok(Ok(()))) {
            tracing::info!("left without Redis");
        }
    }
}

const AWHILE: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(200);
