//! What is delivered, and how late.

use std::time::Duration;

use futures_util::{StreamExt as _, poll};
use http::Request;
use progress_core::{Limits, Position, ProgressTracker, log::LogLimits};
use progress_web::{Gateway, Open};
use tokio::{io::AsyncReadExt as _, time::timeout};

use super::{counted, scrape, value};
use crate::support::{
    Mark, Tile, gateway, next_batch, open, ranges, request, say, settle, socket, stream, task,
};

const LATENCIES: &str = "progress_delivery_latency_seconds_count";

#[tokio::test(start_paused = true)]
async fn every_frame_is_counted_once_it_goes_out() {
    let gateway = gateway();
    let task = task(&gateway, "a");
    let mut session = socket(&gateway, "a").await;
    let websocket = "progress_frames_sent_total{kind=\"websocket\"}";
    assert_eq!(
        counted(&gateway, websocket).await,
        0.0,
        "nothing is yielded"
    );
    let mut said = settle(&mut session).await.len();
    for n in 0..10 {
        task.emit(Mark { n }).unwrap();
    }
    said += settle(&mut session).await.len();
    assert_eq!(said, 12, "connected, started, ten marks");
    assert_eq!(counted(&gateway, websocket).await, 12.0);
    let events = "progress_frames_sent_total{kind=\"event_stream\"}";
    assert_eq!(counted(&gateway, events).await, 0.0);
    let mut stream = stream(&gateway, "/sse?ids=a").await;
    assert!(stream.next().await.is_some());
    assert!(counted(&gateway, events).await >= 12.0);
}

#[tokio::test(start_paused = true)]
async fn what_a_late_reader_skips_is_counted() {
    let gateway = gateway();
    let task = task(&gateway, "a");
    let mut session = socket(&gateway, "a").await;
    settle(&mut session).await;
    for n in 0..50 {
        task.emit(Tile { n }).unwrap();
    }
    session.socket_was_busy();
    let said = settle(&mut session).await;
    let skipped: u64 = ranges(&said).iter().map(|(from, seq)| seq - from).sum();
    assert!(skipped >= 40, "{said:?}");
    let text = scrape(&gateway).await;
    assert_eq!(
        value(&text, "progress_events_conflated_total"),
        skipped as f64
    );
    assert_eq!(value(&text, "progress_late_total{kind=\"websocket\"}"), 1.0);
    assert_eq!(
        value(&text, "progress_late_total{kind=\"event_stream\"}"),
        0.0
    );
}

#[tokio::test(start_paused = true)]
async fn verdicts_gaps_and_resets_are_counted_by_what_they_are() {
    let limits = Limits::default().log(LogLimits::default().window(1).milestones(1).logs(2));
    let tracker = ProgressTracker::builder().limits(limits).build();
    let gateway = Gateway::builder(tracker)
        .authorizer(Open::new().named_ids().managing())
        .linger(Duration::ZERO)
        .build();
    let task = task(&gateway, "a");
    for n in 0..10 {
        task.emit(Mark { n }).unwrap();
        task.log(progress_core::Level::INFO, "a line");
    }
    let epoch = task.snapshot().epoch;
    let at = |seq: u64| format!("/?after={epoch}:{seq}");
    let mut lost = gateway.web_socket(&request(&at(1)), "a").await;
    settle(&mut lost).await;
    let head = gateway.tracker().snapshot("a").await.unwrap().position();
    let head: Position = head;
    let mut resumed = gateway
        .web_socket(&request(&format!("/?after={head}")), "a")
        .await;
    settle(&mut resumed).await;
    let mut other = gateway.web_socket(&request("/?after=abc:5"), "a").await;
    settle(&mut other).await;
    let mut early = socket(&gateway, "b").await;
    settle(&mut early).await;
    let other_task = crate::support::task(&gateway, "b");
    settle(&mut early).await;
    other_task.complete(()).unwrap();
    settle(&mut early).await;
    let mut fresh = socket(&gateway, "b").await;
    settle(&mut fresh).await;

    let text = scrape(&gateway).await;
    for (resume, count) in [
        ("gap", 1.0),
        ("resumed", 1.0),
        ("reset", 1.0),
        ("unknown", 1.0),
        ("fresh", 1.0),
        ("ended", 0.0),
    ] {
        let series = format!("progress_resumes_total{{resume=\"{resume}\"}}");
        assert_eq!(value(&text, &series), count, "{resume}");
    }
    assert!(value(&text, "progress_gaps_total") >= 1.0);
    assert_eq!(value(&text, "progress_resets_total"), 1.0, "b was created");
    assert!(value(&text, "progress_logs_dropped_total") >= 1.0);
}

