//! `GET /health` and `GET /metrics`.

use std::time::Duration;

use http::header;
use progress_core::{
    ProgressTracker, Timestamp,
    testing::{MemoryBus, MemoryTransport},
    transport::{
        ConnectionHealth, ConnectionState, LastError, Probe, TransportError, TransportHealth,
    },
};
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
        json!({
            "kind": "memory", "status": "ok", "outbox_tasks": 0, "outbox_events": 0,
            "holes": 0, "gaps": 0, "resyncs": 0, "resends": 0, "superseded": 0,
        })
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
async fn liveness_and_readiness_are_told_apart_from_health() {
    let (gateway, link) = joined();
    gateway.tracker().connect();
    until("it connects", || gateway.tracker().is_connected()).await;
    let ask = async |path: &str| {
        let found = gateway.find(path).unwrap();
        let request = http::Request::get(path).body(String::new()).unwrap();
        let answer = gateway.respond(found.path, "", request).await;
        let waits = answer.headers().contains_key(header::RETRY_AFTER);
        let (status, body) = (answer.status(), answer.into_body().into_bytes().unwrap());
        assert_eq!(waits, status == 503, "{path}");
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        (status.as_u16(), body["status"].as_str().unwrap().to_owned())
    };
    let said = |status: u16, word: &str| (status, word.to_owned());
    assert_eq!(ask("/health/live").await, said(200, "ok"));
    assert_eq!(ask("/health/ready").await, said(200, "ok"));
    // It is away for every node alike.
    link.disconnect();
    until("it is cut off", || !gateway.tracker().is_connected()).await;
    assert_eq!(ask("/health/live").await, said(200, "ok"));
    assert_eq!(ask("/health/ready").await, said(200, "degraded"));
    // Clients are sent away before the tracker drains, and must not come back here.
    gateway.drain(Duration::ZERO);
    assert_eq!(ask("/health/ready").await, said(503, "down"));
    assert_eq!(ask("/health").await, said(503, "down"));
    assert_eq!(ask("/health/live").await, said(200, "ok"));

    let draining = self::gateway();
    let tracker = draining.tracker().clone();
    let _task = tracker.task("t").start().unwrap();
    let _drained = tokio::spawn(async move { tracker.drain(Duration::from_secs(60)).await });
    until("it drains", || draining.tracker().is_draining()).await;
    assert_eq!(draining.health_ready().status(), 503);
    assert_eq!(draining.health_live().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn terse_health_keeps_what_the_broker_said_to_itself() {
    let link = MemoryBus::new().connect();
    link.says(stale());
    let tracker = ProgressTracker::builder().transport(link).build();
    let builder = Gateway::builder(tracker).authorizer(everything());
    let gateway = builder.terse_health().build();
    until("it connects", || gateway.tracker().is_connected()).await;
    let (_, body) = told(&gateway.health());
    assert_eq!(
        body["transport"]["last_error"],
        json!({
            "message": "the service does not tell this here",
            "timestamp": "1970-01-01T00:00:03.000Z",
        })
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_no_longer_known_is_not_a_number() {
    let (gateway, link) = joined();
    link.says(stale());
    gateway.tracker().connect();
    until("it connects", || gateway.tracker().is_connected()).await;
    drop(metrics(&gateway).await);
    let mut health = stale();
    health.probe = None;
    link.says(health);
    let told = metrics(&gateway).await;
    for line in [
        "progress_transport_probe_age_seconds NaN",
        "progress_transport_probe_round_trip_seconds NaN",
        // What was counted before stays counted.
        "progress_transport_reconnects_total 1",
    ] {
        assert!(
            told.iter().any(|found| found == line),
            "{line} in {told:#?}"
        );
    }
}

/// A gateway on a bus, and its connection.
fn joined() -> (Gateway, MemoryTransport) {
    let link = MemoryBus::new().connect();
    let tracker = ProgressTracker::builder().transport(link.clone()).build();
    let gateway = Gateway::builder(tracker).authorizer(everything()).build();
    (gateway, link)
}

/// What a transport says whose subscriber hears nothing.
fn stale() -> TransportHealth {
    let at = Timestamp::from_millis;
    let mut health = TransportHealth::new(
        ConnectionHealth::new(ConnectionState::Up, at(1_000)),
        ConnectionHealth::new(ConnectionState::Stale, at(2_000)),
    );
    health.probe = Some(Probe::new(
        Duration::from_millis(2_500),
        Duration::from_micros(1_250),
    ));
    let error = TransportError::new("no permission to publish");
    health.last_error = Some(LastError::new(error, at(3_000)));
    (health.reconnects, health.dropped, health.malformed) = (1, 2, 3);
    health
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    assert!(waited.is_ok(), "{what}");
}

#[tokio::test(start_paused = true)]
async fn health_tells_how_the_connections_are_and_degrades_with_one() {
    let (gateway, link) = joined();
    let tracker = gateway.tracker();
    let health = || told(&gateway.health()).1;
    assert_eq!(health()["status"], "degraded", "nobody has asked yet");
    until("asking connects", || tracker.is_connected()).await;
    assert_eq!(health()["status"], "ok");

    link.says(stale());
    let (status, body) = told(&gateway.health());
    assert_eq!((status, &body["status"]), (200, &json!("degraded")));
    assert_eq!(
        body["transport"],
        json!({
            "kind": "memory", "status": "stale",
            "publisher": {"state": "up", "since": "1970-01-01T00:00:01.000Z"},
            "subscriber": {"state": "stale", "since": "1970-01-01T00:00:02.000Z"},
            "probe": {"age_ms": 2500.0, "round_trip_ms": 1.25},
            "last_error": {
                "message": "no permission to publish", "timestamp": "1970-01-01T00:00:03.000Z",
            },
            "reconnects": 1, "dropped": 2, "malformed": 3, "outbox_tasks": 0, "outbox_events": 0,
            "holes": 0, "gaps": 0, "resyncs": 0, "resends": 0, "superseded": 0,
        })
    );

    link.disconnect();
    until("it is cut off", || !tracker.is_connected()).await;
    let _task = tracker.task("t").start().unwrap();
    assert_eq!(health()["transport"]["status"], "down");
    assert_eq!(health()["transport"]["outbox_tasks"], 1);
    link.reconnect();
    until("all is sent", || tracker.stats().outbox_tasks == 0).await;
    assert_eq!(health()["transport"]["outbox_tasks"], 0);
}

#[tokio::test(start_paused = true)]
async fn metrics_tell_how_the_connections_are() {
    let (gateway, link) = joined();
    let unknown = metrics(&gateway).await;
    assert!(unknown.iter().any(|line| line == "progress_transport_up 0"));
    for name in ["progress_transport_connection{", "progress_transport_probe"] {
        assert!(!unknown.iter().any(|line| line.starts_with(name)), "{name}");
    }
    link.says(stale());
    gateway.tracker().connect();
    until("it connects", || gateway.tracker().is_connected()).await;
    // Told twice they are the same: they are not counted here.
    drop(metrics(&gateway).await);
    let told = metrics(&gateway).await;
    for line in [
        "progress_transport_up 1",
        "progress_transport_connection{connection=\"publisher\",state=\"up\"} 1",
        "progress_transport_connection{connection=\"subscriber\",state=\"up\"} 0",
        "progress_transport_connection{connection=\"subscriber\",state=\"stale\"} 1",
        "progress_transport_connection{connection=\"subscriber\",state=\"down\"} 0",
        "progress_transport_probe_age_seconds 2.5",
        "progress_transport_probe_round_trip_seconds 0.00125",
        "progress_transport_reconnects_total 1",
        "progress_transport_dropped_total 2",
        "progress_transport_malformed_total 3",
        "progress_transport_outbox_tasks 0",
        "progress_transport_outbox_events 0",
        "progress_transport_holes_total 0",
        "progress_transport_gaps_total 0",
        "progress_transport_resends_total 0",
    ] {
        assert!(
            told.iter().any(|found| found == line),
            "{line} in {told:#?}"
        );
    }
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
