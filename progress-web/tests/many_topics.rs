//! `/ws`: one WebSocket for what its client asks for.

mod support;

use std::time::Duration;

use progress_core::ProgressTracker;
use progress_web::Gateway;
use serde_json::{Value, json};
use tokio::time::{Instant, advance, timeout};

use self::support::{
    Mark, Said, closed, code, frames, gateway, gateway_with, kinds, kinds_of, next_batch, open,
    request, say, secs, settle, task,
};

#[tokio::test(start_paused = true)]
async fn every_topic_gets_its_verdict_and_its_events() {
    let gateway = gateway();
    let a = task(&gateway, "a");
    gateway
        .tracker()
        .channel("jobs")
        .emit(Mark { n: 1 })
        .unwrap();
    let mut session = open(&gateway).await;
    let said = say(
        &mut session,
        json!({"type": "subscribe", "request_id": 3, "topics": [
            {"task_id": "a"},
            {"channel": "jobs"},
            {"task_id": "no id"},
            {"task_id": "later"},
        ]}),
    )
    .await;
    let of = |name: &str, value: &str| -> Vec<&Value> {
        said.iter().filter(|frame| frame[name] == value).collect()
    };
    let about_a = of("task_id", "a");
    assert_eq!(about_a[0]["event_type"], "subscribed");
    assert_eq!(about_a[0]["data"]["request_id"], 3);
    assert_eq!(about_a[0]["data"]["resume"], "fresh");
    assert_eq!(about_a[0]["data"]["snapshot"]["task_id"], "a");
    assert_eq!(about_a[1]["event_type"], "started");
    let jobs = of("channel", "jobs");
    assert_eq!(jobs[0]["event_type"], "subscribed");
    let fields: Vec<_> = jobs[0]["data"].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["epoch", "request_id", "resume", "seq"]);
    assert_eq!(jobs[0]["data"]["seq"], 1);
    assert_eq!(jobs[1]["channel_seq"], 1);
    assert_eq!(jobs[1]["event"]["data"]["n"], 1);
    let bad = of("task_id", "no id");
    assert_eq!((code(bad[0]), bad.len()), ("INVALID_TASK_ID", 1));
    assert_eq!(bad[0]["data"]["request_id"], 3);
    let later = of("task_id", "later");
    assert_eq!(later[0]["data"]["resume"], "unknown");
    assert_eq!(later.len(), 1);

    a.emit(Mark { n: 2 }).unwrap();
    gateway
        .tracker()
        .channel("jobs")
        .emit(Mark { n: 3 })
        .unwrap();
    let said = frames(settle(&mut session).await);
    assert_eq!(kinds_of(&said), ["mark", "mark"]);
    let later = task(&gateway, "later");
    let said = frames(settle(&mut session).await);
    assert_eq!(kinds_of(&said), ["reset", "started"]);
    // The end of a topic frees its place and closes nothing.
    a.complete(()).unwrap();
    later.complete(()).unwrap();
    let said = frames(settle(&mut session).await);
    assert_eq!(kinds_of(&said), ["complete", "complete"]);
    let said = say(
        &mut session,
        json!({"type": "subscribe", "topics": [{"task_id": "a", "replay": "none"}]}),
    )
    .await;
    assert_eq!(kinds_of(&said), ["subscribed", "complete"]);
}

