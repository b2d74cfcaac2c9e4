//! The server as its users start it.

mod support;

use std::{io::Write as _, process::Stdio, time::Duration};

use futures_util::StreamExt as _;
use serde_json::json;
use tokio::{
    net::TcpStream,
    process::Command,
    time::{sleep, timeout},
};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use self::support::{PATIENCE, Server};

#[tokio::test]
async fn it_says_where_it_is_and_serves_every_kind_of_route() {
    let server = Server::start(&[]).await;
    assert!(
        server.url.starts_with("http://127.0.0.1:"),
        "{}",
        server.url
    );
    server.work("video-42").await;
    let (status, snapshot) = server.get("/tasks/video-42").await;
    assert_eq!(status, 200);
    assert!(snapshot.contains(r#""state":"completed""#), "{snapshot}");
    for path in ["/health", "/tasks", "/metrics", "/openapi.json", "/clients"] {
        let (status, body) = server.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
    }
}

#[tokio::test]
async fn urls_in_answers_are_right_behind_a_proxy() {
    let server = Server::start(&["--base-url", "https://example.org/progress"]).await;
    // It prints where clients reach it, which is not where this test does.
    assert_eq!(server.url, "https://example.org/progress");
}

#[tokio::test]
async fn open_is_refused_where_others_could_reach_it() {
    let refused = Command::new(env!("CARGO_BIN_EXE_progress-server"))
        .args(["--listen", "0.0.0.0:0", "--open"])
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains("--open") && said.contains("loopback"),
        "{said}"
    );
}

#[tokio::test]
async fn flags_beat_the_environment_and_that_beats_the_file() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"heartbeat = '3s'\n").unwrap();
    let config = ["--config", file.path().to_str().unwrap()];
    let environment = [("PROGRESS_HEARTBEAT", "2s")];
    let flags = [&config[..], &["--heartbeat", "1s"]].concat();
    for (server, heartbeat_ms) in [
        (Server::start(&config).await, 3_000),
        (Server::start_in(&environment, &config).await, 2_000),
        (Server::start_in(&environment, &flags).await, 1_000),
    ] {
        let url = server.ws("/ws");
        let (mut socket, _) = connect_async(url).await.unwrap();
        let greeting = socket.next().await.unwrap().unwrap();
        let said = format!(r#""heartbeat_ms":{heartbeat_ms},"#);
        assert!(greeting.to_text().unwrap().contains(&said), "{greeting}");
    }
}

