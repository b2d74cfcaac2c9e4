//! Spans that are entered on several threads.

use progress_core::{ProgressTracker, StageState, TaskState, tracing_layer::ProgressLayer};
use tracing::{Instrument, info, info_span, instrument::WithSubscriber};

use crate::dispatch;

/// Drops a future where it was polled: spans close by way of the subscriber that is current then,
/// and this one is so for polls only.
async fn within<T>(future: impl Future<Output = T>) -> T {
    future.await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn async_work_on_many_threads_is_one_task() {
    let tracker = ProgressTracker::new();
    let dispatch = dispatch(ProgressLayer::new(&tracker));
    let video = async {
        let mut workers = tokio::task::JoinSet::new();
        for n in 0..8 {
            let worker = async move {
                for _ in 0..50 {
                    info!(progress.inc = 1);
                    tokio::task::yield_now().await;
                }
                info!("worker {n} is done");
            };
            let span = info_span!("frames", progress.stage = true, progress.total = 400);
            workers.spawn(within(worker.instrument(span)).with_current_subscriber());
        }
        workers.join_all().await;
        let frames = tracker.snapshot("t").await.unwrap();
        assert_eq!(frames.stage("frames").unwrap().total, Some(400));
    };
    let span =
        tracing::dispatcher::with_default(&dispatch, || info_span!("t", progress.task = "t"));
    within(video.instrument(span))
        .with_subscriber(dispatch)
        .await;

    let ended = tracker.snapshot("t").await.unwrap();
    assert_eq!(ended.state, TaskState::Completed);
    let frames = ended.stage("frames").unwrap();
    assert_eq!(
        (frames.current, frames.state),
        (Some(400), StageState::Completed)
    );
    assert_eq!(crate::lines(&tracker, "t").len(), 8);
    assert_eq!(tracker.stats().refused, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_an_async_task_ends_it_abandoned() {
    let tracker = ProgressTracker::new();
    let dispatch = dispatch(ProgressLayer::new(&tracker));
    let span =
        tracing::dispatcher::with_default(&dispatch, || info_span!("t", progress.task = "t"));
    let work = async {
        tokio::task::yield_now().await;
        std::panic::resume_unwind(Box::new("worker"));
    };
    let work = tokio::spawn(work.instrument(span).with_subscriber(dispatch));
    assert!(work.await.unwrap_err().is_panic());
    let ended = tracker.snapshot("t").await.unwrap();
    assert_eq!(ended.state, TaskState::Abandoned);
    assert_eq!(ended.cause.as_deref(), Some("panicked"));
}
