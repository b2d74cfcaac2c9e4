//! G2 over real sockets: whoever comes back with the position it had gets everything once, in
//! order, however often it was cut off.

use std::{collections::BTreeMap, time::Duration};

use blackbox::{Mark, Reader, Tile, kind};
use progress_core::{Level, Task};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::Server;

const MARKS: u64 = 500;

/// Numbers that look random; the same for the same seed.
struct Dice(u64);

impl Dice {
    /// Below `bound`.
    fn roll(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Publishes State, log lines and marks for a while, then the end.
fn publish(task: Task, seed: u64) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut dice = Dice(seed);
        let mut tiles = 0;
        for n in 1..=MARKS {
            task.emit(Mark { n }).unwrap();
            for _ in 0..dice.roll(12) {
                tiles += 1;
                task.emit(Tile::new(tiles)).unwrap();
            }
            for _ in 0..dice.roll(3) {
                task.log(Level::INFO, "line");
            }
            if dice.roll(4) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        task.complete(serde_json::json!({"tiles": tiles})).unwrap();
    })
}

/// What a reader must know in the end, however it came by it.
fn check(reader: &Reader, seed: u64) {
    assert!(reader.ended, "seed {seed}");
    let numbers = |event_type: &str, field: &str| -> Vec<u64> {
        let of_type = |frame: &&Value| kind(frame) == event_type;
        let news = reader.news.iter().filter(of_type);
        news.map(|frame| frame["data"][field].as_u64().unwrap())
            .collect()
    };
    let marks: Vec<_> = (1..=MARKS).collect();
    assert_eq!(numbers("mark", "n"), marks, "seed {seed}");
    let end = reader.news.last().unwrap();
    let tiles = numbers("tile", "n");
    assert!(tiles.is_sorted(), "seed {seed}");
    assert_eq!(
        tiles.last().copied(),
        end["data"]["result"]["tiles"].as_u64()
    );
    // Missing lines are declared: exactly on a live cursor, at most too many after a resume.
    let lines = numbers("log", "n");
    assert!(lines.is_sorted_by(|a, b| a < b), "seed {seed}");
    let mut last = 0;
    let mut declared = 0;
    for frame in &reader.news {
        declared += frame["dropped_logs"].as_u64().unwrap_or(0);
        if kind(frame) == "log" {
            let n = frame["data"]["n"].as_u64().unwrap();
            assert!(n - last - 1 <= declared, "seed {seed}: {last} to {n}");
            (last, declared) = (n, 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_websocket_cut_off_at_random_misses_nothing() {
    for seed in 1..=4 {
        let server = Server::start().await;
        let task = server.tracker.task("a").start().unwrap();
        let work = publish(task, seed);
        let mut dice = Dice(seed + 100);
        let mut reader = Reader::default();
        let mut connections = 0;
        while !reader.ended {
            let after = reader.position().unwrap_or_default();
            let mut ws = server.ws(&format!("/ws/progress/a?after={after}")).await;
            connections += 1;
            for _ in 0..dice.roll(120) {
                match ws.next().await {
                    Ok(frame) => reader.take(&frame),
                    Err(close) => {
                        assert_eq!(close.0, 1000);
                        break;
                    }
                };
            }
        }
        work.await.unwrap();
        check(&reader, seed);
        assert_eq!(reader.repeats, 0, "seed {seed}");
        assert!(connections > 5, "{connections} connections test little");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_event_stream_cut_off_at_random_misses_nothing() {
    for seed in 1..=4 {
        let server = Server::start().await;
        let task = server.tracker.task("a").start().unwrap();
        let work = publish(task, seed);
        let mut dice = Dice(seed + 200);
        let mut reader = Reader::default();
        let mut id: Option<String> = None;
        while !reader.ended {
            let mut sse = match &id {
                Some(id) => server.sse_after("/sse/progress/a", id).await,
                None => server.sse("/sse/progress/a").await,
            };
            for _ in 0..dice.roll(120) {
                let Some(block) = sse.block().await else {
                    break;
                };
                if let Some(frame) = block.data {
                    reader.take(&frame);
                }
            }
            id = sse.last_id.take();
            if let Some(id) = &id {
                assert_eq!(Some(id), reader.position().as_ref());
            }
        }
        work.await.unwrap();
        check(&reader, seed);
        assert_eq!(reader.repeats, 0, "seed {seed}");
        let sse = server.sse_after("/sse/progress/a", &id.unwrap()).await;
        assert_eq!(sse.status, 204);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_stream_of_many_cut_off_at_random_misses_nothing() {
    for seed in 1..=4 {
        let server = Server::start().await;
        let ids = ["a", "b", "c"];
        let work = ids.map(|id| {
            let task = server.tracker.task(id).start().unwrap();
            publish(task, seed + id.len() as u64)
        });
        let mut dice = Dice(seed + 300);
        let mut readers: BTreeMap<_, _> = ids.map(|id| (id, Reader::default())).into();
        let mut id: Option<String> = None;
        loop {
            let mut sse = match &id {
                Some(id) => server.sse_after("/sse?ids=a,b,c", id).await,
                None => server.sse("/sse?ids=a,b,c").await,
            };
            if sse.status == 204 {
                break;
            }
            // Sometimes enough for all there is, for ids are rare.
            for _ in 0..200 + dice.roll(6_000) {
                let Some(block) = sse.block().await else {
                    break;
                };
                let Some(frame) = block.data else { continue };
                if let Some(topic) = frame["task_id"].as_str() {
                    readers.get_mut(topic).unwrap().take(&frame);
                }
            }
            id = sse.last_id.take();
        }
        for work in work {
            work.await.unwrap();
        }
        for reader in readers.values() {
            check(reader, seed);
        }
    }
}
