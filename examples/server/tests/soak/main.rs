//! Two thousand connections for a while, of which a tenth are stuck, a tenth come and go, and a tenth
//! send garbage: nobody who is well misses anything, and the memory comes back.
//!
//! `cargo test --release -p progress-server --test soak -- --ignored --nocapture`; `SOAK_SECONDS` (20).

mod client;
mod follow;
#[path = "../support/mod.rs"]
mod support;

use std::{
    env, fs,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::json;
use tokio::{
    sync::{Barrier, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use self::{
    client::{Kind, Wire},
    support::Server,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes two minutes and a release build: run by hand, by the command above"]
async fn two_thousand_connections_of_all_sorts() {
    rlimit::increase_nofile_limit(16_384).unwrap();
    let seconds = env::var("SOAK_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let lasts = Duration::from_secs(seconds.unwrap_or(20));
    let server = Server::start(&["--heartbeat", "2s", "--retention", "6s"]).await;
    let pid = server.process.id().unwrap();
    // An allocator keeps what it had to get for so many; what it gets beyond that would be a leak.
    round(&server, "warm", CONNECTIONS, lasts).await;
    let before = settled(pid).await;
    let seen = round(&server, "soak", CONNECTIONS, lasts).await;
    let peak = resident(pid);
    let after = settled_to(pid, before + before / 10).await;
    println!(
        "{CONNECTIONS} connections, {lasts:?}: {seen} events seen; resident {} KiB before, {} KiB at \
         the end of the load, {} KiB after",
        before >> 10,
        peak >> 10,
        after >> 10,
    );
    assert!(
        after <= before + before / 10,
        "the memory has not come back"
    );
    let (_, health) = server.get("/health").await;
    assert!(health.contains(r#""sessions":0"#), "{health}");
}

/// Connections of all sorts, while tasks are published to; how many events the healthy ones saw.
async fn round(server: &Server, name: &str, connections: usize, lasts: Duration) -> u64 {
    let ready = Arc::new(Barrier::new(connections + 1));
    let (over, is_over) = watch::channel(false);
    let clients: Vec<JoinHandle<u64>> = (0..connections)
        .map(|n| {
            let wire = if n % 2 == 0 {
                Wire::WebSocket
            } else {
                Wire::EventStream
            };
            let kind = match n / 2 % 10 {
                0 => Kind::Stuck,
                1 => Kind::Restless,
                2 => Kind::Garbage,
                _ => Kind::Healthy,
            };
            let task = format!("{name}-{}", n % TASKS);
            let client = client::Client::new(&server.url, wire, &task, n as u64);
            tokio::spawn(client.run(kind, Arc::clone(&ready), is_over.clone()))
        })
        .collect();
    ready.wait().await;
    let begun = Instant::now();
    let mut published = 0_u64;
    while begun.elapsed() < lasts {
        let batch = join_all((0..TASKS).map(|task| async move {
            let events: Vec<_> = (0..EVENTS)
                .map(|n| json!({"event_type": "soak", "data": {"n": n, "text": "x".repeat(200)}}))
                .collect();
            let path = format!("/tasks/{name}-{task}/events");
            let (status, answer) = server.post(&path, &json!(events)).await;
            assert_eq!(
                (status, &answer["accepted"]),
                (202, &json!(EVENTS)),
                "{answer}"
            );
        }));
        batch.await;
        published += EVENTS;
        let due = begun + EVERY * u32::try_from(published / EVENTS).unwrap();
        sleep(due.saturating_duration_since(Instant::now())).await;
    }
    for task in 0..TASKS {
        let end = json!({"event_type": "complete", "data": {"status": "completed"}});
        let (status, answer) = server
            .post(&format!("/tasks/{name}-{task}/events"), &end)
            .await;
        assert_eq!(status, 202, "{answer}");
    }
    // All who read come to the end by themselves; the others are told.
    let mut seen = 0;
    over.send(true).unwrap();
    for (n, client) in clients.into_iter().enumerate() {
        let ended = timeout(Duration::from_secs(60), client).await;
        seen += ended
            .unwrap_or_else(|_| panic!("client {n} does not come to an end"))
            .unwrap();
    }
    seen
}

fn resident(pid: u32) -> usize {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// The memory when it no longer falls.
async fn settled(pid: u32) -> usize {
    settled_to(pid, 0).await
}

/// The memory once it is down to this, or no longer falls.
async fn settled_to(pid: u32, enough: usize) -> usize {
    let mut least = resident(pid);
    let mut since = Instant::now();
    while least > enough && since.elapsed() < Duration::from_secs(8) {
        sleep(Duration::from_millis(100)).await;
        let now = resident(pid);
        if now < least {
            (least, since) = (now, Instant::now());
        }
    }
    least
}

const CONNECTIONS: usize = 2_000;
const TASKS: usize = 20;
/// Events that each task gets at a time.
const EVENTS: u64 = 10;
const EVERY: Duration = Duration::from_millis(500);
