//! Tokens at a gateway: what clients are told.

use std::time::Duration;

use http::{Request, StatusCode};
use progress_core::ProgressTracker;
use progress_web::{Close, Gateway, Output, Session, jwt::Jwt};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::support::{Issuer, claims, in_secs, request};

fn gateway(jwt: Jwt) -> Gateway {
    Gateway::builder(ProgressTracker::new())
        .authorizer(jwt)
        .build()
}

/// Reads to the close.
async fn closed(session: &mut Session) -> Close {
    let mut outputs = Vec::new();
    loop {
        let is_open = session.next_batch(&mut outputs).await;
        for output in outputs.drain(..) {
            if let Output::Close(close) = output {
                return close;
            }
        }
        assert!(is_open, "it ended without a close");
    }
}

#[tokio::test(start_paused = true)]
async fn connection_ends_when_its_token_does() {
    let issuer = Issuer::hs256();
    let gateway = gateway(issuer.jwt_with(|jwt| jwt.leeway(Duration::from_secs(5))));
    let _task = gateway.tracker().task("a").start().unwrap();
    let token = issuer.sign(&claims(json!({"exp": in_secs(20), "tasks": ["a"]})));
    let began = Instant::now();
    let mut session = gateway.web_socket(&request(&token), "a").await;
    let close = closed(&mut session).await;
    assert_eq!((close.code, close.reason), (4013, "CREDENTIAL_EXPIRED"));
    // The token's time is the system's; that of the test stands still.
    assert!((23..=25).contains(&began.elapsed().as_secs()));
}

#[tokio::test(start_paused = true)]
async fn first_message_brings_a_token() {
    let issuer = Issuer::es256();
    let gateway = gateway(issuer.jwt());
    let _task = gateway.tracker().task("a").start().unwrap();
    let (anonymous, ()) = Request::get("/ws").body(()).unwrap().into_parts();
    let mut session = gateway.web_sockets(&anonymous).await;
    let token = issuer.sign(&claims(json!({"roles": ["viewer"]})));
    let subscribe = json!({"type": "subscribe", "task_id": "a"}).to_string();
    let auth = json!({"type": "auth", "token": token}).to_string();
    let mut told = Vec::new();
    for message in [&auth, &subscribe] {
        session.on_text(message);
        let mut outputs = Vec::new();
        while timeout(Duration::from_millis(50), session.next_batch(&mut outputs))
            .await
            .is_ok()
        {}
        for output in outputs {
            if let Output::Frame { text, .. } = output {
                let frame: Value = serde_json::from_slice(&text).unwrap();
                told.push(frame["event_type"].as_str().unwrap().to_owned());
            }
        }
    }
    assert_eq!(told, ["connected", "subscribed", "started"]);
}

#[tokio::test]
async fn viewer_is_told_what_it_takes_to_publish_into_a_channel() {
    let issuer = Issuer::hs256();
    let gateway = gateway(issuer.jwt());
    let event = br#"{"event_type":"hello","data":{}}"#.to_vec();
    for (role, status) in [
        ("viewer", StatusCode::FORBIDDEN),
        ("operator", StatusCode::ACCEPTED),
    ] {
        let token = issuer.sign(&claims(json!({"roles": [role]})));
        let mut parts = request(&token);
        let json = "application/json".parse().unwrap();
        parts.headers.insert(http::header::CONTENT_TYPE, json);
        let body = event.clone().into();
        let answer = gateway.publish_to_channel(&parts, "jobs", body).await;
        assert_eq!(answer.status(), status);
        if status == StatusCode::FORBIDDEN {
            let told: Value = serde_json::from_slice(answer.body()).unwrap();
            let solutions = &told["error"]["solutions"];
            assert_eq!(*solutions, json!(["pipeline:publish is needed"]));
        }
    }
}

#[tokio::test]
async fn a_bad_token_is_refused_alike_whether_or_not_the_task_exists() {
    let issuer = Issuer::hs256();
    let gateway = gateway(issuer.jwt());
    let _task = gateway.tracker().task("here").start().unwrap();
    let elsewhere = issuer.sign(&claims(json!({"tasks": ["other"]})));
    for (token, status) in [("a.b.c", 401), (&*elsewhere, 403)] {
        let parts = request(token);
        let here = gateway.task(&parts, "here").await;
        let nowhere = gateway.task(&parts, "nowhere").await;
        assert_eq!(here.status().as_u16(), status);
        assert_eq!(nowhere.status(), here.status());
        let body = |answer: &http::Response<bytes::Bytes>| {
            let mut told: Value = serde_json::from_slice(answer.body()).unwrap();
            told["error"].as_object_mut().unwrap().remove("timestamp");
            told
        };
        assert_eq!(body(&here), body(&nowhere));
    }
}
