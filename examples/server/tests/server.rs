//! The server as its users start it.

mod support;

use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;

use self::support::Server;

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
