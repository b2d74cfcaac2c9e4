//! What a node has been through is counted, and how it is connected is shown.

use std::time::Duration;

use progress_core::{
    EventPayload, Limits, Resume, Timestamp,
    log::LogLimits,
    testing::{Faults, MemoryBus},
    transport::{ConnectionHealth, ConnectionState, TransportHealth},
};
use serde::Serialize;

use super::support::{fresh, node, node_with, until, verdict};

#[derive(Serialize)]
struct Approved {
    photo: u64,
}

impl EventPayload for Approved {
    const EVENT_TYPE: &'static str = "approved";
}

#[tokio::test(start_paused = true)]
async fn a_hole_is_counted_once_for_each_read_and_is_no_gap() {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus), node(&bus));
    let task = worker.tracker.task("video").start_confirmed().await;
    let task = task.unwrap();
    let mut there = web.tracker.subscribe("video");
    fresh(&mut there).await;
    web.wire.faults(Faults::none().drop(1.0), 1);
    task.emit(Approved { photo: 1 }).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(web.tracker.stats().holes, 0, "nothing came");
    let slow = Faults::none().slow_answer(Duration::from_secs(1));
    web.wire.faults(slow, 1);
    for photo in 2..=4 {
        task.emit(Approved { photo }).unwrap();
    }
    until(async || web.tracker.snapshot("video").await.unwrap().seq.get() == 5).await;
    let stats = web.tracker.stats();
    // What comes while it is read has it read once more at the most.
    assert!((1..=2).contains(&stats.holes), "{stats:?}");
    assert_eq!((stats.resyncs, stats.gaps), (stats.holes, 0));
    assert_eq!(worker.tracker.stats().holes, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_for_good_is_counted_where_it_was_to_come() {
    let log = LogLimits::default().window(4).milestones(4);
    let bus = MemoryBus::new();
    let worker = node_with(&bus, Limits::default().log(log));
    let web = node(&bus);
    let task = worker.tracker.task("video").start_confirmed().await;
    let task = task.unwrap();
    let mut there = web.tracker.subscribe("video");
    fresh(&mut there).await;
    worker.wire.disconnect();
    for photo in 0..12 {
        task.emit(Approved { photo }).unwrap();
    }
    // It comes as the hole that it is, and no page has it either.
    worker.wire.reconnect();
    until(async || web.tracker.stats().gaps == 1).await;
    assert_eq!(web.tracker.stats().holes, 1);
    // Who comes later finds what there is.
    let late = node(&bus);
    let first = verdict(&mut late.tracker.subscribe("video")).await;
    assert_eq!(
        first.resume,
        Resume::Gap,
        "that is told, and no loss of this node"
    );
    assert_eq!(late.tracker.stats().gaps, 0);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_the_broker_is_counted_until_it_is_there() {
    let bus = MemoryBus::new();
    let worker = node(&bus);
    let tasks = ["one", "two"].map(|id| worker.tracker.task(id).start().unwrap());
    until(async || worker.tracker.stats().outbox_tasks == 0).await;
    worker.wire.disconnect();
    for task in &tasks {
        task.emit(Approved { photo: 1 }).unwrap();
        task.emit(Approved { photo: 2 }).unwrap();
    }
    let channel = worker.tracker.channel("jobs");
    channel.emit(Approved { photo: 3 }).unwrap();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let stats = worker.tracker.stats();
        assert_eq!((stats.outbox_tasks, stats.outbox_events), (2, 1));
    }
    worker.wire.reconnect();
    let left = async || {
        let stats = worker.tracker.stats();
        (stats.outbox_tasks, stats.outbox_events) == (0, 0)
    };
    until(left).await;
    assert_eq!(
        worker.tracker.stats().resends,
        0,
        "it has forgotten nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_told_again_to_a_broker_that_has_forgotten_is_counted() {
    let bus = MemoryBus::new();
    let worker = node(&bus);
    let task = worker.tracker.task("video").start_confirmed().await;
    let task = task.unwrap();
    bus.forget();
    task.emit(Approved { photo: 1 }).unwrap();
    until(async || worker.tracker.stats().resends == 1).await;
    until(async || bus.live_tasks() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_connects_before_anything_needs_it_if_it_is_asked_to() {
    let bus = MemoryBus::new();
    let idle = node(&bus);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!idle.tracker.is_connected());
    idle.tracker.connect();
    until(async || idle.tracker.is_connected()).await;
}

#[tokio::test(start_paused = true)]
async fn the_health_of_a_transport_is_shown_as_it_says() {
    let node = node(&MemoryBus::new());
    assert_eq!(node.tracker.transport_health(), None);
    let up = ConnectionHealth::new(ConnectionState::Up, Timestamp::from_millis(1));
    let stale = ConnectionHealth::new(ConnectionState::Stale, Timestamp::from_millis(2));
    let health = TransportHealth::new(up, stale);
    assert!(!health.is_up());
    node.wire.says(health.clone());
    assert_eq!(node.tracker.transport_health(), Some(health));
    assert!(TransportHealth::new(up, up).is_up());
}
