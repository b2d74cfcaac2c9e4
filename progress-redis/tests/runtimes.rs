//! Where a transport may be made and used.

mod server;

use std::time::Duration;

use progress_core::{Frame, ProgressTracker};
use progress_redis::RedisTransport;
use tokio::runtime::{Builder, Runtime};

use self::server::RedisServer;

fn tracker(server: &RedisServer) -> ProgressTracker {
    let transport = RedisTransport::builder(server.url());
    let transport = transport.build().expect("its URL is one");
    ProgressTracker::builder().transport(transport).build()
}

/// A runtime that knows no sockets.
fn timers_alone() -> Runtime {
    let runtime = Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime")
}

async fn is_seen(worker: &ProgressTracker, web: &ProgressTracker) {
    let seen = async {
        let task = worker.task("t").start_confirmed().await;
        let task = task.expect("the id is free");
        let mut frames = web.subscribe("t");
        let first = frames.next().await;
        assert!(matches!(first, Some(Frame::Verdict(_))), "{first:?}");
        task.complete(()).expect("it has not ended");
        while frames.next().await.is_some() {}
    };
    let seen = tokio::time::timeout(Duration::from_secs(20), seen).await;
    seen.expect("it ends");
}

#[test]
fn a_transport_made_outside_of_a_runtime_connects_all_the_same() {
    let server = RedisServer::start();
    let (worker, web) = (tracker(&server), tracker(&server));
    // Its loops run on threads of core's, which know no sockets either.
    let task = worker.task("u").start().expect("the id is free");
    timers_alone().block_on(is_seen(&worker, &web));
    drop(task);
}

#[test]
fn a_transport_stays_on_the_runtime_that_it_was_made_on() {
    let server = RedisServer::start();
    let home = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let (worker, web) = {
        let _entered = home.enter();
        (tracker(&server), tracker(&server))
    };
    timers_alone().block_on(is_seen(&worker, &web));
}
