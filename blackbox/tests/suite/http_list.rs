//! `GET /tasks`: filters and pages.

use blackbox::fields;
use progress_core::TaskError;
use serde_json::Value;

use crate::Server;

/// The ids on a page, the newest first, and where the next page begins.
async fn list(server: &Server, query: &str) -> (Vec<String>, Option<String>) {
    let answer = server.get(&format!("/tasks{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let page = answer.json();
    let ids = page["tasks"].as_array().unwrap().iter();
    let ids = ids.map(|task| task["task_id"].as_str().unwrap().to_owned());
    let next = page.get("next").and_then(Value::as_str).map(str::to_owned);
    (ids.collect(), next)
}

#[tokio::test]
async fn tasks_are_listed_as_their_snapshots() {
    let server = Server::start().await;
    let empty = server.get("/tasks").await.json();
    assert_eq!(empty, serde_json::json!({"tasks": []}));
    let task = server.tracker.task("a").name("A").start().unwrap();
    task.progress(25.0);
    let mut listed = server.get("/tasks").await.json()["tasks"][0].take();
    let mut alone = server.get("/tasks/a").await.json();
    // Time goes on between the two.
    for snapshot in [&mut listed, &mut alone] {
        snapshot["elapsed_ms"] = Value::Null;
    }
    assert_eq!(listed, alone);
    assert_eq!(listed["progress"], 25.0);
}

#[tokio::test]
async fn filters_let_through_what_they_say() {
    let server = Server::start().await;
    let tracker = &server.tracker;
    let queued = tracker.task("queued").kind("video").queue().unwrap();
    let running = tracker
        .task("running")
        .kind("video")
        .label("user", "7")
        .label("team", "a:b c")
        .start()
        .unwrap();
    let other = tracker.task("other").label("user", "7").start().unwrap();
    let child = running.child("child", "part").start().unwrap();
    tracker.task("done").start().unwrap().complete(()).unwrap();
    let error = TaskError::new("X", "x");
    tracker.task("failed").start().unwrap().fail(error).unwrap();
    drop(tracker.task("abandoned").start().unwrap());

    for (query, expected) in [
        ("?state=active", "child other running queued"),
        ("?state=queued", "queued"),
        ("?state=paused", ""),
        ("?state=failed&state=abandoned", "abandoned failed"),
        ("?state=failed,completed", "failed done"),
        ("?state=active,completed", "done child other running queued"),
        ("?state=cancelled", ""),
        ("?kind=video", "running queued"),
        ("?kind=video&state=running", "running"),
        ("?label=user:7", "other running"),
        ("?label=user:7&label=team:a:b%20c", "running"),
        ("?label=user:8", ""),
        ("?parent=running", "child"),
        ("?parent=nobody", ""),
        ("?kind=&state=&nonsense=1&limit=2", "abandoned failed"),
    ] {
        let (ids, _) = list(&server, query).await;
        assert_eq!(ids.join(" "), expected, "{query}");
    }
    drop((queued, other, child));
}

#[tokio::test]
async fn pages_lead_through_all_tasks_once() {
    let server = Server::start().await;
    let mut tasks: Vec<_> = (0..10)
        .map(|n| server.tracker.task(format!("t{n}")).start().unwrap())
        .collect();
    let mut seen = Vec::new();
    let mut query = "?limit=3".to_owned();
    loop {
        let (ids, next) = list(&server, &query).await;
        assert!(ids.len() <= 3);
        seen.extend(ids);
        // What comes meanwhile is newer than the page, and moves nothing.
        let n = tasks.len();
        tasks.push(server.tracker.task(format!("t{n}")).start().unwrap());
        match next {
            Some(next) => query = format!("?limit=3&cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<_> = (0..10).rev().map(|n| format!("t{n}")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn page_is_bounded_by_default() {
    let server = Server::start().await;
    let _tasks: Vec<_> = (0..120)
        .map(|n| server.tracker.task(format!("t{n}")).start().unwrap())
        .collect();
    let (ids, next) = list(&server, "").await;
    assert_eq!(ids.len(), 100);
    let (ids, _) = list(&server, &format!("?cursor={}", next.unwrap())).await;
    assert_eq!(ids.len(), 20);
    let (ids, next) = list(&server, "?limit=1000000").await;
    assert_eq!((ids.len(), next), (120, None));
    let page = server.get("/tasks?limit=1").await.json();
    assert_eq!(fields(&page), ["next", "tasks"]);
}
