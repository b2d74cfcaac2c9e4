//! An application's own shapes and paths.

use std::collections::BTreeSet;

use blackbox::Mark;
use progress_core::TaskError;
use progress_web::Open;
use serde_json::{Value, json};

use crate::Server;

#[tokio::test]
async fn watchers_of_one_task_are_told_it_in_their_own_shapes() {
    let server = Server::with(|gateway| gateway.presets()).await;
    let task = server.tracker.task("a").stage("cut", 1.0).start().unwrap();
    let mut own = server.ws("/ws/progress/a").await;
    let mut pairs = server.ws("/ws/progress/a?format=event_data").await;
    let mut states = server.ws("/ws/progress/a?format=status").await;
    let mut stream = server.sse("/sse/progress/a?format=stage_update").await;
    assert_eq!(pairs.frame().await["event"], "connected");
    assert_eq!(
        states.frame().await,
        json!({"id": "a", "status": "processing", "progress": 0.0, "error_message": null})
    );
    task.progress(41.7);
    task.fail(TaskError::new("NO_FACE", "no face was found"))
        .unwrap();
    let (frames, close) = own.until_close().await;
    assert_eq!(frames.last().unwrap()["event_type"], "complete");
    assert_eq!(close, (1000, "ENDED".to_owned()));
    let (frames, close) = pairs.until_close().await;
    let end = frames.last().unwrap();
    assert_eq!(end["event"], "complete");
    assert_eq!(end["data"]["status"], "FAILED");
    assert_eq!(end["data"]["progress"], 41);
    assert_eq!(end["data"]["error_code"], "NO_FACE");
    assert_eq!(close, (1000, "ENDED".to_owned()));
    let (frames, _) = states.until_close().await;
    assert_eq!(
        *frames.last().unwrap(),
        json!({"id": "a", "status": "failed", "progress": 0.417, "error_message": "no face was found"})
    );
    let mut newest = Value::Null;
    while let Some(block) = stream.block().await {
        newest = block.data.unwrap_or(newest);
    }
    assert_eq!(newest["type"], "stage_update");
    assert_eq!(newest["data"]["message"], "no face was found");
    // Its end has an id, so that it is not told again.
    let last = stream.last_id.clone().unwrap();
    let path = "/sse/progress/a?format=stage_update";
    assert_eq!(server.sse_after(path, &last).await.status, 204);
}

#[tokio::test]
async fn shape_that_nobody_registered_is_refused() {
    let server = Server::start().await;
    let _task = server.tracker.task("a").start().unwrap();
    let answer = server.get("/sse/progress/a?format=flat").await;
    let error = answer.error(400, "INVALID_QUERY");
    assert_eq!(error["details"]["field"], "format");
    let mut ws = server.ws("/ws/progress/a?format=flat").await;
    let (frames, close) = ws.until_close().await;
    assert_eq!(frames[0]["event_type"], "rejected");
    assert_eq!(close, (4400, "INVALID_QUERY".to_owned()));
}

