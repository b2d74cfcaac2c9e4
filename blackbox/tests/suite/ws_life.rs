//! `/ws/progress/{task_id}`: handshake, what a client may say, signs of life, limits.

use std::time::Duration;

use blackbox::{Mark, RawWs, Ws, eventually, fields, kind};
use progress_core::Task;
use reqwest::Method;
use serde_json::Value;
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

use crate::Server;

const BEAT: Duration = Duration::from_millis(20);

/// A task and a watcher that has read all there is.
async fn watched(server: &Server, id: &str) -> (Task, Ws) {
    let task = server.tracker.task(id).start().unwrap();
    let mut ws = server.ws(&format!("/ws/progress/{id}")).await;
    assert_eq!(kind(&ws.frame().await), "connected");
    assert_eq!(kind(&ws.frame().await), "started");
    (task, ws)
}

#[tokio::test]
async fn ping_is_answered_pong() {
    let server = Server::start().await;
    let (_task, mut ws) = watched(&server, "a").await;
    for ping in [
        r#"{"type":"ping"}"#,
        r#"{"type":"ping","timestamp":"x","n":1}"#,
    ] {
        ws.say(ping).await;
        let pong = ws.frame().await;
        assert_eq!(fields(&pong), ["event_type", "timestamp"]);
        assert_eq!(kind(&pong), "pong");
    }
    ws.send(Message::Ping("who".into())).await;
    let answer = blackbox::within("a pong", futures_util::StreamExt::next(&mut ws.socket)).await;
    assert!(matches!(answer, Some(Ok(Message::Pong(data))) if data == "who"));
}

