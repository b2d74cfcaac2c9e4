//! What a watcher gets through a proxy is what it gets without one.

use futures_util::StreamExt as _;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::{
    clients::{Events, behind, note, open, until_sessions},
    nodes::node,
    proxy::{Kind, Proxy, Times},
    support::PATIENCE,
};

#[tokio::test]
async fn each_event_of_a_stream_comes_before_the_next_is_published() {
    let server = behind(&[]).await;
    for kind in Kind::ALL {
        let proxy = Proxy::before(kind, &[&server]).await;
        let task = format!("video-{kind:?}");
        note(&server, &task, 0).await;
        let request = proxy.get(&format!("/sse/progress/{task}?replay=none"));
        let request = request.header("accept-encoding", "gzip, br");
        let mut events = Events::of(request).await;
        let headers = events.headers();
        assert!(!headers.contains_key("content-encoding"), "{kind:?}");
        assert_eq!(headers["cache-control"], "no-store, no-transform");
        events.until("connected").await;
        // A proxy that gathers waits for more, and nothing more is said until this has come.
        for n in 1..=20 {
            note(&server, &task, n).await;
            assert_eq!(events.until("note").await["data"]["n"], n, "{kind:?}");
        }
    }
}

#[tokio::test]
async fn a_web_socket_is_upgraded_with_its_subprotocol() {
    let server = behind(&[]).await;
    for kind in Kind::ALL {
        let proxy = Proxy::before(kind, &[&server]).await;
        let task = format!("video-{kind:?}");
        note(&server, &task, 0).await;
        let path = format!("/ws/progress/{task}?replay=none");
        let asked = [("sec-websocket-protocol", "bearer.hush, progress.v1.msgpack")];
        let (mut socket, answer) = open(&proxy, &path, &asked).await.unwrap();
        assert_eq!(
            answer.headers()["sec-websocket-protocol"],
            "progress.v1.msgpack"
        );
        let mut frame = async || {
            let message = timeout(PATIENCE, socket.next()).await.unwrap();
            message.unwrap().unwrap()
        };
        let greeting = frame().await;
        assert!(matches!(greeting, Message::Binary(_)), "{greeting}");
        for n in 1..=20 {
            note(&server, &task, n).await;
            let said = frame().await.into_data();
            assert!(
                said.windows(4).any(|four| four == b"note"),
                "{kind:?} {said:?}"
            );
        }
    }
}

#[tokio::test]
async fn idle_connections_live_by_their_heartbeats() {
    let server = behind(&["--heartbeat", "1s"]).await;
    note(&server, "video-42", 0).await;
    for kind in Kind::ALL {
        // It bears three seconds of silence; five heartbeats are longer than that.
        let proxy = Proxy::start(kind, &[node(&server)], Times::Short).await;
        let stream = async {
            let mut events = Events::of(proxy.get("/sse/progress/video-42")).await;
            for _ in 0..5 {
                events.until("heartbeat").await;
            }
        };
        let socket = async {
            let (mut socket, _) = open(&proxy, "/ws/progress/video-42", &[]).await.unwrap();
            let mut heartbeats = 0;
            while heartbeats < 5 {
                let message = timeout(PATIENCE, socket.next()).await.unwrap();
                let message = message.expect("it is not cut off").unwrap();
                let is_text = matches!(message, Message::Text(_));
                heartbeats += u32::from(is_text && message.to_string().contains("heartbeat"));
            }
        };
        tokio::join!(stream, socket);
    }
}

#[tokio::test]
async fn without_heartbeats_the_proxy_cuts_them_off() {
    let server = behind(&["--heartbeat", "60s"]).await;
    note(&server, "video-42", 0).await;
    for kind in Kind::ALL {
        let proxy = Proxy::start(kind, &[node(&server)], Times::Short).await;
        let mut events = Events::of(proxy.get("/sse/progress/video-42")).await;
        while let Some(frame) = events.next().await {
            assert_ne!(frame["event_type"], "heartbeat", "{kind:?}");
        }
        // Long before a heartbeat. The client comes back where it was.
        let id = events.last_id.expect("there was an event");
        let again = proxy
            .get("/sse/progress/video-42")
            .header("last-event-id", id);
        let connected = Events::of(again).await.until("connected").await;
        assert_eq!(connected["data"]["resume"], "resumed", "{kind:?}");
    }
}

#[tokio::test]
async fn a_poll_is_held() {
    let server = behind(&[]).await;
    for kind in Kind::ALL {
        let proxy = Proxy::start(kind, &[node(&server)], Times::Short).await;
        let task = format!("video-{kind:?}");
        note(&server, &task, 0).await;
        let now = proxy.get(&format!("/tasks/{task}")).send().await.unwrap();
        let etag = now.headers()["etag"].clone();
        let poll = async |wait| {
            let path = format!("/tasks/{task}?wait={wait}");
            let poll = proxy.get(&path).header("if-none-match", &etag).send();
            poll.await.unwrap()
        };
        assert_eq!(
            poll("2s").await.status(),
            StatusCode::NOT_MODIFIED,
            "{kind:?}"
        );
        let publish = async {
            until_sessions(&server, 1).await;
            note(&server, &task, 1).await;
        };
        let (answer, ()) = tokio::join!(poll("25s"), publish);
        assert_eq!(answer.status(), StatusCode::OK, "{kind:?}");
        let snapshot: Value = answer.json().await.unwrap();
        assert_eq!(snapshot["seq"], 3, "{kind:?}");
    }
}

#[tokio::test]
async fn a_client_that_goes_is_missed_by_the_node() {
    let server = behind(&[]).await;
    note(&server, "video-42", 0).await;
    for kind in Kind::ALL {
        let proxy = Proxy::before(kind, &[&server]).await;
        let mut events = Events::of(proxy.get("/sse/progress/video-42")).await;
        events.until("connected").await;
        let (socket, _) = open(&proxy, "/ws/progress/video-42", &[]).await.unwrap();
        until_sessions(&server, 2).await;
        drop((events, socket));
        // Nothing is written meanwhile that could fail: the proxy has to close its side.
        until_sessions(&server, 0).await;
    }
}

/// What a proxy gathers for a client that does not read, the node takes for read.
#[tokio::test]
async fn a_client_that_does_not_read_is_a_slow_one_to_the_node() {
    let server = behind(&[]).await;
    let filler = "x".repeat(30_000);
    let five = vec![json!({"event_type": "part", "data": filler}); 5];
    for kind in Kind::ALL {
        let proxy = Proxy::before(kind, &[&server]).await;
        let task = format!("video-{kind:?}");
        note(&server, &task, 0).await;
        let mut events = Events::of(proxy.get(&format!("/sse/progress/{task}"))).await;
        events.until("connected").await;
        // 45 MB: more than the buffers on the way hold, and than the log keeps. What the node could not
        // hand on is declared missing when the client reads again.
        for _ in 0..300 {
            let path = format!("/tasks/{task}/events");
            let (status, answer) = server.post(&path, &five.clone().into()).await;
            assert_eq!(status, 202, "{answer}");
        }
        server.work(&task).await;
        let (mut parts, mut gaps) = (0, 0);
        loop {
            let frame = events.next().await.expect("it goes on to the end");
            parts += u32::from(frame["event_type"] == "part");
            gaps += u32::from(frame["event_type"] == "gap");
            if frame["event_type"] == "complete" {
                break;
            }
        }
        assert!(
            gaps > 0 && parts < 1_000,
            "{kind:?}: {gaps} gaps, {parts} parts"
        );
    }
}
