//! A server that goes down under two thousand streams, beside another that stays: every client comes
//! back there with its position, soon, without a hole, and not all at once.
//!
//! `cargo test -p progress-server --test drain -- --nocapture` tells how they came back; `DRAIN_STREAMS` (2000) is how
//! many there are.

#![cfg(unix)]

#[path = "soak/follow.rs"]
mod follow;
#[path = "../../../progress-redis/tests/server/mod.rs"]
mod server;
mod support;

use std::{
    env, fs,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, future::join_all};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::Command,
    sync::{Barrier, watch},
    time::{sleep, timeout},
};
use tokio_tungstenite::tungstenite::Message;

use self::{
    follow::Follower,
    server::RedisServer,
    support::{PATIENCE, Server},
};

/// One watcher of the task, on one node and then on another.
struct Client {
    is_socket: bool,
    follower: Follower,
}

/// How a stream ended that was not to be the last.
struct Sent {
    at: Instant,
    reconnect_after: Duration,
}

/// How a client came over.
struct Moved {
    closed: Instant,
    back: Instant,
    follower: Follower,
}

impl Client {
    /// Watches on the node that goes, and then on the one that stays until the task has ended.
    async fn run(mut self, goes: String, stays: String, ready: Arc<Barrier>) -> Moved {
        let joined = async || {
            ready.wait().await;
        };
        let sent = self.watch(&goes, joined).await;
        let sent = sent.expect("it is sent away before the task ends");
        sleep(sent.reconnect_after).await;
        let mut back = None;
        let last = self
            .watch(&stays, async || back = Some(Instant::now()))
            .await;
        assert!(last.is_none(), "the other node stays");
        Moved {
            closed: sent.at,
            back: back.expect("it has come back"),
            follower: self.follower,
        }
    }

    /// Reads until the stream ends. `joined` is called once it has begun.
    async fn watch(&mut self, host: &str, joined: impl AsyncFnOnce()) -> Option<Sent> {
        match self.is_socket {
            true => self.watch_socket(host, joined).await,
            false => self.watch_stream(host, joined).await,
        }
    }

    async fn watch_socket(&mut self, host: &str, joined: impl AsyncFnOnce()) -> Option<Sent> {
        let after = self.follower.position.as_ref();
        let after = after.map_or(String::new(), |at| format!("?after={at}"));
        let url = format!("ws://{host}/ws/progress/{TASK}{after}");
        let stream = TcpStream::connect(host).await.unwrap();
        let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        let mut joined = Some(joined);
        let mut reconnect_after = None;
        while let Some(message) = socket.next().await {
            match message.unwrap() {
                Message::Text(text) => match told(&text) {
                    Some(after) => reconnect_after = Some(after),
                    None => self.follower.on_frame(&text),
                },
                Message::Close(close) => {
                    let code = close.map(|close| u16::from(close.code));
                    let expected = if reconnect_after.is_some() {
                        4001
                    } else {
                        1000
                    };
                    assert_eq!(code, Some(expected));
                    break;
                }
                _ => {}
            }
            if let Some(joined) = joined.take() {
                joined().await;
            }
        }
        let at = Instant::now();
        reconnect_after.map(|reconnect_after| Sent {
            at,
            reconnect_after,
        })
    }

    async fn watch_stream(&mut self, host: &str, joined: impl AsyncFnOnce()) -> Option<Sent> {
        let after = self.follower.position.as_ref();
        let after = after.map_or(String::new(), |at| format!("Last-Event-ID: {at}\r\n"));
        let mut stream = TcpStream::connect(host).await.unwrap();
        let request = format!("GET /sse/progress/{TASK} HTTP/1.1\r\nHost: {host}\r\n{after}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut lines = BufReader::with_capacity(4_096, stream).lines();
        let head = lines.next_line().await.unwrap().unwrap();
        assert!(head.contains(" 200 "), "{head}");
        let mut joined = Some(joined);
        let (mut is_told, mut retry) = (false, None);
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some(data) = line.strip_prefix("data: ") {
                is_told |= told(data).is_some();
                if !is_told {
                    self.follower.on_frame(data);
                }
                if let Some(joined) = joined.take() {
                    joined().await;
                }
            } else if let Some(millis) = line.strip_prefix("retry: ") {
                // As an EventSource has it: the last one counts.
                retry = Some(Duration::from_millis(millis.parse().unwrap()));
            } else if line == "0" {
                // The last chunk; its connection may be kept.
                break;
            }
        }
        let at = Instant::now();
        is_told.then(|| Sent {
            at,
            reconnect_after: retry.expect("it is told by its own retry"),
        })
    }
}

/// What a `draining` frame has its client wait.
fn told(text: &str) -> Option<Duration> {
    if !text.contains("\"draining\"") {
        return None;
    }
    let frame: Value = serde_json::from_str(text).unwrap();
    let millis = frame["data"]["reconnect_after_ms"].as_u64();
    Some(Duration::from_millis(millis.unwrap()))
}

/// Publishes on a node until it is told to end the task.
async fn publish(server: &Server, mut over: watch::Receiver<bool>) -> u64 {
    let path = format!("/tasks/{TASK}/events");
    let mut published = 0;
    while !*over.borrow() {
        let event = json!({"event_type": "mark", "data": {"n": published}});
        let (status, answer) = server.post(&path, &event).await;
        assert_eq!(status, 202, "{answer}");
        published += 1;
        drop(timeout(Duration::from_millis(50), over.changed()).await);
    }
    let end = json!({"event_type": "complete", "data": {"status": "completed"}});
    let (status, answer) = server.post(&path, &end).await;
    assert_eq!(status, 202, "{answer}");
    published
}

