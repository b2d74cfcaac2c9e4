//! What such systems get wrong, one by one.

mod support;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::future::join_all;
use progress_core::{EventPayload, ProgressTracker, TaskId};
use progress_redis::RedisTransport;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use self::support::{
    System,
    client::{Client, of, types},
    short, until,
};

/// A node of the test's own, which nobody told the launcher of.
fn node(system: &System) -> ProgressTracker {
    let transport = RedisTransport::builder(system.redis()).build().unwrap();
    ProgressTracker::builder().transport(transport).build()
}

#[tokio::test]
async fn twenty_sockets_are_one_subscription() {
    let system = System::start_with(&[]).await;
    let tracker = node(&system);
    let task = tracker
        .task(TaskId::random())
        .start_confirmed()
        .await
        .unwrap();
    let id = task.id().to_string();
    assert_eq!(system.subscriptions(&id).await, 0, "its owner needs none");
    let (axum, warp) = (system.axum(), system.warp());
    let mut clients = join_all((0..20).map(|_| Client::watch(&axum, &id))).await;
    for client in &mut clients {
        client.next_of("started").await;
    }
    assert_eq!(system.subscriptions(&id).await, 1);
    let mut other = Client::watch(&warp, &id).await;
    other.next_of("started").await;
    assert_eq!(system.subscriptions(&id).await, 2, "one for each node");
    task.complete(()).unwrap();
    for client in clients.iter_mut().chain([&mut other]) {
        client.next_of("complete").await;
    }
    drop((clients, other));
    until("nobody is subscribed", async || {
        system.subscriptions(&id).await == 0
    })
    .await;
}

#[tokio::test]
async fn who_comes_late_is_told_all() {
    let system = System::start().await;
    let wish = json!({"title": "Rain", "scenes": 2, "failures": 1});
    let task = system.project(&system.axum(), &wish).await;
    // Nobody has watched it, on any node.
    until("it is done", async || {
        let (_, snapshot) = system.get(&format!("{}/tasks/{task}", system.warp())).await;
        snapshot["state"] == "completed"
    })
    .await;
    for node in [system.axum(), system.warp()] {
        let frames = Client::watch(&node, &task).await.up_to("complete").await;
        assert_eq!(frames[0]["data"]["snapshot"]["state"], "completed");
        assert_eq!(of(&frames, "started").len(), 1);
        assert_eq!(of(&frames, "stage_change").len(), 5);
        assert_eq!(of(&frames, "log").len(), 6);
        assert_eq!(of(&frames, "error").len(), 1);
        assert!(of(&frames, "gap").is_empty());
    }
}

#[tokio::test]
async fn nothing_is_lost_by_who_reconnects_again_and_again() {
    let system = System::start_with(&["--workers", "1", "--pace", "20ms"]).await;
    let wish = json!({"title": "Rain", "scenes": 5, "failures": 2});
    let task = system.project(&system.axum(), &wish).await;
    let mut steady = Client::watch(&system.axum(), &task).await;
    let steady = tokio::spawn(async move { steady.up_to("complete").await });

    let nodes = [system.axum(), system.warp()];
    let mut client = Client::watch(&nodes[0], &task).await;
    client.next_of("started").await;
    let mut seen = BTreeMap::new();
    let mut reconnects = 0;
    'told: loop {
        // Each connection lives for three messages.
        for _ in 0..3 {
            let frame = client.next().await.unwrap();
            let is_end = frame["event_type"] == "complete";
            note(&mut seen, frame);
            if is_end {
                break 'told;
            }
        }
        reconnects += 1;
        let position = client.position(&task);
        client = Client::resume(&nodes[reconnects % 2], &task, &position).await;
    }
    assert!(reconnects > 5, "{reconnects}");
    let mut expected = BTreeMap::new();
    for frame in steady.await.unwrap() {
        note(&mut expected, frame);
    }
    // It came after this one's first.
    expected.retain(|_, frame| frame["event_type"] != "started");
    assert_eq!(seen, expected);
}

