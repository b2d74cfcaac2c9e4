//! What goes wrong between nodes and Redis: slow, narrow, silent and broken connections.

mod load;
mod oracle;
mod proxy;
mod server;

use std::time::{Duration, Instant};

use progress_core::{Level, ProgressTracker};
use progress_redis::RedisTransport;
use tokio::time::sleep;

use self::{
    load::{Pace, Scene, node, until, within},
    oracle::Watcher,
    proxy::{Frozen, Proxy, Weather},
    server::RedisServer,
};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A worker and a watching node behind proxies of their own, and one that watches without.
async fn scene(server: &RedisServer) -> (Scene, Proxy, Proxy) {
    let worker = Proxy::before(server.port()).await;
    let watching = Proxy::before(server.port()).await;
    let scene = Scene {
        worker: node(&worker.url()),
        watching: vec![node(&watching.url()), node(&server.url())],
        tasks: 4,
        pace: Pace::default(),
    };
    (scene, worker, watching)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_on_a_slow_and_narrow_network() {
    let server = RedisServer::start();
    let (scene, worker, watching) = scene(&server).await;
    let slow = async {
        for (delay, jitter) in [(20, 0), (5, 30), (200, 50)] {
            let weather = Weather {
                delay: millis(delay),
                jitter: millis(jitter),
                bytes_per_second: Some(1_000_000),
                ..Weather::default()
            };
            worker.weather(weather);
            watching.weather(weather);
            sleep(millis(1_500)).await;
        }
        worker.weather(Weather::default());
        watching.weather(Weather::default());
    };
    scene.all_comes_through(slow).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_connections_are_reset_inside_messages() {
    let server = RedisServer::start();
    let (scene, worker, watching) = scene(&server).await;
    let resetting = async {
        for n in 0..50_u64 {
            let proxy = if n % 2 == 0 { &worker } else { &watching };
            proxy.cut_one();
            until("a message was cut", || proxy.has_cut()).await;
            sleep(millis(n * 7 % 60)).await;
        }
    };
    scene.all_comes_through(resetting).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_connections_are_refused() {
    let server = RedisServer::start();
    let (scene, worker, watching) = scene(&server).await;
    let refusing = async {
        for proxy in [&worker, &watching] {
            proxy.weather(Weather {
                refuses: true,
                ..Weather::default()
            });
            proxy.reset_all();
            sleep(millis(1_500)).await;
            proxy.weather(Weather::default());
        }
    };
    scene.all_comes_through(refusing).await;
}

/// Nothing is forwarded, and nobody is told that the connection is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_half_open_is_noticed_and_nothing_is_lost() {
    let server = RedisServer::start();
    let (scene, worker, watching) = scene(&server).await;
    let (working, web) = (scene.worker.clone(), scene.watching[0].clone());
    let freezing = async {
        for (proxy, node) in [(&worker, &working), (&watching, &web)] {
            sleep(millis(500)).await;
            let frozen = Instant::now();
            proxy.freeze(Frozen::All);
            until("it is noticed", || !node.is_connected()).await;
            let noticed = frozen.elapsed();
            println!("half-open, noticed after {noticed:?}");
            // Three seconds are meant; other tests run beside.
            assert!(noticed < millis(6_000), "{noticed:?}");
            proxy.freeze(Frozen::Nothing);
            until("it is back", || node.is_connected()).await;
        }
    };
    scene.all_comes_through(freezing).await;
}

/// What is published to it waits in Redis, which does not let that grow and closes the connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_so_slow_that_redis_drops_it_reads_what_it_missed() {
    let server = RedisServer::start();
    let limit = "CONFIG SET client-output-buffer-limit \"pubsub 65536 0 0\"";
    assert_eq!(server.ask(limit).expect("it runs"), "+OK\r\n");
    let proxy = Proxy::before(server.port()).await;
    // It does not notice by itself as soon as that.
    let transport = RedisTransport::builder(proxy.url())
        .probe_every(millis(20_000))
        .build();
    let transport = transport.expect("its URL is one");
    let slow = ProgressTracker::builder().transport(transport).build();
    let scene = Scene {
        worker: node(&server.url()),
        watching: vec![slow, node(&server.url())],
        tasks: 4,
        pace: Pace {
            padding: 16_000,
            ..Pace::default()
        },
    };
    let stalling = async {
        for _ in 0..2 {
            let before = subscribers(&server);
            assert!(before >= 3, "each node has one");
            proxy.freeze(Frozen::Pushes);
            until("Redis drops it", || subscribers(&server) < before).await;
            proxy.freeze(Frozen::Nothing);
            until("it is back", || subscribers(&server) == before).await;
        }
    };
    scene.all_comes_through(stalling).await;
}

fn subscribers(server: &RedisServer) -> usize {
    let clients = server.ask("CLIENT LIST TYPE pubsub").expect("it runs");
    clients.matches("id=").count()
}

/// It hears nothing more, though it can still ask.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_to_which_nothing_is_published_any_more_is_right_again() {
    let server = RedisServer::start();
    let proxy = Proxy::before(server.port()).await;
    let (worker, web) = (node(&server.url()), node(&proxy.url()));
    let task = worker.task("t").start_confirmed().await;
    let task = task.expect("the id is free");
    let mut watcher = Watcher::begin(&web, "t").await;
    proxy.freeze(Frozen::Pushes);
    for n in 0..600_u32 {
        task.log(Level::Info, format!("line {n}"));
        task.progress(f64::from(n) / 10.0);
    }
    let head = task.head();
    until("the node has noticed", || !web.is_connected()).await;
    proxy.freeze(Frozen::Nothing);
    within("it catches up", watcher.up_to(head)).await;
    task.complete(()).expect("it has not ended");
    let seen = within("it ends", watcher.until_the_end()).await;
    assert_eq!((seen.gaps, seen.resets), (0, 0));
}
