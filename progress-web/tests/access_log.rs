//! What is logged of requests and connections, and what never is.

#[path = "support/logs.rs"]
mod logs;
mod support;

use std::net::SocketAddr;

use http::{Method, Request, header, request::Parts};
use progress_core::ProgressTracker;
use progress_web::{Action, Authorizer, Gateway, Principal, Refusal};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, duplex};

use self::{
    logs::Logs,
    support::{frames, gateway, say, settle},
};

const ACCESS: &str = "progress::access";
/// Would be three lines, one of them in green, where it is written as it is.
const SUBJECT: &str = "eve\n INFO progress::access: answered status=200\r\n\u{1b}[32mok";
const SECRET: &str = "hunter2";

/// Knows everybody who has a token, a cookie, a grant or a ticket, and lets nobody list.
#[derive(Debug)]
struct Secrets;

#[progress_web::async_trait]
impl Authorizer for Secrets {
    async fn authorize(&self, request: &Parts, action: &Action) -> Result<Principal, Refusal> {
        let query = request.uri.query().unwrap_or_default();
        let mut values = request.headers.values();
        let is_known = query.contains(SECRET)
            || values.any(|value| value.to_str().is_ok_and(|value| value.contains(SECRET)));
        match action {
            _ if !is_known => Err(Refusal::Unauthenticated),
            Action::List => Err(Refusal::Forbidden { solution: None }),
            _ => Ok(Principal::of(SUBJECT)),
        }
    }
}

fn secretive() -> Gateway {
    Gateway::builder(ProgressTracker::new())
        .authorizer(Secrets)
        .linger(std::time::Duration::ZERO)
        .build()
}

async fn ask(gateway: &Gateway, request: Request<String>) -> http::Response<progress_web::Body> {
    let found = gateway.find(request.uri().path()).unwrap();
    gateway.respond(found.path, &found.parameter, request).await
}

async fn get(gateway: &Gateway, uri: &str, token: Option<&str>) -> u16 {
    let mut request = Request::get(uri);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(String::new()).unwrap();
    ask(gateway, request).await.status().as_u16()
}

