//! Two thousand connections for a while, of which a tenth are stuck, a tenth come and go, and a tenth
//! send garbage: nobody who is well misses anything, and the memory comes back.
//!
//! All are users, known by each way that there is, whose credentials end every few seconds; limits
//! are on, and among them are those who want more than they may.
//!
//! `cargo test --release -p progress-server --test soak -- --ignored --nocapture`, or
//! `cargo xtask ci --only soak`; `SOAK_SECONDS` (90) is how long each of the two rounds lasts.

mod attack;
mod client;
mod follow;
mod people;
#[path = "../support/mod.rs"]
mod support;

use std::{
    env, fmt, fs,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::json;
use tokio::{
    process::Command,
    sync::{Barrier, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use self::{
    attack::{Attack, Attacker},
    client::{Kind, Wire},
    follow::Follower,
    people::{Issuer, KINDS},
    support::Server,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes four minutes and a release build: a slow gate, run by the commands above"]
async fn two_thousand_connections_of_all_sorts() {
    rlimit::increase_nofile_limit(16_384).unwrap();
    let lasts = Duration::from_secs(env::var("SOAK_SECONDS").map_or(90, |text| {
        text.parse().expect("SOAK_SECONDS is a whole number")
    }));
    // Nobody reads, and so answers pings, before all are there: a busy machine may take long.
    let patient = ["--heartbeat", "2s", "--dead-after", "60s"];
    let issuer = Arc::new(Issuer::new());
    let users = issuer.flags();
    let users: Vec<_> = users.iter().map(String::as_str).collect();
    let limits = ["--trusted-proxies", "127.0.0.0/8"];
    let kept = ["--retention", "6s", "--unknown-wait", "60s"];
    let flags = [&patient[..], &kept, &limits, &users].concat();
    let mut command = Command::new(env!("CARGO_BIN_EXE_progress-server"));
    // It would tell of each attack.
    command.args(&flags).env("RUST_LOG", "error");
    let mut server = Server::spawn(command).await;
    server.authorize(&issuer.token(CONNECTIONS, "admin", FOR_EVER));
    let pid = server.process.id().unwrap();
    // What a server once warm has beyond this after as many have come and gone again is a leak, or
    // memory that its allocator does not give back.
    round(&server, &issuer, "warm", lasts).await;
    let before = settled(pid).await;
    let seen = round(&server, &issuer, "soak", lasts).await;
    let peak = Memory::of(pid);
    let enough = before.resident + before.resident / 10;
    let after = settled_to(pid, enough).await;
    let Seen {
        events,
        missed,
        expired,
        refused,
    } = seen;
    println!("{CONNECTIONS} connections for {lasts:?}: {events} events delivered, {missed} missed");
    println!("credentials ended {expired} times; refused: {refused:?}");
    println!("memory: {before} before, {peak} under load, {after} after");
    let (_, metrics) = server.get("/metrics").await;
    let is_told = |line: &&str| TOLD.iter().any(|name| line.starts_with(name));
    for line in metrics.lines().filter(is_told) {
        println!("{line}");
    }
    assert_eq!(missed, 0);
    assert!(expired > 0, "nobody came back with new credentials");
    assert!(refused.iter().all(|(_, times)| *times > 0), "{refused:?}");
    assert!(after.resident <= enough, "the memory has not come back");
    let (_, health) = server.get("/health").await;
    assert!(health.contains(r#""sessions":0"#), "{health}");
}

/// How the connections of both rounds ended, by code; what was refused, by limit; tickets.
const TOLD: [&str; 3] = [
    "progress_session_closes_total",
    "progress_limited_total",
    "progress_tickets_total",
];

/// What those saw who read.
#[derive(Default)]
struct Seen {
    events: u64,
    /// Numbers of their tasks' logs that no event had for them.
    missed: u64,
    /// Credentials that ended while they were used.
    expired: u64,
    /// How often each attack was.
    refused: Vec<(Attack, u64)>,
}

/// Connections of all sorts, while tasks are published to.
async fn round(server: &Server, issuer: &Arc<Issuer>, name: &str, lasts: Duration) -> Seen {
    let ready = Arc::new(Barrier::new(CONNECTIONS + 1));
    let (over, is_over) = watch::channel(false);
    let clients: Vec<JoinHandle<Follower>> = (0..CONNECTIONS)
        .map(|n| {
            let wire = if n % 2 == 0 {
                Wire::WebSocket
            } else {
                Wire::EventStream
            };
            let kind = match n % KINDS / 2 {
                0 => Kind::Stuck,
                1 => Kind::Restless,
                2 => Kind::Garbage,
                _ => Kind::Healthy,
            };
            let task = match kind {
                // So much that every buffer on the way is full before the end.
                Kind::Stuck => format!("{name}-fat"),
                _ => format!("{name}-{}", n % TASKS),
            };
            let client = client::Client::new(server.host(), issuer, wire, &task, n);
            tokio::spawn(client.run(kind, Arc::clone(&ready), is_over.clone()))
        })
        .collect();
    let small = (0..TASKS).map(|task| (format!("{name}-{task}"), SMALL));
    let tasks: Vec<_> = small.chain([(format!("{name}-fat"), FAT)]).collect();
    ready.wait().await;
    let (enough, is_enough) = watch::channel(false);
    let attacks = Attack::ALL.map(|attack| {
        let attacker = Attacker {
            attack,
            host: server.host().to_owned(),
            issuer: Arc::clone(issuer),
            task: format!("{name}-0"),
        };
        (attack, tokio::spawn(attacker.run(is_enough.clone())))
    });
    let begun = Instant::now();
    let mut published = 0_u64;
    while begun.elapsed() < lasts {
        let batch = join_all(tasks.iter().map(|(task, size)| async move {
            let events: Vec<_> = (0..EVENTS)
                .map(|n| json!({"event_type": "soak", "data": {"n": n, "text": "x".repeat(*size)}}))
                .collect();
            let path = format!("/tasks/{task}/events");
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
    let mut seen = Seen::default();
    enough.send(true).unwrap();
    for (attack, attacker) in attacks {
        seen.refused.push((attack, attacker.await.unwrap()));
    }
    for (task, _) in &tasks {
        let end = json!({"event_type": "complete", "data": {"status": "completed"}});
        let (status, answer) = server.post(&format!("/tasks/{task}/events"), &end).await;
        assert_eq!(status, 202, "{answer}");
    }
    // All who read come to the end by themselves; the others are told.
    over.send(true).unwrap();
    for (n, client) in clients.into_iter().enumerate() {
        let ended = timeout(Duration::from_secs(60), client).await;
        let follower = ended
            .unwrap_or_else(|_| panic!("client {n} does not come to an end"))
            .unwrap();
        seen.events += follower.events;
        seen.missed += follower.seq - follower.events;
        seen.expired += follower.expired;
    }
    seen
}

/// Memory of a process, in KiB.
#[derive(Debug, Clone, Copy)]
struct Memory {
    resident: u64,
    /// The part that no file is behind: heap and stacks.
    anonymous: u64,
}

impl Memory {
    fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let field = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
            kib.unwrap().parse().unwrap()
        };
        Self {
            resident: field("VmRSS:"),
            anonymous: field("RssAnon:"),
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            resident,
            anonymous,
        } = self;
        write!(f, "{resident} KiB ({anonymous} anonymous)")
    }
}

/// The memory when it no longer falls.
async fn settled(pid: u32) -> Memory {
    settled_to(pid, 0).await
}

/// The memory once it is down to this, or no longer falls.
async fn settled_to(pid: u32, enough: u64) -> Memory {
    let mut least = Memory::of(pid);
    let mut since = Instant::now();
    while least.resident > enough && since.elapsed() < Duration::from_secs(15) {
        sleep(Duration::from_millis(100)).await;
        let now = Memory::of(pid);
        if now.resident < least.resident {
            (least, since) = (now, Instant::now());
        }
    }
    least
}

const CONNECTIONS: usize = 2_000;
/// As long as all rounds may take.
const FOR_EVER: Duration = Duration::from_secs(24 * 3_600);
const TASKS: usize = 20;
/// Events that each task gets at a time.
const EVENTS: u64 = 10;
const EVERY: Duration = Duration::from_millis(500);
/// Text of an event in bytes, for those who read and for those who do not.
const SMALL: usize = 200;
const FAT: usize = 16 * 1_024;
