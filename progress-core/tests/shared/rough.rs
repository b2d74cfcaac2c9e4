//! Silence, requests, faults: what befalls a task that several nodes publish to.

use std::{collections::HashSet, sync::Arc, time::Duration};

use progress_core::{
    ChannelBody, Data, EventInput, Frame, LookupError, Position, ProgressTracker, PublishError,
    ResetReason, StartError, Status, TaskState,
    testing::{Faults, MemoryBus},
    transport::{Record, Topic},
};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    bus::{MINUTE, held, held_of_task, held_types, line, state},
    common::{assert_continuous, types, updates},
    input, publish,
    support::{Node, node, rest},
};

#[tokio::test(start_paused = true)]
async fn what_is_published_stands_once_in_the_channels_of_the_task() {
    let bus = MemoryBus::new();
    let (a, b) = (node(&bus), node(&bus));
    a.tracker.task("t").channel("jobs").share().await.unwrap();
    let end = input("complete", json!({"status": "completed"})).id("w/2");
    let events = vec![line("m").id("w/1"), end.clone()];
    b.tracker.publish("t", events.clone()).await.unwrap();
    // The whole again, and by another node.
    for node in [&a, &b] {
        let again = node.tracker.publish("t", events.clone()).await.unwrap();
        assert_eq!((again.accepted, again.errors.len()), (2, 0));
    }
    let jobs = held(&bus, &Topic::Channel("jobs".parse().unwrap())).await;
    assert_eq!(held_types(&jobs), ["started", "log", "complete"]);
    let lines: Vec<_> = jobs
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Channel(event) => match event.body() {
                ChannelBody::Task(event) => match event.data() {
                    Data::Log(line) => Some(line.n),
                    _ => None,
                },
                _ => None,
            },
            Record::Task(_) => None,
        })
        .collect();
    assert_eq!(lines, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_request_to_stop_is_told_wherever_the_worker_publishes() {
    let bus = MemoryBus::new();
    let (a, b) = (node(&bus), node(&bus));
    a.tracker.task("t").share().await.unwrap();
    for reason in ["the user left", "again"] {
        b.tracker.cancel("t", reason).await.unwrap();
    }
    for node in [&a, &b] {
        let published = publish(&node.tracker, "log", json!({"message": "m"})).await;
        assert!(published.cancel_requested.unwrap().reason.is_some());
    }
    assert!(a.tracker.snapshot("t").await.unwrap().cancel_requested);
    let asked = held_types(&held_of_task(&bus).await);
    assert_eq!(asked, ["started", "cancel_requested", "log", "log"]);
    publish(&a.tracker, "complete", json!({"status": "cancelled"})).await;
    assert!(b.tracker.cancel("t", None).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn g5_silence_is_told_once_however_many_nodes_see_it() {
    let bus = MemoryBus::new();
    let nodes = [node(&bus), node(&bus), node(&bus)];
    // So that every node's keeper runs.
    for node in &nodes {
        assert!(node.tracker.snapshot("other").await.is_err());
    }
    let [a, b, _] = &nodes;
    a.tracker.task("t").channel("jobs").share().await.unwrap();
    let mut watcher = b.tracker.subscribe("t");
    sleep(9 * MINUTE).await;
    assert_eq!(state(b).await, TaskState::Running);
    sleep(2 * MINUTE).await;
    assert_eq!(state(b).await, TaskState::Stalled);
    sleep(20 * MINUTE).await;
    publish(&b.tracker, "log", json!({"message": "m"})).await;
    assert_eq!(state(a).await, TaskState::Running);
    // It stalls a second time, and cancelling it is no sign of life.
    sleep(11 * MINUTE).await;
    assert_eq!(state(a).await, TaskState::Stalled);
    a.tracker.cancel("t", None).await.unwrap();
    sleep(47 * MINUTE).await;
    assert_eq!(state(a).await, TaskState::Stalled);
    sleep(3 * MINUTE).await;
    let frames = rest(&mut watcher).await;
    assert_eq!(
        types(&frames),
        [
            "started",
            "stalled",
            "recovered",
            "log",
            "stalled",
            "cancel_requested",
            "complete"
        ]
    );
    match frames
        .last()
        .and_then(Frame::event)
        .map(|event| event.data())
    {
        Some(Data::Complete(end)) => {
            assert_eq!(end.status, Status::Abandoned);
            assert_eq!(end.cause.as_deref(), Some("silent"));
        }
        other => panic!("{other:?}"),
    }
    let jobs = held(&bus, &Topic::Channel("jobs".parse().unwrap())).await;
    assert_eq!(held_types(&jobs), types(&frames));
}

#[tokio::test(start_paused = true)]
async fn a_tasks_own_silence_is_the_brokers_too() {
    let bus = MemoryBus::new();
    let wire = bus.connect();
    let tracker = ProgressTracker::builder()
        .shared_silence(3 * MINUTE)
        .transport(wire)
        .build();
    tracker.task("t").share().await.unwrap();
    tracker.task("own").silence(MINUTE).share().await.unwrap();
    let state = async |id: &str| tracker.snapshot(id).await.unwrap().state;
    sleep(2 * MINUTE).await;
    assert_eq!(state("own").await, TaskState::Stalled);
    assert_eq!(state("t").await, TaskState::Running);
    sleep(2 * MINUTE).await;
    assert_eq!(state("t").await, TaskState::Stalled);
}

#[tokio::test(start_paused = true)]
async fn without_the_broker_nothing_is_published_and_that_is_said() {
    let bus = MemoryBus::new();
    let (a, b) = (node(&bus), node(&bus));
    let shared = a.tracker.task("t").share().await.unwrap();
    a.wire.disconnect();
    let unavailable = |error: PublishError| matches!(error, PublishError::Unavailable(_));
    assert!(unavailable(
        shared.publish(vec![line("lost")]).await.unwrap_err()
    ));
    assert!(matches!(
        a.tracker.task("u").share().await,
        Err(StartError::Unavailable(_))
    ));
    assert!(matches!(
        a.tracker.snapshot("u").await,
        Err(LookupError::Unavailable(_))
    ));
    publish(&b.tracker, "log", json!({"message": "meanwhile"})).await;
    a.wire.reconnect();
    let published = shared.publish(vec![line("found")]).await.unwrap();
    assert_eq!(published.last.unwrap().seq().get(), 3);
    a.tracker.task("u").share().await.unwrap();
}

/// A worker that repeats what it has no answer to, through any node.
async fn insist(nodes: &[Node], turn: usize, event: &EventInput) -> Position {
    for attempt in 0.. {
        let node = &nodes[(turn + attempt) % nodes.len()];
        match node.tracker.publish("t", vec![event.clone()]).await {
            Ok(published) => match published.errors.first() {
                None => return published.last.unwrap(),
                Some((_, PublishError::Unavailable(_))) => {}
                Some(error) => panic!("{error:?}"),
            },
            Err(PublishError::Unavailable(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    unreachable!("it goes on for ever")
}

#[tokio::test(start_paused = true)]
async fn g2_what_is_repeated_until_it_is_answered_is_published_once() {
    for seed in 0..8 {
        let bus = MemoryBus::new();
        let nodes = [node(&bus), node(&bus), node(&bus)];
        nodes[0]
            .tracker
            .task("t")
            .channel("jobs")
            .share()
            .await
            .unwrap();
        let mut watchers: Vec<_> = nodes
            .iter()
            .map(|node| node.tracker.subscribe("t"))
            .collect();
        for watcher in &mut watchers {
            watcher.ready().await.unwrap();
        }
        let rough = Faults::none()
            .drop(0.2)
            .duplicate(0.2)
            .reorder(0.2)
            .delay(Duration::from_millis(3))
            .lose_answer(0.2);
        for (index, node) in nodes.iter().enumerate() {
            node.wire.faults(rough, seed * 10 + index as u64);
        }
        let mut positions = HashSet::new();
        for n in 0..30_usize {
            let event = match n % 3 {
                0 => line("m"),
                1 => input(
                    "progress_update",
                    json!({"stage": format!("s/{}", n % 5), "current": n, "total": 30}),
                ),
                _ => input("mark", json!({"n": n})),
            };
            let position = insist(&nodes, n, &event.id(format!("w/{n}"))).await;
            assert!(positions.insert(position), "seed {seed}: {position} twice");
        }
        let end = input("complete", json!({"status": "completed"})).id("w/end");
        let last = insist(&nodes, 0, &end).await;
        // The broker holds each once: 10 lines, 10 marks, one end.
        let page = held_of_task(&bus).await;
        let held = held_types(&page);
        for (event_type, count) in [("log", 10), ("mark", 10), ("started", 1), ("complete", 1)] {
            let found = held.iter().filter(|held| *held == event_type).count();
            assert_eq!(found, count, "seed {seed}: {event_type} in {held:?}");
        }
        // A stage becomes the current one once.
        let stages: Vec<_> = page
            .records
            .iter()
            .filter_map(|record| match record {
                Record::Task(event) => match event.data() {
                    Data::StageChange(change) => Some(Arc::clone(&change.current_stage)),
                    _ => None,
                },
                Record::Channel(_) => None,
            })
            .collect();
        assert_eq!(stages.iter().collect::<HashSet<_>>().len(), stages.len());
        for (node, watcher) in nodes.iter().zip(&mut watchers) {
            let frames = rest(watcher).await;
            assert!(
                !frames.iter().any(|frame| matches!(
                    frame,
                    Frame::Reset(reset) if reset.reason != ResetReason::Created
                )),
                "seed {seed}"
            );
            assert_eq!(assert_continuous(&frames, 0), last.seq().get());
            let mut percent = 0.0;
            for update in updates(&frames) {
                assert!((percent..100.0).contains(&update.progress), "{update:?}");
                percent = update.progress;
            }
            let snapshot = node.tracker.snapshot("t").await.unwrap();
            assert_eq!(snapshot.position(), last);
        }
    }
}
