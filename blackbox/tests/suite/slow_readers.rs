//! Readers whose socket is stuck while much happens: they cost nobody anything and miss nothing
//! that matters.

use std::time::{Duration, Instant};

use blackbox::{Mark, Reader, Tile, Ws, eventually, kind, kinds};
use progress_core::Task;
use serde_json::Value;

use crate::Server;

const UPDATES: u64 = 20_000;
/// All updates together are many times what sockets and the log hold.
const FILL: usize = 4 * 1024;
const MARK_EVERY: u64 = 1_000;

/// Publishes State, now and then a milestone, and the end; tells how long it took.
fn publish(task: Task) -> Duration {
    let began = Instant::now();
    for n in 1..=UPDATES {
        task.emit(Tile::heavy(n, FILL)).unwrap();
        if n % MARK_EVERY == 0 {
            task.emit(Mark { n }).unwrap();
        }
    }
    task.complete(()).unwrap();
    began.elapsed()
}

/// What a stuck reader has to be told, however late.
fn check(frames: &[Value]) {
    let mut reader = Reader::default();
    for frame in frames {
        reader.take(frame);
    }
    assert!(reader.ended);
    assert_eq!(reader.repeats, 0);
    assert_eq!(reader.last, 2 + UPDATES + UPDATES / MARK_EVERY);
    let of = |event_type: &str| -> Vec<_> {
        let of_type = |frame: &&Value| kind(frame) == event_type;
        let news = reader.news.iter().filter(of_type);
        news.map(|frame| frame["data"]["n"].as_u64().unwrap())
            .collect()
    };
    let marks: Vec<_> = (1..=UPDATES / MARK_EVERY).map(|n| n * MARK_EVERY).collect();
    assert_eq!(of("mark"), marks, "milestones are never conflated");
    let tiles = of("tile");
    assert_eq!(tiles.last(), Some(&UPDATES), "the present at the end");
    assert!(tiles.is_sorted(), "State never goes back");
    let count = tiles.len() as u64;
    assert!(count < UPDATES / 4, "{count} updates were not conflated");
    assert!(
        reader.news.iter().any(|frame| frame.get("from").is_some()),
        "ranges declare it"
    );
}

/// Bytes of memory in use, where that can be told.
fn resident() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

async fn publish_beside(server: &Server, task: Task) {
    let before = resident();
    let took = tokio::task::spawn_blocking(move || publish(task))
        .await
        .unwrap();
    assert!(took < Duration::from_secs(60), "publishing took {took:?}");
    let bytes = server.tracker.stats().bytes;
    assert!(bytes <= 1024 * 1024 + 64 * 1024, "the log holds {bytes}");
    if let (Some(before), Some(after)) = (before, resident()) {
        let grown = after.saturating_sub(before);
        assert!(grown < 24 * 1024 * 1024, "memory grew by {grown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websocket_that_does_not_read_is_conflated_and_gets_the_true_end() {
    let server = Server::start().await;
    let task = server.tracker.task("a").start().unwrap();
    let mut slow = Ws::narrow(server.address, "/ws/progress/a").await;
    let mut frames = vec![slow.frame().await, slow.frame().await];
    assert_eq!(kinds(&frames), ["connected", "started"]);
    // One that reads meanwhile is not held up by the one that does not.
    let mut quick = server.ws("/ws/progress/a").await;
    let quick = tokio::spawn(async move { quick.frame_of("complete").await });
    publish_beside(&server, task).await;
    assert_eq!(quick.await.unwrap()["data"]["status"], "completed");
    let (late, close) = slow.until_close().await;
    frames.extend(late);
    assert_eq!(close, (1000, "ENDED".to_owned()));
    check(&frames);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_stream_that_does_not_read_is_conflated_and_gets_the_true_end() {
    let server = Server::start().await;
    let task = server.tracker.task("a").start().unwrap();
    let mut slow = server.sse("/sse/progress/a").await;
    let mut frames = vec![slow.frame().await, slow.frame().await];
    assert_eq!(kinds(&frames), ["connected", "started"]);
    publish_beside(&server, task).await;
    frames.extend(slow.frames().await);
    check(&frames);
}

#[tokio::test]
async fn websocket_that_accepts_no_byte_is_given_up() {
    let patience = Duration::from_millis(100);
    let server = Server::with(|gateway| gateway.stuck_after(patience)).await;
    let task = server.tracker.task("a").start().unwrap();
    let mut stuck = Ws::narrow(server.address, "/ws/progress/a").await;
    assert_eq!(kind(&stuck.frame().await), "connected");
    assert_eq!(server.gateway.sessions(), 1);
    let mut n = 0;
    eventually("the connection to go", || {
        // More than its kernel takes, sooner or later.
        for _ in 0..20 {
            n += 1;
            task.emit(Tile::heavy(n, 60 * 1024)).unwrap();
        }
        server.gateway.sessions() == 0
    })
    .await;
    assert_eq!(server.tracker.stats().subscriptions, 0);
}
