//! What nodes keep, let go of, and owe each other.

use std::{borrow::Cow, time::Duration};

use progress_core::{
    ChannelFrame, EventPayload, Frame, Limits, ProgressTracker, Resume, Status, SubscribeOptions,
    TaskState,
    log::LogLimits,
    testing::{Faults, MemoryBus},
};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::support::{PATIENCE, fresh, node, node_with, rest, until, verdict};

#[derive(Serialize)]
struct Tile {
    #[serde(skip)]
    key: String,
}

impl EventPayload for Tile {
    const EVENT_TYPE: &'static str = "tile";

    fn key(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.key))
    }
}

async fn flush(tracker: &ProgressTracker) {
    tracker.flush(Instant::now() + PATIENCE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refused_start_leaves_nothing_stale_behind() {
    let bus = MemoryBus::new();
    let (first, second) = (node(&bus), node(&bus));
    let task = first.tracker.task("a").start_confirmed().await.unwrap();
    second
        .tracker
        .task("a")
        .start_confirmed()
        .await
        .unwrap_err();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(second.tracker.stats().tasks, 0, "nobody watches it there");
    task.complete(()).unwrap();
    flush(&first.tracker).await;
    let seen = second.tracker.snapshot("a").await.unwrap();
    assert_eq!(seen.state, TaskState::Completed);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_watches_is_let_go_of_and_found_again() {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus), node(&bus));
    let mut tasks = Vec::new();
    for n in 0..50 {
        let task = worker.tracker.task(format!("t{n}"));
        tasks.push(task.start_confirmed().await.unwrap());
    }
    for _ in 0..3 {
        for n in 0..50 {
            web.tracker.snapshot(format!("t{n}")).await.unwrap();
            drop(
                web.tracker
                    .subscribe_channel("jobs", SubscribeOptions::new()),
            );
        }
        // A reader that comes while others are let go of is not left behind.
        sleep(Duration::from_secs(10)).await;
        let mut kept = web.tracker.subscribe("t7");
        verdict(&mut kept).await;
        until(async || web.tracker.stats().tasks == 1).await;
        tasks[7].message("still there");
        until(async || {
            let seen = web.tracker.snapshot("t7").await.unwrap();
            seen.message.as_deref() == Some("still there")
        })
        .await;
    }
    until(async || web.tracker.stats().tasks == 0).await;
    assert_eq!(web.tracker.stats().channels, 0);
}

#[tokio::test(start_paused = true)]
async fn g4_an_event_that_the_broker_refuses_does_not_keep_the_end_back() {
    let bus = MemoryBus::new();
    let limits = Limits::default().log(LogLimits::default().keys(10_000).bytes(16 * 1024 * 1024));
    let (worker, web) = (node_with(&bus, limits), node(&bus));
    let task = worker.tracker.task("a").start_confirmed().await.unwrap();
    // More keys than the broker takes.
    for n in 0..4_200 {
        let key = format!("{n}");
        task.emit(Tile { key }).unwrap();
    }
    task.complete(()).unwrap();
    flush(&worker.tracker).await;
    assert!(worker.tracker.stats().refused_by_broker > 0);
    let seen = web.tracker.snapshot("a").await.unwrap();
    assert_eq!(seen.state, TaskState::Completed);
    assert!(seen.custom.len() >= 1_000, "{}", seen.custom.len());
}

#[tokio::test(start_paused = true)]
async fn g5_a_lost_answer_to_the_claim_of_an_end_does_not_lose_the_end() {
    for after in 28..=36 {
        let bus = MemoryBus::new();
        let (worker, web) = (node(&bus), node(&bus));
        let _task = worker.tracker.task("a").start_confirmed().await.unwrap();
        let mut there = web.tracker.subscribe("a");
        fresh(&mut there).await;
        worker.wire.disconnect();
        sleep(Duration::from_secs(after)).await;
        // Whatever it asks of the broker now is done and not answered.
        web.wire.faults(Faults::none().lose_answer(1.0), 1);
        sleep(Duration::from_secs(10)).await;
        web.wire.faults(Faults::none(), 1);
        rest(&mut there).await;
        assert_eq!(bus.live_tasks(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_channel_can_be_watched_again_at_once() {
    let bus = MemoryBus::new();
    let web = node(&bus);
    for _ in 0..3 {
        let mut reader = web
            .tracker
            .subscribe_channel("quiet", SubscribeOptions::new());
        assert!(matches!(
            reader.next().await,
            Some(ChannelFrame::Verdict(_))
        ));
    }
}

#[tokio::test(start_paused = true)]
async fn a_drained_node_has_told_the_broker_all() {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus), node(&bus));
    worker.wire.faults(Faults::none().lose_answer(0.5), 7);
    for n in 0..20 {
        let task = worker.tracker.task(format!("t{n}")).start().unwrap();
        task.complete(()).unwrap();
    }
    let drained = worker.tracker.drain(Duration::from_secs(60)).await;
    assert!(drained.flushed);
    drop(worker);
    for n in 0..20 {
        let seen = web.tracker.snapshot(format!("t{n}")).await.unwrap();
        assert_eq!(seen.state, TaskState::Completed);
    }
    let away = node(&bus);
    away.wire.disconnect();
    away.tracker
        .task("late")
        .start()
        .unwrap()
        .complete(())
        .unwrap();
    assert!(!away.tracker.drain(Duration::from_secs(5)).await.flushed);
}

#[tokio::test(start_paused = true)]
async fn g8_a_reader_who_is_ahead_of_a_node_is_not_told_of_a_gap() {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus), node(&bus));
    let task = worker.tracker.task("a").start_confirmed().await.unwrap();
    let mut watching = web.tracker.subscribe("a");
    fresh(&mut watching).await;
    // From now on it is told late.
    web.wire
        .faults(Faults::none().delay(Duration::from_secs(20)), 1);
    for n in 0..10 {
        task.emit(Tile { key: n.to_string() }).unwrap();
    }
    flush(&worker.tracker).await;
    let options = SubscribeOptions::new().after(task.head());
    let mut moved = web.tracker.subscribe_with("a", options);
    assert_eq!(verdict(&mut moved).await.resume, Resume::Resumed);
    task.complete(()).unwrap();
    let frames = rest(&mut moved).await;
    assert_eq!(frames.len(), 1, "{frames:?}");
}

#[tokio::test(start_paused = true)]
async fn time_goes_on_for_tasks_of_other_nodes() {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus), node(&bus));
    let _task = worker.tracker.task("a").start_confirmed().await.unwrap();
    let _watching = web.tracker.subscribe("a");
    web.tracker.snapshot("a").await.unwrap();
    sleep(Duration::from_secs(7)).await;
    let seen = web.tracker.snapshot("a").await.unwrap();
    assert!(
        (6_900..=7_600).contains(&seen.elapsed_ms),
        "{}",
        seen.elapsed_ms
    );
}

