//! Runs that follow each other on one node.

use std::time::Duration;

use progress_core::{Frame, ResetReason, TaskState, testing::MemoryBus};

use super::support::{event, next, node, rest, until, verdict};

#[tokio::test(start_paused = true)]
async fn a_run_that_follows_at_once_waits_for_the_end_before_it_to_be_told() {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus), node(&bus));
    let first = worker.tracker.task("video").start_confirmed().await;
    let mut there = web.tracker.subscribe("video");
    verdict(&mut there).await;
    first.unwrap().complete(()).unwrap();
    let again = worker.tracker.task("video").restart().unwrap();
    again.message("once more");
    let web_knows = async || web.tracker.snapshot("video").await.unwrap().attempt == 2;
    until(web_knows).await;
    again.complete(()).unwrap();
    assert!(rest(&mut there).await.len() >= 2);
    assert_eq!(worker.tracker.stats().superseded, 0);
}

#[tokio::test(start_paused = true)]
async fn runs_of_a_broker_that_forgot_are_told_in_their_order() {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus), node(&bus));
    let first = worker
        .tracker
        .task("video")
        .start_confirmed()
        .await
        .unwrap();
    worker.wire.disconnect();
    bus.forget();
    tokio::time::sleep(Duration::from_millis(10)).await;
    worker.wire.reconnect();
    first.complete(()).unwrap();
    let again = worker.tracker.task("video").restart().unwrap();
    again.message("once more");
    let web_knows = async || {
        web.tracker
            .snapshot("video")
            .await
            .is_ok_and(|video| video.attempt == 2)
    };
    until(web_knows).await;
    again.complete(()).unwrap();
    let mut late = web.tracker.subscribe("video");
    let frames = rest(&mut late).await;
    assert!(matches!(frames.last(), Some(Frame::Event(_))));
    let video = web.tracker.snapshot("video").await.unwrap();
    assert_eq!(video.state, TaskState::Completed);
}

#[tokio::test(start_paused = true)]
async fn the_run_that_a_broker_without_memory_takes_is_the_one_that_counts() {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus), node(&bus));
    worker.wire.disconnect();
    let older = worker.tracker.task("video").start().unwrap();
    let start_of_older = older.head().epoch();
    // Generations are of milliseconds of the system's clock.
    std::thread::sleep(Duration::from_millis(2));
    let newer = web.tracker.task("video").share().await.unwrap();
    assert!(newer.head().epoch() > start_of_older);
    let mut there = web.tracker.subscribe("video");
    verdict(&mut there).await;
    assert_eq!(event(&mut there).await.event.event_type(), "started");
    bus.forget();
    worker.wire.reconnect();
    match next(&mut there).await {
        Frame::Reset(reset) => assert_eq!(
            (reset.epoch, reset.reason),
            (start_of_older, ResetReason::Superseded)
        ),
        other => panic!("{other:?}"),
    }
    older.complete(()).unwrap();
    assert_eq!(rest(&mut there).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn g5_a_run_that_was_refused_is_not_claimed_again() {
    let bus = MemoryBus::new();
    let (first, second) = (node(&bus), node(&bus));
    let task = first.tracker.task("video").start_confirmed().await.unwrap();
    second.wire.disconnect();
    let refused = second.tracker.task("video").start().unwrap();
    let (work, wire) = (refused.reporter(), second.wire.clone());
    let cut_off = tokio::spawn(async move {
        work.cancelled().await;
        // Before it could look who has the task.
        wire.disconnect();
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    second.wire.reconnect();
    cut_off.await.unwrap();
    task.complete(()).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    first.tracker.remove("video").await.unwrap();
    // The id is free, and the node has its tasks told again.
    second.wire.reconnect();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bus.live_tasks(), 0);
    drop(refused);
}

#[tokio::test(start_paused = true)]
async fn g5_the_later_of_two_runs_is_told_again_to_a_broker_that_was_told_of_the_one_before() {
    let bus = MemoryBus::new();
    let (first, second) = (node(&bus), node(&bus));
    let before = first.tracker.task("video").start_confirmed().await;
    before.unwrap().complete(()).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let video = second.tracker.task("video").restart_confirmed().await;
    let task = video.unwrap();
    for wire in [&first.wire, &second.wire] {
        wire.disconnect();
    }
    bus.forget();
    first.wire.reconnect();
    tokio::time::sleep(Duration::from_secs(5)).await;
    second.wire.reconnect();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut there = first.tracker.subscribe("video");
    assert_eq!(
        verdict(&mut there).await.snapshot.unwrap().epoch,
        task.head().epoch()
    );
    task.complete(()).unwrap();
    rest(&mut there).await;
}
