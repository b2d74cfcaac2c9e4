//! The trace that a request is part of: from its header to everything that comes of it.

#[path = "support/logs.rs"]
mod logs;
mod support;

use http::Request;
use progress_core::{ProgressTracker, testing::MemoryBus};
use progress_web::{Gateway, Open};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use self::logs::Logs;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn everything() -> Open {
    Open::new()
        .named_ids()
        .listing()
        .channels()
        .publishing()
        .cancelling()
}

fn gateway() -> Gateway {
    let tracker = ProgressTracker::new();
    Gateway::builder(tracker).authorizer(everything()).build()
}

/// Status and body of an answer.
async fn ask(gateway: &Gateway, request: http::request::Builder, body: Value) -> (u16, Value) {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = request.body(body).unwrap();
    let found = gateway.find(request.uri().path()).unwrap();
    let response = gateway.respond(found.path, &found.parameter, request).await;
    let status = response.status().as_u16();
    let body = response.into_body().into_bytes().unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

fn get(path: &str) -> http::request::Builder {
    Request::get(path).header("traceparent", TRACEPARENT)
}

fn post(path: &str) -> http::request::Builder {
    Request::post(path).header("traceparent", TRACEPARENT)
}

#[tokio::test]
async fn every_error_that_a_request_is_answered_with_names_its_trace() {
    let gateway = gateway();
    let _task = gateway.tracker().task("t").start().unwrap();
    for (request, status) in [
        (get("/tasks/none"), 404),
        (get("/tasks/a%20b"), 400),
        (get("/tasks?limit=x"), 400),
        (get("/sse?ids="), 400),
        (get("/ws"), 426),
        (get("/metrics"), 403),
        (get("/clients"), 403),
        (post("/tasks"), 400),
        (post("/tasks/t/events"), 409),
        (post("/health"), 405),
    ] {
        let (answered, body) = ask(&gateway, request, json!("no object")).await;
        assert_eq!(answered, status, "{body}");
        assert_eq!(body["error"]["trace_id"], TRACE, "{body}");
    }
    // Each of the errors of an answer that is none.
    let events = json!([{"event_type": "complete"}, {"event_type": "gap"}]);
    gateway.tracker().task("shared").share().await.unwrap();
    let (status, body) = ask(&gateway, post("/tasks/shared/events"), events).await;
    assert_eq!((status, body["errors"].as_array().unwrap().len()), (202, 2));
    for refused in body["errors"].as_array().unwrap() {
        assert_eq!(refused["error"]["trace_id"], TRACE, "{body}");
    }
}

#[tokio::test]
async fn request_without_a_trace_or_with_garbage_is_answered_all_the_same() {
    let gateway = gateway();
    for header in [
        "",
        "garbage",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
    ] {
        let request = Request::get("/tasks/none").header("traceparent", header);
        let (status, body) = ask(&gateway, request, Value::Null).await;
        assert_eq!(status, 404);
        assert_eq!(body["error"].get("trace_id"), None, "{body}");
    }
}

/// The text frames that come until a condition holds.
async fn frames(
    client: &mut tokio::io::DuplexStream,
    is_last: impl Fn(&Value) -> bool,
) -> Vec<Value> {
    let mut frames = Vec::new();
    loop {
        let first = client.read_u8().await.unwrap();
        let len = match client.read_u8().await.unwrap() {
            126 => usize::from(client.read_u16().await.unwrap()),
            len => usize::from(len),
        };
        let mut payload = vec![0; len];
        client.read_exact(&mut payload).await.unwrap();
        if first == 0x81 {
            let frame: Value = serde_json::from_slice(&payload).unwrap();
            let ends = is_last(&frame);
            frames.push(frame);
            if ends {
                return frames;
            }
        }
    }
}

/// A text message as a client masks it, with zeros.
async fn say(client: &mut tokio::io::DuplexStream, message: &Value) {
    let text = message.to_string();
    let mut bytes = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
    bytes.extend_from_slice(text.as_bytes());
    client.write_all(&bytes).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_websocket_is_refused_names_the_trace_of_its_handshake() {
    let gateway = gateway();
    let (logs, _guard) = Logs::capture();
    for (path, command) in [
        ("/ws/progress/a%20b", None),
        ("/ws", Some(json!({"type": "nonsense"}))),
        (
            "/ws",
            Some(json!({"type": "subscribe", "topics": [{"task_id": "a b"}]})),
        ),
        ("/ws", Some(json!({"type": "cancel", "task_id": "none"}))),
    ] {
        let request = get(path)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .body(String::new())
            .unwrap();
        let found = gateway.find(path).unwrap();
        let mut response = gateway.respond(found.path, &found.parameter, request).await;
        let socket = response.body_mut().take_web_socket().unwrap();
        let (mut client, server) = duplex(64 * 1024);
        let serving = tokio::spawn(socket.serve(server));
        if let Some(command) = &command {
            say(&mut client, command).await;
        }
        let said = frames(&mut client, |frame| frame["event_type"] == "rejected").await;
        let rejected = said.last().unwrap();
        assert_eq!(rejected["data"]["trace_id"], TRACE, "{path} {command:?}");
        drop(client);
        serving.await.unwrap();
    }
    let told = logs.take("progress::access");
    assert_eq!(told.len(), 8, "{told:#?}");
    for line in told {
        assert!(line.ends_with(&format!("trace_id={TRACE}")), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn task_that_is_posted_is_part_of_the_trace_on_every_node() {
    let bus = MemoryBus::new();
    let node = || {
        let tracker = ProgressTracker::builder().transport(bus.connect()).build();
        Gateway::builder(tracker).authorizer(everything()).build()
    };
    let (here, there) = (node(), node());
    let (logs, _guard) = Logs::capture();
    let (status, _) = ask(&here, post("/tasks"), json!({"task_id": "t"})).await;
    assert_eq!(status, 201);
    let (status, snapshot) = ask(&there, Request::get("/tasks/t"), Value::Null).await;
    assert_eq!(status, 200);
    assert_eq!(snapshot["labels"], json!({"trace_id": TRACE}));

    // The next run is the other node's own, which tells its milestones to its log.
    let end = json!({"event_type": "complete", "data": {"status": "completed"}});
    let (status, body) = ask(&there, Request::post("/tasks/t/events"), end).await;
    assert_eq!(status, 202, "{body}");
    logs.take("progress");
    let _run = there.tracker().task("t").restart().unwrap();
    let told = logs.take("progress");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("kind=\"started\""), "{told:?}");
    assert!(
        told[0].contains(&format!("trace_id=\"{TRACE}\"")),
        "{told:?}"
    );
}

#[tokio::test]
async fn task_that_says_its_trace_keeps_it() {
    let gateway = gateway();
    let task = json!({"task_id": "t", "labels": {"trace_id": "its own", "user": "7"}});
    assert_eq!(ask(&gateway, post("/tasks"), task).await.0, 201);
    let (_, snapshot) = ask(&gateway, get("/tasks/t"), Value::Null).await;
    assert_eq!(
        snapshot["labels"],
        json!({"trace_id": "its own", "user": "7"})
    );
}

#[tokio::test]
async fn error_that_is_posted_without_a_trace_gets_the_requests() {
    let gateway = gateway();
    gateway.tracker().task("t").share().await.unwrap();
    let error = |more: Value| {
        let mut data = json!({"code": "BUSY", "message": "it is busy"});
        data.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"event_type": "error", "data": data})
    };
    let events = json!([
        error(json!({})),
        error(json!({"trace_id": "its own"})),
        {"event_type": "note", "data": {}},
    ]);
    assert_eq!(ask(&gateway, post("/tasks/t/events"), events).await.0, 202);
    assert_eq!(
        ask(&gateway, post("/tasks/t/events"), error(json!({})))
            .await
            .0,
        202
    );
    let untraced = Request::post("/tasks/t/events");
    assert_eq!(ask(&gateway, untraced, error(json!({}))).await.0, 202);
    let (_, history) = ask(&gateway, get("/tasks/t/history"), Value::Null).await;
    let traces: Vec<_> = history["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| ["error", "note"].contains(&event["event_type"].as_str().unwrap()))
        .map(|event| event["data"].get("trace_id").and_then(Value::as_str))
        .collect();
    assert_eq!(
        traces,
        [Some(TRACE), Some("its own"), None, Some(TRACE), None]
    );
}