#[tokio::test(start_paused = true)]
async fn client_comes_back_with_a_position_for_each_topic() {
    let gateway = gateway();
    let a = task(&gateway, "a");
    let jobs = gateway.tracker().channel("jobs");
    let mut session = open(&gateway).await;
    let subscribe = |a: &str, jobs: &str| {
        json!({"type": "subscribe", "topics": [
            {"task_id": "a", "after": a}, {"channel": "jobs", "after": jobs}]})
    };
    for n in 1..=3 {
        a.emit(Mark { n }).unwrap();
        jobs.emit(Mark { n }).unwrap();
    }
    let said = say(
        &mut session,
        json!({"type": "subscribe", "topics": [{"task_id": "a"}, {"channel": "jobs"}]}),
    )
    .await;
    let channel = said.iter().rev().find(|frame| frame["channel"] == "jobs");
    let epoch = channel.unwrap()["channel_epoch"].as_str().unwrap();
    let mut session = open(&gateway).await;
    let position = format!("{}:2", a.head().epoch());
    let said = say(&mut session, subscribe(&position, &format!("{epoch}:1"))).await;
    let resumes: Vec<_> = said
        .iter()
        .filter(|frame| frame["event_type"] == "subscribed")
        .map(|frame| frame["data"]["resume"].as_str().unwrap())
        .collect();
    assert_eq!(resumes, ["resumed", "resumed"]);
    let seqs: Vec<_> = said
        .iter()
        .filter_map(|frame| frame["seq"].as_u64())
        .collect();
    assert_eq!(seqs, [3, 4]);
    let seqs: Vec<_> = said
        .iter()
        .filter_map(|frame| frame["channel_seq"].as_u64())
        .collect();
    assert_eq!(seqs, [2, 3]);
    // Of another run, past the head, and no position at all.
    let mut session = open(&gateway).await;
    let said = say(&mut session, subscribe("1:1", &format!("{epoch}:9"))).await;
    assert_eq!(
        kinds_of(&said),
        [
            "subscribed",
            "started",
            "mark",
            "mark",
            "mark",
            "subscribed",
            "gap"
        ]
    );
    assert_eq!(said[0]["data"]["resume"], "reset");
    assert_eq!(said[5]["data"]["resume"], "gap");
    assert_eq!(said[6]["channel"], "jobs");
    assert_eq!(said[6]["data"]["reason"], "ahead");
    let mut session = open(&gateway).await;
    let said = say(&mut session, subscribe("nonsense", "1")).await;
    assert_eq!(
        said.iter().map(code).collect::<Vec<_>>(),
        ["INVALID_POSITION"; 2]
    );
    assert_eq!(said[0]["data"]["details"]["field"], "after");
}

#[tokio::test(start_paused = true)]
async fn unsubscribed_topic_is_silent() {
    let gateway = gateway();
    let a = task(&gateway, "a");
    let mut session = open(&gateway).await;
    let topics = json!([{"task_id": "a"}]);
    let subscribe = json!({"type": "subscribe", "topics": topics});
    let unsubscribe = json!({"type": "unsubscribe", "request_id": "u", "topics": topics});
    say(&mut session, subscribe.clone()).await;
    let again = say(&mut session, subscribe.clone()).await;
    assert_eq!(
        again.iter().map(code).collect::<Vec<_>>(),
        ["ALREADY_SUBSCRIBED"]
    );
    a.emit(Mark { n: 1 }).unwrap();
    session.on_text(&unsubscribe.to_string());
    a.emit(Mark { n: 2 }).unwrap();
    assert_eq!(settle(&mut session).await, []);
    let again = say(&mut session, unsubscribe.clone()).await;
    assert_eq!(
        again.iter().map(code).collect::<Vec<_>>(),
        ["NOT_SUBSCRIBED"]
    );
    assert_eq!(again[0]["data"]["request_id"], "u");
    // Before the verdict: whoever waits for it is told.
    session.on_text(&subscribe.to_string());
    session.on_text(&unsubscribe.to_string());
    let said = frames(settle(&mut session).await);
    assert_eq!(
        said.iter().map(code).collect::<Vec<_>>(),
        ["NOT_SUBSCRIBED"]
    );
    let said = say(&mut session, subscribe).await;
    assert_eq!(kinds_of(&said), ["subscribed", "started", "mark", "mark"]);
}

#[tokio::test(start_paused = true)]
async fn bad_commands_are_rejected_and_the_connection_goes_on() {
    let gateway = gateway();
    let mut session = open(&gateway).await;
    let long = "x".repeat(129);
    for (command, field, limit) in [
        (json!("text"), None, None),
        (json!({}), Some("type"), None),
        (json!({"type": 7}), Some("type"), None),
        (json!({"type": "dance"}), Some("type"), None),
        (json!({"type": "subscribe"}), Some("topics"), None),
        (
            json!({"type": "subscribe", "topics": []}),
            Some("topics"),
            None,
        ),
        (
            json!({"type": "subscribe", "topics": [7]}),
            Some("topics"),
            None,
        ),
        (
            json!({"type": "subscribe", "topics": [{"task_id": "a", "channel": "b"}]}),
            Some("topics"),
            None,
        ),
        (
            json!({"type": "subscribe", "topics": [{"task_id": "a", "replay": "some"}]}),
            Some("replay"),
            None,
        ),
        (
            json!({"type": "register", "client_type": 7}),
            Some("client_type"),
            None,
        ),
        (
            json!({"type": "register", "client_name": long}),
            Some("client_name"),
            Some(128),
        ),
        (
            json!({"type": "ping2", "request_id": long}),
            Some("request_id"),
            Some(128),
        ),
        (json!({"type": "cancel"}), Some("task_id"), None),
        (json!({"type": "auth"}), Some("token"), None),
        (
            json!({"type": "auth", "token": "a\nb"}),
            Some("token"),
            None,
        ),
    ] {
        let said = say(&mut session, command.clone()).await;
        assert_eq!(said.len(), 1, "{command}");
        assert_eq!(code(&said[0]), "INVALID_COMMAND", "{command}");
        let details = &said[0]["data"]["details"];
        assert_eq!(details["field"].as_str(), field, "{command}");
        assert_eq!(details["limit"].as_u64(), limit, "{command}");
    }
    session.on_text("{");
    let said = frames(settle(&mut session).await);
    assert_eq!(code(&said[0]), "INVALID_COMMAND");
    let said = say(&mut session, json!({"type": "dance", "request_id": "d"})).await;
    assert_eq!(said[0]["data"]["request_id"], "d");
    let said = say(&mut session, json!({"type": "ping"})).await;
    assert_eq!(kinds_of(&said), ["pong"]);
    assert_eq!(
        say(&mut session, json!({"event": "pong"})).await,
        Vec::<Value>::new()
    );
}

