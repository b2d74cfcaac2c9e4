//! Holes in what arrives, and answers that come late.

use std::{borrow::Cow, time::Duration};

use progress_core::{
    EventInput, EventPayload, Reporter,
    testing::{Faults, MemoryBus},
};
use serde::Serialize;
use serde_json::json;

use super::support::{Node, event, fresh, node, verdict};

#[derive(Serialize)]
struct Gauge {
    #[serde(skip)]
    key: &'static str,
    value: u64,
}

impl EventPayload for Gauge {
    const EVENT_TYPE: &'static str = "gauge";

    fn key(&self) -> Option<Cow<'_, str>> {
        Some(self.key.into())
    }
}

async fn told(worker: &Node, task: &Reporter, key: &'static str) {
    task.emit(Gauge { key, value: 1 }).unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    worker.tracker.flush(deadline).await.unwrap();
    // What arrives is taken in.
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn g2_what_came_early_waits_for_all_before_it_however_late_an_answer_is() {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus), node(&bus));
    let task = worker
        .tracker
        .task("video")
        .start_confirmed()
        .await
        .unwrap();
    let mut there = web.tracker.subscribe("video");
    fresh(&mut there).await;
    let slow = Faults::none().slow_answer(Duration::from_millis(100));
    let lost = slow.drop(1.0);
    // The second is missed with the third, and read about; the fourth is missed while the answer is on
    // its way, which is of before.
    for (key, faults) in [("a", lost), ("b", slow), ("c", lost), ("d", slow)] {
        web.wire.faults(faults, 1);
        told(&worker, &task, key).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let video = web.tracker.snapshot("video").await.unwrap();
    assert_eq!(video.custom.len(), 4, "{:?}", video.custom);
}

#[tokio::test(start_paused = true)]
async fn g2_what_a_node_publishes_itself_does_not_hide_what_it_has_yet_to_receive() {
    let bus = MemoryBus::new();
    let (first, second) = (node(&bus), node(&bus));
    let shared = first.tracker.task("video").share().await.unwrap();
    let mut there = second.tracker.subscribe("video");
    verdict(&mut there).await;
    let slow = Faults::none().delay(Duration::from_secs(1));
    second.wire.faults(slow, 1);
    let message = json!({"message": "decoding"});
    let update = EventInput::new("progress_update", &message).unwrap();
    shared.publish(vec![update]).await.unwrap();
    second.tracker.cancel("video", None).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let video = second.tracker.snapshot("video").await.unwrap();
    assert!(video.cancel_requested);
    assert_eq!(video.message.as_deref(), Some("decoding"));
}

#[tokio::test(start_paused = true)]
async fn g2_the_last_word_of_a_quiet_task_is_found_by_a_look_at_it_every_thirty_seconds() {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus), node(&bus));
    let task = worker
        .tracker
        .task("video")
        .start_confirmed()
        .await
        .unwrap();
    let mut there = web.tracker.subscribe("video");
    fresh(&mut there).await;
    assert_eq!(event(&mut there).await.event.event_type(), "started");
    web.wire.faults(Faults::none().drop(1.0), 1);
    told(&worker, &task, "a").await;
    web.wire.faults(Faults::none(), 1);
    // Nothing comes behind it that would show that it is missing.
    let lost = tokio::time::Instant::now();
    assert_eq!(event(&mut there).await.event.event_type(), "gauge");
    assert!(
        lost.elapsed() > Duration::from_secs(1),
        "{:?}",
        lost.elapsed()
    );
    assert!(
        lost.elapsed() <= Duration::from_secs(32),
        "{:?}",
        lost.elapsed()
    );
}
