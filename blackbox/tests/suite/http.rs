//! Snapshots, histories and health; who may have them, and what is wrong with a request.

use blackbox::{Mark, Tile, fields, forgetful, mark};
use progress_core::{Level, TaskError, TaskId};
use progress_web::Open;
use reqwest::Method;
use serde_json::{Value, json};

use crate::Server;

const ALWAYS: [&str; 19] = [
    "attempt",
    "custom",
    "dropped_logs",
    "elapsed_ms",
    "epoch",
    "eta_ms",
    "kind",
    "labels",
    "message",
    "metadata",
    "name",
    "progress",
    "seq",
    "stage",
    "stages",
    "started_at",
    "state",
    "task_id",
    "updated_at",
];

#[tokio::test]
async fn snapshot_holds_what_the_protocol_says() {
    let server = Server::start().await;
    let task = server.tracker.task("a").start().unwrap();
    let answer = server.get("/tasks/a").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    let snapshot = answer.json();
    assert_eq!(fields(&snapshot), ALWAYS);
    assert_eq!(snapshot["name"], Value::Null);
    assert_eq!(snapshot["state"], "running");
    assert_eq!(snapshot["progress"], 0.0);
    assert_eq!(snapshot["stages"], json!([]));
    drop(task);
    let snapshot = server.get("/tasks/a").await.json();
    assert_eq!(snapshot["state"], "abandoned");
    assert_eq!(snapshot["cause"], "dropped");
}

#[tokio::test]
async fn snapshot_is_the_task_folded_to_its_present() {
    let server = Server::start().await;
    let task = server
        .tracker
        .task("video-42")
        .name("Talking video")
        .kind("video")
        .label("user", "7")
        .stage("detect", 1.0)
        .stage("render/tile-3", 3.0)
        .start()
        .unwrap();
    let child = task.child("tile", "render/tile-3").start().unwrap();
    let detect = task.stage("detect").total(4).unit("frames");
    detect.set(2);
    task.message("person 0 chosen");
    task.metadata("confidence", 0.95);
    task.emit(Tile::new(7)).unwrap();
    let error = TaskError::new("BUSY", "try later").retryable(true);
    task.retrying(error, 1, 3);
    task.log(Level::INFO, "hello");

    let snapshot = server.get("/tasks/video-42").await.json();
    let mut names = ALWAYS.to_vec();
    names.extend(["children", "last_error"]);
    names.sort_unstable();
    assert_eq!(fields(&snapshot), names);
    assert_eq!(snapshot["task_id"], "video-42");
    assert_eq!(snapshot["name"], "Talking video");
    assert_eq!(snapshot["kind"], "video");
    assert_eq!(snapshot["labels"], json!({"user": "7"}));
    assert_eq!(snapshot["attempt"], 1);
    assert_eq!(snapshot["progress"], 12.5);
    assert_eq!(snapshot["children"]["total"], 1);
    assert_eq!(snapshot["last_error"]["code"], "BUSY");
    assert_eq!(snapshot["last_error"]["retry_count"], 1);
    assert_eq!(snapshot["last_error"]["max_retries"], 3);
    assert_eq!(snapshot["dropped_logs"], 0);
    assert_eq!(snapshot["custom"]["present"]["n"], 7);
    let head = task.head();
    assert_eq!(snapshot["epoch"], head.epoch().to_string());
    assert_eq!(snapshot["seq"], head.seq().get());
    let detect = &snapshot["stages"][0];
    let stage = [
        "current",
        "elapsed_ms",
        "label",
        "path",
        "progress",
        "state",
        "total",
        "unit",
        "weight",
    ];
    assert_eq!(fields(detect), stage);
    assert_eq!(detect["path"], "detect");
    assert_eq!(detect["state"], "running");
    assert_eq!(detect["progress"], 50.0);
    assert_eq!(
        (&detect["current"], &detect["total"]),
        (&json!(2), &json!(4))
    );
    assert_eq!(detect["unit"], "frames");
    // The stage above is there with it.
    assert_eq!(snapshot["stages"][1]["path"], "render");
    assert_eq!(snapshot["stages"][2]["label"], "tile-3");
    assert_eq!(snapshot["stages"][2]["weight"], 3.0);

    let part = server.get("/tasks/tile").await.json();
    assert_eq!(part["parent"], "video-42");
    child.complete(()).unwrap();
    task.complete(json!({"url": "/v.mp4"})).unwrap();
    let snapshot = server.get("/tasks/video-42").await.json();
    assert_eq!(snapshot["state"], "completed");
    assert_eq!(snapshot["progress"], 100.0);
    assert_eq!(snapshot["message"], "person 0 chosen");
    assert_eq!(snapshot["metadata"], json!({"confidence": 0.95}));
    assert_eq!(snapshot["result"], json!({"url": "/v.mp4"}));
    assert!(snapshot.get("error").is_none());
}

