//! The life of one item: it arrives, is analysed, and ends, and may be cancelled at any point.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use demo::{
    analysis::{Kind, Source, Step},
    batch::upload_aborted,
    work::fail,
};
use progress_core::{Reporter, Task, TaskBuilder, TaskError};
use tempfile::TempPath;
use tokio::sync::oneshot;

use crate::studio::Studio;

/// The stages of an item: half of it is the upload and half the analysis.
pub(crate) const UPLOAD: &str = "upload";
pub(crate) const ANALYZE: &str = "analyze";

/// An item that is on its way. Dropped before it has arrived, it ends `failed`.
#[derive(Debug)]
pub(crate) struct Incoming {
    task: Held,
    upload: Reporter,
    arrival: oneshot::Sender<Result<Arrived, TaskError>>,
}

/// An item that is there.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) source: Source,
    /// What takes the file away when the work is done.
    pub(crate) kept: TempPath,
    /// What it should be, if the sender has said so.
    pub(crate) sha256: Option<String>,
}

/// An item from its side: what it waits for.
#[derive(Debug)]
pub(crate) struct Life {
    task: Held,
    reporter: Reporter,
    arrival: oneshot::Receiver<Result<Arrived, TaskError>>,
}

/// The task, which both sides need until one takes it to end it.
type Held = Arc<Mutex<Option<Task>>>;

/// Gives a task its stages.
pub(crate) fn stages(task: TaskBuilder, kind: Kind) -> TaskBuilder {
    let task = task.kind("media").stage(UPLOAD, 50.0).stage(ANALYZE, 50.0);
    Step::for_kind(kind).iter().fold(task, |task, step| {
        task.stage(format!("{ANALYZE}/{step}"), f64::from(step.weight()))
    })
}

/// Divides a task between who receives the item and who looks after its life.
pub(crate) fn divide(task: Task) -> (Incoming, Life) {
    let reporter = task.reporter();
    let upload = reporter.stage(UPLOAD).unit("bytes");
    let task = Arc::new(Mutex::new(Some(task)));
    let (sender, arrival) = oneshot::channel();
    let incoming = Incoming {
        task: Arc::clone(&task),
        upload,
        arrival: sender,
    };
    let life = Life {
        task,
        reporter,
        arrival,
    };
    (incoming, life)
}

impl Incoming {
    /// Its first bytes are here.
    pub(crate) fn begin(&self) {
        if let Some(task) = &*lock(&self.task)
            && let Err(error) = task.begin()
        {
            tracing::debug!(%error, "an item was over before it began");
        }
        // A sign of life: it is being uploaded.
        self.upload.inc(0);
    }

    /// Returns the reporter of its upload, in bytes.
    pub(crate) fn upload(&self) -> &Reporter {
        &self.upload
    }

    /// Whether it has ended, so that the rest of it is of no use.
    pub(crate) fn is_over(&self) -> bool {
        self.arrival.is_closed()
    }

    pub(crate) fn arrived(self, arrived: Arrived) {
        self.upload.finish();
        // Over already: then it goes away here.
        let _over = self.arrival.send(Ok(arrived));
    }

    pub(crate) fn fail(self, error: TaskError) {
        let _over = self.arrival.send(Err(error));
    }
}

impl Life {
    /// Sees the item to its end.
    pub(crate) async fn live(self, studio: Studio) {
        let Self {
            task,
            reporter,
            arrival,
        } = self;
        let outcome = tokio::select! {
            biased;
            () = reporter.cancelled() => None,
            outcome = analysed(&studio, &reporter, arrival) => Some(outcome),
        };
        let Some(task) = lock(&task).take() else {
            return;
        };
        let ended = match outcome {
            None => {
                let reason = task.cancel_reason();
                task.cancel(reason.as_deref().unwrap_or("cancel_requested"))
            }
            Some(Ok(found)) => task.complete(found),
            Some(Err(error)) => return fail(task, error),
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "an item did not end as it should");
            if let Some(task) = error.into_task() {
                let error = "The result is too large to be shown";
                fail(task, TaskError::new("RESULT_TOO_LARGE", error));
            }
        }
    }
}

async fn analysed(
    studio: &Studio,
    reporter: &Reporter,
    arrival: oneshot::Receiver<Result<Arrived, TaskError>>,
) -> Result<crate::studio::Found, TaskError> {
    let arrived = arrival.await.unwrap_or_else(|_| Err(upload_aborted()))?;
    let Arrived {
        source,
        kept,
        sha256,
    } = arrived;
    let analyze = reporter.stage(ANALYZE);
    analyze.inc(0);
    let found = studio.analyse(&analyze, source, sha256.as_deref()).await;
    drop(kept);
    found
}

fn lock(task: &Held) -> MutexGuard<'_, Option<Task>> {
    task.lock().unwrap_or_else(PoisonError::into_inner)
}
