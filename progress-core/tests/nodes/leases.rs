//! Nodes that die, or are thought to have died.

use std::time::Duration;

use progress_core::{
    Data, Frame, PublishError, ResetReason, Resume, StartError, Status, TaskState,
    testing::{Faults, MemoryBus},
};

use super::support::{Node, event, fresh, next, node, rest, until, verdict};

/// A node dies: nothing is told any more, and nobody is there to tell it.
fn die(node: Node) {
    node.wire.disconnect();
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn g5_a_dead_nodes_task_is_ended_by_another_exactly_once() {
    let bus = MemoryBus::new();
    let (worker, web, third) = (node(&bus), node(&bus), node(&bus));
    let task = worker
        .tracker
        .task("video")
        .name("Talking video")
        .channel("jobs")
        .stage("render", 1.0)
        .start_confirmed()
        .await
        .unwrap();
    task.progress(40.0);
    worker
        .tracker
        .flush(tokio::time::Instant::now() + Duration::from_secs(1))
        .await
        .unwrap();
    let mut events = web.tracker.subscribe("video");
    assert_eq!(fresh(&mut events).await.progress, 40.0);
    // Both others have seen the broker for a lease by then.
    let mut elsewhere = third.tracker.subscribe("video");
    verdict(&mut elsewhere).await;
    worker.wire.disconnect();
    let ended = |frames: Vec<Frame>| {
        let resets: Vec<_> = frames
            .iter()
            .filter_map(|frame| match frame {
                Frame::Reset(reset) => Some((reset.reason, reset.snapshot.clone())),
                _ => None,
            })
            .collect();
        assert_eq!(resets.len(), 1, "{frames:?}");
        assert_eq!(resets[0].0, ResetReason::Superseded);
        // What was known of the task is known of its end.
        assert_eq!(resets[0].1.name.as_deref(), Some("Talking video"));
        assert_eq!(resets[0].1.state, TaskState::Abandoned);
        assert_eq!(resets[0].1.progress, 40.0);
        let ends: Vec<_> = frames
            .iter()
            .filter_map(|frame| match frame.event()?.data() {
                Data::Complete(end) => Some((end.status, end.cause.clone())),
                _ => None,
            })
            .collect();
        assert_eq!(ends, [(Status::Abandoned, Some("lease_expired".into()))]);
    };
    let before = tokio::time::Instant::now();
    ended(rest(&mut events).await);
    ended(rest(&mut elsewhere).await);
    let took = before.elapsed();
    assert!(
        took >= Duration::from_secs(20) && took < Duration::from_secs(60),
        "{took:?}"
    );
    drop(task);
}

#[tokio::test(start_paused = true)]
async fn g4_an_owner_cut_off_past_its_lease_shows_the_brokers_end() {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus), node(&bus));
    let task = worker
        .tracker
        .task("video")
        .start_confirmed()
        .await
        .unwrap();
    let mut here = worker.tracker.subscribe("video");
    fresh(&mut here).await;
    assert_eq!(event(&mut here).await.event.event_type(), "started");
    let mut there = web.tracker.subscribe("video");
    verdict(&mut there).await;
    worker.wire.disconnect();
    rest(&mut there).await;
    assert_eq!(
        web.tracker.snapshot("video").await.unwrap().state,
        TaskState::Abandoned
    );
    worker.wire.reconnect();
    // The watcher beside the worker is told, and so is the work.
    match next(&mut here).await {
        Frame::Reset(reset) => assert_eq!(reset.reason, ResetReason::Superseded),
        other => panic!("{other:?}"),
    }
    assert!(
        matches!(event(&mut here).await.event.data(), Data::Complete(end)
        if end.status == Status::Abandoned)
    );
    task.cancelled().await;
    assert_eq!(
        task.error(progress_core::TaskError::new("X", "x"))
            .unwrap_err(),
        PublishError::Superseded
    );
    assert_eq!(
        *task.complete(()).unwrap_err().reason(),
        PublishError::Superseded
    );
    assert_eq!(worker.tracker.stats().superseded, 1);
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_ends_nothing() {
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
    for _ in 0..5 {
        worker.wire.disconnect();
        tokio::time::sleep(Duration::from_secs(15)).await;
        worker.wire.reconnect();
        tokio::time::sleep(Duration::from_secs(15)).await;
    }
    task.complete(()).unwrap();
    let frames = rest(&mut there).await;
    assert!(
        frames.iter().all(|frame| frame.event().is_some()),
        "{frames:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn g5_a_node_that_was_itself_away_judges_nobody() {
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
    // The broker was away for everybody.
    worker.wire.disconnect();
    web.wire.disconnect();
    tokio::time::sleep(Duration::from_secs(120)).await;
    web.wire.reconnect();
    tokio::time::sleep(Duration::from_secs(15)).await;
    worker.wire.reconnect();
    tokio::time::sleep(Duration::from_secs(60)).await;
    task.complete(()).unwrap();
    let frames = rest(&mut there).await;
    assert!(
        frames.iter().all(|frame| frame.event().is_some()),
        "{frames:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn of_two_nodes_that_start_the_same_id_one_is_superseded() {
    let bus = MemoryBus::new();
    let (first, second) = (node(&bus), node(&bus));
    let winner = first.tracker.task("video").start_confirmed().await.unwrap();
    let refused = second
        .tracker
        .task("video")
        .start_confirmed()
        .await
        .unwrap_err();
    assert_eq!(refused, StartError::AlreadyExists("video".parse().unwrap()));
    // Without waiting, the second learns of it by and by; so do its watchers.
    second.wire.disconnect();
    let other = first.tracker.task("audio").start_confirmed().await.unwrap();
    let loser = second.tracker.task("audio").start().unwrap();
    let mut events = second.tracker.subscribe("audio");
    assert_eq!(verdict(&mut events).await.resume, Resume::Fresh);
    second.wire.reconnect();
    loop {
        if let Frame::Reset(reset) = next(&mut events).await {
            assert_eq!(reset.reason, ResetReason::Superseded);
            assert_eq!(reset.epoch, other.head().epoch());
            break;
        }
    }
    assert_eq!(
        *loser.complete(()).unwrap_err().reason(),
        PublishError::Superseded
    );
    other.complete(()).unwrap();
    rest(&mut events).await;
    winner.complete(()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_new_run_on_another_node_resets_its_watchers() {
    let bus = MemoryBus::new();
    let (first, second) = (node(&bus), node(&bus));
    let task = first
        .tracker
        .task("video")
        .name("Video")
        .start_confirmed()
        .await
        .unwrap();
    let position = task.complete(()).unwrap();
    first
        .tracker
        .flush(tokio::time::Instant::now() + Duration::from_secs(1))
        .await
        .unwrap();
    let again = second
        .tracker
        .task("video")
        .restart_confirmed()
        .await
        .unwrap();
    assert_eq!(again.snapshot().name.as_deref(), Some("Video"));
    assert_eq!(again.snapshot().attempt, 2);
    assert!(again.head().epoch() > position.epoch());
    until(async || first.tracker.snapshot("video").await.unwrap().epoch == again.head().epoch())
        .await;
    let mut events = first.tracker.subscribe_with(
        "video",
        progress_core::SubscribeOptions::new().after(position),
    );
    assert_eq!(verdict(&mut events).await.resume, Resume::Reset);
    again.complete(()).unwrap();
    rest(&mut events).await;
}

#[tokio::test(start_paused = true)]
async fn g5_a_node_that_dies_with_its_handles_is_ended_by_another() {
    let bus = MemoryBus::new();
    let web = node(&bus);
    let worker = node(&bus);
    let task = worker
        .tracker
        .task("video")
        .start_confirmed()
        .await
        .unwrap();
    let mut there = web.tracker.subscribe("video");
    verdict(&mut there).await;
    die(worker);
    // What it reports reaches nobody.
    drop(task);
    assert!(rest(&mut there).await.len() >= 2);
    assert_eq!(
        web.tracker
            .snapshot("video")
            .await
            .unwrap()
            .cause
            .as_deref(),
        Some("lease_expired")
    );
}

#[tokio::test(start_paused = true)]
async fn g5_an_end_whose_claim_got_no_answer_is_told_all_the_same() {
    for seed in 1..=20 {
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
        die(worker);
        web.wire.faults(Faults::none().lose_answer(0.5), seed);
        assert!(rest(&mut there).await.len() >= 2);
        drop(task);
    }
}
