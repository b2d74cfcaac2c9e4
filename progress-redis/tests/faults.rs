//! What goes wrong with Redis itself, and every watcher sees all of it once and in order.

mod load;
mod oracle;
mod server;

use std::time::{Duration, Instant};

use progress_core::ProgressTracker;
use tokio::time::sleep;

use self::{
    load::{Scene, node, until, within},
    oracle::Watcher,
    server::RedisServer,
};

const AOF_ALWAYS: &str = "--appendonly yes --appendfsync always";

/// Kills Redis for a time, in the middle of the work.
async fn killed_for(server: &RedisServer, times_ms: &[u64]) {
    for time_ms in times_ms {
        sleep(millis(300)).await;
        server.kill();
        sleep(millis(*time_ms)).await;
        server.restart();
    }
    sleep(millis(300)).await;
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
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
            sleep(millis(10 + n * 7 % 40)).await;
        }
    };
    Scene::on(&server.url()).all_comes_through(closing).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_redis_forgets_everything() {
    let server = RedisServer::start();
    let flushing = async {
        for n in 0..10_u64 {
            sleep(millis(100 + n * 7 % 40)).await;
            for command in ["FLUSHALL", "SCRIPT FLUSH", "FUNCTION FLUSH"] {
                server.ask(command).expect("it runs");
            }
        }
    };
    Scene::on(&server.url()).all_comes_through(flushing).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_redis_hangs_for_three_seconds() {
    hangs_for(millis(3_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_redis_hangs_for_twenty_seconds() {
    hangs_for(millis(20_000)).await;
}

async fn hangs_for(time: Duration) {
    let server = RedisServer::start();
    let hanging = async {
        sleep(millis(200)).await;
        server.signal("-STOP");
        sleep(time).await;
        server.signal("-CONT");
        sleep(millis(300)).await;
    };
    Scene::on(&server.url()).all_comes_through(hanging).await;
}

/// It keeps nothing on disk: the owner tells it all again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_redis_is_killed_for_a_moment() {
    let server = RedisServer::start();
    let killing = killed_for(&server, &[100, 500, 5_000]);
    Scene::on(&server.url()).all_comes_through(killing).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_redis_is_killed_for_fifteen_seconds() {
    let server = RedisServer::start();
    let killing = killed_for(&server, &[15_000]);
    Scene::on(&server.url()).all_comes_through(killing).await;
}

/// What it has written last may be gone; the owner tells that again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_a_redis_is_killed_that_writes_to_disk_each_second() {
    let server = RedisServer::start_with("--appendonly yes --appendfsync everysec");
    let killing = killed_for(&server, &[500, 5_000]);
    Scene::on(&server.url()).all_comes_through(killing).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_a_redis_is_killed_that_writes_all_to_disk() {
    let server = RedisServer::start_with(AOF_ALWAYS);
    let killing = killed_for(&server, &[500, 5_000, 15_000]);
    Scene::on(&server.url()).all_comes_through(killing).await;
}

/// How long after Redis is back a watcher on another node has seen all that was said meanwhile.
async fn right_again(
    server: &RedisServer,
    worker: &ProgressTracker,
    web: &ProgressTracker,
) -> Duration {
    let task = worker.task("t").start_confirmed().await;
    let task = task.expect("the id is free");
    let mut watcher = Watcher::begin(web, "t").await;
    server.kill();
    until("both have noticed", || {
        !worker.is_connected() && !web.is_connected()
    })
    .await;
    sleep(millis(3_000)).await;
    task.stage("a").total(10).set(7);
    task.log(progress_core::Level::Info, "meanwhile");
    let head = task.head();
    server.restart();
    let back = Instant::now();
    within("the watcher has caught up", watcher.up_to(head)).await;
    let time = back.elapsed();
    task.complete(()).expect("it has not ended");
    within("it ends", watcher.until_the_end()).await;
    time
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_are_right_again_soon_after_redis_is_back() {
    for settings in ["", AOF_ALWAYS] {
        let server = RedisServer::start_with(settings);
        let (worker, web) = (node(&server.url()), node(&server.url()));
        let time = right_again(&server, &worker, &web).await;
        println!("{settings:?}: {time:?}");
        // A second and a half is meant; other tests run beside.
        assert!(time < millis(5_000), "{settings:?}: {time:?}");
    }
}

/// Tasks that have started meanwhile are claimed when Redis comes, and told from their beginning.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_begins_without_redis_is_told_when_it_comes() {
    let server = RedisServer::start();
    server.kill();
    let (worker, web) = (node(&server.url()), node(&server.url()));
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let task = worker.task(format!("t-{n}")).start();
            task.expect("no broker is needed for it")
        })
        .collect();
    // Who works beside it is told at once.
    let mut here = Watcher::begin(&worker, "t-0").await;
    tasks[0].log(progress_core::Level::Info, "alone");
    let head = tasks[0].head();
    within("watchers of the same node are told", here.up_to(head)).await;
    server.restart();
    let mut watching = Vec::new();
    for n in 0..20 {
        let name = format!("t-{n}");
        watching.push(within("it is told", Watcher::begin(&web, &name)).await);
    }
    for task in tasks {
        task.complete(()).expect("it has not ended");
    }
    let here = within("it ends", here.until_the_end()).await;
    for (n, watcher) in watching.into_iter().enumerate() {
        let seen = within("it ends", watcher.until_the_end()).await;
        assert_eq!(seen.gaps, 0);
        if n == 0 {
            assert_eq!(seen.snapshot, here.snapshot);
        }
    }
}
