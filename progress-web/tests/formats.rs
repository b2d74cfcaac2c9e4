//! Frames in an application's own shape.

#[path = "support/mod.rs"]
mod support;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::StreamExt as _;
use progress_core::{EventPayload, Level, Snapshot, TaskError};
use progress_web::{
    EventStream, Gateway, Output, Session,
    encoders::{FrameEncoder, WireFrame},
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::{LocalSet, spawn_local},
    time::{Instant, advance, sleep, timeout},
};

use self::support::{Mark, gateway_with, request, secs, task};

/// A payload with fields that an envelope has too.
#[derive(Serialize)]
struct Photo {
    photo: u32,
    r#type: &'static str,
    data: u32,
}

impl EventPayload for Photo {
    const EVENT_TYPE: &'static str = "photo_approved";
}

/// What a session has said so far and says now, in words, without time passing.
async fn texts(session: &mut Session) -> Vec<String> {
    let mut texts = Vec::new();
    let mut quiet = 0;
    while quiet < 5 {
        let mut outputs = Vec::new();
        match timeout(secs(0), session.next_batch(&mut outputs)).await {
            Ok(false) => break,
            Ok(true) => texts.extend(outputs.iter().map(|output| match output {
                Output::Frame { text, .. } => String::from_utf8(text.to_vec()).unwrap(),
                Output::Ping => "(ping)".to_owned(),
                Output::Close(close) => format!("(close {} {})", close.code, close.reason),
                other => panic!("{other:?}"),
            })),
            Err(_) => {
                quiet += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    texts
}

async fn watch(gateway: &Gateway, id: &str, query: &str) -> Session {
    gateway
        .web_socket(&request(&format!("/?{query}")), id)
        .await
}

/// All that happens to two tasks, as the clients of a format are told it.
async fn transcript(format: &str) -> String {
    let gateway = gateway_with(|gateway| gateway.presets());
    let query = format!("format={format}");
    let mut lines = vec!["# a task, from before it is there to its end".to_owned()];
    let mut early = watch(&gateway, "video-42", &query).await;
    lines.extend(texts(&mut early).await);
    let task = gateway
        .tracker()
        .task("video-42")
        .name("Talking video")
        .stage("detect", 1.0)
        .stage("render", 3.0)
        .start()
        .unwrap();
    lines.extend(texts(&mut early).await);
    let detect = task.stage("detect").total(3).unit("frames");
    detect.message("person 0 chosen");
    detect.metadata("confidence", 0.95);
    detect.set(2);
    sleep(secs(1)).await;
    lines.extend(texts(&mut early).await);
    task.log(Level::WARN, "the lamp is low");
    let busy = TaskError::new("DID_API_ERROR", "the render service is busy");
    task.retrying(busy.retryable(true), 1, 3);
    lines.extend(texts(&mut early).await);
    task.pause("waiting for GPU");
    lines.extend(texts(&mut early).await);
    task.resume();
    let photo = Photo {
        photo: 9,
        r#type: "raw",
        data: 7,
    };
    task.emit(photo).unwrap();
    lines.extend(texts(&mut early).await);
    lines.push("# who comes in the middle and asks for no replay".to_owned());
    let mut late = watch(&gateway, "video-42", &format!("{query}&replay=none")).await;
    lines.extend(texts(&mut late).await);
    drop(late);
    lines.push("# the end".to_owned());
    detect.set(3);
    task.stage("render").progress(99.99);
    sleep(secs(1)).await;
    lines.extend(texts(&mut early).await);
    task.complete(json!({"video_url": "/v/42"})).unwrap();
    lines.extend(texts(&mut early).await);

    lines.push("# a task that failed, for who comes afterwards".to_owned());
    let failing = gateway.tracker().task("failing").start().unwrap();
    failing.progress(40.0);
    failing
        .fail(TaskError::new("NO_FACE", "no face was found"))
        .unwrap();
    let mut after = watch(&gateway, "failing", &format!("{query}&replay=latest")).await;
    lines.extend(texts(&mut after).await);

    lines.push("# no such task, and a heartbeat".to_owned());
    let mut nobody = watch(&gateway, "nobody", &query).await;
    lines.extend(texts(&mut nobody).await);
    advance(secs(10)).await;
    lines.extend(texts(&mut nobody).await);
    let idle = support::task(&gateway, "idle");
    let mut idle_watcher = watch(&gateway, "idle", &query).await;
    texts(&mut idle_watcher).await;
    advance(secs(31)).await;
    lines.extend(texts(&mut idle_watcher).await);
    drop(idle);

    lines.push("# many topics: a channel, one cancelled, and one that runs again".to_owned());
    let mut many = gateway.web_sockets(&request(&format!("/?{query}"))).await;
    let first = gateway.tracker().task("again").channel("jobs");
    let first = first.start().unwrap();
    let topics =
        json!([{"channel": "jobs", "replay": "none"}, {"task_id": "again", "replay": "none"}]);
    many.on_text(&json!({"type": "subscribe", "topics": topics}).to_string());
    lines.extend(texts(&mut many).await);
    first.cancel("not wanted").unwrap();
    lines.extend(texts(&mut many).await);
    let again = gateway.tracker().task("again").restart().unwrap();
    let topics = json!([{"task_id": "again"}]);
    many.on_text(&json!({"type": "subscribe", "topics": topics}).to_string());
    lines.extend(texts(&mut many).await);
    drop(again);
    lines.extend(texts(&mut many).await);

    let mut text = String::new();
    for line in lines {
        text.push_str(&timeless(&line));
        text.push('\n');
    }
    text
}

/// A line without what differs from run to run.
fn timeless(line: &str) -> String {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match &**name {
                        "timestamp" | "started_at" | "updated_at" => *value = "…".into(),
                        "epoch" | "node" | "heads" | "position" => *value = "…".into(),
                        _ => walk(value),
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(walk),
            _ => {}
        }
    }
    match serde_json::from_str(line) {
        Ok(mut value) => {
            walk(&mut value);
            value.to_string()
        }
        Err(_) => line.to_owned(),
    }
}

/// Compares with the committed text; `UPDATE_GOLDEN=1` writes it.
async fn is_as_committed(format: &str) {
    let path = format!("{}/tests/golden/{format}.txt", env!("CARGO_MANIFEST_DIR"));
    let told = transcript(format).await;
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &told).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert_eq!(told, committed, "{path}");
}

#[tokio::test(start_paused = true)]
async fn stage_update_is_as_committed() {
    is_as_committed("stage_update").await;
}

#[tokio::test(start_paused = true)]
async fn status_is_as_committed() {
    is_as_committed("status").await;
}

#[tokio::test(start_paused = true)]
async fn flat_is_as_committed() {
    is_as_committed("flat").await;
}

#[tokio::test(start_paused = true)]
async fn event_data_is_as_committed() {
    is_as_committed("event_data").await;
}

#[tokio::test(start_paused = true)]
async fn execution_progress_is_as_committed() {
    is_as_committed("execution_progress").await;
}

/// Counts what it is asked for, tells marks by their number and of a task how far it is.
#[derive(Debug, Default, Clone)]
struct Counting {
    frames: Arc<AtomicUsize>,
    snapshots: Arc<AtomicUsize>,
}

impl FrameEncoder for Counting {
    fn frame(&self, frame: &WireFrame) -> Option<String> {
        let n = frame.number("n")?;
        self.frames.fetch_add(1, Ordering::Relaxed);
        Some(format!("mark {n}"))
    }

    fn snapshot(&self, snapshot: &Snapshot) -> Option<String> {
        self.snapshots.fetch_add(1, Ordering::Relaxed);
        Some(format!("at {}", snapshot.seq))
    }

    fn takes_snapshots(&self) -> bool {
        true
    }
}

#[tokio::test(start_paused = true)]
async fn what_many_are_told_is_made_once() {
    let counting = Counting::default();
    let gateway = gateway_with(|gateway| gateway.format("counting", counting.clone()));
    let task = task(&gateway, "t");
    let mut watchers = Vec::new();
    for _ in 0..100 {
        let mut watcher = watch(&gateway, "t", "format=counting").await;
        assert_eq!(texts(&mut watcher).await, ["at 1"]);
        watchers.push(watcher);
    }
    for n in 0..10 {
        task.emit(Mark { n }).unwrap();
        for watcher in &mut watchers {
            let told = texts(watcher).await;
            assert_eq!(told, [format!("at {}", n + 2), format!("mark {n}")]);
        }
    }
    assert_eq!(counting.frames.load(Ordering::Relaxed), 10);
    assert_eq!(counting.snapshots.load(Ordering::Relaxed), 11);
}

/// What is said, as it is said: read by a task of its own, which sleeps until it is woken.
fn follow(mut next: impl AsyncFnMut() -> Option<String> + 'static) -> UnboundedReceiver<String> {
    let (tell, told) = unbounded_channel();
    spawn_local(async move {
        while let Some(text) = next().await {
            if tell.send(text).is_err() {
                return;
            }
        }
    });
    told
}

#[tokio::test(start_paused = true)]
async fn what_is_left_out_delays_nothing_that_comes_after_it() {
    LocalSet::new().run_until(left_out()).await;
}

async fn left_out() {
    let millis = std::time::Duration::from_millis;
    let gateway = gateway_with(|gateway| gateway.presets().linger(millis(5)));
    let task = task(&gateway, "t");
    let mut socket = watch(&gateway, "t", "format=stage_update").await;
    let many = gateway
        .event_streams(&request("/?ids=t&format=stage_update"))
        .await;
    let mut many = many.unwrap().into_body();
    let socket = follow(async move || {
        let mut outputs = Vec::new();
        let open = socket.next_batch(&mut outputs).await;
        open.then(|| format!("{outputs:?}"))
    });
    let many = follow(async move || {
        let bytes = many.next().await?;
        Some(String::from_utf8(bytes.to_vec()).unwrap())
    });
    for mut told in [socket, many] {
        for n in 0..5 {
            sleep(millis(100)).await;
            while told.try_recv().is_ok() {}
            let began = Instant::now();
            task.emit(Mark { n }).unwrap();
            assert!(told.recv().await.unwrap().contains("mark"));
            // Within the moment after it something that nobody is told of.
            sleep(millis(1)).await;
            task.log(Level::INFO, "nobody is told");
            sleep(millis(20)).await;
            while told.try_recv().is_ok() {}
            task.emit(Mark { n }).unwrap();
            assert!(told.recv().await.unwrap().contains("mark"));
            assert!(began.elapsed() < millis(50), "{:?}", began.elapsed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_left_out_does_not_keep_a_connection_from_its_turn() {
    /// Tells nothing, and has more happen meanwhile.
    #[derive(Debug)]
    struct Outpaced(progress_core::Reporter);

    impl FrameEncoder for Outpaced {
        fn frame(&self, frame: &WireFrame) -> Option<String> {
            if frame.event_type == "log" {
                self.0.log(Level::INFO, "and another");
            }
            (frame.event_type == "heartbeat").then(|| "alive".to_owned())
        }
    }

    let tracker = progress_core::ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let open = progress_web::Open::new().named_ids();
    let gateway = Gateway::builder(tracker)
        .authorizer(open)
        .format("outpaced", Outpaced(task.reporter()))
        .build();
    task.log(Level::INFO, "one");
    let mut socket = watch(&gateway, "t", "format=outpaced").await;
    let mut outputs = Vec::new();
    let mut polls = 0;
    let beat = std::future::poll_fn(|cx| {
        polls += 1;
        if polls == 10 {
            return std::task::Poll::Ready(false);
        }
        socket.poll_batch(cx, &mut outputs)
    });
    assert!(!beat.await, "it never says anything");
    advance(secs(30)).await;
    let beat = std::future::poll_fn(|cx| socket.poll_batch(cx, &mut outputs));
    assert!(beat.await);
    assert!(matches!(&outputs[0], Output::Frame { text, .. } if text == "alive"));
}

#[tokio::test(start_paused = true)]
async fn state_that_reads_the_same_is_told_once() {
    let gateway = gateway_with(|gateway| gateway.presets());
    let task = task(&gateway, "t");
    let mut watcher = watch(&gateway, "t", "format=status").await;
    assert_eq!(texts(&mut watcher).await.len(), 1);
    task.log(Level::INFO, "nothing has changed");
    assert!(texts(&mut watcher).await.is_empty());
    task.progress(50.0);
    sleep(secs(1)).await;
    assert_eq!(texts(&mut watcher).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn bar_of_a_late_watcher_never_goes_back() {
    for (format, field) in [("stage_update", "progress"), ("event_data", "progress")] {
        let gateway = gateway_with(|gateway| gateway.presets());
        let task = task(&gateway, "t");
        for percent in [10.0, 20.0, 41.0] {
            task.progress(percent);
            sleep(secs(1)).await;
        }
        task.error(TaskError::new("BUSY", "tried again")).unwrap();
        let mut late = watch(&gateway, "t", &format!("format={format}")).await;
        let told = texts(&mut late).await;
        task.progress(60.0);
        sleep(secs(1)).await;
        let later = texts(&mut late).await;
        let shown = told.iter().chain(&later).filter_map(|text| {
            let message: Value = serde_json::from_str(text).unwrap();
            message["data"][field].as_f64()
        });
        let shown: Vec<f64> = shown.collect();
        assert!(shown.is_sorted(), "{format}: {shown:?}");
        assert_eq!((shown[0], *shown.last().unwrap()), (41.0, 60.0));
    }
}

#[tokio::test(start_paused = true)]
async fn client_of_another_shape_goes_on_where_it_was() {
    for format in ["stage_update", "flat", "event_data"] {
        let gateway = gateway_with(|gateway| gateway.presets());
        let task = task(&gateway, "t");
        let query = format!("format={format}");
        let mut first = watch(&gateway, "t", &query).await;
        task.emit(Mark { n: 1 }).unwrap();
        let told = texts(&mut first).await;
        let last: Value = serde_json::from_str(told.last().unwrap()).unwrap();
        let position = last["position"].as_str().unwrap();
        task.emit(Mark { n: 2 }).unwrap();
        let again = format!("{query}&after={position}");
        let told = texts(&mut watch(&gateway, "t", &again).await).await;
        assert!(
            told.iter().all(|text| !text.contains("\"n\":1")),
            "{told:?}"
        );
        assert!(told.last().unwrap().contains("\"n\":2"), "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn replay_tells_the_present_state_once() {
    let gateway = gateway_with(|gateway| gateway.format("counting", Counting::default()));
    let task = task(&gateway, "t");
    for n in 0..500 {
        task.emit(Mark { n }).unwrap();
    }
    task.complete(()).unwrap();
    let mut late = watch(&gateway, "t", "format=counting").await;
    let told = texts(&mut late).await;
    assert_eq!(told.len(), 1 + 500 + 1);
    assert_eq!(told[0], "at 502");
    assert!(told[1..501].iter().all(|told| told.starts_with("mark")));
    assert_eq!(told[501], "(close 1000 ENDED)");
}

async fn stream(gateway: &Gateway, id: &str, query: &str, last: Option<&str>) -> EventStream {
    let mut parts = request(&format!("/?{query}"));
    if let Some(last) = last {
        parts.headers.insert("last-event-id", last.parse().unwrap());
    }
    gateway.event_stream(&parts, id).await.unwrap().into_body()
}

async fn read(stream: &mut EventStream) -> String {
    let mut text = String::new();
    while let Ok(Some(bytes)) = timeout(secs(0), stream.next()).await {
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    text
}

#[tokio::test(start_paused = true)]
async fn events_have_ids_so_a_reconnect_repeats_nothing_in_any_shape() {
    let gateway = gateway_with(|gateway| gateway.presets());
    let task = task(&gateway, "t");
    let epoch = task.head().epoch();
    task.emit(Mark { n: 1 }).unwrap();
    let mut first = stream(&gateway, "t", "format=stage_update", None).await;
    let told = read(&mut first).await;
    assert!(
        told.contains(&format!("id: {epoch}:2\ndata: {{\"type\":\"mark\"")),
        "{told}"
    );
    // Nobody is told of log lines, and the place moves all the same: of several as one.
    task.log(Level::INFO, "one");
    task.log(Level::INFO, "two");
    assert_eq!(read(&mut first).await, format!("id: {epoch}:4\n\n"));
    drop(first);
    task.emit(Mark { n: 2 }).unwrap();
    let last = format!("{epoch}:4");
    let mut again = stream(&gateway, "t", "format=stage_update", Some(&last)).await;
    let told = read(&mut again).await;
    assert_eq!(told.matches("id: ").count(), 1, "{told}");
    assert!(told.contains("\"n\":2"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn stream_whose_shape_has_no_heartbeat_gets_a_comment() {
    let gateway = gateway_with(|gateway| gateway.presets());
    let _task = task(&gateway, "t");
    let mut stream = stream(&gateway, "t", "format=status", None).await;
    read(&mut stream).await;
    advance(secs(30)).await;
    assert_eq!(read(&mut stream).await, ":\n\n");
}

#[tokio::test(start_paused = true)]
async fn refusal_that_nobody_is_told_of_still_keeps_an_event_source_from_coming_back() {
    let gateway = gateway_with(|gateway| gateway.format("counting", Counting::default()));
    let mut stream = stream(&gateway, "nobody", "format=counting", None).await;
    read(&mut stream).await;
    advance(secs(11)).await;
    assert!(read(&mut stream).await.ends_with("id: end\n\n"));
}

#[tokio::test(start_paused = true)]
async fn format_that_is_not_there_is_refused_by_name() {
    let gateway = gateway_with(|gateway| gateway.format("mine", Counting::default()));
    let _task = task(&gateway, "t");
    let mut socket = watch(&gateway, "t", "format=yours").await;
    let told = texts(&mut socket).await;
    assert_eq!(told[1], "(close 4400 INVALID_QUERY)");
    let refused: Value = serde_json::from_str(&told[0]).unwrap();
    assert_eq!(refused["data"]["details"], json!({"field": "format"}));
    assert_eq!(
        refused["data"]["message"],
        "format is one of progress.v1, mine"
    );
    let parts = request("/?ids=t&format=yours");
    let refused = gateway.event_streams(&parts).await.unwrap_err();
    assert_eq!(refused.status(), 400);
    let mut many = gateway.web_sockets(&request("/?format=yours")).await;
    assert_eq!(
        texts(&mut many).await.last().unwrap(),
        "(close 4400 INVALID_QUERY)"
    );
}

#[tokio::test(start_paused = true)]
async fn default_format_is_for_who_asks_for_nothing() {
    let gateway = gateway_with(|gateway| gateway.presets().default_format("status"));
    let _task = task(&gateway, "t");
    let mut parts = request("/");
    let mut legacy = gateway.web_socket(&parts, "t").await;
    assert!(texts(&mut legacy).await[0].starts_with("{\"id\":\"t\""));
    let mut asks = watch(&gateway, "t", "format=progress.v1").await;
    assert!(texts(&mut asks).await[0].starts_with("{\"event_type\":\"connected\""));
    for (protocol, binary) in [("progress.v1.json", false), ("progress.v1.msgpack", true)] {
        let name = "sec-websocket-protocol";
        parts.headers.insert(name, protocol.parse().unwrap());
        let mut speaks = gateway.web_socket(&parts, "t").await;
        let mut outputs = Vec::new();
        speaks.next_batch(&mut outputs).await;
        assert_eq!(
            matches!(outputs[0], Output::Binary(_)),
            binary,
            "{protocol}"
        );
    }
    let contradiction = request("/?format=status");
    let mut contradiction = contradiction;
    contradiction.headers = parts.headers;
    let mut refused = gateway.web_socket(&contradiction, "t").await;
    let mut outputs = Vec::new();
    while refused.next_batch(&mut outputs).await {}
    assert!(matches!(outputs.last(), Some(Output::Close(close)) if close.code == 4400));
}