#[tokio::test(start_paused = true)]
async fn numbers_of_topics_are_bounded() {
    let gateway = gateway_with(|gateway| gateway.topics_per_command(3).topics_per_session(4));
    let tasks: Vec<_> = (0..6).map(|n| task(&gateway, &format!("t{n}"))).collect();
    let mut session = open(&gateway).await;
    let subscribe = |ids: std::ops::Range<u32>| {
        let topics: Vec<_> = ids.map(|n| json!({"task_id": format!("t{n}")})).collect();
        json!({"type": "subscribe", "request_id": 1, "topics": topics})
    };
    let said = say(&mut session, subscribe(0..4)).await;
    assert_eq!(said.len(), 1, "nothing of a command that is too large");
    assert_eq!(code(&said[0]), "TOO_MANY_TOPICS");
    assert_eq!(said[0]["data"]["details"]["limit"], 3);
    assert_eq!(say(&mut session, subscribe(0..3)).await.len(), 6);
    let said = say(&mut session, subscribe(3..6)).await;
    let refused: Vec<_> = said
        .iter()
        .filter(|frame| frame["event_type"] == "rejected")
        .collect();
    assert_eq!(refused.len(), 2);
    assert_eq!(code(refused[0]), "TOO_MANY_TOPICS");
    assert_eq!(refused[0]["data"]["details"]["limit"], 4);
    // An end makes room.
    drop(tasks);
    settle(&mut session).await;
    assert_eq!(say(&mut session, subscribe(3..6)).await.len(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_free_again_is_anothers() {
    let gateway = gateway_with(|gateway| gateway.topics_per_session(3));
    let _tasks: Vec<_> = "abcde"
        .chars()
        .map(|id| task(&gateway, &id.to_string()))
        .collect();
    let mut session = open(&gateway).await;
    let ask = |command: &str, ids: &[&str]| {
        let topics: Vec<_> = ids.iter().map(|id| json!({"task_id": id})).collect();
        json!({"type": command, "topics": topics})
    };
    say(&mut session, ask("subscribe", &["a", "b", "c"])).await;
    say(&mut session, ask("unsubscribe", &["b", "a"])).await;
    let said = say(&mut session, ask("subscribe", &["d", "c", "a", "e"])).await;
    let told = |kind: &str| -> Vec<_> {
        let frames = said.iter().filter(|frame| frame["event_type"] == kind);
        frames
            .map(|frame| frame["task_id"].as_str().unwrap())
            .collect()
    };
    assert_eq!(told("subscribed"), ["d", "a"]);
    assert_eq!(
        told("rejected"),
        ["c", "e"],
        "one is there, the other has no place"
    );
    let said = say(&mut session, ask("unsubscribe", &["b", "d"])).await;
    assert_eq!(said.len(), 1);
    assert_eq!(
        (code(&said[0]), &said[0]["task_id"]),
        ("NOT_SUBSCRIBED", &json!("b"))
    );
}

#[tokio::test(start_paused = true)]
async fn cancel_asks_the_task_to_stop() {
    let gateway = gateway();
    let a = task(&gateway, "a");
    let mut session = open(&gateway).await;
    let cancel =
        |id: &str| json!({"type": "cancel", "request_id": 9, "task_id": id, "reason": "enough"});
    assert_eq!(say(&mut session, cancel("a")).await, Vec::<Value>::new());
    assert!(a.is_cancelled());
    assert_eq!(a.cancel_reason().as_deref(), Some("enough"));
    a.complete(()).unwrap();
    for (id, expected) in [
        ("a", "ALREADY_COMPLETE"),
        ("b", "TASK_NOT_FOUND"),
        ("no id", "INVALID_TASK_ID"),
    ] {
        let said = say(&mut session, cancel(id)).await;
        assert_eq!((code(&said[0]), said.len()), (expected, 1));
        assert_eq!(said[0]["data"]["request_id"], 9);
        assert_eq!(said[0]["task_id"], id);
    }
    let strict = Gateway::new(ProgressTracker::new());
    let mut session = open(&strict).await;
    let said = say(&mut session, cancel("a")).await;
    assert_eq!(code(&said[0]), "FORBIDDEN");
}

#[tokio::test(start_paused = true)]
async fn client_that_says_too_much_is_told_to_slow_down() {
    let gateway = gateway();
    let mut session = open(&gateway).await;
    for _ in 0..200 {
        session.on_text(r#"{"type":"pong"}"#);
    }
    assert_eq!(settle(&mut session).await, []);
    session.on_text(r#"{"type":"pong"}"#);
    assert_eq!(closed(&settle(&mut session).await), (4029, "RATE_LIMITED"));
}

#[tokio::test(start_paused = true)]
async fn heartbeat_tells_the_heads_of_tasks_and_channels() {
    let gateway = gateway();
    let a = task(&gateway, "a");
    let mut session = open(&gateway).await;
    let topics = json!([{"task_id": "a"}, {"channel": "a"}]);
    say(&mut session, json!({"type": "subscribe", "topics": topics})).await;
    gateway.tracker().channel("a").emit(Mark { n: 1 }).unwrap();
    let said = frames(settle(&mut session).await);
    let epoch = said[0]["channel_epoch"].as_str().unwrap();
    let beat = frames(next_batch(&mut session).await);
    assert_eq!(kinds_of(&beat), ["heartbeat"]);
    let data = json!({
        "heads": {"a": a.head().to_string()},
        "channel_heads": {"a": format!("{epoch}:1")},
    });
    assert_eq!(beat[0]["data"], data);
}

#[tokio::test(start_paused = true)]
async fn connection_without_topics_lives_on_and_ends_with_the_server() {
    let gateway = gateway();
    let mut session = open(&gateway).await;
    for _ in 0..5 {
        session.on_life();
        assert_eq!(
            kinds(&next_batch(&mut session).await),
            ["heartbeat", "(ping)"]
        );
    }
    drop(gateway);
    session.on_life();
    assert_eq!(closed(&next_batch(&mut session).await), (4001, "DRAINING"));
}

#[tokio::test(start_paused = true)]
async fn where_connections_run_out_the_client_is_told() {
    let gateway = gateway_with(|gateway| gateway.sessions(1));
    let first = open(&gateway).await;
    let mut second = gateway.web_sockets(&request("/ws")).await;
    let said = settle(&mut second).await;
    assert_eq!(kinds(&said), ["rejected", "(close)"]);
    assert_eq!(closed(&said), (4029, "CONNECTION_LIMIT"));
    drop((first, second));
    open(&gateway).await;
}

#[tokio::test(start_paused = true)]
async fn busy_connection_gathers_and_an_idle_one_sends_at_once() {
    let gateway = gateway_with(|gateway| gateway.linger(Duration::from_millis(5)));
    let a = task(&gateway, "a");
    let mut session = open(&gateway).await;
    say(&mut session, json!({"type": "subscribe", "task_id": "a"})).await;
    advance(secs(1)).await;
    settle(&mut session).await;
    advance(secs(1)).await;
    let began = Instant::now();
    let mut batches = Vec::new();
    // An event every millisecond.
    for n in 0..20 {
        a.emit(Mark { n }).unwrap();
        let until = began + Duration::from_millis(n + 1);
        while let Ok(said) = tokio::time::timeout_at(until, next_batch(&mut session)).await {
            batches.push((began.elapsed().as_millis(), said.len()));
        }
    }
    assert_eq!(batches, [(0, 1), (5, 4), (10, 5), (15, 5), (20, 5)]);
    // A verdict does not wait.
    let ping = timeout(Duration::ZERO, async {
        session.on_text(r#"{"type":"ping"}"#);
        next_batch(&mut session).await
    });
    let said = ping.await.unwrap();
    assert!(matches!(said.last(), Some(Said::Frame(_))));
}

#[tokio::test(start_paused = true)]
async fn replay_does_not_linger() {
    let gateway = gateway_with(|gateway| gateway.linger(secs(1)));
    let a = task(&gateway, "a");
    for n in 0..1_000 {
        a.emit(Mark { n }).unwrap();
    }
    let mut session = gateway.web_socket(&request("/"), "a").await;
    let began = Instant::now();
    let mut seen = 0;
    while seen < 1_002 {
        let said = next_batch(&mut session).await;
        assert!(said.len() <= 1_100, "a batch is bounded");
        seen += said.len();
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}
