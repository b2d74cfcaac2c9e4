//! `/ws/progress/{task_id}`: verdicts, replay, resume, ends and refusals.

use std::time::Duration;

use blackbox::{Mark, Reader, Ws, forgetful, kind, kinds, mark, position, seqs};
use http::request::Parts;
use progress_core::TaskError;
use progress_web::{Action, Authorizer, Principal, Refusal};
use serde_json::{Value, json};

use crate::Server;

/// The verdict of a first frame.
fn resume(frame: &Value) -> &str {
    assert_eq!(kind(frame), "connected");
    frame["data"]["resume"].as_str().unwrap()
}

#[tokio::test]
async fn first_frame_is_connected_with_verdict_and_snapshot() {
    let server = Server::start().await;
    let task = server.tracker.task("a").name("A").start().unwrap();
    task.progress(41.5);
    let mut ws = server.ws("/ws/progress/a").await;
    let first = ws.frame().await;
    let data = &first["data"];
    assert_eq!(first["event_type"], "connected");
    assert_eq!(first["task_id"], "a");
    assert!(first["timestamp"].as_str().unwrap().ends_with('Z'));
    assert!(first.get("seq").is_none(), "a control frame has no place");
    assert_eq!(data["protocol"], "progress.v1");
    assert_eq!(data["heartbeat_ms"], 30_000);
    assert_eq!(data["node"], server.tracker.node());
    assert_eq!(data["resume"], "fresh");
    assert_eq!(data["seq"], 2);
    assert_eq!(data["epoch"], task.head().epoch().to_string());
    assert_eq!(data["snapshot"]["seq"], 2);
    assert_eq!(data["snapshot"]["name"], "A");
    assert_eq!(data["snapshot"]["progress"], 41.5);
}

#[tokio::test]
async fn events_come_in_order_and_the_end_closes_1000() {
    let server = Server::start().await;
    let task = server.tracker.task("a").start().unwrap();
    mark(&task, 3);
    let mut ws = server.ws("/ws/progress/a").await;
    let mut reader = Reader::default();
    for _ in 0..5 {
        reader.take(&ws.frame().await);
    }
    mark(&task, 100);
    task.complete(json!({"url": "/a.mp4"})).unwrap();
    let (frames, close) = ws.until_close().await;
    for frame in &frames {
        reader.take(frame);
    }
    assert_eq!(close, (1000, "ENDED".to_owned()));
    assert_eq!(reader.repeats, 0);
    let numbers: Vec<_> = (1..=105).collect();
    assert_eq!(
        seqs(&reader.news),
        numbers,
        "milestones are never conflated"
    );
    let end = reader.news.last().unwrap();
    assert_eq!(kind(end), "complete");
    assert_eq!(end["data"]["status"], "completed");
    assert_eq!(end["data"]["result"], json!({"url": "/a.mp4"}));
    assert_eq!(end["data"]["progress"], 100.0);
}

#[tokio::test]
async fn every_watcher_sees_the_same_events_under_the_same_numbers() {
    let server = Server::start().await;
    let task = server.tracker.task("a").stage("cut", 1.0).start().unwrap();
    let mut early = server.ws("/ws/progress/a").await;
    early.frame().await;
    task.stage("cut").progress(50.0);
    let mut late = server.ws("/ws/progress/a").await;
    late.frame().await;
    task.fail(TaskError::new("NO_DISK", "the disk is full"))
        .unwrap();
    let (early, _) = early.until_close().await;
    let (late, _) = late.until_close().await;
    assert_eq!(early, late);
    assert_eq!(
        kinds(&early),
        ["started", "stage_change", "progress_update", "complete"]
    );
}

#[tokio::test]
async fn after_resumes_exactly() {
    let server = Server::start().await;
    let task = server.tracker.task("a").start().unwrap();
    mark(&task, 9);
    let epoch = task.head().epoch();
    // What is said of replay has no say beside a position.
    for path in [
        format!("/ws/progress/a?after={epoch}:4"),
        format!("/ws/progress/a?after={epoch}:4&replay=none"),
    ] {
        let mut ws = server.ws(&path).await;
        assert_eq!(resume(&ws.frame().await), "resumed");
        for expected in 5..=10 {
            let frame = ws.frame().await;
            assert_eq!(blackbox::seq(&frame), expected);
            assert!(frame.get("from").is_none());
        }
    }
    let mut ws = server.ws(&format!("/ws/progress/a?after={epoch}:10")).await;
    assert_eq!(resume(&ws.frame().await), "resumed");
    task.emit(Mark { n: 10 }).unwrap();
    assert_eq!(blackbox::seq(&ws.frame().await), 11);
}

