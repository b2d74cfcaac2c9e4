//! Who gets in, over sockets: what a browser of a stranger can do, and one of the user.

use std::time::{Duration, SystemTime};

use blackbox::{Ws, fields, kind};
use http::{header, request::Parts};
use progress_web::{Action, Authorizer, Open, Principal, Refusal};
use reqwest::Method;
use serde_json::Value;
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest as _};

use crate::Server;

/// Lets whoever has the word watch, for an hour or as long as stands behind it.
#[derive(Debug)]
struct Word;

impl Word {
    fn check(request: &Parts) -> Result<Principal, Refusal> {
        let header = request.headers.get(header::AUTHORIZATION);
        let word = header.and_then(|header| header.to_str().ok()?.strip_prefix("Bearer sesame"));
        let seconds = match word {
            Some("") => 3_600,
            Some(seconds) => seconds.parse().map_err(|_| Refusal::Unauthenticated)?,
            None => return Err(Refusal::Unauthenticated),
        };
        let until = SystemTime::now() + Duration::from_secs(seconds);
        Ok(Principal::of("ali").expires_at(until))
    }
}

#[progress_web::async_trait]
impl Authorizer for Word {
    async fn authorize(&self, request: &Parts, _: &Action) -> Result<Principal, Refusal> {
        Self::check(request)
    }

    async fn authenticate(&self, request: &Parts) -> Result<Principal, Refusal> {
        Self::check(request)
    }
}

async fn server() -> Server {
    Server::with(|gateway| gateway.authorizer(Word)).await
}

async fn socket(server: &Server, path: &str, headers: &[(&str, &str)]) -> Ws {
    Ws::over(server.tcp().await, path, headers).await
}

/// The status of a handshake that is refused, and the code of its answer.
async fn refused(server: &Server, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let stream = server.tcp().await;
    let url = format!("ws://{}{path}", stream.peer_addr().unwrap());
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    match tokio_tungstenite::client_async(request, stream).await {
        Err(tungstenite::Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            let body: Value = serde_json::from_slice(body).unwrap_or_default();
            (response.status().as_u16(), body["error"]["code"].clone())
        }
        other => panic!("it was not refused: {other:?}"),
    }
}

#[tokio::test]
async fn cross_site_web_sockets_are_not_upgraded() {
    let server = server().await;
    let _task = server.tracker.task("a").start().unwrap();
    let cookie = ("cookie", "progress_token=sesame");
    let evil = ("origin", "https://evil.example");
    for path in ["/ws/progress/a", "/ws"] {
        let answer = refused(&server, path, &[cookie, evil]).await;
        assert_eq!(answer, (403, "ORIGIN_NOT_ALLOWED".into()));
    }
    let own = format!("http://{}", server.address);
    let mut ws = socket(&server, "/ws/progress/a", &[cookie, ("origin", &own)]).await;
    assert_eq!(kind(&ws.frame().await), "connected");
}

