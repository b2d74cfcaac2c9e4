//! `/sse/progress/{task_id}`: bytes, ids, resume, ends.

use std::time::Duration;

use blackbox::{Block, Mark, Reader, Sse, forgetful, kind, kinds, mark, position, seqs, within};
use eventsource_stream::Eventsource;
use futures_util::StreamExt;
use progress_core::{Level, Payload};
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::Server;

/// The first frame and its verdict, after a look at what comes with it.
async fn resume(sse: &mut Sse) -> (Value, String) {
    assert_eq!(sse.status, 200);
    let first = sse.block().await.unwrap();
    assert_eq!(first.retry.as_deref(), Some("1000"));
    assert_eq!(first.id, None);
    let frame = first.data.unwrap();
    assert_eq!(kind(&frame), "connected");
    let verdict = frame["data"]["resume"].as_str().unwrap().to_owned();
    (frame, verdict)
}

#[tokio::test]
async fn headers_keep_proxies_from_holding_frames_back() {
    let server = Server::start().await;
    let _task = server.tracker.task("a").start().unwrap();
    let sse = server.sse("/sse/progress/a").await;
    assert_eq!(sse.status, 200);
    let header = |name| sse.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("content-type"), Some("text/event-stream"));
    assert_eq!(header("cache-control"), Some("no-store, no-transform"));
    assert_eq!(header("x-accel-buffering"), Some("no"));
    assert_eq!(header("content-encoding"), None);
}

#[tokio::test]
async fn event_frames_carry_their_position_and_control_frames_none() {
    let beat = Duration::from_millis(20);
    let server = Server::with(|gateway| gateway.heartbeat(beat)).await;
    let task = server.tracker.task("a").start().unwrap();
    mark(&task, 2);
    let mut sse = server.sse("/sse/progress/a").await;
    let (connected, verdict) = resume(&mut sse).await;
    assert_eq!(verdict, "fresh");
    assert_eq!(connected["data"]["snapshot"]["seq"], 3);
    assert_eq!(connected["data"]["heartbeat_ms"], 20);
    let mut events = 0;
    let mut beats = 0;
    while events < 3 || beats < 2 {
        let block = sse.data().await;
        let frame = block.data.unwrap();
        if kind(&frame) == "heartbeat" {
            assert_eq!(block.id, None);
            assert_eq!(frame["data"]["heads"]["a"], task.head().to_string());
            beats += 1;
        } else {
            assert_eq!(block.id, Some(position(&frame)));
            events += 1;
        }
    }
}

#[tokio::test]
async fn events_have_ids_so_a_reconnect_repeats_nothing() {
    let server = Server::start().await;
    let task = server.tracker.task("a").start().unwrap();
    mark(&task, 5);
    let mut reader = Reader::default();
    let mut sse = server.sse("/sse/progress/a").await;
    while reader.last < 4 {
        reader.take(&sse.frame().await);
    }
    let id = sse.last_id.take().unwrap();
    drop(sse);
    mark(&task, 3);
    let mut sse = server.sse_after("/sse/progress/a", &id).await;
    let (connected, verdict) = resume(&mut sse).await;
    assert_eq!(verdict, "resumed");
    reader.take(&connected);
    task.complete(()).unwrap();
    for frame in sse.frames().await {
        reader.take(&frame);
    }
    let numbers: Vec<_> = (1..=10).collect();
    assert_eq!(seqs(&reader.news), numbers);
    assert_eq!(reader.repeats, 0);
    assert!(reader.ended);
}

#[tokio::test]
async fn last_event_id_beats_after_and_after_beats_replay() {
    let server = Server::start().await;
    let task = server.tracker.task("a").start().unwrap();
    mark(&task, 5);
    let epoch = task.head().epoch();
    let path = format!("/sse/progress/a?after={epoch}:2&replay=none");
    let mut sse = server.sse(&path).await;
    assert_eq!(resume(&mut sse).await.1, "resumed");
    assert_eq!(blackbox::seq(&sse.frame().await), 3);
    // Even where the query alone would be an error.
    for path in [path, "/sse/progress/a?after=nonsense".to_owned()] {
        let mut sse = server.sse_after(&path, &format!("{epoch}:4")).await;
        assert_eq!(resume(&mut sse).await.1, "resumed");
        assert_eq!(blackbox::seq(&sse.frame().await), 5);
    }
    let mut sse = server.sse("/sse/progress/a?replay=latest").await;
    assert_eq!(resume(&mut sse).await.1, "fresh");
    assert_eq!(blackbox::seq(&sse.frame().await), 6);
}