#[tokio::test(start_paused = true)]
async fn what_is_rejected_on_an_open_connection_is_counted_by_code() {
    let gateway = gateway();
    let mut session = open(&gateway).await;
    for _ in 0..3 {
        say(&mut session, serde_json::json!({"type": "nonsense"})).await;
    }
    let series = "progress_rejected_total{code=\"INVALID_COMMAND\"}";
    assert_eq!(counted(&gateway, series).await, 3.0);
}

#[tokio::test(start_paused = true)]
async fn client_that_says_too_much_is_counted_as_limited() {
    let gateway = crate::support::gateway_with(|gateway| gateway.message_rate(1, 1));
    let mut session = open(&gateway).await;
    session.on_text(r#"{"type":"ping"}"#);
    session.on_text(r#"{"type":"ping"}"#);
    settle(&mut session).await;
    let series = "progress_limited_total{limit=\"messages\"}";
    assert_eq!(counted(&gateway, series).await, 1.0);
}

/// On the real clock: what is measured is the time between two of its readings.
#[tokio::test]
async fn latency_runs_from_publication_to_the_socket_and_leaves_replay_out() {
    let gateway = gateway();
    let task = task(&gateway, "a");
    for n in 0..10 {
        task.emit(Mark { n }).unwrap();
    }
    // What was published in the same millisecond would count as news.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let request = Request::get("/ws/progress/a")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(String::new())
        .unwrap();
    let found = gateway.find("/ws/progress/a").unwrap();
    let mut response = gateway.respond(found.path, &found.parameter, request).await;
    let socket = response.body_mut().take_web_socket().unwrap();
    // It holds less than one frame that is to come: writing it waits for the client.
    let (mut client, server) = tokio::io::duplex(16);
    let serving = tokio::spawn(socket.serve(server));
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read) = timeout(Duration::from_millis(100), client.read(&mut buffer)).await {
        assert!(read.unwrap() > 0);
    }
    let series = format!("{LATENCIES}{{kind=\"websocket\"}}");
    assert_eq!(counted(&gateway, &series).await, 0.0, "all was replay");

    task.emit(Mark { n: 10 }).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(counted(&gateway, &series).await, 0.0, "it is not written");
    while counted(&gateway, &series).await == 0.0 {
        let read = timeout(Duration::from_secs(30), client.read(&mut buffer));
        assert!(read.await.unwrap().unwrap() > 0);
    }
    let text = scrape(&gateway).await;
    let sum = value(
        &text,
        "progress_delivery_latency_seconds_sum{kind=\"websocket\"}",
    );
    assert!((0.05..30.0).contains(&sum), "{sum}");
    let below = "progress_delivery_latency_seconds_bucket{kind=\"websocket\",le=\"0.025\"}";
    assert_eq!(value(&text, below), 0.0);
    drop(client);
    serving.await.unwrap();
}

#[tokio::test]
async fn latency_of_an_event_stream_runs_to_its_body() {
    let gateway = gateway();
    let task = task(&gateway, "a");
    let mut stream = stream(&gateway, "/sse?ids=a").await;
    assert!(stream.next().await.is_some());
    // News is what is published after the verdict, to the millisecond.
    tokio::time::sleep(Duration::from_millis(5)).await;
    task.emit(Mark { n: 0 }).unwrap();
    tokio::time::sleep(Duration::from_millis(30)).await;
    let series = format!("{LATENCIES}{{kind=\"event_stream\"}}");
    let before = counted(&gateway, &series).await;
    assert!(stream.next().await.is_some());
    let text = scrape(&gateway).await;
    assert_eq!(value(&text, &series), before + 1.0);
    let sum = value(
        &text,
        "progress_delivery_latency_seconds_sum{kind=\"event_stream\"}",
    );
    assert!(sum >= 0.03, "{sum}");
    assert!(poll!(stream.next()).is_pending());
}

#[tokio::test(start_paused = true)]
async fn age_of_a_connection_is_told_when_it_is_over() {
    let gateway = gateway();
    let _task = task(&gateway, "a");
    let mut session = socket(&gateway, "a").await;
    next_batch(&mut session).await;
    let series = "progress_session_duration_seconds_count{kind=\"websocket\"}";
    assert_eq!(counted(&gateway, series).await, 0.0);
    tokio::time::advance(Duration::from_secs(20)).await;
    drop(session);
    let text = scrape(&gateway).await;
    assert_eq!(value(&text, series), 1.0);
    let bucket = |le: &str| {
        let series = "progress_session_duration_seconds_bucket";
        value(
            &text,
            &format!("{series}{{kind=\"websocket\",le=\"{le}\"}}"),
        )
    };
    assert_eq!((bucket("10"), bucket("60")), (0.0, 1.0));
}
