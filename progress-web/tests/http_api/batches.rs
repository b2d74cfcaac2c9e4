//! `POST /tasks/{task_id}/events` with several events.

use http::{Method, request::Parts};
use serde_json::{Value, json};

use crate::support::{builder, gateway, history, post, publish, refusal, request, told};

fn lines() -> Parts {
    keyed_lines(&[])
}

fn keyed_lines(headers: &[(&str, &str)]) -> Parts {
    let mut all = vec![("content-type", "application/x-ndjson")];
    all.extend_from_slice(headers);
    request(Method::POST, "/", &all)
}

/// Lines of unkeyed custom events.
fn notes(count: usize) -> String {
    (0..count)
        .map(|n| format!("{{\"event_type\":\"note\",\"data\":{{\"n\":{n}}}}}\n"))
        .collect()
}

fn refused(body: &Value) -> Vec<(u64, &str)> {
    let errors = body["errors"].as_array().unwrap();
    let pairs = errors.iter().map(|error| {
        let code = error["error"]["code"].as_str().unwrap();
        (error["index"].as_u64().unwrap(), code)
    });
    pairs.collect()
}

#[tokio::test]
async fn lines_and_arrays_are_refused_one_by_one() {
    let gateway = gateway();
    gateway.tracker().task("t").share().await.unwrap();
    let items = [
        r#"{"event_type":"note","data":1}"#,
        "7",
        r#"{"event_type":"gap"}"#,
        r#"{"event_type":"progress_update","data":{}}"#,
        r#"{"event_type":"note","data":2}"#,
    ];
    let wanted = [
        (1, "INVALID_EVENT"),
        (2, "RESERVED_EVENT_TYPE"),
        (3, "INVALID_EVENT"),
    ];
    let body = format!("\n{}\r\n\n", items.join("\n\n"));
    let (status, told_of_lines) = told(&gateway.publish(&lines(), "t", body.into()).await);
    assert_eq!((status, &told_of_lines["accepted"]), (202, &json!(2)));
    assert_eq!(refused(&told_of_lines), wanted);
    let array = format!(" [{}]", items.join(","));
    let (status, told_of_array) = publish(&gateway, "t", array).await;
    assert_eq!((status, &told_of_array["accepted"]), (202, &json!(2)));
    assert_eq!(refused(&told_of_array), wanted);
    // A line may be no JSON at all; an array cannot.
    let body = "{\"event_type\":\n{\"event_type\":\"note\"}";
    let (_, body) = told(&gateway.publish(&lines(), "t", body.into()).await);
    assert_eq!(refused(&body), [(0, "INVALID_BODY")]);
    assert_eq!(
        publish(&gateway, "t", r#"[{"event_type":"note"},"#).await.0,
        400
    );
    let data: Vec<Value> = history(&gateway, "t")
        .await
        .iter()
        .skip(1)
        .map(|event| event["data"].clone())
        .collect();
    assert_eq!(data, [json!(1), json!(2), json!(1), json!(2), Value::Null]);
}

#[tokio::test]
async fn a_long_body_keeps_its_order_and_its_places() {
    let gateway = gateway();
    gateway.tracker().task("t").share().await.unwrap();
    // Across what is published at once.
    let body = format!("{}7\n{}", notes(700), notes(300));
    let (_, body) = told(&gateway.publish(&lines(), "t", body.into()).await);
    assert_eq!(body["accepted"], 1_000);
    assert_eq!(refused(&body), [(700, "INVALID_EVENT")]);
    let head = gateway.tracker().snapshot("t").await.unwrap().position();
    assert_eq!(body["last"], head.to_string());
    assert_eq!(head.seq().get(), 1_001);
    let events = gateway
        .tracker()
        .history("t", None, 2_000)
        .await
        .unwrap()
        .events;
    let numbers: Vec<u64> = events
        .iter()
        .skip(1)
        .map(|event| {
            let event: Value = serde_json::from_slice(&event.to_json()).unwrap();
            event["data"]["n"].as_u64().unwrap()
        })
        .collect();
    let expected: Vec<u64> = (0..700).chain(0..300).collect();
    assert_eq!(numbers, expected);
}

#[tokio::test]
async fn the_end_within_a_body_refuses_what_follows() {
    let gateway = gateway();
    gateway.tracker().task("t").share().await.unwrap();
    let end = "{\"event_type\":\"complete\",\"data\":{\"status\":\"completed\"}}\n";
    let body = format!("{}{end}{}", notes(299), notes(2));
    let (status, answer) = told(&gateway.publish(&lines(), "t", body.into()).await);
    assert_eq!((status, &answer["accepted"]), (202, &json!(300)));
    assert_eq!(
        refused(&answer),
        [(300, "ALREADY_COMPLETE"), (301, "ALREADY_COMPLETE")]
    );
    // Before the first: the whole.
    for (request, body) in [(lines(), notes(1)), (lines(), format!("7\n{}", notes(1)))] {
        let (status, code, ..) = refusal(&gateway.publish(&request, "t", body.into()).await);
        assert_eq!((status, &*code), (409, "ALREADY_COMPLETE"));
    }
}

#[tokio::test]
async fn a_key_makes_the_whole_repeatable() {
    let gateway = gateway();
    gateway.tracker().task("t").share().await.unwrap();
    let keyed = keyed_lines(&[("idempotency-key", "batch-7")]);
    let first = told(&gateway.publish(&keyed, "t", notes(600).into()).await);
    let again = told(&gateway.publish(&keyed, "t", notes(600).into()).await);
    assert_eq!(first, again);
    assert_eq!(first.1["accepted"], 600);
    let longer = told(&gateway.publish(&keyed, "t", notes(601).into()).await);
    assert_eq!(longer.1["accepted"], 601);
    let head = gateway.tracker().snapshot("t").await.unwrap().seq.get();
    assert_eq!(head, 1 + 601);
    // More than are remembered could not be told from new ones.
    let (status, code, _, limit) =
        refusal(&gateway.publish(&keyed, "t", notes(1_025).into()).await);
    assert_eq!(
        (status, &*code, limit),
        (400, "INVALID_HEADER", json!(1_024))
    );
    assert_eq!(
        gateway.tracker().snapshot("t").await.unwrap().seq.get(),
        head
    );
}

#[tokio::test]
async fn too_many_items_are_refused_before_the_first() {
    let gateway = builder().items(3).build();
    gateway.tracker().task("t").share().await.unwrap();
    for (request, body) in [(lines(), notes(4)), (post(), "[1,2,3,4]".to_owned())] {
        let (status, code, field, limit) =
            refusal(&gateway.publish(&request, "t", body.into()).await);
        assert_eq!(
            (status, &*code, field, limit),
            (413, "PAYLOAD_TOO_LARGE", json!("events"), json!(3))
        );
    }
    assert_eq!(gateway.tracker().snapshot("t").await.unwrap().seq.get(), 1);
}

#[tokio::test]
async fn errors_past_a_thousand_are_counted() {
    let gateway = gateway();
    gateway.tracker().task("t").share().await.unwrap();
    let body = "7\n".repeat(1_005) + &notes(1);
    let (status, body) = told(&gateway.publish(&lines(), "t", body.into()).await);
    assert_eq!((status, &body["accepted"]), (202, &json!(1)));
    assert_eq!(refused(&body).len(), 1_000);
    assert_eq!(body["errors_omitted"], 5);
}

#[tokio::test]
async fn nothing_is_accepted_of_nothing() {
    let gateway = gateway();
    gateway.tracker().task("t").share().await.unwrap();
    let nothing = (202, json!({"accepted": 0, "errors": []}));
    assert_eq!(
        told(&gateway.publish(&lines(), "t", "\n\n".into()).await),
        nothing
    );
    assert_eq!(publish(&gateway, "t", "[]").await, nothing);
}

#[tokio::test]
async fn all_lines_of_an_unknown_task_may_be_bad_where_they_could_start_one() {
    let gateway = builder().create_on_publish(true).build();
    let body = format!("{}{}", "7\n".repeat(300), notes(2));
    let (status, body) = told(&gateway.publish(&lines(), "t", body.into()).await);
    assert_eq!((status, &body["accepted"]), (202, &json!(2)));
    assert_eq!(refused(&body).len(), 300);
}
