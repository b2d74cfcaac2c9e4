//! `FCALL progress_publish`, as any client can call it.

use std::time::Duration;

use progress_core::{Data, Level, Status, TaskState, Timestamp};

use crate::{Client, next, node, server::RedisServer, transport, until, within};

#[tokio::test]
async fn what_a_worker_says_is_seen_as_it_was_meant_on_every_node() {
    let server = RedisServer::start();
    let (mut worker, one) = Client::served(&server).await;
    let other = node(&server);
    let mut frames = one.subscribe("t");
    let began = Timestamp::now();
    for (n, event_type, data) in [
        (
            "1",
            "progress_update",
            r#"{"progress":41.777,"message":"h\u00e9","metadata":{"a":[1,2e3]},"elapsed_ms":9}"#,
        ),
        (
            "2",
            "progress_update",
            r#"{"stage":"x/y","current":3,"total":4}"#,
        ),
        ("3", "log", r#"{"message":"hi","level":"warning","n":77}"#),
        (
            "4",
            "stage_change",
            r#"{"current_stage":"z","previous_stage":"w"}"#,
        ),
        (
            "5",
            "error",
            r#"{"code":"BUSY","message":"again","is_retryable":true,"solutions":["wait"]}"#,
        ),
        ("6", "note", r#"{ "a": 1.50 }"#),
        ("7", "log", r#"{"message":"ho"}"#),
        ("8", "progress_update", r#"{"progress":100}"#),
        (
            "9",
            "complete",
            r#"{"status":"COMPLETED","result":{"b": 1.50}}"#,
        ),
    ] {
        worker
            .publish("t", &["w", n, event_type, data])
            .await
            .expect(n);
    }
    let mut events = Vec::new();
    while !matches!(
        events
            .last()
            .map(|event: &std::sync::Arc<progress_core::Event>| event.data()),
        Some(Data::Complete(_))
    ) {
        events.push(next(&mut frames).await);
    }
    let types: Vec<_> = events.iter().map(|event| event.event_type()).collect();
    assert_eq!(
        types,
        [
            "started",
            "progress_update",
            "stage_change",
            "progress_update",
            "log",
            "stage_change",
            "error",
            "note",
            "log",
            "progress_update",
            "complete"
        ]
    );
    let seqs: Vec<_> = events.iter().map(|event| event.seq().get()).collect();
    assert_eq!(seqs, (1..=11).collect::<Vec<_>>());
    assert!(events.is_sorted_by_key(|event| event.timestamp()));
    assert!(events[0].timestamp().as_millis() - began.as_millis() < 30_000);
    assert!(events[0].timestamp() >= began);

    let Data::Started(started) = events[0].data() else {
        panic!("{events:?}")
    };
    assert_eq!(started.started_at, events[0].timestamp());
    let Data::ProgressUpdate(update) = events[1].data() else {
        panic!("{events:?}")
    };
    assert_eq!(
        (update.progress, update.message.as_deref()),
        (41.78, Some("hé"))
    );
    assert_eq!(update.metadata.get("a"), Some(&serde_json::json!([1, 2e3])));
    assert!(update.elapsed_ms < 9, "it is the server that says it");
    let Data::StageChange(change) = events[2].data() else {
        panic!("{events:?}")
    };
    assert_eq!((&*change.current_stage, change.progress), ("x/y", 41.78));
    let Data::ProgressUpdate(update) = events[3].data() else {
        panic!("{events:?}")
    };
    assert_eq!(
        (update.stage_progress, update.progress),
        (Some(75.0), 41.78)
    );
    let Data::Log(line) = events[4].data() else {
        panic!("{events:?}")
    };
    assert_eq!((line.n, line.level, &*line.message), (1, Level::Warn, "hi"));
    let Data::StageChange(change) = events[5].data() else {
        panic!("{events:?}")
    };
    assert_eq!(
        (change.previous_stage.as_deref(), &*change.current_stage),
        (Some("x/y"), "z")
    );
    let Data::Error(error) = events[6].data() else {
        panic!("{events:?}")
    };
    assert_eq!(
        (error.code(), error.is_retryable(), error.solutions()),
        ("BUSY", true, &["wait".to_owned()][..])
    );
    let Data::Custom(custom) = events[7].data() else {
        panic!("{events:?}")
    };
    assert_eq!(custom.data.json(), r#"{ "a": 1.50 }"#);
    let Data::Log(line) = events[8].data() else {
        panic!("{events:?}")
    };
    assert_eq!((line.n, line.level), (2, Level::Info));
    let Data::ProgressUpdate(update) = events[9].data() else {
        panic!("{events:?}")
    };
    assert_eq!(update.progress, 99.9);
    let Data::Complete(end) = events[10].data() else {
        panic!("{events:?}")
    };
    assert_eq!((end.status, end.progress), (Status::Completed, 100.0));
    assert_eq!(
        end.result.as_ref().map(progress_core::Payload::json),
        Some(r#"{"b": 1.50}"#)
    );

    let snapshot = within("the other knows it", other.snapshot("t"))
        .await
        .expect("it is known");
    assert_eq!(
        (snapshot.state, snapshot.seq.get()),
        (TaskState::Completed, 11)
    );
    let list = other
        .tasks(progress_core::TaskFilter::new())
        .await
        .expect("they are listed");
    assert_eq!(list.tasks.len(), 1);
}

#[tokio::test]
async fn a_repeat_is_answered_with_the_first_position_and_changes_nothing() {
    let server = RedisServer::start();
    let (mut worker, node) = Client::served(&server).await;
    let first = worker
        .publish("t", &["w", "7", "note", r#"{"n":1}"#])
        .await
        .expect("it is new");
    assert!(first.0.ends_with(":2"), "{first:?}");
    // Whatever else it says.
    for words in [
        ["w", "7", "note", r#"{"n":1}"#],
        ["w", "7", "log", "{}"],
        ["w", "3", "note", "{}"],
    ] {
        assert_eq!(worker.publish("t", &words).await, Ok(first.clone()));
    }
    let other = worker
        .publish("t", &["v", "1", "note", r#"{"n":2}"#])
        .await
        .expect("another's");
    assert!(other.0.ends_with(":3"));
    let end = worker
        .publish("t", &["w", "8", "complete", r#"{"status":"failed"}"#])
        .await
        .expect("it goes on");
    assert_eq!(
        worker
            .publish("t", &["w", "8", "complete", r#"{"status":"failed"}"#])
            .await,
        Ok(end)
    );
    let late = worker
        .publish("t", &["w", "9", "note", "{}"])
        .await
        .expect_err("it has ended");
    assert!(late.starts_with("ALREADY_COMPLETE"), "{late}");
    assert_eq!(node.snapshot("t").await.expect("it is known").seq.get(), 4);
}

#[tokio::test]
async fn of_many_producers_the_newest_are_remembered_and_gone_with_the_task() {
    let server = RedisServer::start();
    let node = crate::tracker(transport(&server).retention(Duration::from_millis(500)));
    let _none = node.snapshot("nobody").await;
    let mut worker = Client::of(&server).await;
    until("it is loaded", async || worker.is_served().await).await;
    let first = worker
        .publish("t", &["p0", "1", "log", r#"{"message":"m"}"#])
        .await
        .expect("it is new");
    for n in 1..=1024 {
        let producer = format!("p{n}");
        worker
            .publish("t", &[&producer, "1", "log", r#"{"message":"m"}"#])
            .await
            .expect("it is new");
    }
    let held = worker.ask(&["HLEN", "pgs:t:{t}:w"]).await;
    assert_eq!(held, redis::Value::Int(1024));
    let again = worker
        .publish("t", &["p0", "1", "log", r#"{"message":"m"}"#])
        .await
        .expect("it was forgotten");
    assert_ne!(again, first);
    worker
        .publish("t", &["p0", "2", "complete", r#"{"status":"completed"}"#])
        .await
        .expect("it goes on");
    until("nothing of it is left", async || {
        worker.ask(&["KEYS", "pgs:t:*"]).await == redis::Value::Array(vec![])
    })
    .await;
}

#[tokio::test]
async fn a_task_with_an_owner_is_told_by_nobody_else() {
    let server = RedisServer::start();
    let (mut worker, node) = Client::served(&server).await;
    let task = node
        .task("t")
        .start_confirmed()
        .await
        .expect("the id is free");
    let words = ["w", "1", "note", "{}"];
    let refused = worker.publish("t", &words).await.expect_err("it has one");
    assert!(refused.starts_with("TASK_OWNED"), "{refused}");
    task.complete(()).expect("it runs");
    let mut last = String::new();
    until("its end is known", async || {
        last = worker
            .publish("t", &words)
            .await
            .expect_err("it has an owner or an end");
        last.starts_with("ALREADY_COMPLETE")
    })
    .await;
    node.remove("t").await.expect("it has ended");
    worker
        .publish("t", &words)
        .await
        .expect("it is another run");
    let now = node.snapshot("t").await.expect("it is known");
    assert_eq!((now.state, now.seq.get()), (TaskState::Running, 2));
}

#[tokio::test]
async fn what_was_told_over_http_is_gone_on_with() {
    let server = RedisServer::start();
    let (mut worker, node) = Client::served(&server).await;
    let task = node
        .task("t")
        .name("A task")
        .queued()
        .share()
        .await
        .expect("the id is free");
    worker
        .publish("t", &["w", "1", "progress_update", r#"{"progress":30}"#])
        .await
        .expect("it starts");
    let input = |json: &str| serde_json::from_str(json).expect("an input");
    task.publish(vec![input(
        r#"{"event_type":"progress_update","data":{"progress":50,"stage":"a/b"}}"#,
    )])
    .await
    .expect("it is shared");
    // Neither does it begin twice, nor the stage, nor does the percent fall.
    worker
        .publish(
            "t",
            &[
                "w",
                "2",
                "progress_update",
                r#"{"stage":"a/b","progress":40}"#,
            ],
        )
        .await
        .expect("2");
    worker
        .publish(
            "t",
            &[
                "w",
                "3",
                "progress_update",
                r#"{"stage":"a","message":"m"}"#,
            ],
        )
        .await
        .expect("3");
    worker
        .publish("t", &["w", "4", "stage_change", r#"{"current_stage":"c"}"#])
        .await
        .expect("4");
    task.publish(vec![input(
        r#"{"event_type":"progress_update","data":{"message":"over"}}"#,
    )])
    .await
    .expect("it is shared");
    worker
        .publish(
            "t",
            &[
                "w",
                "5",
                "complete",
                r#"{"status":"cancelled","cause":"asked"}"#,
            ],
        )
        .await
        .expect("5");
    let mut frames = node.subscribe("t");
    let mut told = Vec::new();
    while told
        .last()
        .is_none_or(|(event_type, _)| event_type != "complete")
    {
        let event = next(&mut frames).await;
        let progress = match event.data() {
            Data::ProgressUpdate(update) => update.progress,
            Data::StageChange(change) => change.progress,
            Data::Complete(end) => end.progress,
            Data::Started(about) => {
                assert_eq!(about.name.as_deref(), Some("A task"));
                0.0
            }
            _ => -1.0,
        };
        told.push((event.event_type().to_owned(), progress));
    }
    let told: Vec<_> = told
        .iter()
        .map(|(word, percent)| (&**word, *percent))
        .collect();
    assert_eq!(
        told,
        [
            ("queued", -1.0),
            ("started", 0.0),
            ("progress_update", 30.0),
            ("stage_change", 30.0),
            ("progress_update", 50.0),
            ("progress_update", 50.0),
            ("progress_update", 50.0),
            ("stage_change", 50.0),
            ("progress_update", 50.0),
            ("complete", 50.0)
        ]
    );
}

#[tokio::test]
async fn the_functions_come_back_after_a_flush_though_no_node_does_anything() {
    let server = RedisServer::start();
    let (mut worker, _node) = Client::served(&server).await;
    for flush in [&["FUNCTION", "FLUSH"][..], &["FLUSHALL"]] {
        worker.ask(flush).await;
        until("a worker is served again", async || {
            worker.publish("t", &["w", "1", "note", "{}"]).await.is_ok()
        })
        .await;
    }
    server.kill();
    server.restart();
    until("a worker is served again", async || {
        let mut worker = Client::of(&server).await;
        worker.publish("t", &["w", "1", "note", "{}"]).await.is_ok()
    })
    .await;
}
