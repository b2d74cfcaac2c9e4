//! `/ws`, its commands and encodings, and who is connected, over real sockets.

use blackbox::{Mark, Reader, Ws, fields, kind, kinds, seqs, within};
use futures_util::StreamExt;
use http::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::Server;

async fn open(server: &Server) -> Ws {
    let mut ws = server.ws("/ws").await;
    let bare = ws.frame().await;
    assert_eq!(kind(&bare), "connected");
    assert_eq!(fields(&bare["data"]), ["heartbeat_ms", "node", "protocol"]);
    ws
}

async fn frames(ws: &mut Ws, count: usize) -> Vec<Value> {
    let mut frames = Vec::new();
    for _ in 0..count {
        frames.push(ws.frame().await);
    }
    frames
}

#[tokio::test]
async fn one_socket_watches_what_its_client_asks_for() {
    let server = Server::start().await;
    let a = server.tracker.task("a").start().unwrap();
    let mut ws = open(&server).await;
    let topics = json!([{"task_id": "a"}, {"task_id": "no id"}]);
    ws.say(&json!({"type": "subscribe", "request_id": 1, "topics": topics}).to_string())
        .await;
    let said = frames(&mut ws, 3).await;
    let mut sorted = kinds(&said);
    sorted.sort_unstable();
    assert_eq!(sorted, ["rejected", "started", "subscribed"]);
    let mut reader = Reader::default();
    for frame in said.iter().filter(|frame| frame["task_id"] == "a") {
        reader.take(frame);
    }
    for n in 0..100 {
        a.emit(Mark { n }).unwrap();
    }
    a.complete(()).unwrap();
    while !reader.ended {
        reader.take(&ws.frame().await);
    }
    assert_eq!(seqs(&reader.news), (1..=102).collect::<Vec<_>>());
    // The connection stays.
    ws.say(r#"{"type":"ping"}"#).await;
    assert_eq!(kind(&ws.frame().await), "pong");
    ws.say("garbage").await;
    assert_eq!(ws.frame().await["data"]["code"], "INVALID_COMMAND");
}

#[tokio::test]
async fn message_pack_is_negotiated_and_says_the_same() {
    let server = Server::start().await;
    let a = server.tracker.task("a").start().unwrap();
    a.complete(json!({"n": [1, 2.5, "ü"]})).unwrap();
    let mut plain = server.ws("/ws/progress/a").await;
    let (plain, _) = plain.until_close().await;
    let protocols = [(
        "sec-websocket-protocol",
        "bearer.s3cr3t, progress.v1.msgpack",
    )];
    let mut packed = Ws::over(server.tcp().await, "/ws/progress/a", &protocols).await;
    assert_eq!(
        packed.headers["sec-websocket-protocol"],
        "progress.v1.msgpack"
    );
    let mut said: Vec<Value> = Vec::new();
    loop {
        match within("a message", packed.socket.next())
            .await
            .unwrap()
            .unwrap()
        {
            Message::Binary(bytes) => said.push(rmp_serde::from_slice(&bytes).unwrap()),
            Message::Close(close) => {
                assert_eq!(u16::from(close.unwrap().code), 1000);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(said.len(), 3);
    assert_eq!(said[1..], plain[1..]);
}

#[tokio::test]
async fn operator_sees_clients_and_sends_them_away() {
    let open_to_all = progress_web::Open::new().named_ids().managing();
    let server = Server::with(|gateway| gateway.authorizer(open_to_all)).await;
    let mut ws = open(&server).await;
    ws.say(r#"{"type":"register","client_type":"wall","client_name":"lobby"}"#)
        .await;
    ws.say(r#"{"type":"ping"}"#).await;
    ws.frame().await;
    let listed = server.get("/clients").await.json();
    let client = &listed["clients"][0];
    assert_eq!(client["client_name"], "lobby");
    let path = format!("/clients/{}", client["id"].as_str().unwrap());
    let answer = server.request(Method::DELETE, &path, &[]).await;
    assert_eq!(answer.status, 204);
    let (frames, close) = ws.until_close().await;
    assert_eq!(kinds(&frames), ["rejected"]);
    assert_eq!(close, (4403, "DISCONNECTED".to_owned()));
    server
        .request(Method::DELETE, "/clients/nobody", &[])
        .await
        .error(404, "CLIENT_NOT_FOUND");
}
