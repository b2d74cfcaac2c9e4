//! `GET /health` and `GET /metrics`.

use std::time::Duration;

use http::header;
use progress_core::{ProgressTracker, testing::MemoryBus};
use progress_web::{Gateway, Output};
use serde_json::json;

use crate::support::{everything, gateway, get, publish, refusal, request, told};

async fn metrics(gateway: &Gateway) -> Vec<String> {
    let response = gateway.metrics(&get("/metrics")).await;
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = String::from_utf8(response.into_body().to_vec()).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn health_tells_of_the_broker_and_of_the_drain() {
    let gateway = gateway();
    let _task = gateway.tracker().task("t").start().unwrap();
    let alone = json!({"status": "ok", "transport": {"kind": "none", "status": "ok"}, "tasks": 1, "sessions": 0});
    assert_eq!(told(&gateway.health()), (200, alone));

    let bus = MemoryBus::new();
    let link = bus.connect();
    let tracker = ProgressTracker::builder().transport(link.clone()).build();
    let joined = Gateway::builder(tracker).authorizer(everything()).build();
    let _first = joined.tracker().task("t").start_confirmed().await.unwrap();
    assert_eq!(
        told(&joined.health()).1["transport"],
        json!({"kind": "memory", "status": "ok"})
    );
    link.disconnect();
    while joined.tracker().is_connected() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (status, body) = told(&joined.health());
    assert_eq!((status, &body["status"]), (200, &json!("degraded")));
    assert_eq!(body["transport"]["status"], "down");

    let tracker = gateway.tracker().clone();
    let _drained = tokio::spawn(async move { tracker.drain(Duration::from_secs(60)).await });
    while !gateway.tracker().is_draining() {
        tokio::task::yield_now().await;
    }
    let response = gateway.health();
    assert!(response.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(
        (told(&response).0, &told(&response).1["status"]),
        (503, &json!("down"))
    );
}

#[tokio::test(start_paused = true)]
async fn every_count_moves() {
    let gateway = gateway();
    let task = gateway.tracker().task("t").start().unwrap();
    gateway.tracker().task("shared").share().await.unwrap();
    publish(
        &gateway,
        "shared",
        r#"[{"event_type":"note"},{"event_type":"gap"}]"#,
    )
    .await;
    publish(&gateway, "nobody", "[]").await;
    let mut socket = gateway.web_socket(&get("/"), "t").await;
    let mut waiting = gateway.web_socket(&get("/"), "late").await;
    let mut outputs = Vec::new();
    waiting.next_batch(&mut outputs).await;
    let stream = gateway.event_stream(&get("/"), "t").await.unwrap();

    let told = metrics(&gateway).await;
    for line in [
        "progress_tasks{state=\"live\"} 2",
        "progress_tasks{state=\"ended\"} 0",
        "progress_sessions{kind=\"websocket\"} 2",
        "progress_sessions{kind=\"event_stream\"} 1",
        "progress_subscriptions{state=\"watching\"} 2",
        "progress_subscriptions{state=\"waiting\"} 1",
        "progress_events_published_total 1",
        "progress_events_refused_total 1",
        "progress_transport_up 1",
        "progress_superseded_total 0",
        "progress_resyncs_total 0",
        "progress_unreadable_total 0",
        "progress_foreign_accepted_total 0",
        "progress_foreign_refused_total{reason=\"not_json\"} 0",
        "progress_unsent_total 0",
        "progress_reports_refused_total 0",
        "progress_broker_refused_total 0",
    ] {
        assert!(
            told.iter().any(|found| found == line),
            "{line} in {told:#?}"
        );
    }

    task.complete(()).unwrap();
    while socket.next_batch(&mut outputs).await {}
    assert!(matches!(outputs.last(), Some(Output::Close(close)) if close.code == 1000));
    while waiting.next_batch(&mut outputs).await {}
    drop((socket, waiting, stream));
    let told = metrics(&gateway).await;
    for line in [
        "progress_tasks{state=\"ended\"} 1",
        "progress_sessions{kind=\"websocket\"} 0",
        "progress_sessions{kind=\"event_stream\"} 0",
        "progress_session_closes_total{code=\"1000\",kind=\"websocket\"} 1",
        "progress_session_closes_total{code=\"4404\",kind=\"websocket\"} 1",
    ] {
        assert!(
            told.iter().any(|found| found == line),
            "{line} in {told:#?}"
        );
    }
}

#[tokio::test]
async fn metrics_are_for_those_who_manage() {
    let closed = Gateway::new(ProgressTracker::new());
    let (status, code, ..) = refusal(&closed.metrics(&get("/metrics")).await);
    assert_eq!((status, &*code), (403, "FORBIDDEN"));
    assert_eq!(closed.health().status(), 200);
}

#[tokio::test]
async fn every_answer_is_counted_by_route() {
    let gateway = gateway();
    let _task = gateway.tracker().task("t").start().unwrap();
    gateway.tracker().task("shared").share().await.unwrap();
    for (method, path, counted, status) in [
        ("HEAD", "/tasks/t", "HEAD", 200),
        ("GET", "/sse/progress/t", "GET", 200),
        ("POST", "/tasks/shared/events", "POST", 202),
        ("POST", "/tasks/nobody/events", "POST", 404),
        // Clients can make methods up.
        ("MADE-UP", "/tasks", "other", 405),
        ("GET", "/ws", "GET", 426),
    ] {
        let found = gateway.find(path).unwrap();
        let parts = request(method.parse().unwrap(), path, &[]);
        let request = http::Request::from_parts(parts, r#"[{"event_type":"note"}]"#.to_owned());
        let answer = gateway.respond(found.path, &found.parameter, request).await;
        assert_eq!(answer.status(), status, "{method} {path}");
        let route = found.path.as_str();
        let line = format!(
            "progress_http_requests_total{{method=\"{counted}\",route=\"{route}\",status=\"{status}\"}} 1"
        );
        let told = metrics(&gateway).await;
        assert!(told.contains(&line), "{line} in {told:#?}");
    }
}
