//! MessagePack on WebSockets; names, channels and long ids on event streams.

mod support;

use std::{borrow::Cow, time::Duration};

use futures_util::StreamExt;
use http::{HeaderValue, header, request::Parts};
use progress_core::{Limits, TaskError, TaskId};
use progress_web::{Gateway, Output, Session};
use serde_json::{Value, json};
use tokio::time::{advance, timeout};

use self::support::{Mark, Tile, gateway, ranges, request, settle, stream, task};

fn asking(path: &str, protocols: &'static str) -> Parts {
    let mut parts = request(path);
    let name = header::SEC_WEBSOCKET_PROTOCOL;
    parts
        .headers
        .insert(name, HeaderValue::from_static(protocols));
    parts
}

async fn outputs(session: &mut Session) -> Vec<Output> {
    let mut outputs = Vec::new();
    while let Ok(true) = timeout(Duration::ZERO, session.next_batch(&mut outputs)).await {}
    outputs
}

/// The binary frames, read as whatever they say; nothing else may be a frame.
fn binary(outputs: &[Output]) -> Vec<Value> {
    let frames = outputs.iter().filter_map(|output| match output {
        Output::Binary(bytes) => Some(rmp_serde::from_slice(bytes).unwrap()),
        Output::Frame { .. } => panic!("text"),
        _ => None,
    });
    frames.collect()
}

fn text(outputs: &[Output]) -> Vec<Value> {
    let frames = outputs.iter().filter_map(|output| match output {
        Output::Frame { text, .. } => Some(serde_json::from_slice(text).unwrap()),
        _ => None,
    });
    frames.collect()
}

#[tokio::test(start_paused = true)]
async fn both_encodings_say_the_same() {
    let gateway = gateway();
    let a = task(&gateway, "a");
    drop(a.stage("render").total(3));
    a.emit(Mark { n: 1 }).unwrap();
    let mut packed = gateway
        .web_socket(&asking("/", "bearer.x, progress.v1.msgpack"), "a")
        .await;
    let mut plain = gateway
        .web_socket(&asking("/", "progress.v1.json"), "a")
        .await;
    a.progress(12.5);
    advance(Duration::from_secs(1)).await;
    a.complete(json!({"url": "ü", "n": [1, -1, 0.1, null]}))
        .unwrap();
    let (packed, plain) = (outputs(&mut packed).await, outputs(&mut plain).await);
    let (packed, plain) = (binary(&packed), text(&plain));
    assert!(packed.len() >= 5);
    // The verdicts were given at different moments.
    assert_eq!(packed[1..], plain[1..]);
    assert_eq!(packed[0]["data"]["snapshot"]["task_id"], "a");
}

