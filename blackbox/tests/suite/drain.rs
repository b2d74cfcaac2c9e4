//! A server that comes to a stop: everybody is told, nothing is lost, nothing holds it.

use std::time::{Duration, Instant};

use blackbox::{
    Mark, RawWs, Reader, Sse, Ws, kind,
    raw::{ask, rest},
    within,
};
use progress_core::{ProgressTracker, Task};
use progress_web::{GatewayBuilder, Open, Serve};
use serde_json::Value;
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    sync::oneshot::{self, error::TryRecvError},
    task::JoinHandle,
    time::sleep,
};

use crate::{Running, Server};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A client that was sent away.
struct Sent {
    reader: Reader,
    at: Instant,
    /// What it was told to wait, by frame and, of an event stream, by `retry:`.
    reconnect_after: u64,
    retry: Option<u64>,
}

/// Takes frames until `draining`, which it returns.
fn take(reader: &mut Reader, frame: &Value) -> Option<u64> {
    if kind(frame) == "draining" {
        return frame["data"]["reconnect_after_ms"].as_u64();
    }
    reader.take(frame);
    None
}

async fn follow_socket(mut ws: Ws) -> Sent {
    let mut reader = Reader::default();
    let (frames, close) = ws.until_close().await;
    assert_eq!(close, (4001, "DRAINING".to_owned()));
    let (last, rest) = frames.split_last().unwrap();
    for frame in rest {
        assert_eq!(take(&mut reader, frame), None, "it comes last");
    }
    Sent {
        at: Instant::now(),
        reconnect_after: take(&mut reader, last).expect("it is told when to come back"),
        reader,
        retry: None,
    }
}

async fn follow_stream(mut sse: Sse) -> Sent {
    let mut reader = Reader::default();
    let (mut told, mut retry) = (None, None);
    while let Some(block) = sse.block().await {
        assert!(retry.is_none(), "nothing follows: {block:?}");
        if let Some(frame) = &block.data {
            assert!(told.is_none(), "nothing but retry follows: {block:?}");
            told = take(&mut reader, frame);
        }
        if told.is_some() {
            retry = block.retry.map(|retry| retry.parse().unwrap());
        }
    }
    assert_eq!(sse.last_id, reader.position());
    Sent {
        at: Instant::now(),
        reconnect_after: told.expect("it is told when to come back"),
        reader,
        retry,
    }
}

/// Publishes until it is stopped; gives the task back.
fn publish(task: Task) -> (oneshot::Sender<()>, JoinHandle<Task>) {
    let (stop, mut stopped) = oneshot::channel();
    let publishing = tokio::spawn(async move {
        let mut n = 0;
        while stopped.try_recv() == Err(TryRecvError::Empty) {
            n += 1;
            task.emit(Mark { n }).unwrap();
            sleep(ms(3)).await;
        }
        task
    });
    (stop, publishing)
}

#[tokio::test]
async fn clients_are_sent_away_in_turn_and_come_back_without_a_hole() {
    let mut server = Running::start(|serve| serve.drain(ms(4_000))).await;
    let task = server.tracker.task("a").start().unwrap();
    let mut clients = Vec::new();
    for _ in 0..10 {
        let ws = server.ws("/ws/progress/a").await;
        clients.push(tokio::spawn(follow_socket(ws)));
        let sse = server.sse("/sse/progress/a").await;
        clients.push(tokio::spawn(follow_stream(sse)));
    }
    let (stop, publishing) = publish(task);
    let stopped = Instant::now();
    server.stop();
    let mut sent = Vec::new();
    for client in clients {
        sent.push(within("a client to be sent away", client).await.unwrap());
    }
    // The last event that each has heard tells in which order they went, and that it went on meanwhile.
    let lasts: Vec<_> = sent.iter().map(|client| client.reader.last).collect();
    assert!(
        lasts.is_sorted(),
        "in the order in which they came: {lasts:?}"
    );
    assert!(lasts[19] > lasts[0] + 20, "it went on meanwhile: {lasts:?}");
    for (n, client) in sent.iter().enumerate() {
        let waited = client.at - stopped;
        let share = ms(200 * n as u64);
        assert!(waited + ms(20) > share, "{n} went after {waited:?}");
        assert!(client.reconnect_after < 500);
        if n % 2 == 1 {
            assert_eq!(client.retry, Some(client.reconnect_after));
        }
        assert!(client.reader.last > 0);
    }
    let (tracker, served) = (server.tracker.clone(), server.served().await);
    assert_eq!((served.clients, served.cut), (20, 0));

    // Another node, as far as clients can tell.
    let other = Server::over(tracker, |gateway| gateway).await;
    stop.send(()).unwrap();
    publishing.await.unwrap().complete(()).unwrap();
    for client in &mut sent {
        let after = client.reader.position().unwrap();
        let mut ws = other.ws(&format!("/ws/progress/a?after={after}")).await;
        let (frames, close) = ws.until_close().await;
        assert_eq!(close.0, 1000);
        for frame in &frames {
            client.reader.take(frame);
        }
        assert!(client.reader.ended);
        assert_eq!(client.reader.repeats, 0);
    }
}

