//! A Redis that is away for a while, and nodes that go on.

mod server;

use std::{
    future::poll_fn,
    io::{Read, Write},
    time::Duration,
};

use futures_core::stream::BoxStream;
use progress_core::{
    Frame, ProgressTracker, TaskId,
    transport::{Claim, NodeId, Topic, Transport, TransportEvent},
};
use progress_redis::RedisTransport;

use self::server::RedisServer;

fn connect(server: &RedisServer) -> RedisTransport {
    let transport = RedisTransport::builder(server.url());
    transport.build().expect("its URL is one")
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(Duration::from_secs(30), future).await;
    done.unwrap_or_else(|_| panic!("within 30 s: {what}"))
}

async fn event(events: &mut BoxStream<'static, TransportEvent>) -> TransportEvent {
    let next = poll_fn(|cx| events.as_mut().poll_next(cx));
    within("something comes", next)
        .await
        .expect("it has no end")
}

async fn until_up(events: &mut BoxStream<'static, TransportEvent>) -> bool {
    let mut was_down = false;
    loop {
        match event(events).await {
            TransportEvent::Down => was_down = true,
            TransportEvent::Up => return was_down,
            _ => {}
        }
    }
}

#[tokio::test]
async fn redis_need_not_be_there_at_the_start() {
    let server = RedisServer::start();
    server.kill();
    let node = connect(&server);
    let mut events = node.events();
    let task: TaskId = "t".parse().expect("an id");
    let claim = || Claim::Start {
        node: NodeId::new("one"),
        channels: Vec::new(),
    };
    let epoch = progress_core::Epoch::new(100);
    assert!(node.claim(&task, epoch, claim()).await.is_err());
    server.restart();
    assert!(until_up(&mut events).await);
    assert_eq!(node.claim(&task, epoch, claim()).await, Ok(epoch));
}

#[tokio::test]
async fn a_subscription_that_redis_dropped_is_made_again() {
    let server = RedisServer::start();
    let node = connect(&server);
    let mut events = node.events();
    let topic = Topic::Channel("jobs".parse().expect("a name"));
    node.watch(&topic).await.expect("it is there");
    for _ in 0..3 {
        server.ask("CLIENT KILL TYPE pubsub").expect("it runs");
        assert!(until_up(&mut events).await);
        let subscribers = server.ask("PUBSUB NUMSUB pgs:c:{jobs}").expect("it runs");
        assert!(subscribers.ends_with(":1\r\n"), "{subscribers:?}");
    }
}

/// A server that was started again counts its connections from the first: the numbers that a node's
/// former ones had are others' by then.
#[tokio::test]
async fn a_node_that_is_back_closes_nobody_elses_connections() {
    let server = RedisServer::start();
    let node = connect(&server);
    let mut events = node.events();
    let topic = Topic::Channel("jobs".parse().expect("a name"));
    node.watch(&topic).await.expect("it is there");
    server.kill();
    while !matches!(event(&mut events).await, TransportEvent::Down) {}
    server.restart();
    let mut others: Vec<_> = (0..16).map(|_| server.connect()).collect();
    until_up(&mut events).await;
    for other in &mut others {
        other.write_all(b"PING\r\n").expect("it is open");
        let mut answer = [0; 7];
        other.read_exact(&mut answer).expect("it is open");
        assert_eq!(&answer, b"+PONG\r\n");
    }
}

#[tokio::test]
async fn a_redis_that_hangs_is_noticed_by_what_does_not_come() {
    let server = RedisServer::start();
    let node = RedisTransport::builder(server.url())
        .probe_every(Duration::from_millis(100))
        .answer_timeout(Duration::from_millis(500))
        .build()
        .expect("its URL is one");
    let mut events = node.events();
    node.flush(tokio::time::Instant::now() + Duration::from_secs(10))
        .await
        .expect("it is there");
    // No connection breaks by this.
    server.signal("-STOP");
    while !matches!(event(&mut events).await, TransportEvent::Down) {}
    server.signal("-CONT");
    while !matches!(event(&mut events).await, TransportEvent::Up) {}
}

/// Kills Redis, which keeps nothing, while a task is under way on one node and watched on another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_of_a_task_see_its_end_though_redis_was_killed() {
    let server = RedisServer::start();
    let worker = ProgressTracker::builder()
        .transport(connect(&server))
        .build();
    let web = ProgressTracker::builder()
        .transport(connect(&server))
        .build();
    let task = worker
        .task("t")
        .start_confirmed()
        .await
        .expect("the id is free");
    let mut frames = web.subscribe("t");
    let mut position = None;
    let mut positions = Vec::new();
    let watching = async {
        while let Some(frame) = frames.next().await {
            match frame {
                Frame::Event(delivered) => {
                    let event = delivered.event;
                    positions.push(event.position());
                    position = Some(event.event_type().to_owned());
                }
                Frame::Reset(_) => positions.clear(),
                _ => {}
            }
        }
    };
    let working = async {
        for n in 0..60_u32 {
            task.progress(f64::from(n));
            if n % 10 == 0 {
                task.log(progress_core::Level::Info, format!("step {n}"));
            }
            if n == 20 {
                server.kill();
            }
            if n == 40 {
                server.restart();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        task.complete(()).expect("it has not ended");
    };
    within("it ends", async {
        tokio::join!(working, watching);
    })
    .await;
    assert_eq!(position.as_deref(), Some("complete"));
    assert!(
        positions.is_sorted_by(|one, two| one.seq() < two.seq()),
        "{positions:?}"
    );
}
