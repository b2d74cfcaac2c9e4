//! Several nodes and a broker that numbers.

use std::{collections::HashSet, sync::Arc, time::Duration};

use progress_core::{
    Data, EventInput, Frame, LookupError, ProgressTracker, ProgressUpdate, PublishError,
    ResetReason, StartError, Status, TaskState,
    testing::{Faults, MemoryBus},
    transport::{Page, Record, Topic, Transport},
};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    common::{assert_continuous, types, updates},
    input, publish,
    support::{Node, node, rest, until},
};

const MINUTE: Duration = Duration::from_secs(60);

fn line(text: &str) -> EventInput {
    input("log", json!({"message": text}))
}

/// What the broker holds of a topic, seen by somebody who is no node.
async fn held(bus: &MemoryBus, topic: &Topic) -> Page {
    bus.connect().read(topic, None).await.unwrap().unwrap()
}

async fn held_of_task(bus: &MemoryBus) -> Page {
    held(bus, &Topic::Task("t".parse().unwrap())).await
}

fn held_types(page: &Page) -> Vec<String> {
    page.records
        .iter()
        .map(|record| match record {
            Record::Task(event) => event.event_type().to_owned(),
            Record::Channel(event) => match event.body() {
                progress_core::ChannelBody::Task(event) => event.event_type().to_owned(),
                other => panic!("{other:?}"),
            },
        })
        .collect()
}