/// Waits until a node has so many connections.
async fn sessions(server: &Server, wanted: usize) {
    loop {
        let (_, health) = server.get("/health").await;
        let health: Value = serde_json::from_str(&health).unwrap();
        if health["sessions"] == wanted {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// How long the threads of a process were ready to run and no processor was free, in all; known on Linux alone.
fn run_delay(process: &str) -> Duration {
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let waited = threads.into_iter().flatten().filter_map(|thread| {
        let told = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        told.split(' ')
            .nth(1)?
            .parse()
            .ok()
            .map(Duration::from_nanos)
    });
    waited.sum()
}

/// Keeps by how many milliseconds at most this process was late, until nobody wants to know.
fn watch_the_clock(late: &Weak<AtomicU64>) {
    const STEP: Duration = Duration::from_millis(20);
    while let Some(late) = late.upgrade() {
        let began = Instant::now();
        thread::sleep(STEP);
        let missed = began.elapsed().saturating_sub(STEP).as_millis();
        late.fetch_max(missed.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_of_a_node_that_goes_is_soon_back_on_another() {
    rlimit::increase_nofile_limit(16_384).unwrap();
    let streams = env::var("DRAIN_STREAMS").map_or(2_000, |text| {
        text.parse().expect("DRAIN_STREAMS is a whole number")
    });
    let redis = RedisServer::start();
    let environment = [("PROGRESS_REDIS", &*redis.url())];
    // A second more than by default, for what a busy machine of few cores adds of its own.
    let mut goes = Server::start_in(&environment, &["--drain", "7s"]).await;
    let stays = Server::start_in(&environment, &[]).await;
    let first = json!({"event_type": "mark", "data": {"n": "first"}});
    let path = format!("/tasks/{TASK}/events");
    let (status, answer) = stays.post(&path, &first).await;
    assert_eq!(status, 202, "{answer}");

    let ready = Arc::new(Barrier::new(streams + 1));
    let clients = (0..streams).map(|n| {
        let client = Client {
            is_socket: n % 2 == 0,
            follower: Follower::default(),
        };
        let (goes, stays) = (goes.host().to_owned(), stays.host().to_owned());
        tokio::spawn(client.run(goes, stays, Arc::clone(&ready)))
    });
    let clients: Vec<_> = clients.collect();
    let joined = timeout(3 * PATIENCE, ready.wait()).await;
    joined.expect("all are connected");

    let stood_still = Arc::new(AtomicU64::new(0));
    thread::spawn({
        let stood_still = Arc::downgrade(&stood_still);
        move || watch_the_clock(&stood_still)
    });
    let (over, is_over) = watch::channel(false);
    let going = async {
        let id = goes.process.id().unwrap().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(told.unwrap().success());
        let began = Instant::now();
        // In each second that it had.
        let mut starved = Vec::new();
        let ended = async {
            loop {
                let before = run_delay(&id);
                match timeout(Duration::from_secs(1), goes.process.wait()).await {
                    Ok(ended) => return ended,
                    Err(_) => starved.push(run_delay(&id).saturating_sub(before)),
                }
            }
        };
        let ended = timeout(2 * PATIENCE, ended).await.unwrap();
        assert!(ended.unwrap().success());
        let took = began.elapsed();
        // Also who was sent away last has to come back before the end.
        let all_back = timeout(PATIENCE, sessions(&stays, streams)).await;
        all_back.expect("all are back");
        over.send_replace(true);
        (began, took, starved)
    };
    let ((began, took, starved), published) = tokio::join!(going, publish(&stays, is_over));
    let moved = timeout(3 * PATIENCE, join_all(clients)).await;
    let moved: Vec<_> = moved
        .expect("the end reaches everybody")
        .into_iter()
        .map(|moved| moved.expect("no hole, no repeat, no refusal"))
        .collect();

    let mut seconds = [0_usize; 30];
    for client in &moved {
        let second = (client.back - began).as_secs();
        seconds[usize::try_from(second).unwrap().min(29)] += 1;
        assert!(client.follower.ended);
        // The first, those published meanwhile, the end; `started` is the server's.
        assert_eq!(client.follower.seq, published + 3);
    }
    let away = moved.iter().map(|client| client.back - client.closed);
    let mut away: Vec<_> = away.collect();
    away.sort_unstable();
    let (median, longest) = (away[away.len() / 2], away[away.len() - 1]);
    let busiest = seconds.iter().max().copied().unwrap_or_default();
    println!("{streams} streams; the node was gone after {took:?}; {published} events meanwhile");
    println!("away for {median:?}, at most {longest:?}; the busiest second saw {busiest}");
    println!("the node waited for a processor, by seconds: {starved:?}");
    for (second, back) in seconds.iter().enumerate().filter(|(_, back)| **back > 0) {
        println!(
            "{second:>3} s {back:>5} {}",
            "#".repeat(back * 200 / streams)
        );
    }
    let stood_still = Duration::from_millis(stood_still.load(Ordering::Relaxed));
    println!("this process stood still for up to {stood_still:?}");
    let longest_allowed = Duration::from_secs(5) + 2 * stood_still;
    assert!(longest < longest_allowed, "{longest:?}");
    let mut all = 0;
    for (second, back) in (1..).zip(seconds) {
        all += back;
        assert!(
            all * 5 <= streams * second,
            "{all} of {streams} after {second} s"
        );
    }
    // A node that gets no processor sends nobody away, and after that all who are due by then; and
    // who stands still sees all at once who came meanwhile.
    let starved = starved.iter().any(|waited| *waited >= STARVED);
    if !starved && stood_still < STARVED / 4 {
        assert!(
            busiest * 5 <= streams,
            "{busiest} of {streams} in one second"
        );
    }
}

/// That its threads waited so long in a second, together.
const STARVED: Duration = Duration::from_secs(1);
const TASK: &str = "video-42";
