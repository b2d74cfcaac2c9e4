//! What `serve` bounds, and what it tells handlers, on sockets.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use blackbox::{RawWs, kind, raw};
use http::request::Parts;
use progress_core::ProgressTracker;
use progress_web::{Action, Authorizer, Principal, Refusal};
use tokio::{io::AsyncWriteExt as _, time::sleep};

use crate::Running;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[tokio::test]
async fn every_route_is_there_and_connections_are_kept() {
    let server = Running::start(|serve| serve).await;
    let task = server.tracker.task("a").start().unwrap();
    let mut tcp = server.tcp().await;
    for _ in 0..3 {
        let answer = raw::ask(&mut tcp, "/tasks/a").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let mut ws = server.ws("/ws/progress/a").await;
    let mut sse = server.sse("/sse/progress/a").await;
    assert_eq!(kind(&ws.frame().await), "connected");
    assert_eq!(kind(&sse.frame().await), "connected");
    task.complete(()).unwrap();
    assert_eq!(ws.until_close().await.1.0, 1000);
    assert_eq!(kind(sse.frames().await.last().unwrap()), "complete");
}

#[tokio::test]
async fn a_head_that_trickles_is_not_waited_for() {
    let server = Running::start(|serve| serve.head_timeout(ms(500))).await;
    let began = Instant::now();
    let mut silent = server.tcp().await;
    let mut slow = server.tcp().await;
    let mut upgrade = server.tcp().await;
    let start = "GET /ws/progress/a HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    upgrade.write_all(start.as_bytes()).await.unwrap();
    let trickle = tokio::spawn(async move {
        for byte in "GET /health HTTP/1.1\r\nX-Slow: "
            .bytes()
            .chain(std::iter::repeat(b'x'))
        {
            if slow.write_all(&[byte]).await.is_err() {
                return;
            }
            sleep(ms(5)).await;
        }
    });
    assert_eq!(raw::rest(&mut silent).await, "");
    assert_eq!(raw::rest(&mut upgrade).await, "");
    blackbox::within("the trickle to be cut off", trickle)
        .await
        .unwrap();
    let took = began.elapsed();
    assert!(took >= ms(490) && took < ms(5_000), "{took:?}");
}

#[tokio::test]
async fn idle_connections_have_a_time_of_their_own() {
    let set = |serve: progress_web::Serve| serve.head_timeout(ms(200));
    let server = Running::start(set).await;
    let mut tcp = server.tcp().await;
    raw::ask(&mut tcp, "/health").await;
    // Longer than a head may take, but none is under way.
    sleep(ms(500)).await;
    let answer = raw::ask(&mut tcp, "/health").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let began = Instant::now();
    tcp.write_all(b"GET /health").await.unwrap();
    assert_eq!(raw::rest(&mut tcp).await, "");
    let took = began.elapsed();
    assert!(
        took >= ms(190) && took < ms(10_000),
        "the second head: {took:?}"
    );
    let set = |serve: progress_web::Serve| serve.head_timeout(ms(200)).idle_timeout(ms(1_200));
    let server = Running::start(set).await;
    let mut tcp = server.tcp().await;
    raw::ask(&mut tcp, "/health").await;
    let began = Instant::now();
    assert_eq!(raw::rest(&mut tcp).await, "");
    let took = began.elapsed();
    assert!(took >= ms(1_190), "idle: {took:?}");
    // An answer that takes its time is neither.
    let _task = server.tracker.task("a").start().unwrap();
    let mut sse = server.sse("/sse/progress/a").await;
    let mut raw_ws = RawWs::open(server.tcp().await, "/ws/progress/a").await;
    sleep(ms(1_500)).await;
    server.tracker.remove("b").await.unwrap_err();
    assert_eq!(kind(&sse.frame().await), "connected");
    assert_eq!(raw_ws.next().await.0, RawWs::TEXT);
    assert_eq!(server.gateway.sessions(), 2);
}

#[tokio::test]
async fn heads_have_a_size_and_a_number_of_headers() {
    let server = Running::start(|serve| serve.head(16 * 1024).headers(20)).await;
    let long = format!(
        "GET /health HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "x".repeat(20_000)
    );
    let many: String = (0..30).map(|n| format!("X-{n}: {n}\r\n")).collect();
    let many = format!("GET /health HTTP/1.1\r\n{many}\r\n");
    for head in [long, many] {
        let mut tcp = server.tcp().await;
        tcp.write_all(head.as_bytes()).await.unwrap();
        let answer = raw::rest(&mut tcp).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    let fits = format!(
        "GET /health HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "x".repeat(10_000)
    );
    let mut tcp = server.tcp().await;
    tcp.write_all(fits.as_bytes()).await.unwrap();
    assert!(raw::answer(&mut tcp).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn one_connection_too_many_is_closed_until_another_has_gone() {
    let mut server = Running::start(|serve| serve.connections(3).drain(ms(0))).await;
    let _task = server.tracker.task("a").start().unwrap();
    let ws = server.ws("/ws/progress/a").await;
    let mut idle = server.tcp().await;
    raw::ask(&mut idle, "/health").await;
    let mut last = server.tcp().await;
    raw::ask(&mut last, "/health").await;
    let mut refused = server.tcp().await;
    assert_eq!(raw::rest(&mut refused).await, "");
    // One that was upgraded counts for as long as it is open.
    drop(ws);
    blackbox::eventually("it has gone", || server.gateway.sessions() == 0).await;
    blackbox::within("room", async {
        loop {
            let mut tcp = server.tcp().await;
            let request = b"GET /health HTTP/1.0\r\n\r\n";
            if tcp.write_all(request).await.is_ok() && !raw::rest(&mut tcp).await.is_empty() {
                return;
            }
        }
    })
    .await;
    // Those that are there go on.
    assert!(
        raw::ask(&mut idle, "/health")
            .await
            .starts_with("HTTP/1.1 200")
    );
    server.stop();
    let served = server.served().await;
    assert!(served.refused >= 1);
    assert_eq!(served.cut, 0);
}

/// Lets everybody in and remembers where they came from.
#[derive(Debug, Clone, Default)]
struct Remembers(Arc<Mutex<Vec<Option<SocketAddr>>>>);

#[progress_web::async_trait]
impl Authorizer for Remembers {
    async fn authorize(&self, request: &Parts, _: &Action) -> Result<Principal, Refusal> {
        let peer = request.extensions.get::<SocketAddr>().copied();
        self.0.lock().unwrap().push(peer);
        Ok(Principal::anonymous())
    }
}

#[tokio::test]
async fn authorizers_see_where_a_request_comes_from() {
    let remembers = Remembers::default();
    let authorizer = remembers.clone();
    let build = |gateway: progress_web::GatewayBuilder| gateway.authorizer(authorizer);
    let server = Running::over(ProgressTracker::new(), build, |serve| serve).await;
    let _task = server.tracker.task("a").start().unwrap();
    let mut tcp = server.tcp().await;
    raw::ask(&mut tcp, "/tasks/a").await;
    let ws = server.ws("/ws/progress/a").await;
    let peers = [tcp.local_addr(), ws.socket.get_ref().local_addr()];
    let peers: Vec<_> = peers.into_iter().map(Result::ok).collect();
    assert_eq!(*remembers.0.lock().unwrap(), peers);
}
