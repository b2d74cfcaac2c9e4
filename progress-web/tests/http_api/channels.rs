//! `POST /channels/{name}/events`.

use http::Method;
use progress_core::{ChannelFrame, ProgressTracker, SubscribeOptions};
use progress_web::Gateway;
use serde_json::{Value, json};

use crate::support::{gateway, post, refusal, request, told};

async fn read(gateway: &Gateway, count: usize) -> Vec<Value> {
    let mut events = gateway
        .tracker()
        .subscribe_channel("jobs", SubscribeOptions::new());
    let mut frames = Vec::new();
    while frames.len() < count {
        if let Some(ChannelFrame::Event(event)) = events.next().await {
            frames.push(serde_json::from_slice(&event.to_json()).unwrap());
        }
    }
    frames
}

#[tokio::test]
async fn events_of_no_task_are_numbered_in_their_channel() {
    let gateway = gateway();
    let body = r#"[{"event_type":"disk_full","data":{"free":0}},{"event_type":"load","key":"node-1","data":7}]"#;
    let (status, answer) = told(
        &gateway
            .publish_to_channel(&post(), "jobs", body.into())
            .await,
    );
    assert_eq!((status, &answer["accepted"]), (202, &json!(2)));
    let frames = read(&gateway, 2).await;
    let last = format!("{}:2", frames[0]["channel_epoch"].as_str().unwrap());
    assert_eq!(answer["last"], last);
    assert_eq!(frames[0]["event"]["data"], json!({"free": 0}));
    assert_eq!(frames[1]["event"]["key"], "node-1");
}

#[tokio::test]
async fn a_repetition_is_published_once() {
    let gateway = gateway();
    let keyed = request(Method::POST, "/", &[("idempotency-key", "a")]);
    let event = r#"{"event_type":"disk_full"}"#;
    let first = told(
        &gateway
            .publish_to_channel(&keyed, "jobs", event.into())
            .await,
    );
    let again = told(
        &gateway
            .publish_to_channel(&keyed, "jobs", event.into())
            .await,
    );
    assert_eq!((first.0, &first), (202, &again));
    let other = told(
        &gateway
            .publish_to_channel(&post(), "jobs", event.into())
            .await,
    );
    assert_ne!(first, other);
}

#[tokio::test]
async fn what_a_channel_does_not_take() {
    let gateway = gateway();
    for (name, event, code) in [
        ("no spaces", r#"{"event_type":"note"}"#, "INVALID_CHANNEL"),
        ("_tasks", r#"{"event_type":"note"}"#, "INVALID_CHANNEL"),
        (
            "jobs",
            r#"{"event_type":"progress_update","data":{"progress":1}}"#,
            "RESERVED_EVENT_TYPE",
        ),
        (
            "jobs",
            r#"{"event_type":"complete","data":{"status":"failed"}}"#,
            "RESERVED_EVENT_TYPE",
        ),
        ("jobs", "{}", "INVALID_EVENT"),
    ] {
        let response = gateway
            .publish_to_channel(&post(), name, event.into())
            .await;
        let (status, told, ..) = refusal(&response);
        assert_eq!((status, &*told), (400, code), "{name} {event}");
    }
    let closed = Gateway::new(ProgressTracker::new());
    let event = r#"{"event_type":"note"}"#;
    let response = closed
        .publish_to_channel(&post(), "jobs", event.into())
        .await;
    assert_eq!(response.status(), 403);
}