#[tokio::test]
async fn position_of_another_epoch_is_reset_and_everything_is_read() {
    let server = Server::start().await;
    let task = server.tracker.task("a").start().unwrap();
    mark(&task, 2);
    for foreign in ["1:2", "ffffffffffffffff:9999999999999999999", "zZ9:0"] {
        let mut ws = server.ws(&format!("/ws/progress/a?after={foreign}")).await;
        assert_eq!(resume(&ws.frame().await), "reset");
        for expected in 1..=3 {
            let frame = ws.frame().await;
            assert_ne!(kind(&frame), "reset", "the verdict has said it");
            assert_eq!(blackbox::seq(&frame), expected);
        }
    }
    // As for a fresh reader, also in where it begins.
    let mut ws = server.ws("/ws/progress/a?after=1:2&replay=latest").await;
    assert_eq!(resume(&ws.frame().await), "reset");
    assert_eq!(blackbox::seq(&ws.frame().await), 3);
}

#[tokio::test]
async fn position_at_or_past_the_end_is_ended_and_closes_1000() {
    let server = Server::start().await;
    let task = server.tracker.task("a").start().unwrap();
    let end = task.cancel("no longer wanted").unwrap();
    for seq in [end.seq().get(), 99] {
        let path = format!("/ws/progress/a?after={}:{seq}", end.epoch());
        let (frames, close) = server.ws(&path).await.until_close().await;
        assert_eq!(frames.len(), 1);
        assert_eq!(resume(&frames[0]), "ended");
        assert_eq!(frames[0]["data"]["snapshot"]["state"], "cancelled");
        assert_eq!(frames[0]["data"]["snapshot"]["cause"], "no longer wanted");
        assert_eq!(close.0, 1000);
    }
    // One before it still gets the end itself.
    let path = format!("/ws/progress/a?after={}:1", end.epoch());
    let (frames, close) = server.ws(&path).await.until_close().await;
    assert_eq!(resume(&frames[0]), "resumed");
    assert_eq!(kinds(&frames[1..]), ["complete"]);
    assert_eq!(close.0, 1000);
}

#[tokio::test]
async fn raised_floor_is_a_gap_with_a_snapshot_that_moves_nothing() {
    let server = Server::over(forgetful(), |gateway| gateway).await;
    let task = server.tracker.task("a").start().unwrap();
    mark(&task, 9);
    let epoch = task.head().epoch();
    for (path, last) in [
        ("/ws/progress/a".to_owned(), 0),
        (format!("/ws/progress/a?after={epoch}:2"), 2),
    ] {
        let mut ws = server.ws(&path).await;
        assert_eq!(resume(&ws.frame().await), "gap");
        let gap = ws.frame().await;
        assert_eq!(kind(&gap), "gap");
        assert_eq!(gap["data"]["from"], last + 1);
        assert_eq!(gap["data"]["to"], 4);
        assert_eq!(gap["data"]["reason"], "floor");
        assert_eq!(gap["data"]["snapshot"]["seq"], 10);
        let next = ws.frame().await;
        assert_eq!((&next["from"], &next["seq"]), (&json!(last + 1), &json!(5)));
        for expected in 6..=10 {
            assert_eq!(blackbox::seq(&ws.frame().await), expected);
        }
    }
    let mut ws = server.ws(&format!("/ws/progress/a?after={epoch}:4")).await;
    assert_eq!(
        resume(&ws.frame().await),
        "resumed",
        "nothing after 4 is lost"
    );
    let mut ws = server.ws("/ws/progress/a?replay=none").await;
    assert_eq!(resume(&ws.frame().await), "fresh", "the snapshot is enough");
}