#[tokio::test(start_paused = true)]
async fn each_answer_is_one_event_with_what_is_known_of_it() {
    let gateway = secretive();
    let _task = gateway.tracker().task("t").start().unwrap();
    let (logs, _guard) = Logs::capture();
    let subject = format!("subject={SUBJECT:?}");
    assert_eq!(get(&gateway, "/tasks/t", Some(SECRET)).await, 200);
    assert_eq!(
        logs.take(ACCESS),
        [format!(
            "DEBUG answered route=\"/tasks/{{task_id}}\" method=\"GET\" status=200 duration_ms=0 \
             action=\"watch\" task=t {subject}"
        )]
    );
    assert_eq!(
        get(&gateway, "/tasks/nobody?wait=2s", Some(SECRET)).await,
        404
    );
    assert_eq!(
        logs.take(ACCESS),
        [format!(
            "INFO answered route=\"/tasks/{{task_id}}\" method=\"GET\" status=404 \
             duration_ms=2000 action=\"watch\" task=nobody {subject} code=\"TASK_NOT_FOUND\""
        )]
    );
    assert_eq!(get(&gateway, "/tasks?limit=7", Some(SECRET)).await, 403);
    assert_eq!(get(&gateway, "/tasks/t", None).await, 401);
    assert_eq!(get(&gateway, "/tasks/a%0Ab", Some(SECRET)).await, 400);
    let said = logs.take(ACCESS);
    assert!(
        said[0].ends_with("action=\"list\" code=\"FORBIDDEN\""),
        "{said:?}"
    );
    assert!(
        said[1].ends_with("task=t code=\"UNAUTHENTICATED\""),
        "{said:?}"
    );
    // Nobody is asked, and what is no id is not told.
    let end = "status=400 duration_ms=0 code=\"INVALID_TASK_ID\"";
    assert!(said[2].ends_with(end), "{said:?}");
    assert_eq!(said.len(), 3);

    let made_up = Method::from_bytes(b"EVIL").unwrap();
    let peer: SocketAddr = "[2001:db8::7]:4000".parse().unwrap();
    let request = Request::builder().method(made_up).uri("/tasks");
    let request = request.extension(peer).body(String::new()).unwrap();
    ask(&gateway, request).await;
    let said = logs.take(ACCESS);
    assert!(said[0].contains("method=\"other\" status=405"), "{said:?}");
    assert!(said[0].ends_with("client=2001:db8::7"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_our_fault_or_our_leave_are_warnings() {
    let gateway = gateway();
    gateway.drain(std::time::Duration::ZERO);
    let (logs, _guard) = Logs::capture();
    assert_eq!(get(&gateway, "/sse/progress/t", None).await, 503);
    let said = logs.take(ACCESS);
    assert!(said[0].starts_with("WARN answered"), "{said:?}");
    assert!(said[0].contains("code=\"DRAINING\""), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn connection_that_is_over_is_one_event() {
    let gateway = secretive();
    let task = gateway.tracker().task("t").start().unwrap();
    let request = Request::get("/").header(header::AUTHORIZATION, SECRET);
    let request = request.body(()).unwrap().into_parts().0;
    let (logs, _guard) = Logs::capture();
    let mut gone = gateway.web_socket(&request, "t").await;
    assert_eq!(frames(settle(&mut gone).await).len(), 2);
    tokio::time::advance(std::time::Duration::from_secs(3)).await;
    drop(gone);
    let subject = format!("subject={SUBJECT:?}");
    assert_eq!(
        logs.take(ACCESS),
        [format!(
            "DEBUG closed kind=\"websocket\" duration_ms=3000 frames=2 {subject}"
        )]
    );
    let mut told = gateway.web_socket(&request, "t").await;
    let mut dismissed = gateway.web_socket(&request, "t").await;
    settle(&mut told).await;
    settle(&mut dismissed).await;
    task.complete(()).unwrap();
    settle(&mut told).await;
    gateway.drain(std::time::Duration::ZERO);
    dismissed.close(progress_web::Code::TooSlow);
    settle(&mut dismissed).await;
    drop((told, dismissed));
    assert_eq!(
        logs.take(ACCESS),
        [
            format!(
                "DEBUG closed kind=\"websocket\" duration_ms=0 close_code=1000 frames=3 {subject}"
            ),
            format!(
                "INFO closed kind=\"websocket\" duration_ms=0 close_code=4008 frames=2 {subject}"
            ),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn secrets_are_in_no_log_metric_or_answer_and_nobody_forges_a_line() {
    let gateway = secretive();
    let task = gateway.tracker().task("t").start().unwrap();
    let (logs, guard) = Logs::capture();
    let mut said = String::new();
    for name in [
        "token",
        "access_token",
        "grant",
        "ticket",
        "%74icket",
        "auth",
    ] {
        for path in [
            "/tasks/t",
            "/tasks/t/history",
            "/sse/progress/t",
            "/tasks",
            "/tasks/none",
        ] {
            let uri = format!("{path}?{name}={SECRET}&after=bad%0Aposition&state={SECRET}");
            let request = Request::get(uri).body(String::new()).unwrap();
            if let Ok(body) = ask(&gateway, request).await.into_body().into_bytes() {
                said += &String::from_utf8_lossy(&body);
            }
        }
    }
    // Every way in for a WebSocket, the first message included.
    let request = Request::get(format!("/ws?ticket={SECRET}"))
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header(
            "sec-websocket-protocol",
            format!("progress.v1.json, bearer.{SECRET}"),
        )
        .header("cookie", format!("session={SECRET}"))
        .body(String::new())
        .unwrap();
    let mut response = ask(&gateway, request).await;
    said += &format!("{:?}", response.headers());
    let socket = response.body_mut().take_web_socket().unwrap();
    let (mut client, server) = duplex(64 * 1024);
    let serving = tokio::spawn(socket.serve(server));
    assert!(client.read_u8().await.is_ok());
    drop(client);
    serving.await.unwrap();
    let bare = Request::get("/ws").body(()).unwrap().into_parts().0;
    let mut session = gateway.web_sockets(&bare).await;
    for command in [
        json!({"type": "auth", "token": SECRET}),
        json!({"type": "auth", "token": [SECRET]}),
        json!({"type": "subscribe", "topics": [{"task_id": "t"}]}),
        json!({"type": SECRET}),
    ] {
        said += &json!(say(&mut session, command).await).to_string();
    }
    drop(session);
    task.complete(()).unwrap();
    let request = Request::get("/metrics").header("authorization", SECRET);
    let request = request.body(()).unwrap().into_parts().0;
    said += &String::from_utf8_lossy(gateway.metrics(&request).await.body());
    said += &format!("{gateway:?}");

    drop(guard);
    let log = logs.text();
    assert!(log.contains("answered") && log.contains("closed"), "{log}");
    for text in [&log, &said] {
        let found = text
            .find(SECRET)
            .map(|at| &text[at.saturating_sub(100)..at]);
        assert_eq!(found, None);
    }
    let levels = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"];
    for line in log.lines() {
        let level = line.trim_start().split(' ').next().unwrap();
        assert!(levels.contains(&level), "{line}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    let answered = logs.take(ACCESS);
    let answered = answered
        .iter()
        .filter(|line| line.contains(" answered route="));
    assert_eq!(answered.count(), 31);
}
