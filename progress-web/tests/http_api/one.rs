//! `POST /tasks/{task_id}/events` with one event.

use http::Method;
use serde_json::{Value, json};

use crate::support::{builder, gateway, history, post, publish, refusal, request, snapshot, told};

#[tokio::test]
async fn what_is_published_is_the_tasks_present() {
    let gateway = gateway();
    gateway
        .tracker()
        .task("t")
        .stage("render", 1.0)
        .share()
        .await
        .unwrap();
    let update = json!({"event_type": "progress_update", "data": {"stage": "render", "current": 3, "total": 4}});
    let (status, body) = publish(&gateway, "t", update.to_string()).await;
    assert_eq!(status, 202);
    let head = snapshot(&gateway, "t").await;
    let last = format!("{}:{}", head["epoch"].as_str().unwrap(), head["seq"]);
    assert_eq!(body, json!({"accepted": 1, "last": last, "errors": []}));
    assert_eq!(head["progress"], 75.0);
    // Merged: what was said before stays.
    publish(
        &gateway,
        "t",
        r#"{"event_type":"progress_update","data":{"stage":"render","message":"m"}}"#,
    )
    .await;
    let stage = &snapshot(&gateway, "t").await["stages"][0];
    assert_eq!(
        (&stage["current"], &stage["message"]),
        (&json!(3), &json!("m"))
    );
}

