//! A Redis that is away for a while, and nodes that go on.

mod server;

use std::{cell::Cell, future::poll_fn, time::Duration};

use futures_core::stream::BoxStream;
use progress_core::{
    Data, EventPayload, Frame, ProgressTracker, TaskId,
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

#[derive(serde::Serialize)]
struct Measured {
    n: u32,
}

impl EventPayload for Measured {
    const EVENT_TYPE: &'static str = "measured";
}

/// Has events told on one node and watched on another while something goes wrong: each comes once, in
/// its order, and nothing says that anything is missing.
async fn all_comes_through(server: &RedisServer, trouble: impl Future<Output = ()>) {
    let tracker = || {
        ProgressTracker::builder()
            .transport(connect(server))
            .build()
    };
    let (worker, web) = (tracker(), tracker());
    let task = worker.task("t").start_confirmed().await;
    let task = task.expect("the id is free");
    let mut frames = web.subscribe("t");
    // Who begins to watch while Redis is away is refused.
    let first = frames.next().await;
    assert!(matches!(first, Some(Frame::Verdict(_))), "{first:?}");
    let over = Cell::new(false);
    let watching = async {
        let (mut last, mut measured) = (None, Vec::new());
        while let Some(frame) = frames.next().await {
            let event = match frame {
                Frame::Event(delivered) => delivered.event,
                other => panic!("{other:?}"),
            };
            assert!(last < Some(event.seq()), "{last:?} {event:?}");
            last = Some(event.seq());
            if let Data::Custom(custom) = event.data() {
                measured.push(custom.data.json().to_owned());
            }
        }
        measured
    };
    let working = async {
        let mut n = 0;
        while !over.get() || n < 100 {
            task.emit(Measured { n }).expect("it has not ended");
            task.progress(f64::from(n) / 100.0);
            tokio::time::sleep(Duration::from_millis(5)).await;
            n += 1;
        }
        task.complete(()).expect("it has not ended");
        n
    };
    let troubling = async {
        trouble.await;
        over.set(true);
    };
    let (measured, told, ()) = within("it ends", async {
        tokio::join!(watching, working, troubling)
    })
    .await;
    let expected: Vec<_> = (0..told).map(|n| format!(r#"{{"n":{n}}}"#)).collect();
    assert_eq!(measured, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_connections_are_closed_at_random() {
    let server = RedisServer::start();
    let closing = async {
        for n in 0..100_u64 {
            // Who asks is one of the normal ones, and is spared.
            let sort = if n % 3 == 0 { "normal" } else { "pubsub" };
            let command = format!("CLIENT KILL TYPE {sort}");
            server.ask(&command).expect("it runs");
            tokio::time::sleep(Duration::from_millis(10 + n * 7 % 40)).await;
        }
    };
    all_comes_through(&server, closing).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_redis_forgets_everything() {
    let server = RedisServer::start();
    let flushing = async {
        for n in 0..10_u64 {
            tokio::time::sleep(Duration::from_millis(100 + n * 7 % 40)).await;
            for command in ["FLUSHALL", "SCRIPT FLUSH", "FUNCTION FLUSH"] {
                server.ask(command).expect("it runs");
            }
        }
    };
    all_comes_through(&server, flushing).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_redis_hangs() {
    let server = RedisServer::start();
    let hanging = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.signal("-STOP");
        // Longer than it takes to notice.
        tokio::time::sleep(Duration::from_secs(4)).await;
        server.signal("-CONT");
    };
    all_comes_through(&server, hanging).await;
}

/// Redis keeps nothing on disk: the owner tells it all again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_redis_is_killed() {
    let server = RedisServer::start();
    let killing = async {
        for millis in [100, 500, 3_000] {
            tokio::time::sleep(Duration::from_millis(300)).await;
            server.kill();
            tokio::time::sleep(Duration::from_millis(millis)).await;
            server.restart();
        }
    };
    all_comes_through(&server, killing).await;
}