/// Keeps what is never superseded, by its number.
fn note(seen: &mut BTreeMap<u64, Value>, mut frame: Value) {
    if let Some(seq) = frame["seq"].as_u64()
        && frame["event_type"] != "progress_update"
    {
        frame.as_object_mut().unwrap().remove("from");
        assert_eq!(seen.insert(seq, frame), None, "{seq} came twice");
    }
}

#[tokio::test]
async fn errors_have_one_shape() {
    let system = System::start_with(&["--workers", "1", "--python-workers", "1"]).await;
    let mut errors = Vec::new();
    for node in [system.axum(), system.warp()] {
        let projects = format!("{node}/api/projects");
        for (path, body, status) in [
            (&projects, json!({"title": ""}), 400),
            (&projects, json!({"title": "a", "scenes": "many"}), 400),
            (&projects, json!({"title": "a".repeat(20_000)}), 413),
            (
                &format!("{node}/tasks/{}/cancel", TaskId::random()),
                json!({}),
                404,
            ),
            (&format!("{node}/nothing"), json!({}), 404),
        ] {
            let (answered, answer) = system.post(path, &body).await;
            assert_eq!(answered, status, "{path}: {answer}");
            errors.push(answer["error"].clone());
        }
        let (status, answer) = system.get(&projects).await;
        assert_eq!(status, 405);
        errors.push(answer["error"].clone());
        let mut client = Client::connect(&format!("{node}/ws/progress/no%20id")).await;
        errors.push(client.next_of("rejected").await["data"].clone());
        let mut client = Client::connect(&format!("{node}/ws")).await;
        client.say(&json!({"type": "dance"})).await;
        errors.push(client.next_of("rejected").await["data"].clone());
    }
    for worker in ["rust", "python"] {
        let wish = json!({"title": "Rain", "scenes": 1, "failures": 10, "worker": worker});
        let task = system.project(&system.axum(), &wish).await;
        let mut client = Client::watch(&system.warp(), &task).await;
        let frames = client.up_to("complete").await;
        let told = of(&frames, "error").into_iter();
        errors.extend(told.map(|frame| frame["data"].clone()));
        errors.push(frames.last().unwrap()["data"]["error"].clone());
        let (_, snapshot) = system.get(&format!("{}/tasks/{task}", system.axum())).await;
        errors.push(snapshot["error"].clone());
        errors.push(snapshot["last_error"].clone());
    }
    assert_eq!(errors.len(), 2 * 8 + 2 * (4 + 3));
    for error in errors {
        let code = error["code"].as_str().unwrap_or_default();
        let is_upper = |c: char| c.is_ascii_uppercase() || c == '_';
        assert!(!code.is_empty() && code.chars().all(is_upper), "{error}");
        assert!(error["message"].is_string(), "{error}");
        assert!(error["is_retryable"].is_boolean(), "{error}");
    }
}

#[tokio::test]
async fn so_many_projects_wait_and_no_more() {
    let system = System::start_with(&[]).await;
    let many = ["RPUSH", "mb:jobs:any"].into_iter().chain(["job"; 999]);
    let _: u64 = system.ask(&many.collect::<Vec<_>>()).await.unwrap();
    system.project(&system.axum(), &short()).await;
    for node in [system.axum(), system.warp()] {
        let (status, answer) = system.post(&format!("{node}/api/projects"), &short()).await;
        assert_eq!(status, 503);
        assert_eq!(answer["error"]["code"], "TOO_MANY_TASKS");
        assert_eq!(answer["error"]["is_retryable"], true);
    }
    let waiting: u64 = system.ask(&["LLEN", "mb:jobs:any"]).await.unwrap();
    assert_eq!(waiting, 1_000);
}