#[tokio::test]
async fn etag_is_the_position_and_spares_what_is_known() {
    let server = Server::start().await;
    let task = server.tracker.task("a").start().unwrap();
    let head = task.head();
    let answer = server.get("/tasks/a").await;
    let tag = answer.header("etag").to_owned();
    assert_eq!(tag, format!("W/\"{head}\""));
    let known = |given: String| {
        let server = &server;
        async move {
            let headers = [("if-none-match", given.as_str())];
            server.request(Method::GET, "/tasks/a", &headers).await
        }
    };
    for given in [
        tag.clone(),
        format!("\"{head}\""),
        format!("\"x\", W/\"1:1\" ,{tag}"),
        "*".to_owned(),
    ] {
        let answer = known(given.clone()).await;
        assert_eq!(answer.status, 304, "{given}");
        assert_eq!(answer.body, "");
        assert_eq!(answer.header("etag"), tag);
        assert_eq!(answer.header("cache-control"), "no-cache");
    }
    for given in [
        "W/\"1:1\"".to_owned(),
        format!("\"{head}0\""),
        head.to_string(),
    ] {
        assert_eq!(known(given.clone()).await.status, 200, "{given}");
    }
    task.emit(Mark { n: 1 }).unwrap();
    let answer = known(tag).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("etag"), format!("W/\"{}\"", task.head()));
}

#[tokio::test]
async fn ids_are_judged_before_rights_and_rights_before_existence() {
    let server = Server::with(|gateway| gateway.authorizer(Open::new())).await;
    server.tracker.task("named").start().unwrap();
    let long = "x".repeat(129);
    for bad in ["no%20id", "a%2Fb", "%FF", "%00", "caf%C3%A9", &long] {
        for path in [format!("/tasks/{bad}"), format!("/tasks/{bad}/history")] {
            let error = server.get(&path).await.error(400, "INVALID_TASK_ID");
            assert_eq!(error["details"]["field"], "task_id", "{path}");
            assert_eq!(error["is_retryable"], false);
        }
    }
    let answer = server.get("/tasks?parent=no%20id").await;
    answer.error(400, "INVALID_TASK_ID");
    // Whether a task of that name exists is told to nobody who may not know.
    for id in ["named", "not-there"] {
        for path in [format!("/tasks/{id}"), format!("/tasks/{id}/history")] {
            let error = server.get(&path).await.error(403, "FORBIDDEN");
            assert!(
                error["solutions"][0]
                    .as_str()
                    .unwrap()
                    .contains("named_ids")
            );
        }
    }
    for path in ["", "/history"] {
        let path = format!("/tasks/{}{path}", TaskId::random());
        server.get(&path).await.error(404, "TASK_NOT_FOUND");
    }
}

#[tokio::test]
async fn g9_named_ids_and_listing_are_closed_until_opened() {
    let server = Server::with(|gateway| gateway.authorizer(Open::new())).await;
    let random = TaskId::random();
    let _tasks = [
        server.tracker.task(random.clone()).start().unwrap(),
        server.tracker.task("named").start().unwrap(),
    ];
    let listing = server.get("/tasks").await.error(403, "FORBIDDEN");
    assert!(
        listing["solutions"][0]
            .as_str()
            .unwrap()
            .contains("listing")
    );
    for path in [
        "/tasks/named",
        "/tasks/named/history",
        "/sse/progress/named",
        "/sse?ids=named",
    ] {
        server.get(path).await.error(403, "FORBIDDEN");
    }
    assert_eq!(server.get(&format!("/tasks/{random}")).await.status, 200);
    let open = Server::over(server.tracker.clone(), |gateway| gateway).await;
    for path in ["/tasks", "/tasks/named", "/tasks/named/history"] {
        assert_eq!(open.get(path).await.status, 200);
    }
    assert_eq!(
        server.get("/health").await.status,
        200,
        "needs no permission"
    );
}

