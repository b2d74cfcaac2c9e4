//! What a client of the system relies on.

mod support;

use std::collections::HashSet;

use serde_json::{Value, json};

use self::support::{
    System,
    client::{Client, of, types},
    is_there, short, signal, until,
};

#[tokio::test]
async fn connect() {
    let system = System::start().await;
    let task = system.project(&system.axum(), &short()).await;
    for node in [system.axum(), system.warp()] {
        let mut client = Client::watch(&node, &task).await;
        let connected = client.next().await.unwrap();
        assert_eq!(connected["event_type"], "connected");
        assert_eq!(connected["data"]["protocol"], "progress.v1");
        assert_eq!(connected["data"]["heartbeat_ms"], 30_000);
        // The shape that clients of such systems have, for them to stay as they are.
        let url = format!("{node}/ws/progress/{task}?format=event_data");
        let connected = Client::connect(&url).await.next().await.unwrap();
        assert_eq!(connected["event"], "connected");
        assert_eq!(connected["data"]["task_id"], *task);
    }
}

#[tokio::test]
async fn progress() {
    let system = System::start().await;
    let task = system.project(&system.axum(), &short()).await;
    let url = format!("{}/ws/progress/{task}?format=event_data", system.axum());
    let mut theirs = Client::connect(&url).await;
    let mut client = Client::watch(&system.warp(), &task).await;
    let frames = client.up_to("complete").await;
    let updates = of(&frames, "progress_update");
    assert!(updates.len() > 3, "{}", updates.len());
    let mut last = 0.0;
    for update in &updates {
        let percent = update["data"]["progress"].as_f64().unwrap();
        assert!(percent >= last && percent < 100.0, "{last}, then {update}");
        last = percent;
    }
    assert!(
        updates
            .iter()
            .any(|update| update["data"]["eta_ms"].is_u64())
    );
    assert_eq!(frames.last().unwrap()["data"]["progress"], 100.0);

    let mut told = Vec::new();
    while let Some(message) = theirs.next().await {
        told.push(message);
    }
    let moving = |message: &&Value| message["data"]["estimated_remaining"].is_u64();
    let update = told.iter().find(moving).expect("an estimate");
    assert_eq!(update["event"], "progress_update");
    assert_eq!(update["data"]["status"], "PROCESSING");
    assert!(update["data"]["progress"].is_u64() && update["data"]["current_stage"].is_string());
    let end = told.last().unwrap();
    assert_eq!(
        (&end["event"], &end["data"]["status"]),
        (&json!("complete"), &json!("COMPLETED"))
    );
}