#[tokio::test]
async fn updates_come_within_200_ms() {
    #[derive(Serialize)]
    struct Sent {
        at_ns: u64,
    }

    impl EventPayload for Sent {
        const EVENT_TYPE: &'static str = "sent";
    }

    const EVENTS: u32 = 1_000;
    let system = System::start_with(&[]).await;
    let tracker = node(&system);
    let task = tracker
        .task(TaskId::random())
        .start_confirmed()
        .await
        .unwrap();
    let mut client = Client::watch(&system.warp(), task.id().as_str()).await;
    client.next_of("started").await;
    let sender = tokio::spawn(async move {
        let begun = Instant::now();
        for n in 0..EVENTS {
            sleep_until(begun + Duration::from_millis(5) * n).await;
            task.emit(Sent { at_ns: now_ns() }).unwrap();
        }
        task.complete(()).unwrap();
    });
    let mut took = Vec::new();
    loop {
        let frame = client.next().await.unwrap();
        match frame["event_type"].as_str().unwrap() {
            "sent" => {
                let sent = frame["data"]["at_ns"].as_u64().unwrap();
                took.push(Duration::from_nanos(now_ns().saturating_sub(sent)));
            }
            "complete" => break,
            _ => {}
        }
    }
    sender.await.unwrap();
    assert_eq!(took.len(), EVENTS as usize);
    took.sort_unstable();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!("worker -> Redis -> node -> WebSocket: p50 {p50:?}, p99 {p99:?}");
    assert!(p50 < Duration::from_millis(200), "{p50:?}");
}

fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_nanos()).unwrap()
}

#[tokio::test]
async fn two_tabs_see_the_same_projects() {
    let system = System::start().await;
    let mut tabs = Vec::new();
    for node in [system.axum(), system.warp()] {
        let mut tab = Client::connect(&format!("{node}/ws")).await;
        tab.say(&json!({"type": "subscribe", "topics": [{"channel": "projects"}]}))
            .await;
        tab.next_of("subscribed").await;
        tabs.push(tab);
    }
    let mut asked = Vec::new();
    for node in [system.warp(), system.axum()] {
        asked.push(system.project(&node, &short()).await);
    }
    for tab in &mut tabs {
        let mut told = Vec::new();
        while told.len() < asked.len() {
            let frame = tab.next().await.unwrap();
            if frame["event"]["event_type"] == "project_created" {
                told.push(
                    frame["event"]["data"]["project"]
                        .as_str()
                        .unwrap()
                        .to_owned(),
                );
            }
        }
        assert_eq!(told, asked);
    }
}

#[tokio::test]
async fn what_is_only_published_is_told_once_on_every_node() {
    let system = System::start_with(&[]).await;
    let task = TaskId::random().to_string();
    // One of the nodes listens, as soon as it has joined the others.
    until("a node listens", async || {
        system.ask::<u64>(&["PUBSUB", "NUMPAT"]).await.unwrap() == 1
    })
    .await;
    let channel = format!("progress:{task}");
    for message in [
        r#"{"event":"progress_update","data":{"current_stage":"render","progress":41}}"#,
        "no JSON",
        r#"{"event_type":"log","data":{"level":"WARNING","message":"late"}}"#,
        r#"{"status":"COMPLETED"}"#,
    ] {
        let heard: u64 = system.ask(&["PUBLISH", &channel, message]).await.unwrap();
        assert_eq!(heard, 1, "by one node");
    }
    let mut told = Vec::new();
    for node in [system.axum(), system.warp()] {
        let mut frames = Client::watch(&node, &task).await.up_to("complete").await;
        frames.retain(|frame| frame["seq"].is_u64());
        told.push(frames);
    }
    assert_eq!(told[0], told[1]);
    let types = types(&told[0]);
    let expected = [
        "started",
        "stage_change",
        "progress_update",
        "log",
        "complete",
    ];
    assert_eq!(types, expected);
    assert_eq!(told[0][3]["data"]["level"], "WARN");
}
