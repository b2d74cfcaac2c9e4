//! Who is connected, and what an operator does with them.

mod support;

use bytes::Bytes;
use futures_util::StreamExt;
use http::Response;
use progress_core::ProgressTracker;
use progress_web::{Gateway, Session};
use serde_json::{Value, json};

use self::support::{closed, frames, gateway, kinds, request, settle, socket, stream, task};

fn body(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

async fn list(gateway: &Gateway, query: &str) -> Value {
    let response = gateway.clients(&request(&format!("/clients{query}"))).await;
    assert_eq!(response.status(), 200);
    body(&response)
}

async fn many(gateway: &Gateway) -> Session {
    let mut session = gateway.web_sockets(&request("/ws")).await;
    settle(&mut session).await;
    session
}

#[tokio::test(start_paused = true)]
async fn list_tells_who_watches_what() {
    let gateway = gateway();
    let a = task(&gateway, "a");
    let mut one = socket(&gateway, "a").await;
    settle(&mut one).await;
    let mut session = many(&gateway).await;
    session.on_text(r#"{"type":"register","client_type":"dashboard","client_name":"wall"}"#);
    session.on_text(r#"{"type":"subscribe","topics":[{"task_id":"a"},{"channel":"jobs"}]}"#);
    settle(&mut session).await;
    let stream = stream(&gateway, "/sse?ids=a,b").await;

    let listed = list(&gateway, "").await;
    let clients = listed["clients"].as_array().unwrap();
    assert_eq!(clients.len(), 3);
    assert_eq!(clients[0]["transport"], "websocket");
    assert_eq!(clients[0]["topics"], json!([{"task_id": "a"}]));
    assert_eq!(clients[0]["client_type"], Value::Null);
    assert_eq!(clients[1]["client_type"], "dashboard");
    assert_eq!(clients[1]["client_name"], "wall");
    let topics = json!([{"task_id": "a"}, {"channel": "jobs"}]);
    assert_eq!(clients[1]["topics"], topics);
    assert_eq!(clients[2]["transport"], "event_stream");
    assert!(clients[2]["connected_at"].as_str().unwrap().ends_with('Z'));

    // What has ended is watched no longer; who has gone is there no longer.
    a.complete(()).unwrap();
    settle(&mut session).await;
    drop((one, stream));
    let listed = list(&gateway, "").await;
    let clients = listed["clients"].as_array().unwrap();
    assert_eq!(clients.len(), 1);
    assert_eq!(clients[0]["topics"], json!([{"channel": "jobs"}]));
}

#[tokio::test(start_paused = true)]
async fn list_comes_in_pages() {
    let gateway = gateway();
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(many(&gateway).await);
    }
    let (mut query, mut ids, mut pages) = ("?limit=2".to_owned(), Vec::new(), 0);
    loop {
        let page = list(&gateway, &query).await;
        for client in page["clients"].as_array().unwrap() {
            ids.push(client["id"].as_str().unwrap().to_owned());
        }
        pages += 1;
        match page["next"].as_str() {
            Some(next) => query = format!("?limit=2&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((pages, ids.len()), (3, 5));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5);
    let wrong = gateway.clients(&request("/clients?cursor=x")).await;
    assert_eq!(wrong.status(), 400);
}

#[tokio::test(start_paused = true)]
async fn client_is_sent_away_for_good() {
    let gateway = gateway();
    let _a = task(&gateway, "a");
    let mut session = socket(&gateway, "a").await;
    settle(&mut session).await;
    let mut stream = stream(&gateway, "/sse?ids=a,b").await;
    let listed = list(&gateway, "").await;
    for client in listed["clients"].as_array().unwrap() {
        let id = client["id"].as_str().unwrap();
        let response = gateway.disconnect(&request("/"), id).await;
        assert_eq!(response.status(), 204);
    }
    let said = settle(&mut session).await;
    assert_eq!(kinds(&said), ["rejected", "(close)"]);
    assert_eq!(closed(&said), (4403, "DISCONNECTED"));
    let mut text = Vec::new();
    while let Some(chunk) = stream.next().await {
        text.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(text).unwrap();
    let (_, rest) = text.rsplit_once("id: end,end\n").unwrap();
    assert!(rest.contains("\"DISCONNECTED\""));
    drop((session, stream));
    for id in [
        "nonsense",
        "",
        "00000000-1",
        listed["clients"][0]["id"].as_str().unwrap(),
    ] {
        let response = gateway.disconnect(&request("/"), id).await;
        assert_eq!(response.status(), 404);
        assert_eq!(body(&response)["error"]["code"], "CLIENT_NOT_FOUND");
    }
}

#[tokio::test(start_paused = true)]
async fn broadcast_reaches_every_connection_once() {
    let gateway = gateway();
    let _a = task(&gateway, "a");
    let mut sessions = vec![socket(&gateway, "a").await, many(&gateway).await];
    for session in &mut sessions {
        settle(session).await;
    }
    let opened = gateway.event_stream(&request("/?named=1"), "a").await;
    let mut stream = opened.unwrap().into_body();
    stream.next().await.unwrap();
    let event = Bytes::from_static(br#"{"event_type":"maintenance","data":{"in_minutes": 5}}"#);
    let response = gateway
        .broadcast(&request("/broadcast"), event.into())
        .await;
    assert_eq!(response.status(), 202);
    assert_eq!(body(&response), json!({"accepted": 1, "clients": 3}));
    for session in &mut sessions {
        let said = frames(settle(session).await);
        assert_eq!(said.len(), 1);
        assert_eq!(said[0]["event_type"], "maintenance");
        assert_eq!(said[0]["data"], json!({"in_minutes": 5}));
        assert!(said[0].get("task_id").is_none());
    }
    let chunk = stream.next().await.unwrap();
    assert!(chunk.starts_with(b"event: maintenance\ndata: {"), "no id");
}

#[tokio::test(start_paused = true)]
async fn broadcast_into_a_channel_is_an_event_of_it() {
    let gateway = gateway();
    let mut session = many(&gateway).await;
    session.on_text(r#"{"type":"subscribe","channel":"system"}"#);
    settle(&mut session).await;
    let event = r#"{"channel":"system","event_type":"maintenance","data":{"in_minutes":5}}"#;
    let body_of = || Bytes::from_static(event.as_bytes());
    let response = gateway
        .broadcast(&request("/broadcast"), body_of().into())
        .await;
    assert_eq!(response.status(), 202);
    let answer = body(&response);
    let said = frames(settle(&mut session).await);
    assert_eq!(said.len(), 1);
    assert_eq!(said[0]["channel"], "system");
    assert_eq!(said[0]["event"]["event_type"], "maintenance");
    let epoch = said[0]["channel_epoch"].as_str().unwrap();
    assert_eq!(answer, json!({"accepted": 1, "last": format!("{epoch}:1")}));
    // Nobody publishes into what is the library's own.
    let event = Bytes::from_static(br#"{"channel":"_tasks","event_type":"x"}"#);
    let response = gateway
        .broadcast(&request("/broadcast"), event.into())
        .await;
    assert_eq!(response.status(), 400);
    assert_eq!(body(&response)["error"]["code"], "INVALID_CHANNEL");
}

#[tokio::test(start_paused = true)]
async fn bad_broadcasts_are_refused() {
    let gateway = gateway();
    let large = format!(r#"{{"event_type":"x","data":"{}"}}"#, "x".repeat(65_536));
    let deep = format!(
        r#"{{"event_type":"x","data":{}{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    for (text, status, code, field) in [
        ("", 400, "INVALID_BODY", None),
        ("[]", 400, "INVALID_BODY", None),
        (
            r#"{"event_type":"x","channel":"no name"}"#,
            400,
            "INVALID_CHANNEL",
            Some("channel"),
        ),
        (r#"{"data":1}"#, 400, "INVALID_BODY", None),
        (
            r#"{"event_type":"No"}"#,
            400,
            "INVALID_EVENT",
            Some("event_type"),
        ),
        (
            r#"{"event_type":"complete"}"#,
            400,
            "RESERVED_EVENT_TYPE",
            Some("event_type"),
        ),
        (&*large, 413, "PAYLOAD_TOO_LARGE", Some("data")),
        // Or it would break every connection that speaks MessagePack.
        (&*deep, 400, "INVALID_EVENT", Some("data")),
    ] {
        let body_of = Bytes::copy_from_slice(text.as_bytes());
        let response = gateway
            .broadcast(&request("/broadcast"), body_of.into())
            .await;
        assert_eq!(response.status(), status);
        let error = &body(&response)["error"];
        assert_eq!(error["code"], code);
        assert_eq!(error["details"]["field"].as_str(), field);
    }
}

#[tokio::test(start_paused = true)]
async fn stuck_client_keeps_a_bounded_number_of_broadcasts() {
    let gateway = gateway();
    let mut session = many(&gateway).await;
    for n in 0..100 {
        let event = Bytes::from(format!(r#"{{"event_type":"notice","data":{n}}}"#));
        gateway
            .broadcast(&request("/broadcast"), event.into())
            .await;
    }
    let said = frames(settle(&mut session).await);
    let numbers: Vec<_> = said
        .iter()
        .map(|frame| frame["data"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (84..100).collect::<Vec<_>>(), "the newest");
}

#[tokio::test(start_paused = true)]
async fn managing_needs_permission() {
    let gateway = Gateway::new(ProgressTracker::new());
    let event = Bytes::from_static(br#"{"event_type":"x"}"#);
    for response in [
        gateway.clients(&request("/clients")).await,
        gateway.disconnect(&request("/"), "x").await,
        gateway
            .broadcast(&request("/broadcast"), event.into())
            .await,
    ] {
        assert_eq!(response.status(), 403);
        let solution = &body(&response)["error"]["solutions"][0];
        assert!(solution.as_str().unwrap().contains("Open::managing()"));
    }
}