#[tokio::test]
async fn while_it_drains_it_answers_but_lets_nobody_in() {
    let mut server = Running::start(|serve| serve.drain(ms(2_000))).await;
    let _task = server.tracker.task("a").start().unwrap();
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(server.ws("/ws/progress/a").await);
    }
    let mut idle = server.tcp().await;
    assert!(ask(&mut idle, "/health").await.starts_with("HTTP/1.1 200"));
    server.stop();
    // The first goes at once: it has begun.
    let (_, close) = clients[0].until_close().await;
    assert_eq!(close.0, 4001);
    // One that is idle goes too, so that its client opens the next to another node.
    assert_eq!(rest(&mut idle).await, "");
    let health = server.get("/health").await;
    assert_eq!(health.json()["status"], "down");
    assert_eq!(
        (health.status.as_u16(), health.header("connection")),
        (503, "close")
    );
    let refused = server.get("/sse/progress/a").await;
    refused.error(503, "DRAINING");
    assert_eq!(refused.header("retry-after"), "1");
    let mut late = server.ws("/ws/progress/a").await;
    assert_eq!(late.until_close().await.1, (4001, "DRAINING".to_owned()));
    assert_eq!(server.get("/tasks/a").await.status, 200);
    let served = within("the last of them", server.served());
    let (served, last) = tokio::join!(served, clients[3].until_close());
    assert_eq!(last.1.0, 4001);
    assert_eq!((served.clients, served.cut), (4, 0));
}