#[tokio::test]
async fn a_refused_event_answers_with_its_own_status() {
    let gateway = gateway();
    gateway.tracker().task("t").share().await.unwrap();
    let large = "x".repeat(65 * 1024);
    let key = "k".repeat(129);
    for (event, status, code, field) in [
        (json!(7), 400, "INVALID_EVENT", "event"),
        (json!({}), 400, "INVALID_EVENT", "event_type"),
        (
            json!({"event_type": "Bad Type"}),
            400,
            "INVALID_EVENT",
            "event_type",
        ),
        (
            json!({"event_type": "progress_update", "data": {}}),
            400,
            "INVALID_EVENT",
            "data",
        ),
        (
            json!({"event_type": "stage_change", "data": {}}),
            400,
            "INVALID_EVENT",
            "current_stage",
        ),
        (
            json!({"event_type": "log", "data": {"message": "m", "level": "LOUD"}}),
            400,
            "INVALID_EVENT",
            "level",
        ),
        (
            json!({"event_type": "progress_update", "data": {"stage": "a//b", "progress": 1}}),
            400,
            "INVALID_EVENT",
            "stage",
        ),
        (
            json!({"event_type": "note", "key": key}),
            400,
            "INVALID_EVENT",
            "key",
        ),
        (
            json!({"event_type": "note", "id": ""}),
            400,
            "INVALID_EVENT",
            "id",
        ),
        (
            json!({"event_type": "note", "data": large}),
            413,
            "PAYLOAD_TOO_LARGE",
            "data",
        ),
    ] {
        let response = gateway
            .publish(&post(), "t", event.to_string().into())
            .await;
        let (told, named, at, _) = refusal(&response);
        assert_eq!((told, &*named, at), (status, code, json!(field)), "{event}");
    }
    let (status, code, ..) = refusal(&gateway.publish(&post(), "t", "".into()).await);
    assert_eq!((status, &*code), (400, "INVALID_BODY"));
    // Deeper than a reader of JSON would go, and told all the same.
    for levels in [101, 10_000] {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        let event = format!(r#"{{"event_type":"note","data":{open}{close}}}"#);
        let refused = refusal(&gateway.publish(&post(), "t", event.into()).await);
        let told = (400, "INVALID_EVENT".to_owned(), json!("data"), json!(100));
        assert_eq!(refused, told);
    }
    assert_eq!(history(&gateway, "t").await.len(), 1);
}

#[tokio::test]
async fn names_of_the_protocol_are_reserved() {
    let gateway = gateway();
    gateway.tracker().task("t").share().await.unwrap();
    for name in [
        "queued",
        "started",
        "stalled",
        "recovered",
        "cancel_requested",
        "connected",
        "subscribed",
        "heartbeat",
        "gap",
        "reset",
        "rejected",
        "draining",
        "pong",
    ] {
        let event = json!({"event_type": name, "data": {}}).to_string();
        let (status, code, ..) = refusal(&gateway.publish(&post(), "t", event.into()).await);
        assert_eq!((status, &*code), (400, "RESERVED_EVENT_TYPE"), "{name}");
    }
}

#[tokio::test]
async fn a_repetition_is_answered_with_the_first_position_also_after_the_end() {
    let gateway = gateway();
    gateway.tracker().task("t").share().await.unwrap();
    let keyed = |key: &str| request(Method::POST, "/", &[("idempotency-key", key)]);
    let event = r#"{"event_type":"photo_approved","data":{"photo":9}}"#;
    let first = told(&gateway.publish(&keyed("a"), "t", event.into()).await);
    publish(
        &gateway,
        "t",
        r#"{"event_type":"complete","data":{"status":"completed"}}"#,
    )
    .await;
    let again = told(&gateway.publish(&keyed("a"), "t", event.into()).await);
    assert_eq!(first, again);
    assert_eq!(first.0, 202);
    let (status, code, ..) = refusal(&gateway.publish(&keyed("b"), "t", event.into()).await);
    assert_eq!((status, &*code), (409, "ALREADY_COMPLETE"));
    // An event's own id goes before the header.
    let own = r#"{"event_type":"photo_approved","id":"a"}"#;
    assert_eq!(
        told(&gateway.publish(&keyed("b"), "t", own.into()).await),
        first
    );

    let (status, code, field, limit) = refusal(
        &gateway
            .publish(&keyed(&"k".repeat(121)), "t", event.into())
            .await,
    );
    assert_eq!(
        (status, &*code, field, limit),
        (400, "INVALID_HEADER", json!("Idempotency-Key"), json!(120))
    );
}

#[tokio::test]
async fn the_id_the_permission_and_the_task_come_before_the_event() {
    let gateway = gateway();
    let _owned = gateway.tracker().task("owned").start().unwrap();
    let ended = gateway.tracker().task("ended").start().unwrap();
    ended.complete(()).unwrap();
    let event = r#"{"event_type":"note"}"#;
    for (task, status, code) in [
        ("no spaces", 400, "INVALID_TASK_ID"),
        ("nobody", 404, "TASK_NOT_FOUND"),
        ("owned", 409, "TASK_OWNED"),
        ("ended", 409, "ALREADY_COMPLETE"),
    ] {
        for body in [event, "{", "{}", "[]", "[7]"] {
            let response = gateway.publish(&post(), task, body.into()).await;
            let (told, named, ..) = refusal(&response);
            assert_eq!((told, &*named), (status, code), "{task} {body}");
        }
    }
    let closed = progress_web::Gateway::new(gateway.tracker().clone());
    assert_eq!(publish(&closed, "no spaces", event).await.0, 400);
    assert_eq!(publish(&closed, "nobody", event).await.0, 403);
}

#[tokio::test]
async fn the_first_event_starts_a_task_where_that_is_allowed() {
    let gateway = builder().create_on_publish(true).build();
    for refused in ["{", "{}", r#"{"event_type":"gap"}"#] {
        assert_eq!(publish(&gateway, "t", refused).await.0, 400, "{refused}");
    }
    let (status, body) = publish(&gateway, "t", "[{},7]").await;
    assert_eq!((status, &body["accepted"]), (202, &json!(0)));
    assert_eq!(gateway.tracker().stats().tasks, 0);
    let event = r#"{"event_type":"note","data":{"n":1}}"#;
    assert_eq!(publish(&gateway, "t", event).await.0, 202);
    let kinds: Vec<Value> = history(&gateway, "t")
        .await
        .iter()
        .map(|event| event["event_type"].clone())
        .collect();
    assert_eq!(kinds, ["started", "note"]);
}

#[tokio::test]
async fn a_level_is_read_as_ours() {
    let gateway = gateway();
    gateway.tracker().task("t").share().await.unwrap();
    publish(
        &gateway,
        "t",
        r#"{"event_type":"log","data":{"message":"m","level":"WARNING"}}"#,
    )
    .await;
    assert_eq!(history(&gateway, "t").await[1]["data"]["level"], "WARN");
}
