//! A batch: the parent of items that are looked at together, open as long as something may join it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use axum::http::StatusCode;
use demo::{analysis::Kind, refusal::Refusal};
use progress_core::{ChildPolicy, ProgressTracker, Reporter, Task, TaskId};
use serde::Serialize;
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    item::{self, Incoming, Life},
    studio::Studio,
};

/// All batches of a process. A cheap clone.
#[derive(Debug, Clone)]
pub(crate) struct Batches {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tracker: ProgressTracker,
    studio: Studio,
    /// The most items of a batch.
    items: usize,
    open: Mutex<HashMap<TaskId, Weak<Open>>>,
}

/// A batch that items may join. Each upload under way has a clone; the batch ends once there is none
/// and its items have ended.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    open: Arc<Open>,
}

#[derive(Debug)]
struct Open {
    id: TaskId,
    reporter: Reporter,
    batches: Arc<Shared>,
    listed: Mutex<Vec<Listed>>,
    /// As many as the list has.
    lives: mpsc::UnboundedSender<Life>,
}

/// An item as the batch's metadata lists it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Listed {
    pub(crate) task_id: TaskId,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    /// Whether it comes in chunks, so that it can be resumed.
    pub(crate) chunked: bool,
}

impl Batches {
    pub(crate) fn new(tracker: ProgressTracker, studio: Studio, items: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                tracker,
                studio,
                items,
                open: Mutex::default(),
            }),
        }
    }

    /// Joins the batch of this id while it is open, else starts it.
    pub(crate) fn join(&self, id: &TaskId) -> Result<Batch, Refusal> {
        let mut open = lock(&self.shared.open);
        if let Some(batch) = open.get(id).and_then(Weak::upgrade) {
            return Ok(Batch { open: batch });
        }
        let task = self
            .shared
            .tracker
            .task(id.clone())
            .name("Media")
            .kind("batch")
            .children(ChildPolicy::Partial)
            .stage("files", 1.0)
            .start()?;
        let (lives, inbox) = mpsc::unbounded_channel();
        let batch = Arc::new(Open {
            id: id.clone(),
            reporter: task.reporter(),
            batches: Arc::clone(&self.shared),
            listed: Mutex::default(),
            lives,
        });
        tokio::spawn(run(task, inbox, self.shared.studio.clone()));
        open.insert(id.clone(), Arc::downgrade(&batch));
        Ok(Batch { open: batch })
    }
}

impl Batch {
    pub(crate) fn id(&self) -> &TaskId {
        &self.open.id
    }

    /// Adds an item that is to come.
    pub(crate) fn add(&self, item: Listed, kind: Kind) -> Result<Incoming, Refusal> {
        let most = self.open.batches.items;
        let mut listed = lock(&self.open.listed);
        if listed.len() >= most {
            return Err(Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "TOO_MANY_FILES",
                format!("The batch has more than {most} files"),
            )
            .detail("limit", most));
        }
        let child = self.open.reporter.child(item.task_id.clone(), "files");
        let task = item::stages(child.name(&item.name), kind).queue()?;
        let (incoming, life) = item::divide(task);
        if let Some(size) = item.size {
            incoming.upload().set_total(size);
        }
        self.open.lives.send(life).map_err(|_| cancelled())?;
        listed.push(item);
        // For those who learn of the items by watching the batch.
        self.open.reporter.metadata("files", &*listed);
        self.open
            .reporter
            .stage("files")
            .set_total(listed.len() as u64);
        Ok(incoming)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = lock(&self.batches.open);
        // Meanwhile another one may have been asked for by the same id, and refused.
        if open
            .get(&self.id)
            .is_some_and(|batch| batch.strong_count() == 0)
        {
            open.remove(&self.id);
        }
    }
}

/// Sees the items to their ends, and then the batch.
async fn run(task: Task, mut inbox: mpsc::UnboundedReceiver<Life>, studio: Studio) {
    let mut lives = JoinSet::new();
    loop {
        tokio::select! {
            // Its items are asked to stop too; what still wants to join is refused.
            () = task.cancelled() => break,
            life = inbox.recv() => match life {
                Some(life) => drop(lives.spawn(life.live(studio.clone()))),
                None => break,
            },
        }
    }
    inbox.close();
    while let Some(life) = inbox.recv().await {
        lives.spawn(life.live(studio.clone()));
    }
    while let Some(lived) = lives.join_next().await {
        if let Err(error) = lived {
            // Its task went with it and is told as abandoned.
            tracing::error!(%error, "who looked after an item died");
        }
    }
    let ended = match task.is_cancelled() {
        true => {
            let reason = task.cancel_reason();
            task.cancel(reason.as_deref().unwrap_or("cancel_requested"))
        }
        false => task.finish(),
    };
    if let Err(error) = ended {
        tracing::warn!(%error, "a batch did not end as it should");
    }
}

fn cancelled() -> Refusal {
    Refusal::new(
        StatusCode::CONFLICT,
        "BATCH_CANCELLED",
        "The batch was cancelled",
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
