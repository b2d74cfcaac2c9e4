//! What one node reports, the other shows.

use std::borrow::Cow;

use progress_core::{
    EventPayload, Frame, Limits, ResetReason, Resume, Status, TaskState, log::LogLimits,
    testing::MemoryBus,
};
use serde::Serialize;
use serde_json::json;

use super::support::{event, fresh, next, node, node_with, rest, until, verdict};

#[tokio::test(start_paused = true)]
async fn g1_every_node_sees_the_same_event_at_the_same_seq() {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus), node(&bus));
    let task = worker
        .tracker
        .task("video")
        .stage("render", 1.0)
        .start_confirmed()
        .await
        .unwrap();
    let mut here = worker.tracker.subscribe("video");
    let mut there = web.tracker.subscribe("video");
    assert_eq!(fresh(&mut here).await.epoch, fresh(&mut there).await.epoch);
    task.stage("render").total(4).inc(1);
    task.log(progress_core::Level::INFO, "one");
    task.complete(json!({"url": "/video"})).unwrap();
    let (here, there) = (rest(&mut here).await, rest(&mut there).await);
    let text = |frames: &[Frame]| -> Vec<_> {
        frames
            .iter()
            .map(|frame| match frame {
                Frame::Event(event) => event.to_json(),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    assert_eq!(text(&here), text(&there));
    assert!(here.len() >= 5, "{here:?}");
    let (a, b) = (
        worker.tracker.snapshot("video").await.unwrap(),
        web.tracker.snapshot("video").await.unwrap(),
    );
    assert_eq!(a, b);
}

#[tokio::test(start_paused = true)]
async fn g8_the_first_frame_tells_the_truth_about_a_task_of_another_node() {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus), node(&bus));
    let task = worker.tracker.task("video").start().unwrap();
    task.message("decoding");
    worker
        .tracker
        .flush(tokio::time::Instant::now() + std::time::Duration::from_secs(1))
        .await
        .unwrap();
    let mut events = web.tracker.subscribe("video");
    let first = verdict(&mut events).await;
    assert_eq!(first.resume, Resume::Fresh);
    assert_eq!(first.snapshot.unwrap().message.as_deref(), Some("decoding"));
    let position = event(&mut events).await.event.position();

    let mut resumed = web.tracker.subscribe_with(
        "video",
        progress_core::SubscribeOptions::new().after(position),
    );
    assert_eq!(verdict(&mut resumed).await.resume, Resume::Resumed);
    task.complete(()).unwrap();
    assert!(
        matches!(rest(&mut resumed).await.last(), Some(Frame::Event(end))
        if matches!(end.event.data(), progress_core::Data::Complete(end) if end.status == Status::Completed))
    );
    let mut late = web.tracker.subscribe_with(
        "video",
        progress_core::SubscribeOptions::new()
            .after(web.tracker.snapshot("video").await.unwrap().position()),
    );
    assert_eq!(verdict(&mut late).await.resume, Resume::Ended);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_may_come_before_its_task_starts_on_another_node() {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus), node(&bus));
    let mut events = web.tracker.subscribe("video");
    assert_eq!(verdict(&mut events).await.resume, Resume::Unknown);
    let task = worker.tracker.task("video").start().unwrap();
    match next(&mut events).await {
        Frame::Reset(reset) => assert_eq!(reset.reason, ResetReason::Created),
        other => panic!("{other:?}"),
    }
    assert_eq!(event(&mut events).await.event.event_type(), "started");
    task.complete(()).unwrap();
    assert_eq!(rest(&mut events).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn another_node_asks_the_owner_to_stop() {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus), node(&bus));
    let task = worker
        .tracker
        .task("video")
        .start_confirmed()
        .await
        .unwrap();
    web.tracker
        .cancel("video", "no longer needed")
        .await
        .unwrap();
    task.cancelled().await;
    assert_eq!(task.cancel_reason().as_deref(), Some("no longer needed"));
    task.cancel("no longer needed").unwrap();
    until(async || web.tracker.snapshot("video").await.unwrap().state == TaskState::Cancelled)
        .await;
}

#[derive(Serialize)]
struct Tile {
    n: u32,
}

impl EventPayload for Tile {
    const EVENT_TYPE: &'static str = "tile";

    fn key(&self) -> Option<Cow<'_, str>> {
        Some(self.n.to_string().into())
    }
}

#[tokio::test(start_paused = true)]
async fn g2_what_a_node_has_no_room_for_is_declared_to_its_readers() {
    let bus = MemoryBus::new();
    let worker = node(&bus);
    let web = node_with(&bus, Limits::default().log(LogLimits::default().keys(4)));
    let task = worker.tracker.task("map").start_confirmed().await.unwrap();
    let mut there = web.tracker.subscribe("map");
    fresh(&mut there).await;
    for n in 0..8 {
        task.emit(Tile { n }).unwrap();
    }
    task.complete(()).unwrap();
    let frames = rest(&mut there).await;
    let tiles =
        |frame: &&Frame| matches!(frame, Frame::Event(event) if event.event.event_type() == "tile");
    assert_eq!(frames.iter().filter(tiles).count(), 4, "{frames:?}");
    let gap = frames.iter().find(|frame| matches!(frame, Frame::Gap(_)));
    assert!(gap.is_some(), "{frames:?}");
    assert!(
        matches!(frames.last(), Some(Frame::Event(event)) if event.event.event_type() == "complete")
    );
}