/// The newest event that the broker holds, an update.
async fn newest_update(bus: &MemoryBus) -> ProgressUpdate {
    match held_of_task(bus).await.records.last() {
        Some(Record::Task(event)) => match event.data() {
            Data::ProgressUpdate(update) => (**update).clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

async fn state(node: &Node) -> TaskState {
    node.tracker.snapshot("t").await.unwrap().state
}

#[tokio::test(start_paused = true)]
async fn g1_workers_on_two_nodes_report_one_task() {
    let bus = MemoryBus::new();
    let (a, b) = (node(&bus), node(&bus));
    let shared = a
        .tracker
        .task("t")
        .name("Talking video")
        .stage("detect", 1.0)
        .stage("render", 3.0)
        .share()
        .await
        .unwrap();
    let mut here = a.tracker.subscribe("t");
    let mut there = b.tracker.subscribe("t");
    let detect = |data| vec![input("progress_update", data)];
    shared
        .publish(detect(json!({"stage": "detect", "current": 1, "total": 2})))
        .await
        .unwrap();
    // What the other node has just published is merged with, without waiting for it.
    let published = b
        .tracker
        .publish(
            "t",
            detect(json!({"stage": "detect", "message": "two people"})),
        )
        .await
        .unwrap();
    let snapshot = b.tracker.snapshot("t").await.unwrap();
    assert_eq!(Some(snapshot.position()), published.last);
    assert_eq!(snapshot.name.as_deref(), Some("Talking video"));
    let stage = snapshot.stage("detect").unwrap();
    assert_eq!((stage.current, stage.total), (Some(1), Some(2)));
    assert_eq!(snapshot.progress, 12.5);
    a.tracker
        .publish("t", vec![line("one"), line("two")])
        .await
        .unwrap();
    let last = b
        .tracker
        .publish(
            "t",
            vec![
                line("three"),
                input("complete", json!({"status": "completed"})),
            ],
        )
        .await
        .unwrap();
    let (here, there) = (rest(&mut here).await, rest(&mut there).await);
    assert_eq!(
        types(&here),
        [
            "started",
            "stage_change",
            "progress_update",
            "progress_update",
            "log",
            "log",
            "log",
            "complete"
        ]
    );
    assert_eq!(types(&here), types(&there));
    assert_eq!(assert_continuous(&here, 0), last.last.unwrap().seq().get());
    let lines: Vec<_> = there
        .iter()
        .filter_map(Frame::event)
        .filter_map(|event| match event.data() {
            Data::Log(line) => Some(line.n),
            _ => None,
        })
        .collect();
    assert_eq!(lines, [1, 2, 3]);
    assert_eq!(shared.head(), last.last.unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_another_node_has_published_counts_before_it_arrives() {
    let bus = MemoryBus::new();
    let (a, b) = (node(&bus), node(&bus));
    a.tracker.task("t").share().await.unwrap();
    // Both mirror it; from now on records are long under way.
    for (seed, node) in [(1, &a), (2, &b)] {
        assert_eq!(state(node).await, TaskState::Running);
        node.wire.faults(Faults::none().delay(MINUTE), seed);
    }
    let parts = [
        json!({"current": 1}),
        json!({"total": 4}),
        json!({"message": "one of four"}),
        json!({"metadata": {"gpu": 0}}),
    ];
    for (n, part) in parts.into_iter().enumerate() {
        let tracker = [&a.tracker, &b.tracker][n % 2];
        let published = publish(tracker, "progress_update", part).await;
        // Who has published sees it at once.
        let seen = tracker.snapshot("t").await.unwrap();
        assert_eq!(Some(seen.position()), published.last);
    }
    let whole = newest_update(&bus).await;
    assert_eq!((whole.current, whole.total), (Some(1), Some(4)));
    assert_eq!(whole.message.as_deref(), Some("one of four"));
    assert_eq!(whole.metadata.get("gpu"), Some(&json!(0)));
    assert_eq!(whole.progress, 25.0);
}

#[tokio::test(start_paused = true)]
async fn events_of_one_call_build_on_each_other_and_on_what_the_broker_holds() {
    let bus = MemoryBus::new();
    let a = node(&bus);
    a.tracker.task("t").share().await.unwrap();
    let update = |data| input("progress_update", data);
    let first = vec![
        update(json!({"current": 1, "total": 4})),
        update(json!({"message": "m"})),
        update(json!({"stage": "a", "current": 1, "total": 2})),
        update(json!({"stage": "a", "unit": "tiles"})),
        update(json!({"progress": 60})),
        update(json!({"current": 2})),
    ];
    let published = a.tracker.publish("t", first).await.unwrap();
    // One implied: the stage begins.
    assert_eq!(published.last.unwrap().seq().get(), 1 + 1 + 6);
    let whole = newest_update(&bus).await;
    assert_eq!((whole.current, whole.total), (Some(2), Some(4)));
    assert_eq!(whole.message.as_deref(), Some("m"));
    assert_eq!((whole.progress, whole.reported), (60.0, true));
    // A node that has never heard of the task reads all of it.
    let b = node(&bus);
    publish(&b.tracker, "progress_update", json!({"metadata": {"b": 1}})).await;
    let whole = newest_update(&bus).await;
    assert_eq!((whole.current, whole.total), (Some(2), Some(4)));
    assert_eq!((whole.progress, whole.reported), (60.0, true));
    let c = node(&bus);
    let stage = json!({"stage": "a", "stage_progress": 100});
    publish(&c.tracker, "progress_update", stage).await;
    let stage = newest_update(&bus).await;
    assert_eq!(
        (stage.current, stage.unit.as_deref()),
        (Some(1), Some("tiles"))
    );
    assert_eq!((stage.progress, stage.reported), (60.0, true));
}

#[tokio::test(start_paused = true)]
async fn an_id_is_taken_once_on_all_nodes() {
    let bus = MemoryBus::new();
    let (a, b) = (node(&bus), node(&bus));
    let exists = StartError::AlreadyExists("t".parse().unwrap());
    a.tracker.task("t").share().await.unwrap();
    for node in [&a, &b] {
        let again = node.tracker.task("t").share().await;
        assert_eq!(again.map(drop), Err(exists.clone()));
    }
    assert_eq!(
        b.tracker.task("t").start_confirmed().await.map(drop),
        Err(exists.clone())
    );
    publish(&b.tracker, "complete", json!({"status": "completed"})).await;
    assert_eq!(b.tracker.task("t").share().await.map(drop), Err(exists));
    assert_eq!(
        a.tracker.publish("t", vec![line("late")]).await,
        Err(PublishError::AlreadyComplete)
    );
    assert_eq!(
        a.tracker.publish("nobody", vec![line("lost")]).await,
        Err(PublishError::NotFound)
    );
}

#[tokio::test(start_paused = true)]
async fn of_two_nodes_that_share_an_id_at_the_same_time_one_has_it() {
    let bus = MemoryBus::new();
    let (a, b) = (node(&bus), node(&bus));
    // Often enough that some fall into the same millisecond.
    for n in 0..200 {
        let id = format!("t-{n}");
        let (one, other) = tokio::join!(a.tracker.task(&id).share(), b.tracker.task(&id).share());
        assert_ne!(one.is_ok(), other.is_ok(), "{id}: {one:?} {other:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_with_an_owner_elsewhere_is_its_owners() {
    let bus = MemoryBus::new();
    let (a, b) = (node(&bus), node(&bus));
    let task = a.tracker.task("t").start_confirmed().await.unwrap();
    for node in [&a, &b] {
        assert_eq!(
            node.tracker.publish("t", vec![line("m")]).await,
            Err(PublishError::Owned)
        );
    }
    task.complete(()).unwrap();
    until(async || state(&b).await == TaskState::Completed).await;
    for node in [&a, &b] {
        assert_eq!(
            node.tracker.publish("t", vec![line("m")]).await,
            Err(PublishError::AlreadyComplete)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_with_an_owner_may_follow_and_old_handles_have_no_part_in_it() {
    let bus = MemoryBus::new();
    let (a, b) = (node(&bus), node(&bus));
    let shared = a.tracker.task("t").share().await.unwrap();
    let mut watcher = a.tracker.subscribe("t");
    shared
        .publish(vec![input("complete", json!({"status": "failed"}))])
        .await
        .unwrap();
    assert_eq!(types(&rest(&mut watcher).await), ["started", "complete"]);
    let position = watcher.position().unwrap();
    let _task = b.tracker.task("t").restart_confirmed().await.unwrap();
    for shared in [&shared, &shared.clone()] {
        assert_eq!(
            shared.publish(vec![line("late")]).await,
            Err(PublishError::Superseded)
        );
    }
    assert_eq!(
        a.tracker.publish("t", vec![line("late")]).await,
        Err(PublishError::Owned)
    );
    assert_eq!(shared.head(), position);
}

#[tokio::test(start_paused = true)]
async fn any_node_starts_what_another_has_queued() {
    let bus = MemoryBus::new();
    let (a, b) = (node(&bus), node(&bus));
    a.tracker
        .task("t")
        .name("later")
        .label("user", "7")
        .stage("render", 4.0)
        .queued()
        .share()
        .await
        .unwrap();
    assert_eq!(state(&b).await, TaskState::Queued);
    let queued = b.tracker.snapshot("t").await.unwrap();
    assert_eq!(queued.name.as_deref(), Some("later"));
    let mut watcher = a.tracker.subscribe("t");
    // Both at the same time: it starts once.
    let (one, other) = tokio::join!(
        a.tracker.publish("t", vec![line("a")]),
        b.tracker.publish("t", vec![line("b")]),
    );
    assert_eq!((one.unwrap().accepted, other.unwrap().accepted), (1, 1));
    publish(&b.tracker, "complete", json!({"status": "completed"})).await;
    let frames = rest(&mut watcher).await;
    assert_eq!(
        types(&frames),
        ["queued", "started", "log", "log", "complete"]
    );
    match frames[2].event().map(|event| event.data()) {
        Some(Data::Started(started)) => {
            assert_eq!(started.name.as_deref(), Some("later"));
            assert_eq!(started.labels["user"], "7");
            assert_eq!(started.stages[0].weight, 4.0);
        }
        other => panic!("{other:?}"),
    }
}

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
                progress_core::ChannelBody::Task(event) => match event.data() {
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
async fn insist(nodes: &[Node], turn: usize, event: &EventInput) -> progress_core::Position {
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
