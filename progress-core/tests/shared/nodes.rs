//! Several nodes and a broker that numbers.

use progress_core::{
    Data, Frame, PublishError, ResetReason, Resume, StartError, TaskState,
    testing::{Faults, MemoryBus},
};
use serde_json::json;

use crate::{
    bus::{MINUTE, line, newest_update, state},
    common::{assert_continuous, types},
    input, publish,
    support::{node, rest, until, verdict},
};

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
async fn who_waits_for_a_task_sees_it_from_its_first_event_on_any_node() {
    let bus = MemoryBus::new();
    let (a, b) = (node(&bus), node(&bus));
    let mut watchers = [a.tracker.subscribe("t"), b.tracker.subscribe("t")];
    for watcher in &mut watchers {
        assert_eq!(verdict(watcher).await.resume, Resume::Unknown);
    }
    let shared = a.tracker.task("t").share().await.unwrap();
    let end = input("complete", json!({"status": "completed"}));
    shared.publish(vec![line("m"), end]).await.unwrap();
    for watcher in &mut watchers {
        let frames = rest(watcher).await;
        assert!(matches!(
            &frames[0],
            Frame::Reset(reset) if reset.reason == ResetReason::Created
        ));
        assert_eq!(types(&frames), ["started", "log", "complete"]);
    }
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
