//! Methods, and where the routes can be mounted.

use blackbox::{Answer, fields, within};
use progress_core::ProgressTracker;
use reqwest::Method;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::Server;

#[tokio::test]
async fn wrong_method_is_405_and_head_is_get_without_its_body() {
    let server = Server::start().await;
    let _task = server.tracker.task("a").start().unwrap();
    let ask =
        async |method: Method, path: &str| -> Answer { server.request(method, path, &[]).await };
    for path in [
        "/tasks/a/history",
        "/health",
        "/sse/progress/a",
        "/sse?ids=a",
        "/ws/progress/a",
    ] {
        for method in [Method::POST, Method::PATCH] {
            let answer = ask(method, path).await;
            answer.error(405, "METHOD_NOT_ALLOWED");
            assert!(answer.header("allow").contains("GET"), "{path}");
        }
    }
    ask(Method::PUT, "/tasks/a")
        .await
        .error(405, "METHOD_NOT_ALLOWED");
    for path in ["/tasks/a", "/tasks", "/tasks/a/history", "/health"] {
        let head = ask(Method::HEAD, path).await;
        let get = ask(Method::GET, path).await;
        assert_eq!(head.status, 200);
        assert_eq!(head.body, "");
        for name in ["content-type", "etag"] {
            assert_eq!(head.header(name), get.header(name));
        }
    }
    assert_eq!(ask(Method::HEAD, "/tasks/b").await.status, 404);
    let stream = ask(Method::HEAD, "/sse/progress/a").await;
    assert_eq!(stream.header("content-type"), "text/event-stream");
    blackbox::eventually("no stream to be left", || server.gateway.sessions() == 0).await;
}

#[tokio::test]
async fn routes_nest_under_a_prefix_that_the_gateway_knows() {
    let server = Server::under("/api/v1", ProgressTracker::new(), |gateway| {
        gateway.prefix("/api/v1")
    })
    .await;
    let task = server.tracker.task("a").start().unwrap();
    let urls = server.gateway.urls(task.id());
    let json = serde_json::to_value(&urls).unwrap();
    let names = ["polling_url", "sse_url", "task_id", "websocket_url"];
    assert_eq!(fields(&json), names);
    assert_eq!(urls.websocket_url, "/api/v1/ws/progress/a");
    assert_eq!(server.get(&urls.polling_url).await.json()["task_id"], "a");
    assert_eq!(server.get("/api/v1/tasks/a/history").await.status, 200);
    let mut ws = server.ws(&urls.websocket_url).await;
    let mut sse = server.sse(&urls.sse_url).await;
    assert_eq!(ws.frame().await["task_id"], "a");
    assert_eq!(sse.frame().await["task_id"], "a");
    assert_eq!(server.get("/tasks/a").await.status, 404);
    let answer = server.request(Method::POST, "/api/v1/health", &[]).await;
    answer.error(405, "METHOD_NOT_ALLOWED");
}

#[tokio::test]
async fn who_may_not_publish_is_told_so_before_the_body_comes() {
    // Named ids and listing are allowed, publishing is not.
    let server = Server::start().await;
    let mut tcp = BufReader::new(server.tcp().await);
    let head = b"POST /tasks/a/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\
        Expect: 100-continue\r\n\r\n";
    tcp.write_all(head).await.unwrap();
    let mut status = String::new();
    within("the answer", tcp.read_line(&mut status))
        .await
        .unwrap();
    // Nor was it asked to go on.
    assert!(status.starts_with("HTTP/1.1 403 "), "{status}");
}
