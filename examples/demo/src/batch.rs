//! A batch: one parent task, one child for each of its files, a bounded number at work.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use progress_core::{
    ChildPolicy, ProgressTracker, Reporter, StartError, Task, TaskBuilder, TaskError, TaskId,
};
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinSet,
};

use crate::{
    analysis::{Kind, Limits, Source, Step},
    work::{self, Abort},
};

/// Where all batches of a process take their turn.
#[derive(Debug, Clone)]
pub struct Workshop {
    tracker: ProgressTracker,
    slots: Arc<Semaphore>,
    /// Of the places, those that files may take while they are still coming: one is left, so that
    /// slow uploads do not keep complete ones waiting.
    receiving: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    limits: Limits,
}

impl Workshop {
    /// Makes a workshop in which `at_once` files are worked on at a time, the others queued.
    #[must_use]
    pub fn new(tracker: ProgressTracker, at_once: usize) -> Self {
        Self {
            tracker,
            slots: Arc::new(Semaphore::new(at_once)),
            receiving: Arc::new(Semaphore::new(at_once.saturating_sub(1).max(1))),
            waiting: Arc::default(),
            limits: Limits::default(),
        }
    }

    /// Starts a batch. Its files' tasks feed the stage `files`; with `receive`, a stage of that
    /// name stands before it for what is still being uploaded.
    ///
    /// # Errors
    ///
    /// What [`progress_core::TaskBuilder::start`] says.
    pub fn start(&self, id: TaskId, receive: bool) -> Result<Batch, StartError> {
        let mut task = self
            .tracker
            .task(id.clone())
            .name("Files")
            .kind("batch")
            .children(ChildPolicy::Partial);
        if receive {
            task = task.stage("receive", 1.0);
        }
        let task = task.stage("files", 9.0).start()?;
        let reporter = task.reporter();
        if receive {
            // The first thing that happens, also if the first file comes in one piece.
            reporter.stage("receive").inc(0);
        }
        let (files, inbox) = mpsc::unbounded_channel();
        let (abort, aborted) = watch::channel(None);
        tokio::spawn(run(task, inbox, abort, self.limits.clone()));
        Ok(Batch {
            id,
            workshop: self.clone(),
            reporter,
            files,
            aborted,
            listed: Vec::new(),
        })
    }

    /// A place if one is free, and with `receive` leave to hold it while the file is coming.
    fn free_slot(&self, receive: bool) -> Option<(Slot, Option<OwnedSemaphorePermit>)> {
        let receiving = match receive {
            true => Some(Arc::clone(&self.receiving).try_acquire_owned().ok()?),
            false => None,
        };
        let permit = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        let slot = Slot {
            _permit: Some(permit),
        };
        Some((slot, receiving))
    }

    async fn slot(&self) -> Slot {
        // The semaphore is never closed.
        let permit = Arc::clone(&self.slots).acquire_owned().await.ok();
        Slot { _permit: permit }
    }
}

/// A batch that still takes files. Dropped before [`close`](Self::close), it is aborted.
#[derive(Debug)]
pub struct Batch {
    id: TaskId,
    workshop: Workshop,
    reporter: Reporter,
    files: mpsc::UnboundedSender<Message>,
    aborted: watch::Receiver<Option<TaskError>>,
    listed: Vec<Listed>,
}

/// A file as the batch's metadata lists it.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// The file's name.
    pub name: String,
    /// Its task.
    pub task_id: TaskId,
}

#[derive(Debug)]
enum Message {
    File(Box<Job>),
    Close,
    Abort(TaskError),
}

/// A file's task before its file is there.
#[derive(Debug)]
pub struct Pending {
    task: Task,
    slot: Option<Slot>,
    receiving: Option<OwnedSemaphorePermit>,
    waiting: Option<Waiting>,
}

/// A file that is there, and its task.
#[derive(Debug)]
struct Job {
    pending: Pending,
    source: Source,
    /// What goes away when the work is done: the upload's temporary file.
    _keep: Option<tempfile::TempPath>,
    workshop: Workshop,
    abort: Abort,
}

/// A place among those at work.
#[derive(Debug)]
pub(crate) struct Slot {
    _permit: Option<OwnedSemaphorePermit>,
}