#[tokio::test]
async fn malformed_last_event_id_is_reset_and_malformed_after_an_error() {
    let server = Server::start().await;
    let task = server.tracker.task("a").start().unwrap();
    mark(&task, 1);
    for id in ["57", "a:b", "1:2,3:4", "\u{fc}", "1:12345678901234567890"] {
        let mut sse = server.sse_after("/sse/progress/a", id).await;
        assert_eq!(resume(&mut sse).await.1, "reset", "{id}");
        assert_eq!(blackbox::seq(&sse.frame().await), 1);
    }
    let foreign = server.sse("/sse/progress/a?after=zz:1").await;
    assert_eq!(foreign.status, 200, "another epoch's is well formed");
    for after in ["57", "a:b", "1:2,3:4"] {
        let path = format!("/sse/progress/a?after={after}");
        let error = server.get(&path).await.error(400, "INVALID_POSITION");
        assert_eq!(error["details"]["field"], "after");
    }
    let id = "not an id".replace(' ', "%20");
    let answer = server.get(&format!("/sse/progress/{id}")).await;
    answer.error(400, "INVALID_TASK_ID");
}

#[tokio::test]
async fn client_that_has_everything_is_told_204() {
    let server = Server::start().await;
    let task = server.tracker.task("a").start().unwrap();
    let live = task.head();
    let end = task.complete(()).unwrap();
    let mut sse = server.sse("/sse/progress/a").await;
    sse.blocks().await;
    assert_eq!(sse.last_id, Some(end.to_string()));
    for id in [sse.last_id.unwrap(), format!("{}:99", end.epoch())] {
        let sse = server.sse_after("/sse/progress/a", &id).await;
        assert_eq!(sse.status, 204);
        let answer = server.get(&format!("/sse/progress/a?after={id}")).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (204, ""));
    }
    let sse = server.sse_after("/sse/progress/a", "end").await;
    assert_eq!(sse.status, 204);
    let sse = server.sse_after("/sse/progress/unheard-of", "end").await;
    assert_eq!(sse.status, 204, "also where there never was a task");
    let mut sse = server.sse_after("/sse/progress/a", &live.to_string()).await;
    assert_eq!(resume(&mut sse).await.1, "resumed");
    assert_eq!(kinds(&sse.frames().await), ["complete"]);
}

#[tokio::test]
async fn unknown_task_is_rejected_with_an_id_that_stops_the_client() {
    let wait = Duration::from_millis(30);
    let server = Server::with(|gateway| gateway.unknown_wait(wait)).await;
    let mut sse = server.sse("/sse/progress/a").await;
    let (connected, verdict) = resume(&mut sse).await;
    assert_eq!(verdict, "unknown");
    assert_eq!(connected["data"]["snapshot"], Value::Null);
    let rejected = sse.data().await;
    let frame = rejected.data.unwrap();
    assert_eq!(rejected.id.as_deref(), Some("end"));
    assert_eq!(kind(&frame), "rejected");
    assert_eq!(frame["task_id"], "a");
    assert_eq!(frame["data"]["code"], "TASK_NOT_FOUND");
    assert_eq!(sse.block().await, None);
    let again = server.sse_after("/sse/progress/a", "end").await;
    assert_eq!(again.status, 204);
}

#[tokio::test]
async fn reset_carries_the_id_that_it_moves_to() {
    let server = Server::start().await;
    let mut sse = server.sse("/sse/progress/a").await;
    assert_eq!(resume(&mut sse).await.1, "unknown");
    let task = server.tracker.task("a").start().unwrap();
    let epoch = task.head().epoch();
    let reset = sse.data().await;
    assert_eq!(kind(reset.data.as_ref().unwrap()), "reset");
    let id = reset.id.unwrap();
    assert_eq!(id, format!("{epoch}:0"));
    // Broken off right there, nothing is lost and nothing is reset again.
    let mut again = server.sse_after("/sse/progress/a", &id).await;
    assert_eq!(resume(&mut again).await.1, "resumed");
    task.complete(()).unwrap();
    assert_eq!(seqs(&again.frames().await), [1, 2]);
    assert_eq!(seqs(&sse.frames().await), [1, 2]);
}

#[tokio::test]
async fn gap_carries_no_id_for_it_moves_nothing() {
    let server = Server::over(forgetful(), |gateway| gateway).await;
    let task = server.tracker.task("a").start().unwrap();
    mark(&task, 9);
    let mut sse = server.sse("/sse/progress/a").await;
    assert_eq!(resume(&mut sse).await.1, "gap");
    let gap = sse.data().await;
    assert_eq!(gap.id, None);
    let gap = gap.data.unwrap();
    assert_eq!(kind(&gap), "gap");
    assert_eq!(gap["data"]["snapshot"]["seq"], 10);
    let next = sse.data().await;
    assert_eq!(next.data.unwrap()["from"], 1);
    assert_eq!(next.id, Some(format!("{}:5", task.head().epoch())));
}

#[tokio::test]
async fn refusals_are_plain_http() {
    let open = progress_web::Open::new();
    let server = Server::with(|gateway| gateway.authorizer(open).sessions(1)).await;
    let refused = server.get("/sse/progress/a").await.error(403, "FORBIDDEN");
    assert!(!refused["solutions"].as_array().unwrap().is_empty());
    let path = format!("/sse/progress/{}", progress_core::TaskId::random());
    let answer = server.get(&format!("{path}?replay=some")).await;
    let error = answer.error(400, "INVALID_QUERY");
    assert_eq!(error["details"]["field"], "replay");
    let _first = server.sse(&path).await;
    let answer = server.get(&path).await;
    let error = answer.error(503, "CONNECTION_LIMIT");
    assert_eq!(error["is_retryable"], true);
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
}