#[tokio::test]
async fn pongs_are_not_answered() {
    let server = Server::start().await;
    let (task, mut ws) = watched(&server, "a").await;
    for pong in [
        r#"{"type":"pong"}"#,
        r#"{"event":"pong"}"#,
        r#"{"type":"pong","event":"pong","data":{}}"#,
    ] {
        ws.say(pong).await;
    }
    ws.send(Message::Pong("".into())).await;
    ws.send(Message::binary(vec![0, 1, 2])).await;
    ws.say(r#"{"type":"ping"}"#).await;
    assert_eq!(kind(&ws.frame().await), "pong");
    task.emit(Mark { n: 1 }).unwrap();
    assert_eq!(kind(&ws.frame().await), "mark");
}

#[tokio::test]
async fn garbage_is_rejected_and_the_connection_goes_on() {
    let server = Server::start().await;
    let (task, mut ws) = watched(&server, "a").await;
    for garbage in [
        "",
        "hello",
        "{",
        "[1]",
        "null",
        "{}",
        r#"{"type":7}"#,
        r#"{"type":"dance"}"#,
        r#"{"type":"subscribe","topics":[{"task_id":"b"}]}"#,
        "\u{0}\u{ffff}",
    ] {
        ws.say(garbage).await;
        let rejected = ws.frame().await;
        assert_eq!(kind(&rejected), "rejected", "{garbage:?}");
        assert_eq!(rejected["data"]["code"], "INVALID_COMMAND");
        assert_eq!(rejected["data"]["is_retryable"], false);
        assert!(rejected["data"].get("request_id").is_none());
    }
    task.emit(Mark { n: 1 }).unwrap();
    assert_eq!(kind(&ws.frame().await), "mark");
}

#[tokio::test]
async fn rejected_command_is_named_by_its_request_id() {
    let server = Server::start().await;
    let (_task, mut ws) = watched(&server, "a").await;
    for (command, id) in [
        (r#"{"type":"dance","request_id":3}"#, Value::from(3)),
        (r#"{"request_id":"x-1"}"#, Value::from("x-1")),
        (r#"{"type":[],"request_id":4}"#, Value::from(4)),
    ] {
        ws.say(command).await;
        let rejected = ws.frame().await;
        assert_eq!(kind(&rejected), "rejected");
        assert_eq!(rejected["data"]["request_id"], id);
    }
}

#[tokio::test]
async fn too_large_a_message_closes_only_its_own_connection() {
    let server = Server::start().await;
    let (task, mut small) = watched(&server, "a").await;
    let mut large = server.ws("/ws/progress/a").await;
    large.frame().await;
    large.frame().await;
    let largest = format!(r#"{{"type":"{}"}}"#, "x".repeat(16 * 1024 - 11));
    assert_eq!(largest.len(), 16 * 1024);
    small.say(&largest).await;
    assert_eq!(kind(&small.frame().await), "rejected", "it just fits");
    large.say(&(largest + " ")).await;
    let (_, close) = large.until_close().await;
    assert_eq!(close, (4409, "PAYLOAD_TOO_LARGE".to_owned()));
    eventually("the connection to go", || server.gateway.sessions() == 1).await;
    task.emit(Mark { n: 1 }).unwrap();
    assert_eq!(kind(&small.frame().await), "mark");
}

#[tokio::test]
async fn heartbeats_tell_where_the_task_stands() {
    let server = Server::with(|gateway| gateway.heartbeat(BEAT)).await;
    let task = server.tracker.task("a").start().unwrap();
    let mut ws = server.ws("/ws/progress/a").await;
    assert_eq!(ws.frame().await["data"]["heartbeat_ms"], 20);
    let beat = ws.frame_of("heartbeat").await;
    assert_eq!(fields(&beat), ["data", "event_type", "timestamp"]);
    assert_eq!(fields(&beat["data"]), ["heads"]);
    assert_eq!(fields(&beat["data"]["heads"]), ["a"]);
    assert_eq!(beat["data"]["heads"]["a"], task.head().to_string());
    let head = task.emit(Mark { n: 1 }).unwrap().to_string();
    loop {
        if ws.frame_of("heartbeat").await["data"]["heads"]["a"] == head {
            break;
        }
    }
}

#[tokio::test]
async fn client_that_shows_no_life_is_closed_with_4012() {
    let dead = Duration::from_millis(500);
    let server = Server::with(|gateway| gateway.heartbeat(BEAT).dead_after(dead)).await;
    let task = server.tracker.task("a").start().unwrap();
    let mut ws = RawWs::open(server.tcp().await, "/ws/progress/a").await;
    let mut pings = 0;
    let close = loop {
        match ws.next().await {
            (RawWs::CLOSE, payload) => break payload,
            (RawWs::PING, _) => {
                pings += 1;
                // What it is sent is no sign of its own life.
                task.emit(Mark { n: pings }).unwrap();
            }
            _ => {}
        }
    };
    assert_eq!(close[..2], 4012_u16.to_be_bytes());
    assert_eq!(&close[2..], b"HEARTBEAT_LOST");
    assert!(pings > 0, "it was asked");
    eventually("the connection to go", || server.gateway.sessions() == 0).await;
}

#[tokio::test]
async fn any_pong_is_life() {
    let dead = Duration::from_secs(3);
    let server = Server::with(|gateway| gateway.heartbeat(BEAT).dead_after(dead)).await;
    let _task = server.tracker.task("a").start().unwrap();
    let outlive = async |opcode, pong: &[u8]| {
        let mut ws = RawWs::open(server.tcp().await, "/ws/progress/a").await;
        let began = tokio::time::Instant::now();
        while began.elapsed() < dead * 2 {
            match ws.next().await {
                (RawWs::PING, _) => ws.send(opcode, pong).await,
                (RawWs::CLOSE, _) => panic!("{} was not life", pong.escape_ascii()),
                _ => {}
            }
        }
    };
    tokio::join!(
        outlive(RawWs::TEXT, br#"{"type":"pong"}"#),
        outlive(RawWs::TEXT, br#"{"event":"pong"}"#),
        outlive(RawWs::PONG, b""),
    );
}

#[tokio::test]
async fn client_that_says_goodbye_gets_it_back() {
    let server = Server::start().await;
    let (_task, mut ws) = watched(&server, "a").await;
    let goodbye = CloseFrame {
        code: 1000.into(),
        reason: "".into(),
    };
    ws.send(Message::Close(Some(goodbye))).await;
    assert_eq!(ws.next().await.unwrap_err().0, 1000);
    eventually("the connection to go", || server.gateway.sessions() == 0).await;
    eventually("its subscription to go", || {
        server.tracker.stats().subscriptions == 0
    })
    .await;
}

#[tokio::test]
async fn client_that_vanishes_is_noticed() {
    let server = Server::start().await;
    let (_task, ws) = watched(&server, "a").await;
    assert_eq!(server.gateway.sessions(), 1);
    drop(ws);
    eventually("the connection to go", || server.gateway.sessions() == 0).await;
}

#[tokio::test]
async fn connections_past_the_limit_are_told_to_slow_down() {
    let server = Server::with(|gateway| gateway.sessions(1)).await;
    let (_task, first) = watched(&server, "a").await;
    let (frames, close) = server.ws("/ws/progress/a").await.until_close().await;
    assert_eq!(frames.len(), 1);
    assert_eq!(kind(&frames[0]), "rejected");
    assert_eq!(frames[0]["data"]["code"], "CONNECTION_LIMIT");
    assert_eq!(frames[0]["data"]["is_retryable"], true);
    assert!(frames[0]["data"]["retry_after_ms"].as_u64().unwrap() > 0);
    assert_eq!(close, (4029, "CONNECTION_LIMIT".to_owned()));
    drop(first);
    eventually("the place to be free", || server.gateway.sessions() == 0).await;
    let mut third = server.ws("/ws/progress/a").await;
    assert_eq!(kind(&third.frame().await), "connected");
}

#[tokio::test]
async fn plain_get_is_asked_to_upgrade() {
    let server = Server::start().await;
    let answer = server.get("/ws/progress/a").await;
    answer.error(426, "UPGRADE_REQUIRED");
    assert_eq!(answer.header("upgrade"), "websocket");
    let old = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "8"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let answer = server.request(Method::GET, "/ws/progress/a", &old).await;
    answer.error(426, "UPGRADE_REQUIRED");
}

#[tokio::test]
async fn subprotocol_is_echoed_when_asked_for_and_tokens_never() {
    let server = Server::start().await;
    let _task = server.tracker.task("a").start().unwrap();
    let name = "sec-websocket-protocol";
    for asked in ["progress.v1.json", "bearer.s3cr3t, progress.v1.json"] {
        let stream = server.tcp().await;
        let mut ws = Ws::over(stream, "/ws/progress/a", &[(name, asked)]).await;
        assert_eq!(ws.headers[name], "progress.v1.json");
        assert_eq!(kind(&ws.frame().await), "connected");
    }
    let mut ws = server.ws("/ws/progress/a").await;
    assert!(!ws.headers.contains_key(name));
    assert_eq!(kind(&ws.frame().await), "connected", "JSON all the same");
}
