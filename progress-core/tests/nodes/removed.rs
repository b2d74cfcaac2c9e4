//! Tasks that are removed from another node than the one that ran them.

use std::time::Duration;

use progress_core::{LookupError, testing::MemoryBus};
use tokio::time::Instant;

use super::support::{node, rest, verdict};

#[tokio::test(start_paused = true)]
async fn a_removed_task_is_forgotten_by_its_owner_and_by_who_watches_it() {
    let bus = MemoryBus::new();
    let (worker, web, other) = (node(&bus), node(&bus), node(&bus));
    let task = worker
        .tracker
        .task("video")
        .start_confirmed()
        .await
        .unwrap();
    let mut events = other.tracker.subscribe("video");
    verdict(&mut events).await;
    task.complete(()).unwrap();
    // All of it is there to be read, also when the task is gone.
    let soon = Instant::now() + Duration::from_secs(1);
    worker.tracker.flush(soon).await.unwrap();
    web.tracker.remove("video").await.unwrap();
    assert!(!rest(&mut events).await.is_empty());
    for node in [&worker, &web, &other] {
        let found = node.tracker.snapshot("video").await;
        assert!(matches!(found, Err(LookupError::NotFound(_))), "{found:?}");
        assert_eq!(node.tracker.stats().tasks, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_was_away_does_not_bring_a_removed_task_back() {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus), node(&bus));
    let task = worker
        .tracker
        .task("video")
        .start_confirmed()
        .await
        .unwrap();
    task.complete(()).unwrap();
    let soon = Instant::now() + Duration::from_secs(1);
    worker.tracker.flush(soon).await.unwrap();
    worker.wire.disconnect();
    web.tracker.remove("video").await.unwrap();
    worker.wire.reconnect();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(web.tracker.snapshot("video").await.is_err());
    assert_eq!(worker.tracker.stats().tasks, 0);
    // Its id is free for a later run, on any node.
    let again = web.tracker.task("video").start_confirmed().await.unwrap();
    let mut events = worker.tracker.subscribe("video");
    let snapshot = verdict(&mut events).await.snapshot.unwrap();
    assert_eq!(snapshot.epoch, again.head().epoch());
    again.complete(()).unwrap();
}