#[tokio::test]
async fn g8_first_frame_of_any_event_stream_tells_verdict_and_state() {
    let server = Server::over(forgetful(), |gateway| gateway).await;
    let task = server.tracker.task("a").start().unwrap();
    mark(&task, 9);
    let epoch = task.head().epoch();
    let check = async |id: &str, verdict: &str| {
        let mut sse = server.sse_after("/sse/progress/a", id).await;
        let (first, resume) = resume(&mut sse).await;
        assert_eq!(resume, verdict, "{id}");
        let snapshot = &first["data"]["snapshot"];
        let truth = server.tracker.snapshot("a").await.unwrap();
        assert_eq!(snapshot["seq"], truth.seq.get());
        assert_eq!(snapshot["state"], truth.state.as_str());
        assert_eq!(first["data"]["epoch"], truth.epoch.to_string());
        assert_eq!(first["data"]["seq"], truth.seq.get());
    };
    check("", "gap").await;
    check("1:1", "reset").await;
    check("???", "reset").await;
    check(&format!("{epoch}:1"), "gap").await;
    check(&format!("{epoch}:11"), "gap").await;
    check(&format!("{epoch}:7"), "resumed").await;
    let end = task.complete(()).unwrap();
    check(&format!("{epoch}:7"), "resumed").await;
    let ended = server.sse_after("/sse/progress/a", &end.to_string()).await;
    assert_eq!(ended.status, 204, "which stands for the verdict ended");
}

#[tokio::test]
async fn all_that_is_ready_comes_in_one_chunk() {
    let server = Server::start().await;
    let task = server.tracker.task("a").start().unwrap();
    mark(&task, 20);
    let mut tcp = BufReader::new(server.tcp().await);
    let request = b"GET /sse/progress/a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    tcp.write_all(request).await.unwrap();
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        within("the head", tcp.read_line(&mut line)).await.unwrap();
    }
    let mut blocks = Vec::new();
    let mut chunks = 0;
    while blocks.len() < 1 + 21 {
        line.clear();
        within("a chunk", tcp.read_line(&mut line)).await.unwrap();
        let mut chunk = vec![0; usize::from_str_radix(line.trim(), 16).unwrap() + 2];
        within("a chunk", tcp.read_exact(&mut chunk)).await.unwrap();
        let text = String::from_utf8(chunk).unwrap();
        let text = text
            .strip_suffix("\n\n\r\n")
            .expect("chunks end with blocks");
        blocks.extend(text.split("\n\n").map(Block::parse));
        chunks += 1;
    }
    assert!(chunks <= 2, "the verdict and what is replayed: {chunks}");
    assert_eq!(blocks[0].retry.as_deref(), Some("1000"));
}

#[tokio::test]
async fn line_breaks_in_a_payload_do_not_break_the_event() {
    #[derive(Serialize)]
    #[serde(transparent)]
    struct Pretty(Payload);
    impl progress_core::EventPayload for Pretty {
        const EVENT_TYPE: &'static str = "pretty";
    }
    let server = Server::start().await;
    let task = server.tracker.task("a").start().unwrap();
    let text = "{\r\n  \"text\": \"one\\ntwo \u{2028} three\",\r\r\n\n  \"more\": [1,\n2]\n}";
    let raw = RawValue::from_string(text.to_owned()).unwrap();
    task.emit(Pretty(Payload::new(&raw).unwrap())).unwrap();
    task.log(
        Level::WARN,
        "first line\nsecond line\r\nid: 1:1\n\ndata: {}",
    );
    task.complete(()).unwrap();
    let mut sse = server.sse("/sse/progress/a").await;
    let frames = sse.frames().await;
    assert_eq!(
        kinds(&frames),
        ["connected", "started", "pretty", "log", "complete"]
    );
    let value = json!({"text": "one\ntwo \u{2028} three", "more": [1, 2]});
    assert_eq!(frames[2]["data"], value);
    let line = "first line\nsecond line\r\nid: 1:1\n\ndata: {}";
    assert_eq!(frames[3]["data"]["message"], line);
    let mut ws = server.ws("/ws/progress/a").await;
    assert_eq!(ws.until_close().await.0[2]["data"], value);
}

#[tokio::test]
async fn parser_of_others_reads_it_too() {
    let server = Server::start().await;
    let task = server.tracker.task("a").start().unwrap();
    task.emit(Mark { n: 1 }).unwrap();
    let end = task.complete(()).unwrap();
    let url = format!("http://{}/sse/progress/a", server.address);
    let body = reqwest::get(url).await.unwrap().bytes_stream();
    let events: Vec<_> = body
        .eventsource()
        .map(|event| event.unwrap())
        .collect()
        .await;
    let frames: Vec<Value> = events
        .iter()
        .map(|event| serde_json::from_str(&event.data).unwrap())
        .collect();
    assert_eq!(kinds(&frames), ["connected", "started", "mark", "complete"]);
    assert!(events.iter().all(|event| event.event == "message"));
    assert_eq!(events[3].id, end.to_string());
}
