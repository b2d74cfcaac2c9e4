//! Bodies that are made to hurt: compressed, deep, broken, slow.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body::Frame;
use progress_web::Open;
use serde_json::{Value, json};
use tokio::time::{Instant, Sleep, sleep};

use crate::support::{PUBLIC, ask, builder, limited, refusal, request};

fn post(path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Request<String> {
    let body = String::from_utf8(body.into().to_vec()).unwrap();
    request(Method::POST, PUBLIC, path, headers, body)
}

/// What a bomb is: 1 GiB of zeros in 1 MiB. Its first bytes do; nothing may look further.
const GZIP: &str = "\u{1f}\u{8}...";

#[tokio::test]
async fn a_compressed_body_is_refused_and_never_inflated() {
    let gateway = builder().build();
    for coding in ["gzip", "br", "zstd", "deflate", "GZIP, identity", "x"] {
        let headers = [("content-encoding", coding)];
        for path in ["/tasks", "/tasks/a/events", "/broadcast"] {
            let response = ask(&gateway, post(path, &headers, GZIP)).await;
            assert_eq!(response.headers()["accept-encoding"], "identity");
            let error = refusal(response, 415, "UNSUPPORTED_ENCODING").await;
            assert_eq!(error["details"]["field"], "content-encoding");
        }
    }
    assert_eq!(limited(&gateway, "encoding").await, 18);
    let headers = [("content-encoding", "identity")];
    let taken = ask(&gateway, post("/tasks", &headers, r#"{"task_id":"b"}"#)).await;
    assert_eq!(taken.status(), StatusCode::CREATED);
    // Who may not publish is told that, and nothing of the body.
    let gateway = builder().authorizer(Open::new().named_ids()).build();
    let headers = [("content-encoding", "gzip")];
    let response = ask(&gateway, post("/tasks/a/events", &headers, GZIP)).await;
    refusal(response, 403, "FORBIDDEN").await;
}

#[tokio::test]
async fn a_body_that_is_nested_too_deep_is_an_error_of_its_own() {
    let gateway = builder().build();
    let created = ask(&gateway, post("/tasks", &[], r#"{"task_id":"a"}"#)).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let event = |data: &str| format!(r#"{{"event_type":"photo","data":{data}}}"#);
    let taken = ask(&gateway, post("/tasks/a/events", &[], event(&nested(100)))).await;
    assert_eq!(taken.status(), StatusCode::ACCEPTED);
    let response = ask(&gateway, post("/tasks/a/events", &[], event(&nested(101)))).await;
    let error = refusal(response, 400, "INVALID_EVENT").await;
    assert_eq!(error["details"]["limit"], 100);
    // A million levels, of which some are closed and some are not.
    for body in [
        nested(500_000),
        "[".repeat(1_000_000),
        r#"{"a":"#.repeat(200_000),
    ] {
        for path in ["/tasks", "/tasks/a/cancel", "/broadcast"] {
            let response = ask(&gateway, post(path, &[], body.clone())).await;
            refusal(response, 400, "INVALID_BODY").await;
        }
        let response = ask(&gateway, post("/tasks/a/events", &[], event(&body))).await;
        // Whichever is seen first: that it is deep, or that it is long.
        assert!([400, 413].contains(&response.status().as_u16()));
    }
}

#[tokio::test]
async fn a_body_that_is_no_text_or_says_a_thing_twice_is_refused() {
    let gateway = builder().build();
    let created = ask(&gateway, post("/tasks", &[], r#"{"task_id":"a"}"#)).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    let bytes = |body: &[u8]| {
        let body = http_body_util::Full::new(Bytes::copy_from_slice(body));
        request(Method::POST, PUBLIC, "/tasks/a/events", &[], body)
    };
    for (body, code) in [
        (
            &b"{\"event_type\":\"log\",\"data\":{\"message\":\"\xff\"}}"[..],
            "INVALID_BODY",
        ),
        (
            b"{\"event_type\":\"log\",\"data\":{\"message\":\"a\0b\"}}",
            "INVALID_BODY",
        ),
        (b"\0", "INVALID_BODY"),
        (b"\xef\xbb\xbf{}", "INVALID_BODY"),
        (
            b"{\"event_type\":\"photo\",\"event_type\":\"log\",\"data\":{}}",
            "INVALID_EVENT",
        ),
        (
            b"{\"event_type\":\"photo\",\"data\":{},\"data\":{}}",
            "INVALID_EVENT",
        ),
    ] {
        let response = ask(&gateway, bytes(body)).await;
        assert_eq!(response.status(), 400, "{}", body.escape_ascii());
        refusal(response, 400, code).await;
    }
    // Written as JSON writes it, a NUL is a character like others.
    let response = ask(
        &gateway,
        bytes(br#"{"event_type":"log","data":{"message":"a\u0000b"}}"#),
    )
    .await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let (request, _) = request(Method::GET, PUBLIC, "/", &[], ()).into_parts();
    let history = gateway.history(&request, "a").await;
    let history: Value = serde_json::from_slice(history.body()).unwrap();
    let last = history["events"].as_array().unwrap().last().unwrap();
    assert_eq!(last["data"]["message"], "a\0b");
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_with_the_limit() {
    let gateway = builder().body(100).build();
    let response = ask(&gateway, post("/tasks", &[], "x".repeat(101))).await;
    let error = refusal(response, 413, "PAYLOAD_TOO_LARGE").await;
    assert_eq!(error["details"], json!({"field": "body", "limit": 100}));
    assert_eq!(limited(&gateway, "body").await, 1);
}

/// One byte after the other, each after a while, for ever.
struct Trickle(Pin<Box<Sleep>>);

impl http_body::Body for Trickle {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.0.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.0 = Box::pin(sleep(Duration::from_secs(1)));
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b" ")))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_byte_by_byte_is_given_up() {
    let gateway = builder().build();
    let began = Instant::now();
    let body = Trickle(Box::pin(sleep(Duration::ZERO)));
    let response = ask(&gateway, request(Method::POST, PUBLIC, "/tasks", &[], body)).await;
    refusal(response, 408, "TOO_SLOW").await;
    assert_eq!(began.elapsed(), Duration::from_secs(30));
    assert_eq!(limited(&gateway, "slow_body").await, 1);
}

/// A piece, and no more for so long.
struct Stalls(Option<Bytes>, Pin<Box<Sleep>>);

impl http_body::Body for Stalls {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.take() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None => self.1.as_mut().poll(cx).map(|()| None),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_have_so_much_room_in_all_and_give_it_back() {
    let gateway = builder().body(1_000).bodies(2_500).build();
    let begun = |seconds: u64| {
        let body = format!("{{\"task_id\":\"a\",\"message\":\"{}\"", "x".repeat(972));
        assert_eq!(body.len(), 999);
        let waits = Box::pin(sleep(Duration::from_secs(seconds)));
        let body = Stalls(Some(body.into()), waits);
        ask(&gateway, request(Method::POST, PUBLIC, "/tasks", &[], body))
    };
    let short = || {
        ask(
            &gateway,
            post("/tasks", &[], format!("{{}}{}", " ".repeat(498))),
        )
    };
    let (mut one, mut other) = (Box::pin(begun(5)), Box::pin(begun(10)));
    assert!(futures_util::poll!(&mut one).is_pending());
    assert!(futures_util::poll!(&mut other).is_pending());
    // 502 bytes are left.
    assert_eq!(short().await.status(), StatusCode::CREATED);
    let response = begun(5).await;
    assert_eq!(response.headers()["retry-after"], "1");
    let error = refusal(response, 503, "CONNECTION_LIMIT").await;
    assert_eq!(error["details"], json!({"field": "body", "limit": 2_500}));
    assert_eq!(limited(&gateway, "bodies").await, 1);
    // What was answered, and what was broken off, is room for others.
    drop(other);
    refusal(one.await, 400, "INVALID_BODY").await;
    for _ in 0..10 {
        refusal(begun(1).await, 400, "INVALID_BODY").await;
    }
    assert_eq!(limited(&gateway, "bodies").await, 1);
}

#[tokio::test]
async fn there_is_room_for_one_body_whatever_was_set() {
    let gateway = builder().body(1_000).bodies(0).build();
    let body = format!("{{}}{}", " ".repeat(998));
    let taken = ask(&gateway, post("/tasks", &[], body)).await;
    assert_eq!(taken.status(), StatusCode::CREATED);
}
