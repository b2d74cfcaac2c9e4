//! A Redis without memory, and one that makes room by dropping what it holds.

mod dropping;
mod load;
mod oracle;
mod server;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use progress_core::{
    Epoch, ProgressTracker, TaskId, TaskState,
    transport::{Claim, NodeId, Transport},
};
use progress_redis::RedisTransport;
use tokio::{task::JoinSet, time::sleep};

use self::{
    dropping::Dropping,
    load::{Pace, Scene, node, until, within},
    oracle::{Watcher, timeless},
    server::RedisServer,
};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Has somebody else write so many kilobytes.
fn fill(server: &RedisServer, from: u64, kilobytes: u64) -> String {
    let script =
        "for i=ARGV[1],ARGV[2] do redis.call('SET','foreign:'..i,string.rep('x',1000)) end";
    let to = from + kilobytes - 1;
    let command = format!("EVAL \"{script}\" 0 {from} {to}");
    server.ask(&command).expect("it runs")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_goes_on_without_memory_and_all_is_told_when_there_is_room() {
    let server = RedisServer::start_with("--maxmemory 20mb --maxmemory-policy noeviction");
    let filling = async {
        let mut from = 0;
        while !fill(&server, from, 1_000).starts_with("-OOM") {
            from += 1_000;
        }
        // Not just as much as there is.
        server.ask("CONFIG SET maxmemory 15mb").expect("it runs");
        sleep(millis(2_000)).await;
        let refused = server.ask("SET foreign x").expect("it runs");
        assert!(refused.starts_with("-OOM"), "{refused}");
        server.ask("CONFIG SET maxmemory 0").expect("it runs");
        sleep(millis(300)).await;
    };
    Scene::on(&server.url()).all_comes_through(filling).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_redis_drops_what_was_used_least() {
    drops("allkeys-lru").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_redis_drops_anything() {
    drops("allkeys-random").await;
}

/// What others write has Redis make room, of ours too.
async fn drops(policy: &str) {
    let settings = format!("--maxmemory 20mb --maxmemory-policy {policy}");
    let server = RedisServer::start_with(&settings);
    let pressing = async {
        for n in 0..150 {
            fill(&server, n * 400, 400);
            sleep(millis(20)).await;
        }
        assert!(server.count("evicted_keys") > 10_000);
        server.ask("CONFIG SET maxmemory 0").expect("it runs");
    };
    let scene = Scene {
        tasks: 30,
        pace: Pace {
            pause: millis(50),
            ..Pace::default()
        },
        ..Scene::on(&server.url())
    };
    scene.all_comes_through(pressing).await;
}

/// The keys of a task and of the indices, one after the other; and somebody begins to watch after each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_dropped_of_a_task_late_watchers_see_it_whole() {
    let server = RedisServer::start();
    let scene = Scene::on(&server.url());
    let late = node(&server.url());
    let mut watching = JoinSet::new();
    let dropping = async {
        let run = run_of(&server, "task-0");
        for part in [":s", ":l", ":v", "m"] {
            let key = match part {
                "m" => "pgs:t:{task-0}:m".to_owned(),
                part => format!("{run}{part}"),
            };
            sleep(millis(200)).await;
            assert_eq!(
                server.ask(&format!("DEL {key}")).expect("it runs"),
                ":1\r\n"
            );
            // A task that is told again is not known for a moment.
            let begun = Watcher::begin(&late, "task-0");
            let watcher = within("it is told again", begun).await;
            watching.spawn(watcher.until_the_end());
            let fresh = node(&server.url());
            let watcher = within("it is told again", Watcher::begin(&fresh, "task-0")).await;
            watching.spawn(watcher.until_the_end());
        }
    };
    let mut played = scene.all_comes_through(dropping).await;
    let owner = played.owners.remove(0);
    while let Some(seen) = within("it ends", watching.join_next()).await {
        played.compare(&owner, &seen.expect("what it sees is right"));
    }
    assert_eq!((played.gaps, played.resets), (0, 0));
}

/// Finds the keys of a task's run.
fn run_of(server: &RedisServer, task: &str) -> String {
    let keys = server.ask(&format!("KEYS pgs:t:{{{task}}}:*:s"));
    let keys = keys.expect("it runs");
    let key = keys.lines().nth(2).expect("it is there");
    key.trim_end_matches(":s").to_owned()
}

/// Its owner has nothing more to say for now, and would not learn of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_at_rest_is_told_again_when_somebody_looks() {
    let server = RedisServer::start();
    let worker = node(&server.url());
    let task = worker.task("t").stage("a", 1.0).start_confirmed().await;
    let task = task.expect("the id is free");
    task.stage("a").total(10).set(7);
    task.message("at rest");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    until("all is in the log", || {
        task.snapshot().message.as_deref() == Some("at rest") && task.snapshot().progress > 0.0
    })
    .await;
    worker.flush(deadline).await.expect("it is there");
    let run = run_of(&server, "t");
    for part in [":s", ":l", ":v"] {
        assert_eq!(
            server.ask(&format!("DEL {run}{part}")).expect("it runs"),
            ":1\r\n"
        );
        let web = node(&server.url());
        let mut frames = web.subscribe("t");
        let known = async {
            while frames
                .snapshot()
                .is_none_or(|seen| seen.seq < task.head().seq())
            {
                frames.next().await.expect("it has not ended");
            }
        };
        within("it is told again", known).await;
        let seen = frames.snapshot().map(timeless);
        assert_eq!(seen, Some(timeless(task.snapshot())), "{part}");
    }
}

/// Nobody looks, and nothing is said: the owner finds out when it renews its lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indices_and_tasks_that_were_dropped_are_made_anew_by_renewals() {
    let server = RedisServer::start();
    let transport = RedisTransport::builder(server.url()).build();
    let worker = ProgressTracker::builder()
        .transport(transport.expect("its URL is one"))
        .lease(millis(600))
        .build();
    let tasks: Vec<_> = ["a", "b", "c"]
        .map(|id| worker.task(id).start().expect("the id is free"))
        .into();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    worker.flush(deadline).await.expect("it is there");
    let own = format!("pgs:i:own:{}", worker.node());
    let meta = "pgs:t:{b}:m";
    let counts = || {
        let commands = [
            format!("SCARD {own}"),
            "ZCARD pgs:i:list".to_owned(),
            "ZCARD pgs:i:lease".to_owned(),
            format!("EXISTS {meta}"),
        ];
        commands.map(|command| server.ask(&command).expect("it runs"))
    };
    let whole = [":3\r\n", ":3\r\n", ":1\r\n", ":1\r\n"];
    assert_eq!(counts(), whole);
    for key in [&*own, "pgs:i:list", "pgs:i:lease", meta] {
        assert_eq!(
            server.ask(&format!("DEL {key}")).expect("it runs"),
            ":1\r\n"
        );
        until("it is there again", || counts() == whole).await;
    }
    drop(tasks);
}

