//! What a client may say, and that what it is sent is never held against it.

use std::time::Duration;

use progress_web::{GatewayBuilder, Session};
use serde_json::Value;
use tokio::time::advance;

use crate::{
    sessions::{
        Mark, Said, Tile, closed, frames, gateway_with, kinds, next_batch, open, request, settle,
        task,
    },
    support::limited,
};

const PONG: &str = r#"{"type":"pong"}"#;

/// One message at once, and then one a minute.
fn strict(gateway: GatewayBuilder) -> GatewayBuilder {
    gateway.message_rate(1, 1)
}

/// The error before the close with 4029.
fn told(said: &[Said]) -> Value {
    assert_eq!(closed(said), (4029, "RATE_LIMITED"));
    let [.., Said::Frame(rejected), Said::Close(_)] = said else {
        panic!("{said:?}")
    };
    assert_eq!(rejected["event_type"], "rejected");
    assert_eq!(rejected["data"]["code"], "RATE_LIMITED");
    assert_eq!(rejected["data"]["is_retryable"], true);
    rejected["data"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_too_much_is_told_how_long_to_wait() {
    let gateway = gateway_with(|gateway| gateway);
    let mut session = open(&gateway).await;
    for _ in 0..200 {
        session.on_text(r#"{"type":"ping"}"#);
    }
    assert_eq!(settle(&mut session).await.len(), 200, "all are answered");
    session.on_text(r#"{"type":"ping"}"#);
    let error = told(&settle(&mut session).await);
    assert_eq!(error["retry_after_ms"], 600);
    assert_eq!(error["details"]["limit"], 100);
    assert_eq!(limited(&gateway, "messages").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_every_heartbeat_lives_however_short_that_is() {
    let beat = Duration::from_millis(1);
    let gateway = gateway_with(|gateway| strict(gateway).heartbeat(beat));
    let mut session = open(&gateway).await;
    for n in 0..10_000 {
        advance(beat).await;
        assert_eq!(
            kinds(&settle(&mut session).await),
            ["heartbeat", "(ping)"],
            "{n}"
        );
        session.on_life();
        session.on_text(PONG);
    }
    // So does one that was away for a while and answers all at once.
    for _ in 0..100 {
        advance(beat).await;
        assert_eq!(settle(&mut session).await.len(), 2);
    }
    for _ in 0..100 {
        session.on_text(PONG);
        session.on_life();
    }
    assert_eq!(settle(&mut session).await, []);
}

#[tokio::test(start_paused = true)]
async fn pongs_that_nobody_asked_for_are_messages_like_others() {
    let flood: [fn(&mut Session); 4] = [
        |session| session.on_text(PONG),
        |session| session.on_text(r#"{"event":"pong"}"#),
        |session| session.on_life(),
        |session| session.on_binary(b"\x81\xa4type\xa4pong"),
    ];
    for (n, sign) in flood.into_iter().enumerate() {
        let gateway = gateway_with(|gateway| gateway);
        let mut session = open(&gateway).await;
        for _ in 0..200 {
            sign(&mut session);
        }
        assert_eq!(settle(&mut session).await, [], "{n}");
        sign(&mut session);
        told(&settle(&mut session).await);
    }
}

#[tokio::test(start_paused = true)]
async fn what_answers_a_heartbeat_is_a_pong_and_nothing_else() {
    let gateway = gateway_with(|gateway| strict(gateway).heartbeat(Duration::from_secs(1)));
    let mut session = open(&gateway).await;
    for _ in 0..10 {
        advance(Duration::from_secs(1)).await;
        settle(&mut session).await;
    }
    session.on_text(r#"{"type":"ping"}"#);
    assert_eq!(frames(settle(&mut session).await)[0]["event_type"], "pong");
    session.on_text(r#"{"type":"ping"}"#);
    told(&settle(&mut session).await);
}

/// Elsewhere: "100 messages a minute per socket with no conflation".
#[tokio::test(start_paused = true)]
async fn a_reader_is_never_closed_for_what_it_is_sent_however_much_that_is() {
    const EVENTS: u64 = 100_000;
    let gateway = gateway_with(strict);
    let work = task(&gateway, "a");
    let mut session = gateway.web_socket(&request("/"), "a").await;
    let mut said = settle(&mut session).await;
    assert_eq!(kinds(&said), ["connected", "started"]);
    // It says nothing, and reads one batch while a thousand events happen.
    for n in 1..=EVENTS {
        work.emit(Tile { n }).unwrap();
        if n % 1_000 == 0 {
            work.emit(Mark { n }).unwrap();
            session.socket_was_busy();
            said.extend(next_batch(&mut session).await);
        }
    }
    work.complete(()).unwrap();
    while !matches!(said.last(), Some(Said::Close(_))) {
        said.extend(next_batch(&mut session).await);
    }
    assert_eq!(closed(&said), (1000, "ENDED"));
    let frames = frames(said);
    assert!(
        frames.len() < 2_000,
        "it was conflated: {} frames",
        frames.len()
    );
    let mut last = 0;
    for frame in frames.iter().filter(|frame| frame.get("seq").is_some()) {
        let seq = frame["seq"].as_u64().unwrap();
        assert_eq!(
            frame["from"].as_u64().unwrap_or(seq),
            last + 1,
            "nothing is missing unsaid"
        );
        last = seq;
    }
    assert_eq!(last, 2 + EVENTS + EVENTS / 1_000);
}

/// Elsewhere: "rate limits without a rule for what to drop".
#[tokio::test(start_paused = true)]
async fn what_is_dropped_is_state_with_something_newer_and_never_a_milestone_or_a_command() {
    let gateway = gateway_with(|gateway| gateway.message_rate(10, 1));
    let work = task(&gateway, "a");
    let mut session = gateway.web_socket(&request("/"), "a").await;
    settle(&mut session).await;
    for n in 1..=1_000 {
        work.emit(Tile { n }).unwrap();
        if n % 10 == 0 {
            work.emit(Mark { n }).unwrap();
        }
    }
    session.socket_was_busy();
    let frames = frames(settle(&mut session).await);
    let of = |event_type: &str| -> Vec<_> {
        let of_type = frames
            .iter()
            .filter(|frame| frame["event_type"] == event_type);
        of_type
            .map(|frame| frame["data"]["n"].as_u64().unwrap())
            .collect()
    };
    // Out: every milestone, and of State what is the present.
    assert_eq!(of("mark"), (1..=100).map(|n| n * 10).collect::<Vec<_>>());
    assert_eq!(of("tile").last(), Some(&1_000));
    assert!(of("tile").len() < 500);
    // In: each command is answered or the connection ends; none is dropped unsaid.
    for n in 0..11 {
        session.on_text(&format!(r#"{{"type":"dance","request_id":{n}}}"#));
    }
    let said = settle(&mut session).await;
    told(&said);
    let answered = said.iter().filter_map(|said| match said {
        Said::Frame(frame) => frame["data"]["request_id"].as_u64(),
        _ => None,
    });
    assert_eq!(answered.collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_deep_or_broken_is_rejected_and_the_connection_goes_on() {
    let gateway = gateway_with(|gateway| gateway);
    let mut json = open(&gateway).await;
    let mut packed = {
        let (mut request, ()) = http::Request::get("/ws").body(()).unwrap().into_parts();
        let name = http::HeaderValue::from_static("progress.v1.msgpack");
        request.headers.insert("sec-websocket-protocol", name);
        gateway.web_sockets(&request).await
    };
    let nested = |depth: usize| {
        format!(
            r#"{{"type":"ping","x":{}{}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    json.on_text(&nested(100));
    assert_eq!(frames(settle(&mut json).await)[0]["event_type"], "pong");
    for text in [
        nested(8_000),
        "[".repeat(16_000),
        r#"{"a":"#.repeat(3_000),
        "\0".to_owned(),
        "{\"type\":\"ping\0\"}".to_owned(),
        "{\"type\":\"pi\u{0}ng\"}".to_owned(),
    ] {
        json.on_text(&text);
        let said = frames(settle(&mut json).await);
        assert_eq!(said[0]["data"]["code"], "INVALID_COMMAND");
    }
    // Of a name that is said twice the last counts.
    json.on_text(r#"{"type":"dance","type":"ping"}"#);
    assert_eq!(frames(settle(&mut json).await)[0]["event_type"], "pong");
    // One array in another, 16 000 deep; and a map that never ends.
    for bytes in [vec![0x91; 16_000], vec![0xdf, 0xff, 0xff, 0xff, 0xff]] {
        packed.on_binary(&bytes);
    }
    let mut outputs = Vec::new();
    while outputs.len() < 3 {
        assert!(packed.next_batch(&mut outputs).await);
    }
    for output in &outputs[1..] {
        let progress_web::Output::Binary(frame) = output else {
            panic!("{output:?}")
        };
        let frame: Value = rmp_serde::from_slice(frame).unwrap();
        assert_eq!(frame["data"]["code"], "INVALID_COMMAND");
    }
}
