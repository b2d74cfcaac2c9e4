//! Messages that workers publish without a function.

use std::{path::Path, time::Duration};

use progress_core::{Data, Level, ProgressTracker, Status, TaskState, transport::ForeignRefusal};
use tokio::process::Command;

use crate::{Client, RedisServer, next, node, rule, tracker, transport, until, within};

fn taker(server: &RedisServer) -> ProgressTracker {
    tracker(transport(server).ingest("progress:"))
}

/// Two nodes that take messages, one of which does.
async fn served(server: &RedisServer) -> (Client, [ProgressTracker; 2]) {
    let nodes = [taker(server), taker(server)];
    for node in &nodes {
        // It connects with its first question.
        let _none = node.snapshot("nobody").await;
    }
    let mut client = Client::of(server).await;
    somebody_listens(&mut client).await;
    (client, nodes)
}

async fn somebody_listens(client: &mut Client) {
    until("one node listens", async || {
        client.ask(&["PUBSUB", "NUMPAT"]).await == redis::Value::Int(1)
    })
    .await;
}

fn accepted(nodes: &[ProgressTracker]) -> u64 {
    let all = nodes.iter().map(|node| node.stats().foreign.accepted());
    all.sum()
}

fn refused(nodes: &[ProgressTracker], why: ForeignRefusal) -> u64 {
    let all = nodes.iter().map(|node| node.stats().foreign.refused(why));
    all.sum()
}

#[tokio::test]
async fn what_redis_py_publishes_is_told_once_on_every_node_whatever_comes_between() {
    let server = RedisServer::start();
    let (_client, nodes) = served(&server).await;
    let watcher = node(&server);
    rule(&server, "publisher");
    let installed = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("interop");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/publisher.py");
    let url = server.url().replace("//", "//publisher:secret@");
    let mut publisher = Command::new(installed.join("venv/bin/python"));
    let status = publisher.arg(program).args([&url, "t"]).status();
    let status = within("it publishes", status).await;
    assert!(
        status
            .expect("`cargo xtask test` has installed what it needs")
            .success()
    );

    let mut frames = watcher.subscribe("t");
    let mut told = Vec::new();
    loop {
        let event = next(&mut frames).await;
        told.push((event.seq().get(), event.event_type().to_owned()));
        match event.data() {
            Data::ProgressUpdate(update) if told.len() == 3 => {
                assert_eq!((update.progress, update.eta_ms), (40.0, Some(5_000)));
            }
            Data::StageChange(change) => assert_eq!(&*change.current_stage, "render"),
            Data::Log(line) => assert_eq!((&*line.message, line.level), ("hi", Level::Warn)),
            Data::Complete(end) => {
                assert_eq!(end.status, Status::Failed);
                assert_eq!(
                    end.error.as_ref().map(|error| error.code()),
                    Some("GPU_LOST")
                );
                break;
            }
            _ => {}
        }
    }
    let types: Vec<_> = told.iter().map(|(_, word)| &**word).collect();
    assert_eq!(
        types,
        [
            "started",
            "stage_change",
            "progress_update",
            "progress_update",
            "log",
            "complete"
        ]
    );
    // Each number once: nobody else has told of it as well.
    assert_eq!(told.last().map(|(seq, _)| *seq), Some(6));
    until("all is counted", async || accepted(&nodes) == 4).await;
    assert_eq!(refused(&nodes, ForeignRefusal::NotJson), 1);
    assert_eq!(refused(&nodes, ForeignRefusal::TooLarge), 1);
    for node in nodes.iter().chain([&watcher]) {
        let now = node.snapshot("t").await.expect("it is known");
        assert_eq!(
            (now.state, now.progress, now.seq.get()),
            (TaskState::Failed, 40.0, 6)
        );
    }
}