/// A place in the queue, given back on drop.
#[derive(Debug)]
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Batch {
    /// Returns the batch's task.
    #[must_use]
    pub fn id(&self) -> &TaskId {
        &self.id
    }

    /// Returns the files so far, in order.
    #[must_use]
    pub fn listed(&self) -> &[Listed] {
        &self.listed
    }

    /// Returns the reporter of the batch's stage `receive`.
    #[must_use]
    pub fn receiving(&self) -> Reporter {
        self.reporter.stage("receive")
    }

    /// Says how many files there will be, if that is known beforehand.
    pub fn expect(&self, files: usize) {
        self.reporter.stage("files").set_total(files as u64);
    }

    /// Starts the task of a file: at once if a place is free, else it is queued. With `receive`,
    /// the file is still to come, under the task's stage of that name.
    ///
    /// # Errors
    ///
    /// What [`progress_core::TaskBuilder::start`] says.
    pub fn add(&mut self, name: &str, kind: Kind, receive: bool) -> Result<Pending, StartError> {
        let id = TaskId::random();
        let builder = file_task(&self.reporter, id.clone(), name, kind, receive);
        let pending = match self.workshop.free_slot(receive) {
            Some((slot, receiving)) => Pending {
                task: builder.start()?,
                slot: Some(slot),
                receiving,
                waiting: None,
            },
            None => {
                let task = builder.queue()?;
                let before = self.workshop.waiting.fetch_add(1, Ordering::Relaxed);
                task.position(before as u64 + 1);
                Pending {
                    task,
                    slot: None,
                    receiving: None,
                    waiting: Some(Waiting(Arc::clone(&self.workshop.waiting))),
                }
            }
        };
        self.listed.push(Listed {
            name: name.to_owned(),
            task_id: id,
        });
        if receive {
            // For those who learn of the files by watching the batch.
            self.reporter.metadata("files", &self.listed);
        }
        Ok(pending)
    }

    /// Hands over a file that is there.
    pub fn hand_over(&self, pending: Pending, source: Source, keep: Option<tempfile::TempPath>) {
        let job = Job {
            pending,
            source,
            _keep: keep,
            workshop: self.workshop.clone(),
            abort: Abort::new(self.aborted.clone()),
        };
        // The batch lives until it is closed, aborted or dropped, all of which consume this.
        let _sent = self.files.send(Message::File(Box::new(job)));
    }

    /// There are no more files: the batch ends when theirs have.
    pub fn close(self) {
        let _sent = self.files.send(Message::Close);
    }

    /// Ends the batch and all its files that are not done, with this error.
    pub fn abort(self, error: TaskError) {
        let _sent = self.files.send(Message::Abort(error));
    }
}

impl Pending {
    /// Returns the reporter of the file's stage `receive`.
    #[must_use]
    pub fn receiving(&self) -> Reporter {
        self.task.stage("receive")
    }

    /// Ends the file's task: it did not arrive.
    pub fn fail(self, error: TaskError) {
        work::fail(self.task, error);
    }
}

async fn run(
    task: Task,
    mut inbox: mpsc::UnboundedReceiver<Message>,
    abort: watch::Sender<Option<TaskError>>,
    limits: Limits,
) {
    let mut work = JoinSet::new();
    let error = loop {
        match inbox.recv().await {
            Some(Message::File(job)) => drop(work.spawn(job.run(limits.clone()))),
            Some(Message::Close) => break None,
            Some(Message::Abort(error)) => break Some(error),
            None => break Some(upload_aborted()),
        }
    };
    if let Some(error) = &error {
        abort.send_replace(Some(error.clone()));
    }
    while work.join_next().await.is_some() {}
    let ended = match error {
        Some(error) => task.fail(error),
        None => task.finish(),
    };
    if let Err(error) = ended {
        tracing::warn!(%error, "the batch did not end as it should");
    }
}

impl Job {
    async fn run(self: Box<Self>, limits: Limits) {
        let Self {
            pending,
            source,
            _keep,
            workshop,
            mut abort,
        } = *self;
        let Pending {
            task,
            slot,
            receiving,
            waiting,
        } = pending;
        drop(receiving);
        let slot = match slot {
            Some(slot) => slot,
            None => tokio::select! {
                slot = workshop.slot() => slot,
                error = abort.wait() => return work::fail(task, error),
            },
        };
        drop(waiting);
        work::process(task, source, limits, abort, slot).await;
    }
}

/// Works on files that are all there, so many at a time, and ends the batch.
pub(crate) async fn run_all(task: Task, files: Vec<(TaskBuilder, Source)>, at_once: usize) {
    let batch = task
        .for_each_tracked(
            files,
            at_once,
            ChildPolicy::Partial,
            |file, source| async move {
                work::attempts(&file, source, Limits::default(), None, None).await
            },
        )
        .await;
    tracing::debug!(
        completed = batch.completed(),
        failed = batch.failed(),
        "batch"
    );
    if let Err(error) = task.finish() {
        tracing::warn!(%error, "the batch did not end as it should");
    }
}

/// The task of a file, before it is made.
pub(crate) fn file_task(
    batch: &Reporter,
    id: TaskId,
    name: &str,
    kind: Kind,
    receive: bool,
) -> TaskBuilder {
    let mut file = batch.child(id, "files").name(name).kind("file");
    if receive {
        file = file.stage("receive", 10.0);
    }
    for step in Step::for_kind(kind) {
        file = file.stage(step.name(), f64::from(step.weight()));
    }
    file
}

/// The error of files whose upload did not come to its end.
#[must_use]
pub fn upload_aborted() -> TaskError {
    TaskError::new(
        "UPLOAD_ABORTED",
        "The upload was broken off before it was complete",
    )
    .retryable(true)
    .solution("Upload the files again and leave the page open until they have arrived")
}