#[tokio::test]
async fn json_ping_of_another_system_can_be_answered() {
    let server = Server::with(|gateway| {
        let often = std::time::Duration::from_millis(20);
        gateway.presets().heartbeat(often)
    })
    .await;
    let _task = server.tracker.task("a").start().unwrap();
    let mut ws = server.ws("/ws/progress/a?format=event_data").await;
    while ws.frame().await["event"] != "ping" {}
    ws.say(r#"{"event":"pong"}"#).await;
    while ws.frame().await["event"] != "ping" {}
}

#[tokio::test]
async fn worker_of_another_system_is_understood_and_its_clients_are_told_in_its_words() {
    let server = Server::with(|gateway| {
        let open = Open::new().named_ids().publishing();
        gateway.presets().create_on_publish(true).authorizer(open)
    })
    .await;
    let post = async |event: Value| {
        let url = format!("http://{}/tasks/video-42/events", server.address);
        let request = reqwest::Client::new().post(url).json(&event);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 202, "{event}");
    };
    post(json!({"event": "stage_change", "data": {"current_stage": "script"}})).await;
    let mut theirs = server.ws("/ws/progress/video-42?format=event_data").await;
    assert_eq!(theirs.frame().await["data"]["current_stage"], "script");
    let update = json!({"status": "PROCESSING", "progress": 41, "current_stage": "render", "estimated_remaining": 5});
    post(json!({"event": "progress_update", "data": update})).await;
    post(json!({"event": "log", "data": {"level": "WARNING", "message": "the lamp is low"}})).await;
    let end =
        json!({"status": "FAILED", "error_code": "GPU_LOST", "error_message": "the GPU is gone"});
    post(json!({"event": "complete", "data": end})).await;

    let mut own = server.ws("/ws/progress/video-42").await;
    let (frames, _) = own.until_close().await;
    let of = |kind: &str| {
        frames
            .iter()
            .rfind(|frame| frame["event_type"] == kind)
            .unwrap()
    };
    assert_eq!(of("progress_update")["data"]["stage"], "render");
    assert_eq!(of("progress_update")["data"]["eta_ms"], 5_000);
    assert_eq!(of("log")["data"]["level"], "WARN");
    assert_eq!(of("complete")["data"]["status"], "failed");
    assert_eq!(of("complete")["data"]["error"]["code"], "GPU_LOST");

    let (frames, _) = theirs.until_close().await;
    let of = |kind: &str| &frames.iter().rfind(|frame| frame["event"] == kind).unwrap()["data"];
    let update = of("progress_update");
    assert_eq!(update["progress"], 41);
    assert_eq!(update["current_stage"], "render");
    assert_eq!(update["estimated_remaining"], 5);
    assert_eq!(of("log")["level"], "WARNING");
    assert_eq!(of("complete")["error_code"], "GPU_LOST");
}

#[tokio::test]
async fn paths_of_other_systems_are_there_only_where_they_are_wanted() {
    let server = Server::start().await;
    let _task = server.tracker.task("a").start().unwrap();
    for path in [
        "/ws/progress/a/latest",
        "/ws/progress/a/history",
        "/ws/active-tasks",
        "/api/v1/projects/a/progress",
    ] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn paths_of_other_systems_answer_as_the_routes_they_stand_for() {
    let server = Server::with(|gateway| gateway.aliases()).await;
    let task = server.tracker.task("a").start().unwrap();
    let other = server.tracker.task("b").start().unwrap();
    other.complete(()).unwrap();
    task.emit(Mark { n: 1 }).unwrap();
    task.emit(Mark { n: 2 }).unwrap();

    for path in ["/ws/progress/a/latest", "/api/v1/projects/a/progress"] {
        let latest = server.get(path).await;
        assert_eq!(
            latest.header("etag"),
            server.get("/tasks/a").await.header("etag")
        );
        assert_eq!(latest.json()["task_id"], "a");
        server
            .get(&path.replace("/a/", "/nobody/"))
            .await
            .error(404, "TASK_NOT_FOUND");
    }
    let history = server.get("/ws/progress/a/history?limit=2").await.json();
    assert_eq!(history["events"].as_array().unwrap().len(), 2);
    let active = server.get("/ws/active-tasks").await.json();
    let active = active["tasks"].as_array().unwrap();
    let active: Vec<&Value> = active.iter().map(|task| &task["task_id"]).collect();
    assert_eq!(active, ["a"]);

    let mut latest = server.ws("/ws/progress/a/latest").await;
    assert_eq!(latest.frame().await["event_type"], "connected");
    assert_eq!(latest.frame().await["data"]["n"], 2);
    let mut all = server.ws("/ws/progress/a/history").await;
    all.frame_of("started").await;
    assert_eq!(all.frame().await["data"]["n"], 1);
    let mut project = server.ws("/api/v1/projects/a/progress").await;
    assert_eq!(project.frame().await["event"], "connected");
    let mut own = server
        .ws("/api/v1/projects/a/progress?format=progress.v1")
        .await;
    assert_eq!(own.frame().await["event_type"], "connected");

    let described = server.get("/openapi.json").await.json();
    let paths: BTreeSet<&String> = described["paths"].as_object().unwrap().keys().collect();
    assert!(paths.contains(&"/ws/active-tasks".to_owned()), "{paths:?}");
    let plain = Server::start().await.get("/openapi.json").await.json();
    assert!(plain["paths"].get("/ws/active-tasks").is_none());
    server
        .request(reqwest::Method::POST, "/ws/active-tasks", &[])
        .await
        .error(405, "METHOD_NOT_ALLOWED");
}
