//! Owners that are cut off, killed or doubled, and watchers that go elsewhere.

mod load;
mod oracle;
mod proxy;
mod server;

use std::{
    env,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use progress_core::{
    Data, Epoch, Event, Frame, Position, ProgressTracker, PublishError, Seq, Status, TaskState,
    Timestamp,
    transport::{Claim, NodeId, Transport},
};
use progress_redis::RedisTransport;
use tokio::{sync::watch, time::sleep};

use self::{
    load::{Pace, Scene, node, until, within, work},
    oracle::Watcher,
    proxy::{Frozen, Proxy},
    server::RedisServer,
};

const LEASE: Duration = Duration::from_millis(1_500);

/// A node whose tasks are ended soon after it is gone.
fn short_lived(url: &str) -> ProgressTracker {
    let transport = RedisTransport::builder(url)
        .answer_timeout(Duration::from_millis(500))
        .probe_every(Duration::from_millis(200))
        .build();
    ProgressTracker::builder()
        .transport(transport.expect("its URL is one"))
        .lease(LEASE)
        .build()
}

#[track_caller]
fn assert_abandoned(end: Option<&Arc<Event>>) {
    let end = end.expect("it has ended");
    let Data::Complete(complete) = end.data() else {
        panic!("{end:?}");
    };
    assert_eq!(complete.status, Status::Abandoned);
    assert_eq!(complete.cause.as_deref(), Some("lease_expired"));
    assert_eq!(end.seq().get(), 1);
}

/// Its node was cut off, another has ended its tasks, and then it comes back and goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_owner_that_comes_back_changes_nothing_for_anybody() {
    let server = RedisServer::start();
    let proxy = Proxy::before(server.port()).await;
    let (stale, web) = (short_lived(&proxy.url()), short_lived(&server.url()));
    let start = async |id| {
        let task = stale.task(id).start_confirmed().await;
        let task = task.expect("the id is free");
        let here = Watcher::begin(&stale, id).await;
        let there = Watcher::begin(&web, id).await;
        (task, here, there)
    };
    let (goes_on, goes_on_here, goes_on_there) = start("goes-on").await;
    let (ends, ends_here, ends_there) = start("ends").await;

    proxy.freeze(Frozen::All);
    // As far as it knows all is well: it says State, a milestone, and of one task the end.
    for task in [&goes_on, &ends] {
        task.progress(20.0);
        task.pause("for a while");
    }
    ends.complete("late").expect("it has not ended");
    // Who has read that end before it was refused has read to the end.
    let own_end = within("it has ended here", ends_here.until_the_end()).await;
    assert_eq!(
        own_end.snapshot.map(|seen| seen.state),
        Some(TaskState::Completed)
    );
    let goes_on_there = within("another ends it", goes_on_there.until_the_end()).await;
    let ends_there = within("another ends it", ends_there.until_the_end()).await;
    proxy.freeze(Frozen::Nothing);

    let goes_on_here = within("its watcher is told", goes_on_here.until_the_end()).await;
    let (here, there) = (goes_on_here, &goes_on_there);
    assert_eq!((here.resets, there.resets, ends_there.resets), (1, 1, 1));
    assert_eq!((&here.end, &here.snapshot), (&there.end, &there.snapshot));
    assert_abandoned(there.end.as_ref());
    assert_abandoned(ends_there.end.as_ref());
    // The work is told as well, and it is counted.
    within("it is to stop", goes_on.cancelled()).await;
    let refused = goes_on.complete(()).expect_err("another run counts");
    assert_eq!(*refused.reason(), PublishError::Superseded);
    until("both are counted", || stale.stats().superseded == 2).await;
    // Who comes later sees that end, and nothing else.
    for node in [&web, &stale, &node(&server.url())] {
        let watcher = within("it is known", Watcher::begin(node, "ends")).await;
        let seen = within("it has ended", watcher.until_the_end()).await;
        assert_eq!((&seen.end, seen.events), (&ends_there.end, 1));
        assert_eq!(seen.snapshot, ends_there.snapshot);
    }
}

/// Its run is over, but nobody has heard of the next: what it says is taken for news until they look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_fenced_owner_says_is_shown_for_a_moment_at_most() {
    let server = RedisServer::start();
    let (worker, web) = (node(&server.url()), node(&server.url()));
    let task = worker.task("t").start_confirmed().await;
    let task = task.expect("the id is free");
    let of = task.head().epoch();
    let mut watcher = Watcher::begin(&web, "t").await;
    within("it is told", watcher.up_to(task.head())).await;
    // Another ends it, and says so only later.
    let other = RedisTransport::builder(server.url()).build();
    let other = other.expect("its URL is one");
    let over = format!("ZADD pgs:i:lease XX 1 {}", worker.node());
    assert_eq!(server.ask(&over).expect("it runs"), ":0\r\n");
    let claim = Claim::End {
        node: NodeId::new("other"),
        of,
    };
    let next = Epoch::new(of.generation() + 1);
    let claimed = other.claim(task.id(), next, claim).await;
    assert_eq!(claimed, Ok(next));

    task.pause("it thinks that it can");
    task.progress(50.0);
    let reset = async { while !matches!(watcher.next().await, Some(Frame::Reset(_))) {} };
    // Far sooner than the look that is taken every half minute.
    let soon = tokio::time::timeout(Duration::from_secs(10), reset);
    soon.await.expect("the watcher is told");
    let late = within("it is known", Watcher::begin(&node(&server.url()), "t")).await;
    let end = Data::Complete(Box::new(abandoned()));
    let position = Position::new(next, Seq::new(1));
    let end = Event::numbered(
        task.id().clone(),
        position,
        Seq::ZERO,
        Timestamp::now(),
        end,
    );
    assert_eq!(other.append(vec![Arc::new(end)]).await, [Ok(())]);
    let seen = within("it ends", watcher.until_the_end()).await;
    assert_abandoned(seen.end.as_ref());
    let late = within("it ends", late.until_the_end()).await;
    assert_eq!((late.end, late.snapshot), (seen.end, seen.snapshot));
}