#[tokio::test]
async fn position_ahead_of_the_head_is_a_gap() {
    let server = Server::start().await;
    let task = server.tracker.task("a").start().unwrap();
    let path = format!("/ws/progress/a?after={}:7", task.head().epoch());
    let mut ws = server.ws(&path).await;
    assert_eq!(resume(&ws.frame().await), "gap");
    let gap = ws.frame().await;
    assert_eq!(kind(&gap), "gap");
    assert_eq!(gap["data"]["reason"], "ahead");
    assert_eq!(gap["data"]["from"], 2);
    assert_eq!(gap["data"]["to"], 7);
    assert_eq!(gap["data"]["snapshot"]["seq"], 1);
    task.emit(Mark { n: 1 }).unwrap();
    assert_eq!(blackbox::seq(&ws.frame().await), 2);
}

#[tokio::test]
async fn replay_says_where_to_begin() {
    let server = Server::start().await;
    let task = server.tracker.task("a").start().unwrap();
    mark(&task, 4);
    let mut all = server.ws("/ws/progress/a?replay=all").await;
    let mut latest = server.ws("/ws/progress/a?replay=latest").await;
    let mut none = server.ws("/ws/progress/a?replay=none").await;
    for ws in [&mut all, &mut latest, &mut none] {
        assert_eq!(resume(&ws.frame().await), "fresh");
    }
    task.complete(()).unwrap();
    assert_eq!(seqs(&all.until_close().await.0), [1, 2, 3, 4, 5, 6]);
    assert_eq!(seqs(&latest.until_close().await.0), [5, 6]);
    assert_eq!(seqs(&none.until_close().await.0), [6]);
    // Nobody misses the end.
    for replay in ["latest", "none"] {
        let path = format!("/ws/progress/a?replay={replay}");
        let (frames, close) = server.ws(&path).await.until_close().await;
        assert_eq!(kinds(&frames), ["connected", "complete"]);
        assert_eq!(close.0, 1000);
    }
}

#[tokio::test]
async fn unknown_task_is_waited_for_and_read_from_its_first_event() {
    let server = Server::start().await;
    // Neither a position nor a replay is of any use against a task that is yet to come.
    for (id, query) in [("a", ""), ("b", "?after=1f:3"), ("c", "?replay=none")] {
        let mut ws = server.ws(&format!("/ws/progress/{id}{query}")).await;
        let first = ws.frame().await;
        assert_eq!(resume(&first), "unknown");
        assert_eq!(first["task_id"], id);
        assert_eq!(first["data"]["snapshot"], Value::Null);
        let task = server.tracker.task(id).start().unwrap();
        task.emit(Mark { n: 1 }).unwrap();
        let reset = ws.frame().await;
        assert_eq!(kind(&reset), "reset");
        assert_eq!(reset["data"]["reason"], "created");
        assert_eq!(reset["data"]["epoch"], task.head().epoch().to_string());
        assert_eq!(reset["data"]["snapshot"]["task_id"], id);
        task.complete(()).unwrap();
        let (frames, close) = ws.until_close().await;
        assert_eq!(seqs(&frames), [1, 2, 3]);
        assert_eq!(close.0, 1000);
    }
}