#[tokio::test]
async fn cross_site_posts_change_nothing_though_all_may() {
    let open = Open::new().named_ids().publishing();
    let server = Server::with(|gateway| gateway.authorizer(open)).await;
    let own = format!("http://{}", server.address);
    for (origin, status) in [("https://evil.example", 403), (&own, 201)] {
        // What a form of any page can send.
        let headers = [("origin", origin), ("content-type", "text/plain")];
        let body = Some(r#"{"task_id":"a"}"#);
        let answer = server.send(Method::POST, "/tasks", &headers, body).await;
        assert_eq!(answer.status, status, "{origin}");
    }
}

#[tokio::test]
async fn each_way_to_say_who_asks_opens_a_web_socket() {
    let server = server().await;
    let task = server.tracker.task("a").start().unwrap();
    let grant = server.gateway.grant(task.id(), Duration::from_secs(60));
    let body = Some(r#"{"task_id":"a"}"#);
    let sesame = [("authorization", "Bearer sesame")];
    let issued = server.send(Method::POST, "/tickets", &sesame, body).await;
    assert_eq!(issued.status, 201);
    let issued = issued.json();
    assert_eq!(fields(&issued), ["expires_at", "expires_in_ms", "ticket"]);
    let ticket = issued["ticket"].as_str().unwrap();
    let protocol = "bearer.sesame, progress.v1.json";
    for (query, header) in [
        (String::new(), ("authorization", "Bearer sesame")),
        (String::new(), ("cookie", "progress_token=sesame")),
        (String::new(), ("sec-websocket-protocol", protocol)),
        (format!("?grant={}", grant.as_str()), ("x-none", "")),
        (format!("?ticket={ticket}"), ("x-none", "")),
    ] {
        let path = format!("/ws/progress/a{query}");
        let mut ws = socket(&server, &path, &[header]).await;
        assert_eq!(kind(&ws.frame().await), "connected", "{query} {header:?}");
        if header.0 == "sec-websocket-protocol" {
            let answered = &ws.headers["sec-websocket-protocol"];
            assert_eq!(answered, "progress.v1.json");
        }
    }
    let mut replayed = socket(&server, &format!("/ws/progress/a?ticket={ticket}"), &[]).await;
    let (_, close) = replayed.until_close().await;
    assert_eq!(close, (4401, "UNAUTHENTICATED".to_owned()));
}

#[tokio::test]
async fn the_first_message_says_who_asks_and_no_frame_comes_before() {
    let server = server().await;
    let _task = server.tracker.task("a").start().unwrap();
    for path in ["/ws/progress/a", "/ws"] {
        let mut ws = socket(&server, path, &[]).await;
        ws.say(r#"{"type":"auth","token":"sesame"}"#).await;
        assert_eq!(kind(&ws.frame().await), "connected");
        let mut ws = socket(&server, path, &[]).await;
        ws.say(r#"{"type":"auth","token":"open up"}"#).await;
        let (frames, close) = ws.until_close().await;
        assert_eq!(close, (4401, "UNAUTHENTICATED".to_owned()));
        assert_eq!(frames.len(), 1);
        assert_eq!(kind(&frames[0]), "rejected");
    }
}

#[tokio::test]
async fn expired_credentials_end_a_stream_which_then_goes_on_where_it_was() {
    let server = server().await;
    let task = server.tracker.task("a").start().unwrap();
    blackbox::mark(&task, 3);
    let short = server.gateway.grant(task.id(), Duration::from_secs(2));
    let mut sse = server
        .sse(&format!("/sse/progress/a?grant={}", short.as_str()))
        .await;
    assert_eq!(sse.status, 200);
    let blocks = sse.blocks().await;
    let last = blocks.iter().rev().find_map(|block| block.id.clone());
    blackbox::mark(&task, 1);
    let path = format!("/sse/progress/a?grant={}", short.as_str());
    assert_eq!(server.sse_after(&path, "x").await.status, 401);
    let long = server.gateway.grant(task.id(), Duration::from_secs(60));
    let path = format!("/sse/progress/a?grant={}", long.as_str());
    let mut sse = server.sse_after(&path, &last.unwrap()).await;
    let connected = sse.block().await.unwrap().data.unwrap();
    assert_eq!(connected["data"]["resume"], "resumed");
    let next = sse.block().await.unwrap().data.unwrap();
    assert_eq!((kind(&next), &next["seq"]), ("mark", &Value::from(5)));
}

#[tokio::test]
async fn a_stranger_is_told_nothing_of_a_task_by_either_way() {
    let server = server().await;
    let _task = server.tracker.task("there").start().unwrap();
    for path in [
        "/tasks/ID",
        "/sse/progress/ID",
        "/tasks/ID/history",
        "/tasks/ID?wait=1",
    ] {
        let there = server.get(&path.replace("ID", "there")).await;
        let none = server.get(&path.replace("ID", "nowhere")).await;
        there.error(401, "UNAUTHENTICATED");
        assert_eq!((there.status, there.body), (none.status, none.body));
    }
}