#[tokio::test]
async fn stage() {
    let system = System::start().await;
    let task = system.project(&system.axum(), &short()).await;
    let frames = Client::watch(&system.warp(), &task)
        .await
        .up_to("complete")
        .await;
    let changes = of(&frames, "stage_change");
    let changes: Vec<_> = changes
        .iter()
        .map(|change| {
            let data = &change["data"];
            (
                data["previous_stage"].as_str(),
                data["current_stage"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        changes,
        [
            (None, "script"),
            (Some("script"), "assets"),
            (Some("assets"), "render"),
            (Some("render"), "thumbnail"),
            (Some("thumbnail"), "upload"),
        ]
    );
}

#[tokio::test]
async fn logs_in_order_and_level() {
    let system = System::start().await;
    let wish = json!({"title": "Rain", "scenes": 2, "failures": 1});
    let task = system.project(&system.axum(), &wish).await;
    let frames = Client::watch(&system.warp(), &task)
        .await
        .up_to("complete")
        .await;
    let lines: Vec<_> = of(&frames, "log")
        .iter()
        .map(|line| {
            let data = &line["data"];
            let text = |name: &str| data[name].as_str().unwrap().to_owned();
            (data["n"].as_u64().unwrap(), text("level"), text("stage"))
        })
        .collect();
    let expected = [
        (1, "INFO", "script"),
        (2, "WARN", "script"),
        (3, "ERROR", "assets"),
        (4, "INFO", "assets"),
        (5, "INFO", "render"),
        (6, "INFO", "upload"),
    ];
    let expected = expected.map(|(n, level, stage)| (n, level.to_owned(), stage.to_owned()));
    assert_eq!(lines, expected);

    let url = format!("{}/ws/progress/{task}?format=event_data", system.axum());
    let mut theirs = Client::connect(&url).await;
    let mut levels = Vec::new();
    while let Some(message) = theirs.next().await {
        levels.extend(message["data"]["level"].as_str().map(str::to_owned));
    }
    assert_eq!(levels, ["INFO", "WARNING", "ERROR", "INFO", "INFO", "INFO"]);
}

#[tokio::test]
async fn error_with_retry() {
    let system = System::start().await;
    let wish = |failures| json!({"title": "Rain", "scenes": 2, "failures": failures});
    let url = format!("{}/api/projects", system.axum());
    let (_, created) = system.post(&url, &wish(2)).await;
    let task = created["task_id"].as_str().unwrap();
    let frames = Client::watch(&system.warp(), task)
        .await
        .up_to("complete")
        .await;
    let errors = of(&frames, "error");
    assert_eq!(errors.len(), 2);
    for (error, retry) in errors.iter().zip(1..) {
        let error = &error["data"];
        assert_eq!(error["code"], "ASSET_SERVICE_BUSY");
        assert_eq!(error["is_retryable"], true);
        assert_eq!(
            (&error["retry_count"], &error["max_retries"]),
            (&json!(retry), &json!(3))
        );
        assert!(error["retry_after_ms"].as_u64().unwrap() >= 300);
        assert_eq!(error["solutions"].as_array().unwrap().len(), 2);
        assert_eq!(error["trace_id"], created["trace_id"]);
    }
    assert_eq!(frames.last().unwrap()["data"]["status"], "completed");

    let task = system.project(&system.warp(), &wish(10)).await;
    let frames = Client::watch(&system.axum(), &task)
        .await
        .up_to("complete")
        .await;
    // Three retries, and the last failure.
    assert_eq!(of(&frames, "error").len(), 4);
    let end = &frames.last().unwrap()["data"];
    assert_eq!(end["status"], "failed");
    assert_eq!(end["error"]["code"], "ASSET_SERVICE_BUSY");
    assert_eq!(end["error"]["retry_count"], 3);
    assert!(end["progress"].as_f64().unwrap() < 100.0);
}

#[tokio::test]
async fn heartbeat() {
    // Nobody works, so that the task is waited for and nothing else is told.
    let system = System::start_with(&["--heartbeat", "1s"]).await;
    tokio::join!(
        hearts_beat(&system, system.axum()),
        hearts_beat(&system, system.warp())
    );
}

async fn hearts_beat(system: &System, node: String) {
    let task = system.project(&node, &short()).await;
    let mut client = Client::watch(&node, &task).await;
    for _ in 0..4 {
        client.next_of("heartbeat").await;
        client.say(&json!({"type": "pong"})).await;
    }
    client.say(&json!({"type": "ping"})).await;
    client.next_of("pong").await;
    // One that is frozen says nothing, not even to the protocol's own pings.
    let frozen = Client::watch(&node, &task).await.freeze().await;
    assert_eq!(
        frozen.closed_by_server().await,
        (4012, "HEARTBEAT_LOST".to_owned())
    );
    let url = format!("{node}/ws/progress/{task}?format=event_data");
    let mut theirs = Client::connect(&url).await;
    while theirs.next().await.unwrap()["event"] != "ping" {}
}

#[tokio::test]
async fn two_clients() {
    let system = System::start().await;
    let task = system.project(&system.axum(), &short()).await;
    let (axum, warp) = (system.axum(), system.warp());
    let (mut one, mut other) =
        tokio::join!(Client::watch(&axum, &task), Client::watch(&warp, &task));
    let (one, other) = tokio::join!(one.up_to("complete"), other.up_to("complete"));
    // What is a value may be conflated; whatever both are told is the same, word for word.
    let told = |frames: &[Value]| -> Vec<Value> {
        let lasting =
            |frame: &&Value| frame["seq"].is_u64() && frame["event_type"] != "progress_update";
        let mut lasting: Vec<_> = frames.iter().filter(lasting).cloned().collect();
        for frame in &mut lasting {
            frame.as_object_mut().unwrap().remove("from");
        }
        lasting
    };
    assert_eq!(told(&one), told(&other));
    let ends: HashSet<_> = [&one, &other]
        .map(|frames| frames.last().unwrap()["seq"].as_u64().unwrap())
        .into();
    assert_eq!(ends.len(), 1);
}

#[tokio::test]
async fn reconnect_with_the_subscription_gone() {
    let system = System::start_with(&["--workers", "1", "--pace", "100ms"]).await;
    let wish = json!({"title": "Rain", "scenes": 12});
    let task = system.project(&system.axum(), &wish).await;
    let mut client = Client::watch(&system.axum(), &task).await;
    client.next_of("log").await;
    let position = client.position(&task);
    assert!(system.subscriptions(&task).await >= 1);
    drop(client);
    // Ten seconds after the last watcher nobody is subscribed.
    until("the subscription is gone", async || {
        system.subscriptions(&task).await == 0
    })
    .await;
    let mut client = Client::resume(&system.axum(), &task, &position).await;
    let frames = client.up_to("complete").await;
    assert_eq!(frames[0]["data"]["resume"], "resumed", "{}", frames[0]);
    assert_eq!(frames.last().unwrap()["data"]["status"], "completed");
    let stages: Vec<_> = of(&frames, "stage_change")
        .iter()
        .map(|change| change["data"]["current_stage"].clone())
        .collect();
    assert!(stages.ends_with(&[json!("render"), json!("thumbnail"), json!("upload")]));
}

#[tokio::test]
async fn full_flow() {
    let system = System::start_with(&["--workers", "1", "--python-workers", "1"]).await;
    for (node, other, worker) in [
        (system.axum(), system.warp(), "rust"),
        (system.warp(), system.axum(), "rust"),
        (system.axum(), system.warp(), "python"),
        (system.warp(), system.axum(), "python"),
    ] {
        let wish = json!({"title": "Rain", "scenes": 2, "failures": 1, "worker": worker});
        let task = system.project(&node, &wish).await;
        let mut client = Client::watch(&other, &task).await;
        let frames = client.up_to("complete").await;
        let told = types(&frames);
        for event_type in ["connected", "started", "stage_change", "log", "error"] {
            assert!(told.contains(&event_type), "{event_type}: {told:?}");
        }
        assert!(client.next().await.is_none());
        assert_eq!(client.closed, Some((1000, "ENDED".to_owned())));
        let result = &frames.last().unwrap()["data"]["result"];
        assert!(
            result["worker"].as_str().unwrap().starts_with(worker),
            "{result}"
        );
        assert_eq!(result["frames"], 24);
        for node in [&node, &other] {
            let url = format!("{node}{}", result["video_url"].as_str().unwrap());
            let film = reqwest::get(url).await.unwrap();
            let media = film.headers()["content-type"].clone();
            assert_eq!(film.bytes().await.unwrap().len() as u64, result["bytes"]);
            assert!(media.to_str().unwrap().starts_with("image/"), "{media:?}");
            let (_, snapshot) = system.get(&format!("{node}/tasks/{task}")).await;
            assert_eq!(snapshot["state"], "completed");
            assert_eq!(snapshot["progress"], 100.0);
        }
    }
}

#[tokio::test]
async fn at_ctrl_c_all_processes_end() {
    let mut system = System::start().await;
    let pids: Vec<_> = ["redis", "web", "worker"]
        .iter()
        .flat_map(|role| system.all(role))
        .map(|process| process.pid)
        .collect();
    assert_eq!(pids.len(), 5);
    let launcher = system.launcher.id().unwrap().to_string();
    signal("-INT", &launcher).await;
    assert!(system.launcher.wait().await.unwrap().success());
    for pid in pids {
        assert!(!is_there(&pid), "{pid}");
    }
}

#[tokio::test]
async fn a_second_launcher_on_the_same_redis_adds_to_the_system() {
    let first = System::start_with(&[]).await;
    let task = first.project(&first.axum(), &short()).await;
    let mut client = Client::watch(&first.warp(), &task).await;
    let redis = first.redis();
    let second = System::start_with(&["--redis", &redis, "--workers", "1"]).await;
    assert!(second.all("redis").is_empty());
    client.next_of("complete").await;
    let (_, snapshot) = second.get(&format!("{}/tasks/{task}", second.warp())).await;
    assert_eq!(snapshot["state"], "completed");
    drop(second);
    // What it has left stays.
    let (_, snapshot) = first.get(&format!("{}/tasks/{task}", first.axum())).await;
    assert_eq!(snapshot["state"], "completed");
}
