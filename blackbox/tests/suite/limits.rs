//! Limits of one client, over sockets: the peer is known, and what a server lets through is refused
//! as the protocol says.

use std::time::Duration;

use blackbox::{Answer, RawWs, Ws, eventually, kind, within};
use http::Method;
use progress_core::TaskId;
use progress_web::{ForwardedHeader, GatewayBuilder, Open};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, interval},
};

use crate::Server;

/// Behind a proxy on this machine: without one, peers on it are not counted.
fn proxied(gateway: GatewayBuilder) -> GatewayBuilder {
    let proxy = "127.0.0.1".parse().unwrap();
    gateway.trusted_proxies([proxy], ForwardedHeader::XForwardedFor)
}

async fn get(server: &Server, path: &str, client: &str) -> Answer {
    let headers = [("x-forwarded-for", client)];
    server.request(Method::GET, path, &headers).await
}

/// The error of an answer that says when to come back, which header and body agree on.
fn waits(answer: &Answer, status: u16, code: &str) -> serde_json::Value {
    let error = answer.error(status, code);
    let wait = error["retry_after_ms"].as_u64().unwrap();
    assert!(wait > 0);
    assert_eq!(
        answer.header("retry-after"),
        wait.div_ceil(1_000).to_string()
    );
    error
}

#[tokio::test]
async fn connections_are_counted_by_the_address_that_the_proxy_tells() {
    let server = Server::with(|gateway| proxied(gateway).sessions_per_address(2)).await;
    let _task = server.tracker.task("a").start().unwrap();
    let mut open = Vec::new();
    let as_client = [("x-forwarded-for", "198.51.100.1")];
    for _ in 0..2 {
        let stream = server.tcp().await;
        let mut ws = Ws::over(stream, "/ws/progress/a", &as_client).await;
        assert_eq!(kind(&ws.frame().await), "connected");
        open.push(ws);
    }
    let refused = get(&server, "/sse/progress/a", "9.9.9.9, 198.51.100.1").await;
    let error = waits(&refused, 503, "CONNECTION_LIMIT");
    assert_eq!(error["details"]["scope"], "address");
    let refused = Ws::over(server.tcp().await, "/ws/progress/a", &as_client).await;
    let (frames, close) = { refused }.until_close().await;
    assert_eq!(frames[0]["data"]["details"]["limit"], 2);
    assert_eq!(close, (4029, "CONNECTION_LIMIT".to_owned()));
    // Another client of the same proxy, and the proxy for itself.
    let other = [("x-forwarded-for", "198.51.100.2")];
    let mut ws = Ws::over(server.tcp().await, "/ws/progress/a", &other).await;
    assert_eq!(kind(&ws.frame().await), "connected");
    assert_eq!(server.get("/tasks/a").await.status, 200);
    drop((open, ws));
    eventually("the places to be free", || server.gateway.sessions() == 0).await;
    let mut again = Ws::over(server.tcp().await, "/ws/progress/a", &as_client).await;
    assert_eq!(kind(&again.frame().await), "connected");
}

#[tokio::test]
async fn requests_are_counted_by_address_and_told_when_to_come_back() {
    let server = Server::with(|gateway| proxied(gateway).request_rate(3, 1)).await;
    let mut taken = 0;
    let refused = loop {
        let answer = get(&server, "/tasks", "198.51.100.1").await;
        if answer.status != 200 {
            break answer;
        }
        taken += 1;
        assert!(taken < 100, "there is no limit");
    };
    assert!(taken >= 3, "the burst was {taken}");
    waits(&refused, 429, "RATE_LIMITED");
    assert_eq!(get(&server, "/health", "198.51.100.1").await.status, 200);
    assert_eq!(get(&server, "/tasks", "198.51.100.2").await.status, 200);
}

