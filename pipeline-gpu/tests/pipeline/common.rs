//! What the tests share.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use pipeline_gpu::{Context, Stage};
use progress_core::{Data, Event, ProgressTracker, Snapshot, TaskError};
use tokio::sync::{Notify, Semaphore};

/// What happened, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A stage that takes so many milliseconds, and notes what it works on.
#[derive(Debug, Clone)]
pub(crate) struct Takes {
    pub(crate) millis: u64,
    pub(crate) log: Log,
}

impl Takes {
    pub(crate) fn millis(millis: u64) -> Self {
        Self {
            millis,
            log: Log::default(),
        }
    }

    pub(crate) fn noting(self, log: &Log) -> Self {
        Self {
            log: log.clone(),
            ..self
        }
    }
}

impl Stage<u32, u32> for Takes {
    async fn run(&self, cx: Context, input: u32) -> Result<u32, TaskError> {
        self.log.note(format!("{} begins {input}", cx.stage()));
        tokio::time::sleep(Duration::from_millis(self.millis)).await;
        self.log.note(format!("{} ends {input}", cx.stage()));
        Ok(input)
    }
}

/// A stage that lets an item through whenever it is told to.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    begun: Arc<Notify>,
    open: Arc<Semaphore>,
    pub(crate) log: Log,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            begun: Arc::default(),
            open: Arc::new(Semaphore::new(0)),
            log: Log::default(),
        }
    }

    /// Waits until an item has come; items that came before count once.
    pub(crate) async fn begun(&self) {
        soon(self.begun.notified()).await;
    }

    pub(crate) fn let_through(&self, items: usize) {
        self.open.add_permits(items);
    }
}

impl Stage<u32, u32> for Gate {
    async fn run(&self, _cx: Context, input: u32) -> Result<u32, TaskError> {
        self.log.note(input.to_string());
        self.begun.notify_one();
        self.open.acquire().await.unwrap().forget();
        Ok(input)
    }
}

/// Fails those that a function picks.
pub(crate) fn failing(
    picks: fn(u32) -> bool,
) -> impl Fn(Context, u32) -> std::future::Ready<Result<u32, TaskError>> + Send + Sync {
    move |_cx, input| {
        std::future::ready(match picks(input) {
            true => Err(TaskError::new("ODD", "It is odd")
                .solution("Give an even one")
                .detail("input", input)),
            false => Ok(input),
        })
    }
}

pub(crate) async fn events(tracker: &ProgressTracker, id: &str) -> Vec<Arc<Event>> {
    let page = tracker.history(id, None, 10_000).await.unwrap();
    let events = page.events.into_iter().map(|delivered| delivered.event);
    events.collect()
}

/// Types of a task's events, without progress.
pub(crate) async fn event_types(tracker: &ProgressTracker, id: &str) -> Vec<String> {
    let events = events(tracker, id).await;
    let types = events.iter().map(|event| event.event_type().to_owned());
    types.filter(|name| name != "progress_update").collect()
}

/// The places that a task was told while it waited.
pub(crate) async fn places(tracker: &ProgressTracker, id: &str) -> Vec<u64> {
    let place = |event: &Arc<Event>| match event.data() {
        Data::Queued(queued) => queued.position,
        _ => None,
    };
    events(tracker, id).await.iter().filter_map(place).collect()
}

pub(crate) async fn snapshot(tracker: &ProgressTracker, id: &str) -> Snapshot {
    tracker.snapshot(id).await.unwrap()
}

/// Awaits something that comes if all is well.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("it did not come")
}

/// Waits until something is so, looking again whenever others have had their turn.
pub(crate) async fn until(mut so: impl FnMut() -> bool) {
    soon(async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Has all tasks that can run do so. For a paused clock and one thread.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