#[tokio::test]
async fn unknown_task_that_does_not_come_is_rejected_with_4404() {
    let wait = Duration::from_millis(30);
    let server = Server::with(|gateway| gateway.unknown_wait(wait)).await;
    let (frames, close) = server.ws("/ws/progress/a").await.until_close().await;
    assert_eq!(kinds(&frames), ["connected", "rejected"]);
    assert_eq!(resume(&frames[0]), "unknown");
    assert_eq!(frames[1]["task_id"], "a");
    assert_eq!(frames[1]["data"]["code"], "TASK_NOT_FOUND");
    assert_eq!(frames[1]["data"]["is_retryable"], false);
    assert_eq!(close, (4404, "TASK_NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn request_that_cannot_be_served_is_rejected_and_closed() {
    let server = Server::with(|gateway| gateway.authorizer(progress_web::Open::new())).await;
    let random = "7c3c9e4e-53a4-4c0e-9e51-6a2b6b7b1c7d";
    let long = "x".repeat(129);
    for (path, code, reason) in [
        // Ids first, whoever asks.
        ("/ws/progress/no%20id".to_owned(), 4400, "INVALID_TASK_ID"),
        ("/ws/progress/%FF".to_owned(), 4400, "INVALID_TASK_ID"),
        (format!("/ws/progress/{long}"), 4400, "INVALID_TASK_ID"),
        ("/ws/progress/named".to_owned(), 4403, "FORBIDDEN"),
        (
            format!("/ws/progress/{random}?after=57"),
            4400,
            "INVALID_POSITION",
        ),
        (
            format!("/ws/progress/{random}?replay=some"),
            4400,
            "INVALID_QUERY",
        ),
    ] {
        let (frames, close) = server.ws(&path).await.until_close().await;
        assert_eq!(kinds(&frames), ["rejected"], "{path}");
        assert_eq!(frames[0]["data"]["code"], reason);
        assert_eq!(frames[0]["data"]["is_retryable"], false);
        assert_eq!(close, (code, reason.to_owned()));
        if code == 4403 {
            let solutions = frames[0]["data"]["solutions"].as_array().unwrap();
            assert!(solutions[0].as_str().unwrap().contains("named_ids"));
        }
    }
    let mut ws = server.ws(&format!("/ws/progress/{random}")).await;
    assert_eq!(resume(&ws.frame().await), "unknown", "a random id is open");
}

/// Knows nobody.
#[derive(Debug)]
struct Nobody;

#[progress_web::async_trait]
impl Authorizer for Nobody {
    async fn authorize(&self, _: &Parts, _: &Action) -> Result<Principal, Refusal> {
        Err(Refusal::Unauthenticated)
    }
}

#[tokio::test]
async fn who_is_not_known_is_told_4401_and_nothing_of_the_task() {
    let server = Server::with(|gateway| gateway.authorizer(Nobody)).await;
    let _task = server.tracker.task("there").start().unwrap();
    for task in ["there", "nowhere"] {
        let mut ws = server.ws(&format!("/ws/progress/{task}")).await;
        let (frames, close) = ws.until_close().await;
        assert_eq!(kinds(&frames), ["rejected"]);
        assert_eq!(frames[0]["data"]["code"], "UNAUTHENTICATED");
        assert_eq!(close, (4401, "UNAUTHENTICATED".to_owned()));
        let stream = server.get(&format!("/sse/progress/{task}")).await;
        stream.error(401, "UNAUTHENTICATED");
    }
}

#[tokio::test]
async fn g8_first_frame_of_any_websocket_tells_verdict_and_state() {
    let server = Server::over(forgetful(), |gateway| gateway).await;
    let task = server.tracker.task("a").start().unwrap();
    mark(&task, 9);
    let epoch = task.head().epoch();
    let check = async |query: &str, verdict: &str| {
        let mut ws: Ws = server.ws(&format!("/ws/progress/a{query}")).await;
        let first = ws.frame().await;
        assert_eq!(resume(&first), verdict, "{query}");
        let mut snapshot = first["data"]["snapshot"].clone();
        let mut truth = serde_json::to_value(server.tracker.snapshot("a").await.unwrap()).unwrap();
        // Time goes on between the two.
        snapshot["elapsed_ms"] = json!(0);
        truth["elapsed_ms"] = json!(0);
        assert_eq!(snapshot, truth, "{query}");
        assert_eq!(first["data"]["seq"], truth["seq"]);
        assert_eq!(first["data"]["epoch"], truth["epoch"]);
    };
    check("", "gap").await;
    check("?replay=latest", "fresh").await;
    check("?replay=none", "fresh").await;
    check("?after=1:1", "reset").await;
    check(&format!("?after={epoch}:1"), "gap").await;
    check(&format!("?after={epoch}:11"), "gap").await;
    check(&format!("?after={epoch}:4"), "resumed").await;
    check(&format!("?after={epoch}:10"), "resumed").await;
    let end = task.complete(json!(1)).unwrap();
    check(&format!("?after={end}"), "ended").await;
    check(&format!("?after={epoch}:10"), "resumed").await;
    check("?after=1:1&replay=none", "reset").await;
}

#[tokio::test]
async fn position_that_a_frame_gave_leads_on_from_it() {
    let server = Server::start().await;
    let task = server.tracker.task("a").start().unwrap();
    mark(&task, 5);
    let mut ws = server.ws("/ws/progress/a").await;
    ws.frame().await;
    ws.frame().await;
    let place = position(&ws.frame().await);
    drop(ws);
    task.complete(()).unwrap();
    let path = format!("/ws/progress/a?after={place}");
    let (frames, _) = server.ws(&path).await.until_close().await;
    assert_eq!(resume(&frames[0]), "resumed");
    assert_eq!(seqs(&frames), [3, 4, 5, 6, 7]);
}