#[tokio::test(start_paused = true)]
async fn readers_are_told_when_their_node_goes() {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus), node(&bus));
    let _task = worker.tracker.task("a").start_confirmed().await.unwrap();
    let mut live = web.tracker.subscribe("a");
    fresh(&mut live).await;
    let mut waiting = web.tracker.subscribe("unknown");
    verdict(&mut waiting).await;
    let reading = tokio::spawn(async move { rest(&mut live).await.len() });
    let awaiting = tokio::spawn(async move { rest(&mut waiting).await.len() });
    sleep(Duration::from_secs(1)).await;
    drop(web);
    assert_eq!(reading.await.unwrap(), 1);
    assert_eq!(awaiting.await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn g7_what_the_broker_has_not_had_goes_last_and_is_counted() {
    let bus = MemoryBus::new();
    let worker = node_with(&bus, Limits::default().tasks(10));
    let first = worker.tracker.task("told").start_confirmed().await.unwrap();
    first.complete(()).unwrap();
    flush(&worker.tracker).await;
    worker.wire.disconnect();
    for n in 0..30 {
        let task = worker.tracker.task(format!("t{n}")).start().unwrap();
        task.complete(()).unwrap();
    }
    let stats = worker.tracker.stats();
    assert_eq!((stats.tasks, stats.unsent), (10, 20));
    worker.wire.reconnect();
    flush(&worker.tracker).await;
    // Those that were kept are told; which run ended last is among them.
    let web = node(&bus);
    let seen = web.tracker.snapshot("t29").await.unwrap();
    assert_eq!(seen.state, TaskState::Completed);
    let mut late = web.tracker.subscribe("t29");
    let frames = rest(&mut late).await;
    assert!(frames.iter().any(|frame| matches!(frame, Frame::Event(event)
        if matches!(event.event.data(), progress_core::Data::Complete(end) if end.status == Status::Completed))));
}
