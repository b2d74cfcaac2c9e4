//! Sessions on a clock that stands still unless it is waited for.

mod support;

use std::time::Duration;

use futures_util::StreamExt;
use progress_web::{EventStream, Gateway, Session};
use tokio::time::{Instant, advance, timeout};

use self::support::{
    Said, Tile, gateway, kinds, next_batch, ranges, request, secs, settle, socket, stream, task,
};

#[tokio::test(start_paused = true)]
async fn heartbeat_comes_every_30_seconds_with_a_ping_on_a_websocket() {
    let gateway = gateway();
    let task = task(&gateway, "a");
    let mut session = socket(&gateway, "a").await;
    assert_eq!(kinds(&settle(&mut session).await), ["connected", "started"]);
    let began = Instant::now();
    for beat in 1..=3 {
        session.on_life();
        let said = next_batch(&mut session).await;
        assert_eq!(began.elapsed().as_secs(), beat * 30);
        assert_eq!(kinds(&said), ["heartbeat", "(ping)"]);
        let Said::Frame(frame) = &said[0] else {
            unreachable!("it has a kind")
        };
        assert_eq!(frame["data"]["heads"]["a"], task.head().to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_event_stream_writes_in_silence_has_a_lost_client_found_within_90_seconds() {
    let gateway = gateway();
    let _task = task(&gateway, "a");
    let mut stream = stream(&gateway, "/?ids=a").await;
    while timeout(secs(0), stream.next()).await.is_ok() {}
    let began = Instant::now();
    assert!(stream.next().await.is_some(), "a heartbeat");
    assert!(began.elapsed() + progress_web::TCP_USER_TIMEOUT <= secs(90));
}

#[tokio::test(start_paused = true)]
async fn silence_of_60_seconds_is_death() {
    let gateway = gateway();
    let _task = task(&gateway, "a");
    let mut session = socket(&gateway, "a").await;
    settle(&mut session).await;
    let began = Instant::now();
    advance(secs(20)).await;
    session.on_text("nonsense is life too");
    let said = loop {
        let said = next_batch(&mut session).await;
        if said.last().unwrap().kind() == "(close)" {
            break said;
        }
    };
    assert_eq!(began.elapsed().as_secs(), 80);
    let Some(Said::Close(close)) = said.last() else {
        unreachable!("it has a kind")
    };
    assert_eq!((close.code, close.reason), (4012, "HEARTBEAT_LOST"));
    let mut outputs = Vec::new();
    assert!(!session.next_batch(&mut outputs).await, "nothing follows");
    assert_eq!(outputs, []);
}

#[tokio::test(start_paused = true)]
async fn any_sign_of_life_keeps_a_session() {
    let gateway = gateway();
    let _task = task(&gateway, "a");
    let signs: [fn(&mut Session); 4] = [
        |session| session.on_text(r#"{"type":"pong"}"#),
        |session| session.on_text(r#"{"event":"pong"}"#),
        |session| session.on_text(r#"{"type":"ping"}"#),
        Session::on_life,
    ];
    for sign in signs {
        let mut session = socket(&gateway, "a").await;
        for _ in 0..20 {
            advance(secs(45)).await;
            sign(&mut session);
            let said = settle(&mut session).await;
            assert!(!kinds(&said).contains(&"(close)"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_task_is_waited_for_10_seconds() {
    let gateway = gateway();
    let mut session = socket(&gateway, "a").await;
    assert_eq!(kinds(&next_batch(&mut session).await), ["connected"]);
    let began = Instant::now();
    let said = next_batch(&mut session).await;
    assert_eq!(began.elapsed().as_secs(), 10);
    assert_eq!(kinds(&said), ["rejected", "(close)"]);
    // One that comes in time is read, and the wait is forgotten.
    let mut session = socket(&gateway, "b").await;
    next_batch(&mut session).await;
    advance(secs(9)).await;
    let _task = task(&gateway, "b");
    assert_eq!(kinds(&settle(&mut session).await), ["reset", "started"]);
    advance(secs(9)).await;
    assert_eq!(settle(&mut session).await, []);
}

#[tokio::test(start_paused = true)]
async fn reader_of_a_busy_socket_goes_on_with_the_present() {
    let gateway = gateway();
    let task = task(&gateway, "a");
    let mut session = socket(&gateway, "a").await;
    settle(&mut session).await;
    let publish = |count: u64| {
        for n in 1..=count {
            task.emit(Tile { n }).unwrap();
        }
    };
    publish(10);
    let said = settle(&mut session).await;
    assert_eq!(ranges(&said).len(), 10, "in time, it gets everything");
    publish(10);
    session.socket_was_busy();
    assert_eq!(ranges(&settle(&mut session).await), [(12, 21)]);
    publish(64);
    let said = settle(&mut session).await;
    assert_eq!(ranges(&said).len(), 64, "not more than 64 behind");
    publish(65);
    assert_eq!(ranges(&settle(&mut session).await), [(86, 150)]);
    publish(3);
    let said = settle(&mut session).await;
    assert_eq!(ranges(&said).len(), 3, "once it has passed the head");
}

#[tokio::test(start_paused = true)]
async fn replay_is_not_conflated() {
    let gateway = gateway();
    let task = task(&gateway, "a");
    for n in 1..=200 {
        task.emit(Tile { n }).unwrap();
    }
    let mut session = socket(&gateway, "a").await;
    session.socket_was_busy();
    let numbers: Vec<_> = (1..=201).map(|n| (n, n)).collect();
    assert_eq!(ranges(&settle(&mut session).await), numbers);
}

#[tokio::test(start_paused = true)]
async fn end_of_the_tracker_tells_its_watchers_to_come_back() {
    let gateway = gateway();
    let mut session = socket(&gateway, "a").await;
    next_batch(&mut session).await;
    drop(gateway);
    let said = next_batch(&mut session).await;
    let [Said::Close(close)] = &said[..] else {
        panic!("{said:?}")
    };
    assert_eq!((close.code, close.reason), (4001, "DRAINING"));
}

#[tokio::test(start_paused = true)]
async fn closed_by_its_owner_a_session_says_why_and_nothing_more() {
    let gateway = gateway();
    let task = task(&gateway, "a");
    let mut session = socket(&gateway, "a").await;
    settle(&mut session).await;
    session.close(progress_web::Code::Draining);
    task.complete(()).unwrap();
    assert_eq!(kinds(&next_batch(&mut session).await), ["(close)"]);
    assert!(!session.next_batch(&mut Vec::new()).await);
    assert_eq!(gateway.sessions(), 1);
    drop(session);
    assert_eq!(gateway.sessions(), 0);
}

/// The ids in a chunk of an event stream.
fn ids(chunk: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(chunk).unwrap();
    let ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
    ids.map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn vector_is_sent_at_most_once_a_second() {
    let gateway = gateway();
    let a = task(&gateway, "a");
    let b = task(&gateway, "b");
    let mut stream = stream(&gateway, "/sse?ids=a,b&replay=none").await;
    let connected = stream.next().await.unwrap();
    assert!(connected.starts_with(b"retry: 1000\n"));
    assert_eq!(ids(&connected), [""; 0]);
    while let Ok(chunk) = timeout(Duration::ZERO, stream.next()).await {
        assert_eq!(ids(&chunk.unwrap()), [""; 0], "verdicts have none");
    }
    let mut sent = 0;
    for n in 0..50 {
        let task = if n % 2 == 0 { &a } else { &b };
        task.emit(Tile { n }).unwrap();
        let ids = ids(&stream.next().await.unwrap());
        // Every tenth of a second an event. The first of each topic has an id, then every tenth.
        let due = n == 0 || n % 10 == 1;
        assert_eq!(ids.len(), usize::from(due), "event {n}");
        if let Some(id) = ids.first() {
            let at_b = if n == 0 {
                "-".to_owned()
            } else {
                b.head().to_string()
            };
            assert_eq!(*id, format!("{},{at_b}", a.head()));
            sent += 1;
        }
        advance(Duration::from_millis(100)).await;
    }
    assert_eq!(sent, 6);
    let end_a = a.complete(()).unwrap();
    stream.next().await.unwrap();
    let end_b = b.complete(()).unwrap();
    let last = stream.next().await.unwrap();
    assert_eq!(ids(&last), [format!("{end_a},{end_b}")], "the last has one");
    assert_eq!(stream.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn vector_that_is_behind_is_sent_before_the_close() {
    let gateway = gateway();
    let a = task(&gateway, "a");
    let mut stream = stream(&gateway, "/sse?ids=a,b").await;
    let mut seen = Vec::new();
    advance(Duration::from_millis(9_500)).await;
    // Short before the wait for b is over, a's end comes in two steps within a second.
    a.emit(Tile { n: 1 }).unwrap();
    let end = a.complete(()).unwrap();
    while let Some(chunk) = stream.next().await {
        seen.extend(ids(&chunk));
    }
    assert_eq!(seen.last().unwrap(), &format!("{end},end"));
}

#[tokio::test(start_paused = true)]
async fn event_stream_is_never_pinged_and_never_dead() {
    let gateway = gateway();
    let task = task(&gateway, "a");
    let opened = gateway.event_stream(&request("/"), "a").await;
    let mut stream = opened.unwrap().into_body();
    let began = Instant::now();
    let mut beats = 0;
    while beats < 10 {
        let chunk = stream.next().await.unwrap();
        let text = std::str::from_utf8(&chunk).unwrap();
        beats += u64::from(text.contains(r#""event_type":"heartbeat""#));
    }
    assert_eq!(began.elapsed().as_secs(), 300);
    drop(task);
    assert!(stream.next().await.is_some());
    assert_eq!(stream.next().await, None);
}

#[test]
fn sessions_can_be_sent_between_threads() {
    fn check<T: Send>() {}
    check::<Session>();
    check::<EventStream>();
    fn check_gateway<T: Clone + Send + Sync>() {}
    check_gateway::<Gateway>();
}
