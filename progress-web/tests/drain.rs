//! Going down, and connections that have become too old, on a clock that stands still unless it is
//! waited for.

mod support;

use std::collections::BTreeSet;

use futures_util::{StreamExt, future::join_all};
use progress_core::ProgressTracker;
use progress_web::{EventStream, Gateway, Open, Session};
use tokio::{
    task::JoinHandle,
    time::{Duration, Instant, advance, sleep},
};

use self::support::{
    Mark, closed, frames, gateway, gateway_with, kinds, next_batch, open, request, secs, settle,
    socket, stream, task,
};

/// How a client was sent away: when, and when it is to come back.
#[derive(Debug, Clone, Copy)]
struct Sent {
    at: Duration,
    reconnect_after: Duration,
}

/// Reads until the session closes, in a task of its own.
fn follow(mut session: Session, since: Instant) -> JoinHandle<Sent> {
    tokio::spawn(async move {
        loop {
            let said = next_batch(&mut session).await;
            if !kinds(&said).contains(&"draining") {
                assert!(!kinds(&said).contains(&"(close)"), "{said:?}");
                continue;
            }
            assert_eq!(closed(&said), (4001, "DRAINING"));
            let told = frames(said).pop().unwrap();
            let millis = told["data"]["reconnect_after_ms"].as_u64().unwrap();
            return Sent {
                at: since.elapsed(),
                reconnect_after: Duration::from_millis(millis),
            };
        }
    })
}

async fn crowd(gateway: &Gateway, clients: usize) -> Vec<Session> {
    join_all((0..clients).map(|_| open(gateway))).await
}

async fn all(followed: Vec<JoinHandle<Sent>>) -> Vec<Sent> {
    let sent = join_all(followed).await.into_iter();
    sent.map(Result::unwrap).collect()
}