#[tokio::test]
async fn clients_of_other_systems_are_served_where_it_is_asked_for() {
    let server = Server::start(&["--format", "status", "--aliases"]).await;
    server.work("video-42").await;
    let (_, told) = server.get("/sse/progress/video-42").await;
    let last = told
        .lines()
        .rfind(|line| line.starts_with("data: "))
        .unwrap();
    assert_eq!(
        last,
        r#"data: {"id":"video-42","status":"completed","progress":1.0,"error_message":null}"#
    );
    let (_, told) = server
        .get("/sse/progress/video-42?format=progress.v1")
        .await;
    assert!(told.contains(r#""event_type":"complete""#), "{told}");
    let (_, latest) = server.get("/ws/progress/video-42/latest").await;
    assert!(latest.contains(r#""state":"completed""#), "{latest}");
    let plain = Server::start(&[]).await;
    plain.work("video-42").await;
    assert_eq!(plain.get("/ws/progress/video-42/latest").await.0, 404);
}

#[cfg(unix)]
#[tokio::test]
async fn at_sigterm_clients_are_told_to_come_back_and_the_server_goes() {
    for adapter in ["axum", "warp"] {
        let mut server = Server::start(&["--adapter", adapter]).await;
        let note = json!({"event_type": "note", "data": {"n": 1}});
        server.post("/tasks/video-42/events", &note).await;
        let stream = format!("{}/sse/progress/video-42", server.url);
        let mut stream = reqwest::get(stream).await.unwrap();
        assert!(stream.chunk().await.unwrap().is_some(), "it is watched");
        let (mut socket, _) = connect_async(server.ws("/ws/progress/video-42"))
            .await
            .unwrap();
        socket.next().await.unwrap().unwrap();
        let id = server.process.id().unwrap().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(told.unwrap().success());
        let rest = timeout(PATIENCE, stream.text()).await.unwrap().unwrap();
        assert!(rest.contains(r#""event_type":"draining""#), "{rest}");
        let close = loop {
            let message = timeout(PATIENCE, socket.next()).await.unwrap();
            if let Message::Close(close) = message.unwrap().unwrap() {
                break close.unwrap();
            }
        };
        assert_eq!(
            (u16::from(close.code), close.reason.as_str()),
            (4001, "DRAINING")
        );
        let _answered = socket.close(None).await;
        let ended = timeout(PATIENCE, server.process.wait()).await.unwrap();
        assert!(ended.unwrap().success(), "{adapter}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn at_the_second_signal_it_goes_at_once() {
    for adapter in ["axum", "warp"] {
        let mut server = Server::start(&["--adapter", adapter, "--unready-for", "1h"]).await;
        let stream = format!("{}/sse/progress/video-42", server.url);
        let mut stream = reqwest::get(stream).await.unwrap();
        assert!(stream.chunk().await.unwrap().is_some(), "it is watched");
        let id = server.process.id().unwrap().to_string();
        let signal = async |name: &str| {
            let told = Command::new("kill").args([name, &id]).status().await;
            assert!(told.unwrap().success());
        };
        signal("-TERM").await;
        let withdrawn = async { while server.get("/health").await.0 == 200 {} };
        timeout(PATIENCE, withdrawn).await.unwrap();
        signal("-INT").await;
        let ended = timeout(PATIENCE, server.process.wait()).await.unwrap();
        assert!(ended.unwrap().success(), "{adapter}");
        assert!(stream.text().await.is_err(), "it was cut off");
    }
}

/// Time that a process has spent, in hundredths of a second.
#[cfg(target_os = "linux")]
fn spent(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<_> = fields.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn without_files_for_more_connections_it_waits_and_goes_on() {
    let server = Server::start_with_files(64).await;
    let mut connections = Vec::new();
    for _ in 0..100 {
        // The system takes them all.
        connections.push(TcpStream::connect(server.host()).await.unwrap());
    }
    let id = server.process.id().unwrap();
    let refused = timeout(Duration::from_secs(2), server.get("/health")).await;
    assert!(refused.is_err(), "there is no file for it");
    let before = spent(id);
    sleep(Duration::from_secs(2)).await;
    let spent = spent(id) - before;
    assert!(spent < 100, "it tried all the time: {spent} of 200");
    drop(connections);
    let (status, health) = timeout(PATIENCE, server.get("/health")).await.unwrap();
    assert_eq!(status, 200, "{health}");
}

#[tokio::test]
async fn bench_publishes_inside_the_process_where_it_is_asked_for() {
    let server = Server::start(&["--bench"]).await;
    let (status, said) = server.get("/bench/20/0/2/load").await;
    assert_eq!(status, 200, "{said}");
    let (_, history) = server.get("/tasks/load-1/history").await;
    assert_eq!(history.matches(r#""ts_ns":"#).count(), 20);
    let without = Server::start(&[]).await;
    assert_eq!(without.get("/bench/20/0/2/load").await.0, 404);
}

#[tokio::test]
async fn the_first_event_of_an_unknown_id_starts_its_task() {
    let server = Server::start(&[]).await;
    let event = json!({"event_type": "log", "data": {"message": "hello", "level": "WARNING"}});
    let (status, answer) = server.post("/tasks/new/events", &event).await;
    assert_eq!((status, &answer["accepted"]), (202, &json!(1)), "{answer}");
    let (_, history) = server.get("/tasks/new/history").await;
    assert!(history.contains(r#""level":"WARN""#), "{history}");
}