#[tokio::test]
async fn peers_on_this_machine_are_not_counted_without_a_proxy() {
    let server = Server::with(|gateway| gateway.request_rate(1, 1).sessions_per_address(1)).await;
    let id = TaskId::random();
    let _task = server.tracker.task(id.clone()).start().unwrap();
    let path = format!("/sse/progress/{id}");
    let _streams = (server.sse(&path).await, server.sse(&path).await);
    for _ in 0..10 {
        assert_eq!(get(&server, "/tasks", "198.51.100.1").await.status, 200);
    }
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused_with_the_limit() {
    let server = Server::start().await;
    let large = "x".repeat(33 * 1_024);
    let headers = [("x-large", &*large)];
    let answer = server.request(Method::GET, "/tasks", &headers).await;
    let error = answer.error(431, "HEADERS_TOO_LARGE");
    assert_eq!(error["details"]["limit"], 32 * 1_024);
    let answer = server
        .get(&format!("/tasks?x={}", "y".repeat(9 * 1_024)))
        .await;
    let error = answer.error(414, "URI_TOO_LONG");
    assert_eq!(error["details"]["limit"], 8 * 1_024);
}

fn publishing(gateway: GatewayBuilder) -> GatewayBuilder {
    gateway.authorizer(Open::new().named_ids().publishing())
}

#[tokio::test]
async fn compressed_bodies_are_refused() {
    let server = Server::with(publishing).await;
    let headers = [("content-encoding", "gzip")];
    let answer = server.request(Method::POST, "/tasks", &headers).await;
    assert_eq!(answer.header("accept-encoding"), "identity");
    answer.error(415, "UNSUPPORTED_ENCODING");
}

#[tokio::test]
async fn an_upload_that_comes_byte_by_byte_is_given_up() {
    let patience = Duration::from_millis(500);
    let server = Server::with(|gateway| publishing(gateway).stuck_after(patience)).await;
    let (mut from, mut to) = server.tcp().await.into_split();
    let head = "POST /tasks HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    to.write_all(head.as_bytes()).await.unwrap();
    let began = Instant::now();
    let trickle = tokio::spawn(async move {
        let mut pace = interval(Duration::from_millis(10));
        loop {
            pace.tick().await;
            if to.write_all(b"1\r\n \r\n").await.is_err() {
                return;
            }
        }
    });
    let mut answer = Vec::new();
    while !answer.windows(8).any(|bytes| bytes == b"TOO_SLOW") {
        let read = within("an answer", from.read_buf(&mut answer))
            .await
            .unwrap();
        assert_ne!(read, 0, "{}", answer.escape_ascii());
    }
    assert!(
        answer.starts_with(b"HTTP/1.1 408 "),
        "{}",
        answer.escape_ascii()
    );
    assert!(began.elapsed() >= patience);
    trickle.abort();
}

#[tokio::test]
async fn a_socket_that_answers_each_heartbeat_lives_and_one_that_floods_is_told_so() {
    let strict = |gateway: GatewayBuilder| {
        gateway
            .heartbeat(Duration::from_millis(5))
            .message_rate(1, 1)
    };
    let server = Server::with(strict).await;
    let _task = server.tracker.task("a").start().unwrap();
    // Its library answers pings by itself.
    let mut ws = server.ws("/ws/progress/a").await;
    for _ in 0..100 {
        ws.frame_of("heartbeat").await;
        ws.say(r#"{"type":"pong"}"#).await;
    }
    for _ in 0..2 {
        ws.say(r#"{"type":"ping"}"#).await;
    }
    let (frames, close) = ws.until_close().await;
    assert_eq!(close, (4029, "RATE_LIMITED".to_owned()));
    let last = frames.last().unwrap();
    assert_eq!(
        (kind(last), &last["data"]["code"]),
        ("rejected", &"RATE_LIMITED".into())
    );
    assert!(last["data"]["retry_after_ms"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_compressed_frame_breaks_the_protocol() {
    let server = Server::start().await;
    let _task = server.tracker.task("a").start().unwrap();
    let stream: TcpStream = server.tcp().await;
    let mut ws = RawWs::open(stream, "/ws/progress/a").await;
    // The bit that compression would have.
    ws.send(0x40 | RawWs::TEXT, b"x").await;
    let close = loop {
        let (opcode, payload) = ws.next().await;
        if opcode == RawWs::CLOSE {
            break payload;
        }
    };
    assert_eq!(close[..2], 1002_u16.to_be_bytes());
}
