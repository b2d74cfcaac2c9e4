//! Work on one node that others watch: tasks with stages, State of several keys, log lines and milestones.
#![allow(dead_code, reason = "not every test file needs all of it")]

use std::{borrow::Cow, time::Duration};

use progress_core::{EventPayload, Level, ProgressTracker, Task};
use progress_redis::RedisTransport;
use tokio::{sync::watch, task::JoinSet};

use crate::oracle::{Seen, Watcher};

/// A milestone, numbered from 0 within its task.
#[derive(serde::Serialize)]
pub(crate) struct Measured {
    n: u64,
}

impl Measured {
    pub(crate) const TYPE: &str = <Self as EventPayload>::EVENT_TYPE;

    pub(crate) fn read(json: &str) -> u64 {
        let n = json
            .strip_prefix(r#"{"n":"#)
            .and_then(|n| n.strip_suffix('}'));
        n.and_then(|n| n.parse().ok()).expect("it was written here")
    }
}

impl EventPayload for Measured {
    const EVENT_TYPE: &'static str = "measured";
}

/// State under a few keys.
#[derive(serde::Serialize)]
struct Gauge<'a> {
    #[serde(skip)]
    key: u64,
    n: u64,
    padding: &'a str,
}

impl EventPayload for Gauge<'_> {
    const EVENT_TYPE: &'static str = "gauge";

    fn key(&self) -> Option<Cow<'_, str>> {
        Some(format!("g{}", self.key).into())
    }
}

/// How much is said.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    /// Between two rounds of a task.
    pub(crate) pause: Duration,
    /// Rounds from one milestone to the next, and from one log line to the next.
    pub(crate) milestone_every: u64,
    pub(crate) line_every: u64,
    /// What a State event is filled up with.
    pub(crate) padding: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            pause: Duration::from_millis(10),
            milestone_every: 5,
            line_every: 3,
            padding: 64,
        }
    }
}

/// Works on a task until it is over, and completes it.
pub(crate) async fn work(task: Task, pace: Pace, mut over: watch::Receiver<bool>) {
    let padding = "x".repeat(pace.padding);
    let detect = task.stage("detect").total(1_000_000).unit("frames");
    // State that is said once: who has lost it is not told by the next round.
    let once = Gauge {
        key: 1_000,
        n: 0,
        padding: &padding,
    };
    task.emit(once).expect("it has not ended");
    let mut n = 0;
    while n < LEAST_ROUNDS || !*over.borrow_and_update() {
        detect.inc(1);
        let gauge = Gauge {
            key: n % 5,
            n,
            padding: &padding,
        };
        task.emit(gauge).expect("it has not ended");
        if n % pace.milestone_every == 0 {
            let n = n / pace.milestone_every;
            task.emit(Measured { n }).expect("it has not ended");
        }
        if n % pace.line_every == 0 {
            task.log(Level::Info, format!("step {n}"));
        }
        if n % 100 == 50 {
            task.message(format!("half of {n}"));
            task.stage("render").finish();
        }
        n += 1;
        tokio::time::sleep(pace.pause).await;
    }
    task.complete(n).expect("it has not ended");
}

/// A node that works, and some that watch.
pub(crate) struct Scene {
    pub(crate) worker: ProgressTracker,
    pub(crate) watching: Vec<ProgressTracker>,
    pub(crate) tasks: usize,
    pub(crate) pace: Pace,
}

/// What those who watched other nodes' tasks have seen, all of them together.
#[derive(Debug, Default)]
pub(crate) struct Played {
    pub(crate) events: u64,
    pub(crate) gaps: u64,
    pub(crate) resets: u64,
    /// What was seen where the work was done, by task.
    pub(crate) owners: Vec<Seen>,
}

impl Scene {
    /// A worker and two watching nodes, all on one Redis.
    pub(crate) fn on(url: &str) -> Self {
        Self {
            worker: node(url),
            watching: vec![node(url), node(url)],
            tasks: 4,
            pace: Pace::default(),
        }
    }

    /// Works, is watched, and has something go wrong meanwhile: every watcher sees every task's one
    /// end, and the task then as its owner does.
    pub(crate) async fn play(&self, trouble: impl Future<Output = ()>) -> Played {
        let (say_over, over) = watch::channel(false);
        let mut works = JoinSet::new();
        let mut watched = Vec::new();
        for index in 0..self.tasks {
            let name = format!("task-{index}");
            let task = self.worker.task(&*name).stage("detect", 1.0);
            let task = task.stage("render", 2.0).start_confirmed().await;
            let task = task.expect("the id is free");
            let owner = Watcher::begin(&self.worker, &name).await;
            let mut others = JoinSet::new();
            for node in &self.watching {
                others.spawn(Watcher::begin(node, &name).await.until_the_end());
            }
            watched.push((tokio::spawn(owner.until_the_end()), others));
            works.spawn(work(task, self.pace.clone(), over.clone()));
        }
        trouble.await;
        say_over.send_replace(true);
        let all = async {
            while let Some(work) = works.join_next().await {
                work.expect("nothing fails because Redis is away");
            }
            let mut played = Played::default();
            for (owner, mut others) in watched {
                let owner = owner.await.expect("what it sees is right");
                while let Some(other) = others.join_next().await {
                    played.compare(&owner, &other.expect("what it sees is right"));
                }
                played.owners.push(owner);
            }
            played
        };
        within("all has ended everywhere", all).await
    }

    /// The same, and nobody is told of anything that is missing.
    pub(crate) async fn all_comes_through(&self, trouble: impl Future<Output = ()>) -> Played {
        let played = self.play(trouble).await;
        assert_eq!((played.gaps, played.resets), (0, 0));
        played
    }
}

impl Played {
    pub(crate) fn compare(&mut self, owner: &Seen, other: &Seen) {
        let end = |seen: &Seen| seen.end.as_ref().map(|end| end.position());
        assert_eq!(end(owner), end(other));
        assert_eq!(owner.snapshot, other.snapshot);
        if other.gaps == 0 {
            assert_eq!(owner.measured, other.measured);
        }
        self.events += other.events;
        self.gaps += other.gaps;
        self.resets += other.resets;
    }
}

/// A node on the Redis of a URL.
pub(crate) fn node(url: &str) -> ProgressTracker {
    let transport = RedisTransport::builder(url).build();
    let transport = transport.expect("its URL is one");
    ProgressTracker::builder().transport(transport).build()
}

/// Waits for something, not for ever.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, future).await;
    done.unwrap_or_else(|_| panic!("within {PATIENCE:?}: {what}"))
}

/// Waits until something is so, not for ever.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let looking = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(what, looking).await;
}

/// For what takes a moment on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);
const LEAST_ROUNDS: u64 = 20;