#[tokio::test]
async fn history_is_read_page_by_page() {
    let server = Server::start().await;
    let task = server.tracker.task("a").start().unwrap();
    mark(&task, 9);
    let head = task.head();
    let mut path = "/tasks/a/history?limit=4".to_owned();
    let mut numbers = Vec::new();
    let mut pages = 0;
    loop {
        let answer = server.get(&path).await;
        assert_eq!(answer.status, 200);
        let page = answer.json();
        assert_eq!(page["floor"], 0);
        assert_eq!(page["head"], head.to_string());
        let events = page["events"].as_array().unwrap();
        assert!(events.len() <= 4);
        numbers.extend(blackbox::seqs(events));
        pages += 1;
        let Some(next) = page.get("next") else { break };
        let next = next.as_str().unwrap();
        assert_eq!(next, blackbox::position(events.last().unwrap()));
        path = format!("/tasks/a/history?limit=4&after={next}");
    }
    assert_eq!((pages, numbers), (3, (1..=10).collect::<Vec<_>>()));
    // The same objects as on a stream.
    let page = server.get("/tasks/a/history").await.json();
    let mut ws = server.ws("/ws/progress/a").await;
    ws.frame().await;
    for event in page["events"].as_array().unwrap() {
        assert_eq!(&ws.frame().await, event);
    }
    let page = server.get("/tasks/a/history?after=1:3").await.json();
    assert_eq!(blackbox::seqs(page["events"].as_array().unwrap()).len(), 10);
    let page = server.get(&format!("/tasks/a/history?after={head}")).await;
    assert_eq!(page.json()["events"], json!([]));
}

#[tokio::test]
async fn history_tells_what_is_lost() {
    let server = Server::over(forgetful(), |gateway| gateway).await;
    let task = server.tracker.task("a").start().unwrap();
    mark(&task, 9);
    let page = server.get("/tasks/a/history").await.json();
    assert_eq!(page["floor"], 4);
    let events = page["events"].as_array().unwrap();
    assert_eq!(blackbox::seqs(events), [5, 6, 7, 8, 9, 10]);
    assert_eq!(events[0]["from"], 1);
}

#[tokio::test]
async fn bad_query_is_an_error_that_names_the_field() {
    let server = Server::start().await;
    let task = server.tracker.task("a").start().unwrap();
    mark(&task, 3);
    for (path, field) in [
        ("/tasks/a/history?limit=0", "limit"),
        ("/tasks/a/history?limit=-1", "limit"),
        ("/tasks/a/history?limit=ten", "limit"),
        ("/tasks?limit=0", "limit"),
        ("/tasks?limit=1e3", "limit"),
        ("/tasks?cursor=zz", "cursor"),
        ("/tasks?state=happy", "state"),
        ("/tasks?label=user", "label"),
    ] {
        let error = server.get(path).await.error(400, "INVALID_QUERY");
        assert_eq!(error["details"]["field"], field, "{path}");
    }
    let answer = server.get("/tasks/a/history?after=7").await;
    let error = answer.error(400, "INVALID_POSITION");
    assert_eq!(error["details"]["field"], "after");
    let error = server.get("/tasks?parent=no%20id").await;
    let error = error.error(400, "INVALID_TASK_ID");
    assert_eq!(error["details"]["field"], "parent");
    // More than there can be is as much as there can be; what is unknown is ignored.
    for path in [
        "/tasks/a/history?limit=1000000&x=1&limit=0",
        "/tasks?limit=1000000&wait=soon",
        "/tasks/a?colour=red&after=7",
        "/health?x",
    ] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn health_needs_no_permission_and_counts() {
    let server = Server::with(|gateway| gateway.authorizer(Open::new())).await;
    let id = TaskId::random();
    let _task = server.tracker.task(id.clone()).start().unwrap();
    let mut ws = server.ws(&format!("/ws/progress/{id}")).await;
    ws.frame().await;
    let health = server.get("/health").await;
    assert_eq!(health.status, 200);
    let health = health.json();
    assert_eq!(
        fields(&health),
        ["sessions", "status", "tasks", "transport"]
    );
    assert_eq!(health["status"], "ok");
    assert!(health["transport"].is_object());
    assert_eq!(
        (&health["tasks"], &health["sessions"]),
        (&json!(1), &json!(1))
    );
}