#[tokio::test]
async fn each_refusal_is_counted_under_its_reason_and_nothing_else_is_lost() {
    let server = RedisServer::start();
    let (mut client, nodes) = served(&server).await;
    let owner = node(&server);
    let owned = owner
        .task("owned")
        .start_confirmed()
        .await
        .expect("the id is free");
    let ended = owner.task("ended").share().await.expect("the id is free");
    let end = serde_json::from_str(r#"{"event_type":"complete","data":{"status":"completed"}}"#);
    ended
        .publish(vec![end.expect("an input")])
        .await
        .expect("it runs");
    for (channel, message) in [
        ("progress:t", "no JSON"),
        ("progress:t", "7"),
        ("progress:t", r#"{"task_id":"u","progress":1}"#),
        ("progress:no id", r#"{"progress":1}"#),
        ("progress:", r#"{"progress":1}"#),
        ("progress:t", r#"{"event":"started","data":{}}"#),
        ("progress:u", r#"{"event":"log","data":{}}"#),
        ("progress:owned", r#"{"progress":1}"#),
        ("progress:ended", r#"{"progress":1}"#),
        ("progress:t", &" ".repeat(70_000)),
        ("progress:t", r#"{"task_id":"t","progress":12}"#),
    ] {
        let heard = client.ask(&["PUBLISH", channel, message]).await;
        assert_eq!(heard, redis::Value::Int(1), "{channel} {message}");
    }
    let expected = [
        (ForeignRefusal::NotJson, 2),
        (ForeignRefusal::OtherTask, 1),
        (ForeignRefusal::InvalidTask, 2),
        (ForeignRefusal::InvalidEvent, 2),
        (ForeignRefusal::Owned, 1),
        (ForeignRefusal::Ended, 1),
        (ForeignRefusal::TooLarge, 1),
        (ForeignRefusal::Overflow, 0),
        (ForeignRefusal::Unavailable, 0),
    ];
    let all = |why| refused(&nodes, why);
    until("all is counted", async || {
        accepted(&nodes) + ForeignRefusal::ALL.map(all).iter().sum::<u64>() == 11
    })
    .await;
    for (why, count) in expected {
        assert_eq!(all(why), count, "{why}");
    }
    let now = owner.snapshot("t").await.expect("it is known");
    assert_eq!((now.progress, now.seq.get()), (12.0, 2));
    assert!(
        owner.snapshot("u").await.is_err(),
        "nothing was said of it that could start it"
    );
    owned.complete(()).expect("it runs");
}

#[tokio::test]
async fn another_node_goes_on_when_the_one_that_listens_dies() {
    let server = RedisServer::start();
    let (mut client, nodes) = served(&server).await;
    let line = |n: u64| format!(r#"{{"event":"log","data":{{"message":"{n}"}}}}"#);
    for n in 1..=50 {
        client.ask(&["PUBLISH", "progress:t", &line(n)]).await;
    }
    until("all of it is told", async || accepted(&nodes) == 50).await;
    let [one, other] = nodes;
    let (dead, heir) = match one.stats().foreign.accepted() {
        0 => (other, one),
        _ => (one, other),
    };
    assert_eq!(heir.stats().foreign.accepted(), 0);
    drop(dead);
    until("nobody listens", async || {
        client.ask(&["PUBSUB", "NUMPAT"]).await == redis::Value::Int(0)
    })
    .await;
    let died = tokio::time::Instant::now();
    somebody_listens(&mut client).await;
    assert!(
        died.elapsed() < Duration::from_secs(10),
        "{:?}",
        died.elapsed()
    );
    for n in 51..=100 {
        client.ask(&["PUBLISH", "progress:t", &line(n)]).await;
    }
    until("all of it is told", async || {
        heir.stats().foreign.accepted() == 50
    })
    .await;
    let history = heir.history("t", None, 1_000).await.expect("it is known");
    let lines: Vec<u64> = history
        .events
        .iter()
        .filter_map(|delivered| match delivered.event.data() {
            Data::Log(line) => line.message.parse().ok(),
            _ => None,
        })
        .collect();
    assert_eq!(lines, (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn nobody_listens_whose_lease_another_has() {
    let server = RedisServer::start();
    let (mut client, nodes) = served(&server).await;
    let message = ["PUBLISH", "progress:t", r#"{"progress":1}"#];
    client.ask(&message).await;
    until("it is told", async || accepted(&nodes) == 1).await;
    let lease = "pgs:i:ingest:progress:";
    client.ask(&["SET", lease, "another", "PX", "2500"]).await;
    until("nobody listens", async || {
        client.ask(&["PUBSUB", "NUMPAT"]).await == redis::Value::Int(0)
    })
    .await;
    let holder = client.ask(&["GET", lease]).await;
    assert_eq!(holder, redis::Value::BulkString(b"another".to_vec()));
    assert_eq!(client.ask(&message).await, redis::Value::Int(0));
    somebody_listens(&mut client).await;
    assert_eq!(client.ask(&message).await, redis::Value::Int(1));
    until("it is told", async || accepted(&nodes) == 2).await;
}

#[tokio::test]
async fn a_node_needs_no_more_rights_for_it_than_the_readme_says() {
    let server = RedisServer::start();
    rule(&server, "progress");
    let url = server.url().replace("//", "//progress:secret@");
    let node = tracker(progress_redis::RedisTransport::builder(url).ingest("progress:"));
    let _none = node.snapshot("nobody").await;
    let mut client = Client::of(&server).await;
    somebody_listens(&mut client).await;
    // Also after its connections were closed.
    client.ask(&["CLIENT", "KILL", "USER", "progress"]).await;
    until("it is taken", async || {
        client
            .ask(&["PUBLISH", "progress:t", r#"{"progress":1}"#])
            .await;
        node.stats().foreign.accepted() > 0
    })
    .await;
    let denied = client.ask(&["ACL", "LOG"]).await;
    assert_eq!(denied, redis::Value::Array(vec![]));
}