#[tokio::test]
async fn a_poll_that_is_held_is_answered() {
    let mut server = Running::start(|serve| serve).await;
    let task = server.tracker.task("a").start().unwrap();
    let tag = server.get("/tasks/a").await.header("etag").to_owned();
    let mut poll = server.tcp().await;
    let head = format!(
        "GET /tasks/a?wait=50s HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {tag}\r\n\r\n"
    );
    poll.write_all(head.as_bytes()).await.unwrap();
    blackbox::eventually("the poll", || server.gateway.sessions() == 1).await;
    let began = Instant::now();
    server.stop();
    let answer = rest(&mut poll).await;
    assert!(answer.starts_with("HTTP/1.1 304"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    server.served().await;
    assert!(began.elapsed() < Duration::from_secs(5));
    drop(task);
}

#[tokio::test]
async fn it_serves_on_for_a_while_where_balancers_are_slow() {
    let mut server = Running::start(|serve| serve.unready_for(ms(4_000)).drain(ms(0))).await;
    let _task = server.tracker.task("a").start().unwrap();
    server.stop();
    blackbox::eventually("it withdraws", || server.gateway.is_draining()).await;
    assert_eq!(server.get("/health").await.status, 503);
    let mut sse = server.sse("/sse/progress/a").await;
    assert_eq!(sse.status, 200);
    assert_eq!(kind(&sse.frame().await), "connected");
    let sent = follow_to_its_end(sse).await;
    assert!(sent.contains(&"draining".to_owned()), "{sent:?}");
    assert_eq!(server.served().await.clients, 1);
}

#[tokio::test]
async fn its_own_work_ends_first_where_it_is_told_so() {
    let mut server = Running::start(|serve| serve.work_ends_in(Duration::from_secs(20))).await;
    let task = server.tracker.task("a").start().unwrap();
    let mut ws = server.ws("/ws/progress/a").await;
    ws.frame_of("started").await;
    server.stop();
    blackbox::eventually("no new tasks", || server.tracker.is_draining()).await;
    assert!(server.tracker.task("b").start().is_err());
    task.complete(()).unwrap();
    let (frames, close) = ws.until_close().await;
    assert_eq!(close.0, 1000, "{frames:?}");
    assert_eq!(server.served().await.cut, 0);
}

#[tokio::test]
async fn nothing_that_is_open_holds_it_past_its_deadline() {
    let open = Open::new().named_ids().publishing();
    let tracker = ProgressTracker::new();
    let build = |gateway: GatewayBuilder| gateway.authorizer(open);
    let set = |serve: Serve| serve.drain(ms(200)).deadline(ms(2_500));
    let mut server = Running::over(tracker, build, set).await;
    let _task = server.tracker.task("a").start().unwrap();
    let sse = server.sse("/sse/progress/a").await;
    let ws = server.ws("/ws/progress/a").await;
    // It reads nothing, so it does not see that it is sent away.
    let deaf = RawWs::open(server.tcp().await, "/ws/progress/a").await;
    let mut upload = server.tcp().await;
    let head = "POST /tasks/a/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{";
    upload.write_all(head.as_bytes()).await.unwrap();
    let mut idle = server.tcp().await;
    assert!(ask(&mut idle, "/health").await.starts_with("HTTP/1.1 200"));
    let mut half = server.tcp().await;
    half.write_all(b"GET /health HT").await.unwrap();
    let silent = server.tcp().await;
    let began = Instant::now();
    server.stop();
    let (served, said, (_, close)) = tokio::join!(server.served(), follow_to_its_end(sse), async {
        let mut ws = ws;
        ws.until_close().await
    });
    let took = began.elapsed();
    assert!(took >= ms(2_400), "it waits for the upload: {took:?}");
    assert!(took < ms(10_000), "and no longer than it may: {took:?}");
    assert_eq!(served.clients, 3);
    assert!(served.cut >= 1, "the upload was cut off: {served:?}");
    assert!(served.flushed);
    assert_eq!(close.0, 4001);
    assert!(said.contains(&"draining".to_owned()));
    assert_eq!(rest(&mut upload).await, "", "no answer");
    drop((deaf, idle, half, silent));
}

#[tokio::test]
async fn connections_get_no_older_than_they_may() {
    let server = Server::with(|gateway| gateway.max_connection_age(ms(300))).await;
    let task = server.tracker.task("a").start().unwrap();
    let began = Instant::now();
    let (ws, sse) = (
        server.ws("/ws/progress/a").await,
        server.sse("/sse/progress/a").await,
    );
    let (stop, publishing) = publish(task);
    let (mut socket, stream) = tokio::join!(follow_socket(ws), follow_stream(sse));
    for sent in [&socket, &stream] {
        let age = sent.at - began;
        assert!(age >= ms(270) && age < ms(10_000), "{age:?}");
    }
    assert_eq!(stream.retry, Some(stream.reconnect_after));
    stop.send(()).unwrap();
    let task = publishing.await.unwrap();
    // It is not the server that goes: they come back to where they were.
    let after = socket.reader.position().unwrap();
    let mut ws = server.ws(&format!("/ws/progress/a?after={after}")).await;
    task.complete(()).unwrap();
    let (frames, _) = ws.until_close().await;
    for frame in &frames {
        socket.reader.take(frame);
    }
    assert!(socket.reader.ended);
}

#[tokio::test]
async fn a_server_that_is_dropped_cuts_off_everything() {
    let server = Running::start(|serve| serve).await;
    let _task = server.tracker.task("a").start().unwrap();
    let mut ws = RawWs::open(server.tcp().await, "/ws/progress/a").await;
    assert_eq!(ws.next().await.0, RawWs::TEXT);
    let server = server.dropped().await;
    blackbox::eventually("its session is over", || server.gateway.sessions() == 0).await;
    assert!(TcpStream::connect(server.address).await.is_err());
}

/// The types of all frames to the end of the stream.
async fn follow_to_its_end(mut sse: Sse) -> Vec<String> {
    let frames = sse.frames().await;
    frames.iter().map(|frame| kind(frame).to_owned()).collect()
}