fn abandoned() -> progress_core::Complete {
    let json = r#"{"status":"abandoned","cause":"lease_expired","progress":0.0,"duration_ms":0}"#;
    serde_json::from_str(json).expect("it is one")
}

/// Runs this test once more as a process of its own, which works until it is killed.
fn run_owner(test: &str, server: &RedisServer) -> Child {
    let this = env::current_exe().expect("it runs");
    let mut owner = Command::new(this);
    owner.args([test, "--exact", "--nocapture"]);
    owner.env(OWNER_OF, server.url());
    owner.stdin(Stdio::null()).stdout(Stdio::null());
    owner.spawn().expect("it can be run once more")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_on_three_nodes_see_one_end_of_an_owner_that_was_killed() {
    if let Ok(url) = env::var(OWNER_OF) {
        let worker = short_lived(&url);
        let task = worker.task("t").start_confirmed().await;
        let (_never, over) = watch::channel(false);
        return work(task.expect("the id is free"), Pace::default(), over).await;
    }
    let server = RedisServer::start();
    let nodes = [(); 3].map(|()| short_lived(&server.url()));
    let mut owner = run_owner(
        "watchers_on_three_nodes_see_one_end_of_an_owner_that_was_killed",
        &server,
    );
    let mut watchers = Vec::new();
    for node in &nodes {
        let mut watcher = Watcher::begin(node, "t").await;
        within("it works", watcher.until_measured(5)).await;
        watchers.push(watcher);
    }
    owner.kill().expect("it is a child of this process");
    owner.wait().expect("it was killed");
    let mut ends = Vec::new();
    for watcher in watchers {
        let seen = within("somebody ends it", watcher.until_the_end()).await;
        assert_eq!((seen.gaps, seen.resets), (0, 1));
        assert_abandoned(seen.end.as_ref());
        ends.push((seen.end, seen.snapshot));
    }
    assert_eq!(ends[0], ends[1]);
    assert_eq!(ends[0], ends[2]);
}

/// Set for the process that works.
const OWNER_OF: &str = "PROGRESS_TEST_OWNER_OF";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_goes_from_node_to_node_and_misses_nothing() {
    let server = RedisServer::start();
    let worker = node(&server.url());
    let task = worker.task("t").start_confirmed().await;
    let (say_over, over) = watch::channel(false);
    let working = tokio::spawn(work(task.expect("the id is free"), Pace::default(), over));
    let mut at = node(&server.url());
    let mut client = Watcher::begin(&at, "t").await;
    for n in 1..=5 {
        within("it works", client.until_measured(4 * n)).await;
        // The node it was on is gone.
        let next = node(&server.url());
        client = within("it goes on elsewhere", client.go_to(&next)).await;
        drop(std::mem::replace(&mut at, next));
    }
    say_over.send_replace(true);
    within("the work ends", working).await.expect("it works");
    let seen = within("it ends", client.until_the_end()).await;
    assert_eq!((seen.gaps, seen.resets), (0, 0));
    let here = Watcher::begin(&worker, "t").await.until_the_end().await;
    assert_eq!(seen.measured, here.measured);
    assert_eq!((seen.end, seen.snapshot), (here.end, here.snapshot));
}

/// Everybody is there but Redis: nobody is dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_abandoned_when_redis_was_away_for_longer_than_the_lease() {
    for settings in ["", "--appendonly yes --appendfsync always"] {
        let server = RedisServer::start_with(settings);
        let url = server.url();
        let scene = Scene {
            worker: short_lived(&url),
            watching: vec![short_lived(&url), short_lived(&url)],
            tasks: 3,
            pace: Pace::default(),
        };
        let away = async {
            sleep(LEASE).await;
            server.kill();
            sleep(2 * LEASE).await;
            server.restart();
            // Whoever would be taken for dead would be ended by then.
            sleep(2 * LEASE).await;
        };
        let played = scene.all_comes_through(away).await;
        for owner in played.owners {
            let end = owner.snapshot.expect("it has ended");
            assert_eq!(end.state, TaskState::Completed);
        }
    }
}