async fn text(mut stream: EventStream) -> String {
    let mut text = Vec::new();
    while let Some(chunk) = stream.next().await {
        text.extend_from_slice(&chunk);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_client_is_sent_away_at_a_moment_of_its_own() {
    let gateway = gateway();
    let sessions = crowd(&gateway, 200).await;
    let since = Instant::now();
    let followed = sessions.into_iter().map(|session| follow(session, since));
    let followed: Vec<_> = followed.collect();
    assert_eq!(gateway.drain(secs(10)), 200);
    let sent = all(followed).await;
    let mut seconds = [0; 10];
    for client in &sent {
        seconds[usize::try_from(client.at.as_secs()).unwrap()] += 1;
        assert!(client.reconnect_after < Duration::from_millis(500));
    }
    assert_eq!(seconds, [20; 10]);
    let waits: BTreeSet<_> = sent.iter().map(|client| client.reconnect_after).collect();
    assert!(waits.len() > 100, "each its own: {}", waits.len());
}

#[tokio::test(start_paused = true)]
async fn what_happens_before_a_clients_moment_reaches_it() {
    let gateway = gateway();
    let task = task(&gateway, "a");
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = socket(&gateway, "a").await;
        settle(&mut client).await;
        clients.push(client);
    }
    gateway.drain(secs(4));
    let mut told = Vec::new();
    for (n, client) in clients.iter_mut().enumerate() {
        // In the same instant as the order.
        task.emit(Mark { n: n as u64 }).unwrap();
        let said = settle(client).await;
        assert_eq!(closed(&said), (4001, "DRAINING"));
        told.push(kinds(&said).iter().filter(|kind| **kind == "mark").count());
        advance(secs(1)).await;
    }
    assert_eq!(told, [1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn an_end_before_the_drain_is_told_in_place_of_it() {
    // Busy, so that what comes is held back for a moment.
    let gateway = gateway_with(|gateway| gateway.linger(secs(1)));
    let (a, b) = (task(&gateway, "a"), task(&gateway, "b"));
    let mut ends = socket(&gateway, "a").await;
    let mut goes_on = socket(&gateway, "b").await;
    settle(&mut ends).await;
    settle(&mut goes_on).await;
    a.emit(Mark { n: 1 }).unwrap();
    b.emit(Mark { n: 1 }).unwrap();
    a.complete(()).unwrap();
    gateway.drain(Duration::ZERO);
    let said = settle(&mut ends).await;
    assert_eq!(kinds(&said), ["mark", "complete", "(close)"]);
    assert_eq!(closed(&said), (1000, "ENDED"));
    let said = settle(&mut goes_on).await;
    assert_eq!(kinds(&said), ["mark", "draining", "(close)"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_let_in_while_others_are_still_there() {
    let gateway = gateway();
    let _a = task(&gateway, "a");
    let mut sessions = crowd(&gateway, 2).await;
    assert!(!gateway.is_draining());
    assert_eq!(gateway.health().status(), 200);
    gateway.drain(secs(10));
    assert!(gateway.is_draining());
    assert_eq!(gateway.health().status(), 503);
    assert_eq!(gateway.sessions(), 2);
    let mut late = socket(&gateway, "a").await;
    assert_eq!(closed(&settle(&mut late).await), (4001, "DRAINING"));
    let late = gateway.event_stream(&request("/"), "a").await.unwrap_err();
    assert_eq!(late.status(), 503);
    assert_eq!(late.headers()["retry-after"], "1");
    let late = gateway.task(&request("/?wait=5s"), "a").await;
    assert_eq!(late.status(), 503);
    // What is answered at once still is, and so is who came before.
    assert_eq!(gateway.task(&request("/"), "a").await.status(), 200);
    let last = sessions.pop().unwrap();
    let since = Instant::now();
    assert_eq!(follow(last, since).await.unwrap().at.as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_node_can_withdraw_first_and_still_let_clients_in() {
    let gateway = gateway();
    let _a = task(&gateway, "a");
    gateway.withdraw();
    assert!(gateway.is_draining());
    assert_eq!(gateway.health().status(), 503);
    let mut client = socket(&gateway, "a").await;
    assert_eq!(kinds(&settle(&mut client).await)[0], "connected");
    assert_eq!(gateway.drain(Duration::ZERO), 1);
    assert_eq!(closed(&settle(&mut client).await), (4001, "DRAINING"));
}

#[tokio::test(start_paused = true)]
async fn it_is_drained_when_the_last_has_gone() {
    let gateway = gateway();
    let sessions = crowd(&gateway, 3).await;
    let since = Instant::now();
    let waits = gateway.clone();
    let drained = tokio::spawn(async move {
        waits.drained().await;
        since.elapsed()
    });
    // Empty or not, it is drained only once that has begun.
    drop(sessions);
    sleep(secs(1)).await;
    assert!(!drained.is_finished());
    let sessions = crowd(&gateway, 3).await;
    gateway.drain(secs(3));
    let followed = sessions.into_iter().map(|session| follow(session, since));
    drop(all(followed.collect()).await);
    assert_eq!(drained.await.unwrap().as_secs(), 3);
    gateway.drained().await;
}

#[tokio::test(start_paused = true)]
async fn the_last_drain_counts_for_who_is_still_there() {
    let gateway = gateway();
    let sessions = crowd(&gateway, 10).await;
    let since = Instant::now();
    let followed = sessions.into_iter().map(|session| follow(session, since));
    let followed: Vec<_> = followed.collect();
    gateway.drain(secs(100));
    sleep(secs(15)).await;
    assert_eq!(gateway.drain(secs(8)), 8);
    let sent = all(followed).await;
    let seconds: Vec<_> = sent.iter().map(|client| client.at.as_secs()).collect();
    assert_eq!(seconds, [0, 10, 15, 16, 17, 18, 19, 20, 21, 22]);
}

#[test]
fn without_a_runtime_all_are_sent_away_at_once() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let gateway = gateway();
    let session = runtime.block_on(open(&gateway));
    assert_eq!(gateway.drain(secs(100)), 1);
    let since = Instant::now();
    let sent = runtime.block_on(async { follow(session, since).await.unwrap() });
    assert!(sent.at < secs(50));
}

#[tokio::test(start_paused = true)]
async fn event_streams_are_told_by_retry_when_to_come_back() {
    let gateway = gateway();
    let _a = task(&gateway, "a");
    let one = gateway.event_stream(&request("/"), "a").await.unwrap();
    let many = stream(&gateway, "/sse?ids=a,b").await;
    gateway.drain(Duration::ZERO);
    for stream in [one.into_body(), many] {
        let said = text(stream).await;
        assert!(said.starts_with("retry: 1000\n"), "{said}");
        let (before, last) = said.rsplit_once("\nretry: ").unwrap();
        let (millis, _) = last.split_once('\n').unwrap();
        assert!(before.contains("\"draining\""), "{said}");
        assert!(
            before.contains(&format!("\"reconnect_after_ms\":{millis}")),
            "{said}"
        );
        assert!(millis.parse::<u64>().unwrap() < 500);
        assert!(last.ends_with("\n\n"), "a block that counts: {said}");
    }
}

#[tokio::test(start_paused = true)]
async fn polls_that_are_held_are_answered_at_once() {
    let open = Open::new().named_ids();
    let gateway = Gateway::builder(ProgressTracker::new())
        .authorizer(open)
        .build();
    let _a = task(&gateway, "a");
    let asked = |id: &'static str| {
        let gateway = gateway.clone();
        tokio::spawn(async move {
            let since = Instant::now();
            let answer = gateway.task(&request("/?wait=50s"), id).await;
            (answer.status().as_u16(), since.elapsed())
        })
    };
    let (known, unknown) = (asked("a"), asked("nobody"));
    sleep(secs(1)).await;
    assert_eq!(gateway.sessions(), 2);
    gateway.drain(secs(10));
    assert_eq!(known.await.unwrap(), (200, secs(1)));
    // It may yet come to be, and another node can wait for it.
    assert_eq!(unknown.await.unwrap(), (503, secs(1)));
    gateway.drained().await;
}

#[tokio::test(start_paused = true)]
async fn connections_get_no_older_than_they_may() {
    let gateway = gateway_with(|gateway| {
        gateway
            .max_connection_age(secs(100))
            .dead_after(secs(1_000))
    });
    let task = task(&gateway, "a");
    let since = Instant::now();
    let sessions = crowd(&gateway, 50).await;
    let followed = sessions.into_iter().map(|session| follow(session, since));
    let followed: Vec<_> = followed.collect();
    let stream = gateway.event_stream(&request("/"), "a").await.unwrap();
    let streamed = tokio::spawn(text(stream.into_body()));
    let mut busy = socket(&gateway, "a").await;
    let mut said = Vec::new();
    for n in 0.. {
        task.emit(Mark { n }).unwrap();
        said.extend(settle(&mut busy).await);
        if kinds(&said).contains(&"(close)") {
            break;
        }
        advance(secs(1)).await;
    }
    let (_, end) = said.split_at(said.len() - 3);
    assert_eq!(kinds(end), ["mark", "draining", "(close)"]);
    assert!((90..=110).contains(&since.elapsed().as_secs()));
    let sent = all(followed).await;
    let ages: BTreeSet<_> = sent.iter().map(|client| client.at.as_secs()).collect();
    assert!(ages.iter().all(|age| (90..=110).contains(age)), "{ages:?}");
    assert!(ages.len() > 15, "not together: {ages:?}");
    let said = streamed.await.unwrap();
    assert!(said.contains("\"draining\""), "{said}");
    assert_eq!(said.matches("retry: ").count(), 2, "{said}");
    // It is not the node that goes.
    assert!(!gateway.is_draining());
    let metrics = gateway.metrics(&request("/metrics")).await;
    let metrics = String::from_utf8(metrics.into_body().to_vec()).unwrap();
    let counted = "progress_session_closes_total{code=\"4001\",kind=\"websocket\"} 51";
    assert!(metrics.contains(counted), "{metrics}");
}
