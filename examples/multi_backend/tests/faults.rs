//! Processes that die, and a Redis that is away.

mod support;

use std::{collections::HashSet, process::Stdio};

use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};

use self::support::{
    PATIENCE, System,
    client::{Client, of},
    is_there, signal, until,
};

/// A film that takes some seconds at the pace of these tests.
fn long() -> Value {
    json!({"title": "Snow", "scenes": 6, "worker": "rust"})
}

const SLOWLY: [&str; 2] = ["--pace", "40ms"];

#[tokio::test]
async fn redis_is_killed_and_comes_back_during_a_job() {
    let system = System::start_with(&[&["--workers", "1"], &SLOWLY[..]].concat()).await;
    let task = system.project(&system.axum(), &long()).await;
    let mut client = Client::watch(&system.warp(), &task).await;
    let mut frames = Vec::new();
    while of(&frames, "stage_change").len() < 3 {
        frames.push(client.next().await.unwrap());
    }
    let redis = system.all("redis").pop().unwrap();
    signal("-KILL", &redis.pid).await;
    let again = system.came_up("redis", 2).await;
    assert_ne!(again.pid, redis.pid);
    // The worker has gone on meanwhile, and tells all of it: the client sees no hole, and no reset.
    let rest = client.up_to("complete").await;
    assert_eq!(rest.last().unwrap()["data"]["status"], "completed");
    assert!(of(&rest, "reset").is_empty() && of(&rest, "gap").is_empty());
    frames.extend(rest);
    let stages: Vec<_> = of(&frames, "stage_change")
        .iter()
        .map(|change| change["data"]["current_stage"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        stages,
        ["script", "assets", "render", "thumbnail", "upload"]
    );
    // And the next job is done.
    let task = system.project(&system.warp(), &support::short()).await;
    let frames = Client::watch(&system.axum(), &task)
        .await
        .up_to("complete")
        .await;
    assert_eq!(frames.last().unwrap()["data"]["status"], "completed");
}

#[tokio::test]
async fn the_job_of_a_killed_worker_is_done_by_another() {
    let flags = [&["--workers", "2", "--lease", "2s"], &SLOWLY[..]].concat();
    let system = System::start_with(&flags).await;
    let task = system.project(&system.axum(), &long()).await;
    let mut client = Client::watch(&system.warp(), &task).await;
    let started = client.next_of("started").await;
    let worker = started["data"]["labels"]["worker"].as_str().unwrap();
    assert_eq!(started["data"]["attempt"], 1);
    client.next_of("progress_update").await;
    let (_, pid) = worker.rsplit_once('-').unwrap();
    signal("-KILL", pid).await;
    // Another node tells the end of a worker that cannot.
    let end = client.next_of("complete").await;
    assert_eq!(end["data"]["status"], "abandoned");
    assert_eq!(end["data"]["cause"], "lease_expired");
    let position = client.position(&task);
    until("another run", async || {
        let (_, snapshot) = system.get(&format!("{}/tasks/{task}", system.axum())).await;
        snapshot["attempt"] == 2
    })
    .await;
    // Who comes back with a place in the first run is told that it is another one now.
    let mut client = Client::resume(&system.axum(), &task, &position).await;
    let connected = client.next().await.unwrap();
    assert_eq!(connected["data"]["resume"], "reset", "{connected}");
    let mut client = Client::watch(&system.axum(), &task).await;
    let frames = client.up_to("complete").await;
    let end = &frames.last().unwrap()["data"];
    assert_eq!(end["status"], "completed");
    assert_ne!(
        end["result"]["worker"], worker,
        "a process of another name did it"
    );
    assert_eq!(of(&frames, "started")[0]["data"]["attempt"], 2);
    // A new one is there in its place, and nothing is left in any list.
    system.came_up("worker", 3).await;
    until("the lists are empty", async || {
        let lists: Vec<String> = system.ask(&["KEYS", "mb:doing:*"]).await.unwrap();
        let waiting: Vec<String> = system.ask(&["KEYS", "mb:jobs:*"]).await.unwrap();
        lists.is_empty() && waiting.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_job_is_cancelled_from_any_node() {
    let system = System::start_with(&[&["--workers", "1"], &SLOWLY[..]].concat()).await;
    let task = system.project(&system.axum(), &long()).await;
    let mut client = Client::watch(&system.axum(), &task).await;
    client.next_of("progress_update").await;
    let url = format!("{}/tasks/{task}/cancel", system.warp());
    let (status, _) = system.post(&url, &json!({"reason": "not wanted"})).await;
    assert_eq!(status, 202);
    let frames = client.up_to("complete").await;
    let end = &frames.last().unwrap()["data"];
    assert_eq!(
        (&end["status"], &end["cause"]),
        (&json!("cancelled"), &json!("not wanted"))
    );
}

#[tokio::test]
async fn a_worker_that_is_told_to_end_puts_its_job_back() {
    let system = System::start_with(&[&["--workers", "1"], &SLOWLY[..]].concat()).await;
    let task = system.project(&system.axum(), &long()).await;
    let mut client = Client::watch(&system.axum(), &task).await;
    client.next_of("progress_update").await;
    signal("-TERM", &system.all("worker")[0].pid).await;
    let end = client.next_of("complete").await;
    assert_eq!(
        (&end["data"]["status"], &end["data"]["cause"]),
        (&json!("abandoned"), &json!("dropped"))
    );
    // It is started again, and takes the job that it has put back.
    system.came_up("worker", 2).await;
    until("the second run is done", async || {
        let (_, snapshot) = system.get(&format!("{}/tasks/{task}", system.warp())).await;
        snapshot["attempt"] == 2 && snapshot["state"] == "completed"
    })
    .await;
}

#[tokio::test]
async fn a_node_that_is_killed_comes_back_on_its_port_and_its_client_goes_elsewhere() {
    let system = System::start_with(&[&["--workers", "1"], &SLOWLY[..]].concat()).await;
    let task = system.project(&system.axum(), &long()).await;
    let mut client = Client::watch(&system.axum(), &task).await;
    client.next_of("progress_update").await;
    signal("-KILL", &system.all("web")[0].pid).await;
    while client.next().await.is_some() {}
    let position = client.position(&task);
    let mut client = Client::resume(&system.warp(), &task, &position).await;
    let frames = client.up_to("complete").await;
    assert_eq!(frames[0]["data"]["resume"], "resumed");
    let again = system.came_up("web", 3).await;
    assert_eq!(again.name, system.axum());
    let (_, snapshot) = system.get(&format!("{}/tasks/{task}", again.name)).await;
    assert_eq!(snapshot["state"], "completed");
}

#[tokio::test]
async fn no_process_outlives_a_launcher_that_is_killed() {
    let mut system = System::start_with(&["--workers", "2"]).await;
    let pids: HashSet<_> = ["redis", "web", "worker"]
        .iter()
        .flat_map(|role| system.all(role))
        .map(|process| process.pid)
        .collect();
    assert_eq!(pids.len(), 5);
    let launcher = system.launcher.id().unwrap().to_string();
    signal("-KILL", &launcher).await;
    system.launcher.wait().await.unwrap();
    until("all have ended", async || {
        pids.iter().all(|pid| !is_there(pid))
    })
    .await;
}

#[tokio::test]
async fn a_launcher_that_cannot_start_a_part_says_why_and_leaves_nothing() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let launcher = Command::new(env!("CARGO_BIN_EXE_multi-backend"))
        .args(["--axum", &address, "--python-workers", "0"])
        .stdin(Stdio::null())
        .output();
    let ended = timeout(PATIENCE, launcher).await.unwrap().unwrap();
    assert!(!ended.status.success());
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        said.contains(&format!("cannot listen on {address}")),
        "{said}"
    );
    let ready = String::from_utf8_lossy(&ended.stdout);
    let (_, redis) = ready.trim().rsplit_once(' ').unwrap();
    assert!(!is_there(redis), "{ready}");
}

#[tokio::test]
async fn what_is_no_job_stops_no_worker() {
    let system = System::start_with(&["--workers", "1", "--python-workers", "1"]).await;
    for list in ["mb:jobs:rust", "mb:jobs:python"] {
        for bad in ["no JSON", "[]", "{\"id\": \"no id\"}"] {
            let _: u64 = system.ask(&["RPUSH", list, bad]).await.unwrap();
        }
    }
    for worker in ["rust", "python"] {
        let wish = json!({"title": "Rain", "scenes": 1, "worker": worker});
        let task = system.project(&system.axum(), &wish).await;
        let mut client = Client::watch(&system.warp(), &task).await;
        let end = client.next_of("complete").await;
        assert_eq!(end["data"]["status"], "completed");
    }
    assert_eq!(system.all("worker").len(), 2, "the ones of the beginning");
}