/// Of a node that is dead nobody renews anything: the others find its tasks in the list.
#[tokio::test]
async fn a_dead_nodes_tasks_are_found_though_the_indices_were_dropped() {
    let server = RedisServer::start();
    let transport = RedisTransport::builder(server.url()).build();
    let transport = transport.expect("its URL is one");
    let task: TaskId = "t".parse().expect("an id");
    let claim = Claim::Start {
        node: NodeId::new("dead"),
        channels: Vec::new(),
    };
    let claimed = transport.claim(&task, Epoch::new(100), claim).await;
    assert_eq!(claimed, Ok(Epoch::new(100)));
    server
        .ask("DEL pgs:i:lease pgs:i:own:dead")
        .expect("it runs");
    // Nor does what is nothing any more stay listed.
    server.ask("ZADD pgs:i:list 1 nothing").expect("it runs");
    assert_eq!(transport.expired(8).await.expect("it is there"), []);
    let listed = server.ask("ZCARD pgs:i:list").expect("it runs");
    assert_eq!(listed, ":1\r\n");
    let own = server.ask("SISMEMBER pgs:i:own:dead t").expect("it runs");
    assert_eq!(own, ":1\r\n");
    // Once more than the longest lease has gone by.
    let over = server.ask("ZADD pgs:i:lease XX 1 dead");
    assert_eq!(over.expect("it runs"), ":0\r\n");
    let expired = transport.expired(8).await.expect("it is there");
    assert_eq!(expired.len(), 1);
    assert_eq!(
        (&expired[0].task, expired[0].epoch),
        (&task, Epoch::new(100))
    );
}

/// Who ends a dead node's task has claimed that, and what Redis made of it is gone before the end is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_nodes_task_ends_though_the_run_of_its_end_was_dropped() {
    let server = Arc::new(RedisServer::start());
    let connect = || {
        let transport = RedisTransport::builder(server.url()).build();
        transport.expect("its URL is one")
    };
    let task: TaskId = "t".parse().expect("an id");
    let dead = connect();
    let claim = Claim::Start {
        node: NodeId::new("dead"),
        channels: Vec::new(),
    };
    let claimed = dead.claim(&task, Epoch::new(100), claim).await;
    assert_eq!(claimed, Ok(Epoch::new(100)));
    let renewed = dead.renew(&NodeId::new("dead"), millis(1)).await;
    renewed.expect("it is there");
    let has_dropped = Arc::new(AtomicBool::new(false));
    let web = ProgressTracker::builder()
        .transport(Dropping {
            inner: connect(),
            server: Arc::clone(&server),
            has_dropped: Arc::clone(&has_dropped),
        })
        .lease(millis(600))
        .build();
    let watcher = Watcher::begin(&web, "t").await;
    let seen = within("somebody ends it", watcher.until_the_end()).await;
    assert_eq!(
        seen.snapshot.map(|seen| seen.state),
        Some(TaskState::Abandoned)
    );
    assert!(has_dropped.load(std::sync::atomic::Ordering::Acquire));
}
