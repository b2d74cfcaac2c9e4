//! Runs in whose place another counts.

use std::time::Duration;

use progress_core::{
    EventInput, Frame, Resume, SubscribeError, SubscribeOptions,
    testing::{Faults, MemoryBus},
};
use serde_json::json;

use super::support::{event, next, node, rest, verdict};

#[tokio::test(start_paused = true)]
async fn a_reader_that_looked_away_goes_on_with_the_run_that_counts() {
    let bus = MemoryBus::new();
    let (first, second) = (node(&bus), node(&bus));
    let shared = first.tracker.task("video").share().await.unwrap();
    let refused = second.tracker.task("video").start().unwrap();
    let mut events = second.tracker.subscribe("video");
    verdict(&mut events).await;
    assert_eq!(event(&mut events).await.event.event_type(), "started");
    // Another reader goes on with it, and leaves; the run is watched by nobody then.
    let mut other = second.tracker.subscribe("video");
    verdict(&mut other).await;
    event(&mut other).await;
    assert!(matches!(next(&mut other).await, Frame::Reset(_)));
    drop(other);
    tokio::time::sleep(Duration::from_secs(60)).await;
    match next(&mut events).await {
        Frame::Reset(reset) => assert_eq!(reset.epoch, shared.head().epoch()),
        other => panic!("{other:?}"),
    }
    let end = EventInput::new("complete", &json!({"status": "completed"})).unwrap();
    shared.publish(vec![end]).await.unwrap();
    assert_eq!(rest(&mut events).await.len(), 2);
    drop(refused);
}

#[tokio::test(start_paused = true)]
async fn g8_who_comes_from_a_later_run_is_not_shown_the_one_before() {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus), node(&bus));
    let task = worker
        .tracker
        .task("video")
        .start_confirmed()
        .await
        .unwrap();
    let mut there = web.tracker.subscribe("video");
    verdict(&mut there).await;
    worker.wire.disconnect();
    // Ended by the other node, which this one cannot know.
    rest(&mut there).await;
    let position = there.position().unwrap();
    assert!(position.epoch() > task.head().epoch());
    let after = || SubscribeOptions::new().after(position);
    let mut here = worker.tracker.subscribe_with("video", after());
    assert!(matches!(
        next(&mut here).await,
        Frame::Rejected(SubscribeError::Unavailable)
    ));
    worker.wire.reconnect();
    let mut here = worker.tracker.subscribe_with("video", after());
    assert_eq!(verdict(&mut here).await.resume, Resume::Ended);
}

#[tokio::test(start_paused = true)]
async fn g8_a_mirror_that_has_missed_a_restart_is_brought_up_to_date_first() {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus), node(&bus));
    let first = worker
        .tracker
        .task("video")
        .start_confirmed()
        .await
        .unwrap();
    let mut there = web.tracker.subscribe("video");
    verdict(&mut there).await;
    first.complete(()).unwrap();
    rest(&mut there).await;
    // It still watches, but what is published is lost on the way.
    web.wire.faults(Faults::none().drop(1.0), 1);
    let again = worker
        .tracker
        .task("video")
        .restart_confirmed()
        .await
        .unwrap();
    let mut here = worker.tracker.subscribe("video");
    verdict(&mut here).await;
    event(&mut here).await;
    let after = SubscribeOptions::new().after(here.position());
    let mut there = web.tracker.subscribe_with("video", after);
    assert_eq!(verdict(&mut there).await.resume, Resume::Resumed);
    again.complete(()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn g7_a_run_that_nobody_reads_is_not_kept_in_the_place_of_a_refused_one() {
    let bus = MemoryBus::new();
    let (first, second) = (node(&bus), node(&bus));
    let _counts = first.tracker.task("video").start_confirmed().await.unwrap();
    let refused = second.tracker.task("video").start().unwrap();
    refused.cancelled().await;
    drop(refused);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(second.tracker.stats().tasks, 0);
}

#[tokio::test(start_paused = true)]
async fn g5_readers_of_a_refused_run_wait_for_the_one_that_counts_if_the_broker_has_forgotten_it() {
    let bus = MemoryBus::new();
    let (first, second) = (node(&bus), node(&bus));
    let counts = first.tracker.task("video").start_confirmed().await.unwrap();
    // The refusal is on its way for so long that the broker has forgotten by then why.
    let slow = Faults::none().slow_answer(Duration::from_millis(200));
    second.wire.faults(slow, 1);
    let refused = second.tracker.task("video").start().unwrap();
    let mut events = second.tracker.subscribe("video");
    verdict(&mut events).await;
    event(&mut events).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    first.wire.disconnect();
    bus.forget();
    refused.cancelled().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    first.wire.reconnect();
    let Frame::Reset(reset) = next(&mut events).await else {
        panic!("the run that counts is told of again");
    };
    assert_eq!(reset.epoch, counts.head().epoch());
    counts.complete(()).unwrap();
    assert!(!rest(&mut events).await.is_empty());
}
