//! A worker in Python: `worker.py`, which may do no more than the README says that it needs.

use std::{env, path::Path, process::Stdio, time::Duration};

use progress_core::{Data, Event, Frame, ProgressTracker, Status, TaskState};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{Client, next, node, rule, server::RedisServer, tracker, transport, until, within};

/// The program, with what `cargo xtask test` has installed for it.
fn worker(server: &RedisServer, task: &str, job: &str) -> Child {
    let installed = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("interop");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/worker.py");
    let url = server.url().replace("//", "//worker:secret@");
    Command::new(installed.join("venv/bin/python"))
        .arg(program)
        .args([&url, task, job])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("`cargo xtask test` has installed what it needs")
}

/// A server with a node, on which a worker may do what it has to, and no more.
async fn served() -> (RedisServer, Client, ProgressTracker) {
    let server = RedisServer::start();
    let (client, node) = Client::served(&server).await;
    rule(&server, "worker");
    (server, client, node)
}

async fn success(mut worker: Child) {
    let status = within("the worker ends", worker.wait()).await;
    assert!(status.expect("it was started").success());
}

/// What is not superseded by what comes later.
fn told(event: &Event) -> Option<String> {
    Some(match event.data() {
        Data::StageChange(change) => format!("> {}", change.current_stage),
        Data::Log(line) => format!("{} {:?} {}", line.n, line.level, line.message),
        Data::Error(error) => error.to_string(),
        Data::Complete(end) => format!("{:?}", end.status),
        Data::Started(_) => "started".to_owned(),
        _ => return None,
    })
}

#[tokio::test]
async fn what_it_tells_is_seen_live_and_whole_on_two_nodes() {
    let (server, mut client, one) = served().await;
    let other = node(&server);
    let mut watched = [one.subscribe("t"), other.subscribe("t")];
    until("both watch it", async || {
        let subscribed = client.ask(&["PUBSUB", "NUMSUB", "pgs:t:{t}"]).await;
        format!("{subscribed:?}").contains("int(2)")
    })
    .await;
    let worker = worker(&server, "t", "whole");
    let mut expected = vec!["started".to_owned()];
    let mut line = 0;
    for stage in ["load", "render"] {
        expected.push(format!("> {stage}"));
        for current in 1..=5 {
            line += 1;
            let level = if current == 5 { "Warn" } else { "Info" };
            expected.push(format!("{line} {level} {stage} {current} é"));
        }
    }
    expected.extend(["BUSY: again", "Completed"].map(str::to_owned));
    for frames in &mut watched {
        let (mut seen, mut last) = (Vec::new(), 0);
        while seen.last().is_none_or(|told| told != "Completed") {
            let frame = within("it goes on", frames.next()).await;
            let Some(Frame::Event(delivered)) = frame else {
                continue;
            };
            // What it stands for follows on what was before: nothing is missing.
            assert_eq!(delivered.from.get(), last + 1);
            last = delivered.event.seq().get();
            seen.extend(told(&delivered.event));
        }
        assert_eq!(seen, expected);
    }
    success(worker).await;
    for node in [one, other] {
        let now = node.snapshot("t").await.expect("it is known");
        assert_eq!((now.state, now.progress), (TaskState::Completed, 100.0));
        assert_eq!(now.stages.len(), 2);
        assert_eq!(now.custom["first"].json(), r#"{"url": "a"}"#);
    }
    let denied = client.ask(&["ACL", "LOG"]).await;
    let denied = format!("{denied:?}");
    // That one redis-py asks for itself, and goes on without.
    assert!(
        !denied.contains("fcall") && !denied.contains("lua"),
        "{denied}"
    );
}

#[tokio::test]
async fn what_was_under_way_when_its_connection_broke_is_there_once() {
    let (server, mut client, node) = served().await;
    let mut worker = worker(&server, "t", "many");
    let mut killed = 0;
    loop {
        let over = tokio::time::timeout(Duration::from_millis(10), worker.wait()).await;
        if let Ok(status) = over {
            assert!(status.expect("it was started").success());
            break;
        }
        if let redis::Value::Int(connections) =
            client.ask(&["CLIENT", "KILL", "USER", "worker"]).await
        {
            killed += connections;
        }
    }
    assert!(killed > 3, "{killed}");
    let snapshot = node.snapshot("t").await.expect("it is known");
    assert_eq!(snapshot.state, TaskState::Completed);
    // One for each line, and the two ends.
    assert_eq!(snapshot.seq.get(), 402);
    let history = node.history("t", None, 1_000).await.expect("it is known");
    let lines: Vec<_> = history
        .events
        .iter()
        .filter_map(|delivered| match delivered.event.data() {
            Data::Log(line) => Some((line.n, line.message.to_string())),
            _ => None,
        })
        .collect();
    let newest: Vec<_> = (200..400).map(|n: u64| (n + 1, n.to_string())).collect();
    assert!(lines.ends_with(&newest), "{lines:?}");
}

#[tokio::test]
async fn it_stops_when_somebody_asks_it_to_on_another_node() {
    let (server, _client, node) = served().await;
    let mut frames = node.subscribe("t");
    let worker = worker(&server, "t", "until_cancelled");
    while next(&mut frames).await.event_type() != "progress_update" {}
    node.cancel("t", "not needed").await.expect("it runs");
    let mut asked = false;
    loop {
        let event = next(&mut frames).await;
        match event.data() {
            Data::CancelRequested(note) => {
                asked = true;
                assert_eq!(note.reason.as_deref(), Some("not needed"));
            }
            Data::Complete(end) => {
                assert_eq!((asked, end.status), (true, Status::Cancelled));
                break;
            }
            _ => {}
        }
    }
    success(worker).await;
}

#[tokio::test]
async fn one_that_is_dead_is_stalled_then_abandoned() {
    let server = RedisServer::start();
    let node = tracker(transport(&server).silence(Duration::from_secs(2), Duration::from_secs(6)));
    let mut frames = node.subscribe("t");
    let mut client = Client::of(&server).await;
    until("it is loaded", async || client.is_served().await).await;
    rule(&server, "worker");
    let mut worker = worker(&server, "t", "silent");
    let said = worker.stdout.take().expect("it is piped");
    let line = within("it has told", BufReader::new(said).lines().next_line()).await;
    assert_eq!(line.expect("it is text").as_deref(), Some("told"));
    worker.kill().await.expect("it hangs");
    let mut types = Vec::new();
    loop {
        let event = next(&mut frames).await;
        types.push(event.event_type().to_owned());
        if let Data::Complete(end) = event.data() {
            assert_eq!(
                (end.status, end.cause.as_deref()),
                (Status::Abandoned, Some("silent"))
            );
            break;
        }
    }
    assert_eq!(types, ["started", "progress_update", "stalled", "complete"]);
}