#[tokio::test(start_paused = true)]
async fn commands_are_taken_in_either_form() {
    let gateway = gateway();
    let _a = task(&gateway, "a");
    let mut session = gateway
        .web_sockets(&asking("/ws", "progress.v1.msgpack"))
        .await;
    let command = json!({"type": "subscribe", "request_id": 7, "topics": [{"task_id": "a"}]});
    session.on_binary(&rmp_serde::to_vec_named(&command).unwrap());
    let said = binary(&outputs(&mut session).await);
    let kinds: Vec<_> = said.iter().map(|frame| &frame["event_type"]).collect();
    assert_eq!(kinds, ["connected", "subscribed", "started"]);
    assert_eq!(said[1]["data"]["request_id"], 7);
    session.on_text(r#"{"type":"ping"}"#);
    let said = binary(&outputs(&mut session).await);
    assert_eq!(said[0]["event_type"], "pong");
    // Neither an object, nor MessagePack, nor keys of text.
    let by_number = rmp_serde::to_vec(&std::collections::BTreeMap::from([(1, "ping")])).unwrap();
    for nonsense in [
        &[0xc1][..],
        &[],
        &[0x93],
        &by_number,
        &[0xdd, 0xff, 0xff, 0xff, 0xff],
    ] {
        session.on_binary(nonsense);
        let said = binary(&outputs(&mut session).await);
        assert_eq!(said.len(), 1, "{nonsense:?}");
        assert_eq!(said[0]["data"]["code"], "INVALID_COMMAND");
    }
}

/// Nested as deep as may be, in every place of a frame that an application fills.
#[tokio::test(start_paused = true)]
async fn the_deepest_value_that_is_taken_has_a_form_wherever_it_stands() {
    #[derive(serde::Serialize)]
    #[serde(transparent)]
    struct Nested(Value);
    impl progress_core::EventPayload for Nested {
        const EVENT_TYPE: &'static str = "nested";

        fn key(&self) -> Option<Cow<'_, str>> {
            Some("k".into())
        }
    }
    let deepest = (0..Limits::DEPTH).fold(json!(0), |inner, _| json!([inner]));
    let error = || TaskError::new("E", "m").detail("inside", deepest.clone());
    let gateway = gateway();
    let a = gateway.tracker().task("a").channel("jobs").start().unwrap();
    a.emit(Nested(deepest.clone())).unwrap();
    a.stage("s").try_metadata("inside", &deepest).unwrap();
    a.try_metadata("inside", &deepest).unwrap();
    a.error(error()).unwrap();
    a.complete(&deepest).unwrap();
    let b = gateway.tracker().task("b").start().unwrap();
    b.fail(error()).unwrap();
    let topics = json!([{"task_id": "a"}, {"task_id": "b"}, {"channel": "jobs"}]);
    let subscribe = json!({"type": "subscribe", "topics": topics}).to_string();
    let mut packed = gateway
        .web_sockets(&asking("/ws", "progress.v1.msgpack"))
        .await;
    packed.on_text(&subscribe);
    let mut plain = gateway
        .web_sockets(&asking("/ws", "progress.v1.json"))
        .await;
    plain.on_text(&subscribe);
    let packed = binary(&outputs(&mut packed).await);
    let plain = outputs(&mut plain).await;
    assert_eq!(packed.len(), plain.len());
    let whole = packed
        .iter()
        .filter(|frame| frame.to_string().contains(&deepest.to_string()))
        .count();
    assert!(whole >= 10, "{whole}");
}

async fn chunks(stream: &mut progress_web::EventStream) -> String {
    let mut text = String::new();
    while let Ok(Some(chunk)) = timeout(Duration::ZERO, stream.next()).await {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    text
}

fn lines<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let lines = text.lines();
    lines.filter_map(|line| line.strip_prefix(name)).collect()
}

#[tokio::test(start_paused = true)]
async fn named_stream_tells_the_type_of_every_frame() {
    let gateway = gateway();
    let a = task(&gateway, "a");
    let jobs = gateway.tracker().channel("jobs");
    jobs.emit(Mark { n: 1 }).unwrap();
    let mut many = stream(&gateway, "/sse?ids=a,no%20id&channels=jobs&named=1").await;
    let text = chunks(&mut many).await;
    let mut names = lines(&text, "event: ");
    names.sort_unstable();
    let expected = [
        "connected",
        "mark",
        "rejected",
        "started",
        "subscribed",
        "subscribed",
    ];
    assert_eq!(names, expected);
    let one = gateway.event_stream(&request("/?named=1"), "a").await;
    let text = chunks(&mut one.unwrap().into_body()).await;
    assert_eq!(lines(&text, "event: "), ["connected", "started"]);
    let one = gateway.event_stream(&request("/"), "a").await;
    let text = chunks(&mut one.unwrap().into_body()).await;
    assert_eq!(lines(&text, "event: "), [""; 0]);
    drop(a);
}

