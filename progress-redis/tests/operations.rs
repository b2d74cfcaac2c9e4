//! What operators see of a node: how its connections are, and what it has been through.

mod server;

use std::time::Duration;

use progress_core::{
    ProgressTracker, TrackerStats,
    transport::{ConnectionState, TransportHealth},
};
use progress_redis::RedisTransport;
use tokio::time::Instant;

use self::server::RedisServer;

fn node_at(url: String) -> ProgressTracker {
    let transport = RedisTransport::builder(url).build();
    let transport = transport.expect("its URL is one");
    let tracker = ProgressTracker::builder().transport(transport).build();
    tracker.connect();
    tracker
}

fn node(server: &RedisServer) -> ProgressTracker {
    node_at(server.url())
}

fn health(node: &ProgressTracker) -> TransportHealth {
    node.transport_health().expect("it watches itself")
}

fn states(node: &ProgressTracker) -> (ConnectionState, ConnectionState) {
    let health = health(node);
    (health.publisher.state, health.subscriber.state)
}

/// Waits until something is so; answers how long it took.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !is_so() {
        let waited = began.elapsed();
        assert!(waited < Duration::from_secs(30), "within 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

async fn until_stats(node: &ProgressTracker, is_so: impl Fn(&TrackerStats) -> bool) {
    let what = format!("{:?} changes", node.stats());
    until(&what, || is_so(&node.stats())).await;
}

#[tokio::test]
async fn a_redis_that_hangs_is_shown_as_stale_within_three_seconds() {
    use ConnectionState::{Stale, Up};
    let server = RedisServer::start();
    let node = node(&server);
    until("a probe comes", || health(&node).probe.is_some()).await;
    let probe = health(&node).probe.expect("it came");
    assert!(probe.round_trip < Duration::from_secs(1), "{probe:?}");
    assert_eq!(states(&node), (Up, Up));
    server.signal("-STOP");
    // No connection breaks by this.
    let noticed = until("both are stale", || states(&node) == (Stale, Stale)).await;
    assert!(node.is_connected(), "before it is given up");
    server.signal("-CONT");
    // Three seconds, and what a busy machine adds of its own.
    assert!(noticed < Duration::from_secs(6), "{noticed:?}");
    until("they are up", || states(&node) == (Up, Up)).await;
}

#[tokio::test]
async fn a_redis_that_is_killed_is_down_until_it_is_back() {
    use ConnectionState::{Down, Up};
    let server = RedisServer::start();
    let node = node(&server);
    until("it is connected", || {
        node.is_connected() && health(&node).is_up()
    })
    .await;
    let before = health(&node);
    assert_eq!((before.reconnects, before.last_error), (0, None));
    server.kill();
    until("it is down", || {
        states(&node) == (Down, Down) && !node.is_connected()
    })
    .await;
    let away = health(&node);
    assert!(away.subscriber.since >= before.subscriber.since);
    let error = away.last_error.expect("one").error.to_string();
    assert!(!error.is_empty());
    server.restart();
    until("it is up", || {
        states(&node) == (Up, Up) && node.is_connected()
    })
    .await;
    assert!(health(&node).reconnects >= 1);
}

#[tokio::test]
async fn what_waits_in_an_outage_is_counted_and_so_is_what_is_told_again() {
    let server = RedisServer::start();
    let node = node(&server);
    let tasks = ["a", "b", "c"].map(|id| node.task(id).start().expect("the id is free"));
    until_stats(&node, |stats| stats.outbox_tasks == 0).await;
    node.flush(Instant::now() + Duration::from_secs(10))
        .await
        .expect("it is there");
    assert_eq!(node.stats().resends, 0);
    server.kill();
    until("it is noticed", || !health(&node).is_up()).await;
    for task in &tasks {
        task.pause("for a tape");
    }
    let channel = node.channel("jobs");
    channel.emit(Note).expect("there is room");
    until_stats(&node, |stats| {
        (stats.outbox_tasks, stats.outbox_events) == (3, 1)
    })
    .await;
    server.restart();
    until_stats(&node, |stats| {
        (stats.outbox_tasks, stats.outbox_events) == (0, 0)
    })
    .await;
    // It kept nothing on disk.
    until_stats(&node, |stats| stats.resends == 3).await;
}

#[derive(serde::Serialize)]
struct Note;

impl progress_core::EventPayload for Note {
    const EVENT_TYPE: &'static str = "note";
}

#[tokio::test]
async fn a_run_in_whose_place_another_counts_is_counted() {
    let server = RedisServer::start();
    let (first, second) = (node(&server), node(&server));
    let _counts = first.task("t").start_confirmed().await.expect("it is free");
    let fenced = second.task("t").start().expect("nobody has it here");
    until_stats(&second, |stats| stats.superseded == 1).await;
    assert_eq!(first.stats().superseded, 0);
    drop(fenced);
}

#[tokio::test]
async fn a_message_that_is_none_of_ours_is_counted_and_costs_nothing_else() {
    let server = RedisServer::start();
    let (worker, web) = (node(&server), node(&server));
    let task = worker.task("t").start_confirmed().await;
    let task = task.expect("the id is free");
    let mut frames = web.subscribe("t");
    frames.next().await.expect("a verdict");
    server.ask("PUBLISH pgs:t:{t} garbage").expect("it runs");
    until("it is counted", || health(&web).malformed == 1).await;
    task.complete(()).expect("it has not ended");
    while frames.next().await.is_some() {}
    let snapshot = web.snapshot("t").await.expect("it is known");
    assert!(snapshot.state.is_ended());
}

/// A user that may do everything but one command.
async fn lacking(command: &str) -> String {
    let server = RedisServer::start();
    let user = format!("ACL SETUSER worker on >hush ~* &* +@all -{command}");
    assert_eq!(server.ask(&user).expect("it runs"), "+OK\r\n");
    let url = server.url().replace("redis://", "redis://worker:hush@");
    let node = node_at(url);
    let task = node.task("t").start().expect("the id is free");
    task.pause("for a tape");
    let mut told = String::new();
    until("a right is missing", || {
        let last = health(&node).last_error;
        told = last.map_or_else(String::new, |last| last.error.to_string());
        told.contains("permission") || told.contains("can't run")
    })
    .await;
    assert!(!told.contains("hush"), "{told}");
    told
}

#[tokio::test]
async fn a_right_that_is_missing_is_shown() {
    for command in ["publish", "subscribe", "fcall"] {
        let told = lacking(command).await;
        assert!(told.contains(command), "{told}");
    }
    // Within a function Redis does not say which.
    let told = lacking("xadd").await;
    assert!(told.contains("progress_1_claim"), "{told}");
}

#[tokio::test]
async fn a_generation_that_somebody_made_up_is_not_believed() {
    let server = RedisServer::start();
    let node = node(&server);
    let _watching = node.subscribe("forged");
    until("it listens", || {
        server
            .ask("PUBLISH pgs:t:{forged} garbage")
            .is_ok_and(|heard| heard.starts_with(":1"))
    })
    .await;
    let before = health(&node).malformed;
    // 2^53 is where Redis's numbers end, and 2^64 where ours do.
    let started = r#"{\"event_type\":\"started\",\"timestamp\":\"2026-11-22T13:56:13.123Z\",\"data\":{\"name\":null,\"kind\":null,\"labels\":{},\"stages\":[],\"attempt\":1,\"started_at\":\"2026-11-22T13:56:13.123Z\"}}"#;
    let mut forged = 0;
    for generation in ["9007199254740991", "18446744073709551615", "9999999999999"] {
        for message in [
            format!("x{generation}"),
            format!("r{generation}-1 0 0 e{started}"),
        ] {
            server
                .ask(&format!("PUBLISH pgs:t:{{forged}} \"{message}\""))
                .unwrap();
            forged += 1;
        }
    }
    until("all are refused", || {
        health(&node).malformed >= before + forged
    })
    .await;
    let task = node.task("forged").start().expect("it is nobody's");
    let deadline = Instant::now() + Duration::from_secs(20);
    node.flush(deadline).await.expect("its claim was taken");
    assert_eq!(node.stats().superseded, 0);
    task.complete(()).unwrap();
    node.flush(deadline).await.expect("so was its end");
}