#[tokio::test(start_paused = true)]
async fn channels_stand_behind_the_tasks_in_the_id() {
    let gateway = gateway();
    let a = task(&gateway, "a");
    let jobs = gateway.tracker().channel("jobs");
    for n in 1..=3 {
        jobs.emit(Mark { n }).unwrap();
    }
    let path = "/sse?channels=jobs&ids=a";
    let mut first = stream(&gateway, path).await;
    let text = chunks(&mut first).await;
    let id = lines(&text, "id: ").last().copied().unwrap().to_owned();
    let (of_a, of_jobs) = id.split_once(',').unwrap();
    assert_eq!(of_a, a.head().to_string());
    let (epoch, _) = of_jobs.split_once(':').unwrap();

    // It comes back after the second, and with a task that has ended meanwhile.
    let end = a.complete(()).unwrap();
    let mut parts = request(path);
    let id = format!("{end},{epoch}:2");
    parts.headers.insert("last-event-id", id.parse().unwrap());
    let again = gateway.event_streams(&parts).await;
    let mut again = again.unwrap().into_body();
    let text = chunks(&mut again).await;
    assert!(text.contains(r#""resume":"ended""#));
    assert!(text.contains(r#""channel_seq":3"#));
    assert!(!text.contains(r#""channel_seq":2"#));
    assert!(
        timeout(Duration::from_secs(20), again.next())
            .await
            .is_err(),
        "it goes on"
    );
    parts
        .headers
        .insert("last-event-id", "end,end".parse().unwrap());
    let over = gateway.event_streams(&parts).await;
    assert_eq!(over.unwrap_err().status(), 204);
}

#[tokio::test(start_paused = true)]
async fn longest_id_comes_back() {
    let gateway = gateway();
    let ids: Vec<_> = (0..64).map(|_| TaskId::random().to_string()).collect();
    let tasks: Vec<_> = ids.iter().map(|id| task(&gateway, id)).collect();
    let path = format!("/sse?ids={}", ids.join(","));
    let mut first = stream(&gateway, &path).await;
    let text = chunks(&mut first).await;
    let id = lines(&text, "id: ").last().copied().unwrap();
    assert_eq!(id.split(',').count(), 64);
    for task in &tasks {
        task.emit(Mark { n: 1 }).unwrap();
    }
    let mut parts = request(&path);
    parts.headers.insert("last-event-id", id.parse().unwrap());
    let mut again = gateway.event_streams(&parts).await.unwrap().into_body();
    let text = chunks(&mut again).await;
    assert_eq!(text.matches(r#""resume":"resumed""#).count(), 64);
    assert_eq!(text.matches(r#""event_type":"mark""#).count(), 64);
    assert_eq!(text.matches(r#""event_type":"started""#).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn number_of_topics_counts_tasks_and_channels() {
    let gateway = gateway();
    let names: Vec<_> = (0..33).map(|n| format!("t{n}")).collect();
    let names = names.join(",");
    let path = format!("/sse?ids={names}&channels={names}");
    let refused = gateway.event_streams(&request(&path)).await.unwrap_err();
    let error: Value = serde_json::from_slice(refused.body()).unwrap();
    assert_eq!(error["error"]["code"], "TOO_MANY_TOPICS");
    assert_eq!(error["error"]["details"]["limit"], 64);
}

#[tokio::test(start_paused = true)]
async fn stream_that_was_not_read_goes_on_with_the_present() {
    let gateway = gateway();
    let a = task(&gateway, "a");
    let opened = gateway.event_stream(&request("/"), "a").await;
    let mut stream = opened.unwrap().into_body();
    stream.next().await.unwrap();
    for n in 0..10 {
        a.emit(Tile { n }).unwrap();
    }
    // The server had no room for what was yielded until now.
    advance(Duration::from_secs(1)).await;
    let text = chunks(&mut stream).await;
    assert_eq!(lines(&text, "data: ").len(), 1, "{text}");
    assert!(text.contains(r#""from":2,"#));
}

#[tokio::test(start_paused = true)]
async fn sessions_of_both_encodings_conflate_alike() {
    let gateway: Gateway = gateway();
    let a = task(&gateway, "a");
    let mut session = support::socket(&gateway, "a").await;
    settle(&mut session).await;
    for n in 0..10 {
        a.emit(Tile { n }).unwrap();
    }
    session.socket_was_busy();
    assert_eq!(ranges(&settle(&mut session).await), [(2, 11)]);
    let mut session = gateway
        .web_socket(
            &asking(&format!("/?after={}", a.head()), "progress.v1.msgpack"),
            "a",
        )
        .await;
    outputs(&mut session).await;
    for n in 0..10 {
        a.emit(Tile { n }).unwrap();
    }
    session.socket_was_busy();
    let said = binary(&outputs(&mut session).await);
    assert_eq!(
        (said[0]["from"].as_u64(), said[0]["seq"].as_u64()),
        (Some(12), Some(21))
    );
    assert_eq!(said.len(), 1);
}
