//! All that goes wrong, at random, for as long as one likes: `SOAK_SECONDS` (120) says how long.
//!
//! Two nodes work, two watch; of each pair one is behind a proxy. Every watcher of every task checks
//! every frame, and the ends are compared. `SOAK_SEED` repeats a choice of faults. In a release build
//! some 5 000 events a second are said, else a fifth of that.

mod load;
mod oracle;
mod proxy;
mod server;

use std::{
    env, fs,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use progress_core::{ProgressTracker, TaskState};
use progress_redis::RedisTransport;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use self::{
    load::{Pace, Played, work},
    oracle::Watcher,
    proxy::{Frozen, Proxy, Weather},
    server::RedisServer,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_of_all_faults_at_random() {
    let lasts = Duration::from_secs(number("SOAK_SECONDS").unwrap_or(120));
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seed = number("SOAK_SEED").unwrap_or_else(|| since.unwrap_or_default().as_secs());
    println!("{lasts:?} of faults, SOAK_SEED={seed}");

    let server = RedisServer::start();
    let worker = Proxy::before(server.port()).await;
    let watching = Proxy::before(server.port()).await;
    let workers = [node(&worker.url()), node(&server.url())];
    let watchers = [node(&watching.url()), node(&server.url())];
    let mut faults = Faults {
        server,
        worker,
        watching,
        dice: seed | 1,
    };

    let (say_over, over) = watch::channel(false);
    let mut slots = JoinSet::new();
    for index in 0..slot_count() {
        let worker = workers[index % workers.len()].clone();
        slots.spawn(slot(index, worker, watchers.clone(), over.clone()));
    }
    let began = Instant::now();
    let mut counts = [0; KINDS as usize];
    let mut long_outage = lasts >= Duration::from_secs(300);
    while began.elapsed() < lasts {
        sleep(faults.millis(300, 2_000)).await;
        if long_outage && began.elapsed() > lasts / 2 {
            // Twice the lease: nobody is dead for all that.
            long_outage = false;
            faults.kill_for(Duration::from_secs(60)).await;
        }
        let kind = faults.below(KINDS);
        counts[kind as usize] += 1;
        faults.happen(kind).await;
    }
    say_over.send_replace(true);
    let mut all = Tally::default();
    let ending = async {
        while let Some(tally) = slots.join_next().await {
            all.add(&tally.expect("every watcher saw what is right"));
        }
    };
    timeout(Duration::from_secs(120), ending)
        .await
        .expect("all ends once nothing goes wrong any more");
    let rate = all.said as f64 / began.elapsed().as_secs_f64();
    println!("{all:?}, {rate:.0} events/s, faults by kind {counts:?}");
    for (name, node) in ["worker", "worker", "web", "web"]
        .iter()
        .zip(workers.iter().chain(&watchers))
    {
        println!("{name}: {:?}", node.stats());
    }
    println!("memory: {} MiB", resident_mib());
    assert_eq!((all.gaps, all.resets), (0, 0));
    assert!(all.tasks > 0);
    for node in &workers {
        let stats = node.stats();
        assert_eq!((stats.superseded, stats.unsent), (0, 0), "{stats:?}");
    }
    // Tasks, logs and queues have bounds; without them it grows by more than that in a minute.
    assert!(resident_mib() < 1_024);
}

/// Works on one task after the other, each watched on all nodes.
async fn slot(
    index: usize,
    worker: ProgressTracker,
    watching: [ProgressTracker; 2],
    mut over: watch::Receiver<bool>,
) -> Tally {
    let mut tally = Tally::default();
    let mut checks = JoinSet::new();
    let mut run = 0;
    while !*over.borrow() {
        let name = format!("soak-{index}-{run}");
        let task = worker.task(&*name).stage("detect", 1.0).start();
        let task = task.expect("no broker is needed for it");
        let here = Watcher::begin(&worker, &name).await.until_the_end();
        let others = watching.clone().map(|node| {
            let name = name.clone();
            tokio::spawn(async move { Watcher::begin(&node, &name).await.until_the_end().await })
        });
        let (say_over, task_over) = watch::channel(false);
        tokio::spawn(work(task, PACE, task_over));
        let here = tokio::spawn(here);
        let life = Duration::from_millis(4_000 + (index as u64 * 7_919 + run * 104_729) % 8_000);
        let _either = timeout(life, over.wait_for(|over| *over)).await;
        say_over.send_replace(true);
        checks.spawn(async move {
            let here = here.await.expect("what it sees is right");
            let state = here.snapshot.as_ref().map(|seen| seen.state);
            assert_eq!(state, Some(TaskState::Completed), "{name}");
            let mut played = Played::default();
            for other in others {
                // The longest outage, and as long again.
                let end = timeout(Duration::from_secs(120), other).await;
                let end = end.unwrap_or_else(|_| panic!("no end of {name}"));
                played.compare(&here, &end.expect("what it sees is right"));
            }
            (here.events, played)
        });
        while let Some(check) = checks.try_join_next() {
            tally.count(check.expect("both have seen the same"));
        }
        run += 1;
    }
    while let Some(check) = checks.join_next().await {
        tally.count(check.expect("both have seen the same"));
    }
    tally
}

/// What was said and seen.
#[derive(Debug, Default)]
struct Tally {
    tasks: u64,
    said: u64,
    seen: u64,
    gaps: u64,
    resets: u64,
}

impl Tally {
    fn count(&mut self, (said, played): (u64, Played)) {
        self.add(&Self {
            tasks: 1,
            said,
            seen: played.events,
            gaps: played.gaps,
            resets: played.resets,
        });
    }

    fn add(&mut self, other: &Self) {
        self.tasks += other.tasks;
        self.said += other.said;
        self.seen += other.seen;
        self.gaps += other.gaps;
        self.resets += other.resets;
    }
}

/// What can go wrong.
struct Faults {
    server: RedisServer,
    worker: Proxy,
    watching: Proxy,
    dice: u64,
}

impl Faults {
    fn below(&mut self, limit: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % limit
    }

    fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.below(most - least))
    }

    fn ask(&self, command: &str) {
        self.server.ask(command).expect("it runs");
    }

    async fn kill_for(&self, time: Duration) {
        self.server.kill();
        sleep(time).await;
        self.server.restart();
    }

    async fn happen(&mut self, kind: u64) {
        let time = self.millis(500, 5_000);
        let is_worker = self.below(2) == 0;
        let (server, proxy) = (
            &self.server,
            if is_worker {
                &self.worker
            } else {
                &self.watching
            },
        );
        match kind {
            0 => self.kill_for(time).await,
            1 => {
                server.signal("-STOP");
                sleep(time).await;
                server.signal("-CONT");
            }
            2 => {
                for sort in ["pubsub", "normal", "pubsub", "pubsub"] {
                    self.ask(&format!("CLIENT KILL TYPE {sort}"));
                    sleep(time / 20).await;
                }
            }
            3 => {
                for command in ["FLUSHALL", "SCRIPT FLUSH", "FUNCTION FLUSH"] {
                    self.ask(command);
                }
            }
            4 => {
                self.ask("CONFIG SET maxmemory 1");
                sleep(time).await;
                self.ask("CONFIG SET maxmemory 0");
            }
            5 => self.ask("DEL pgs:i:list pgs:i:lease pgs:i:ended"),
            6 => {
                proxy.freeze(Frozen::All);
                sleep(time).await;
                proxy.freeze(Frozen::Nothing);
            }
            7 => {
                proxy.freeze(Frozen::Pushes);
                sleep(time).await;
                proxy.freeze(Frozen::Nothing);
            }
            8 => {
                for _ in 0..10 {
                    proxy.cut_one();
                    sleep(time / 20).await;
                }
            }
            9 => {
                proxy.weather(Weather {
                    delay: time / 50,
                    jitter: time / 50,
                    bytes_per_second: Some(1_000_000),
                    ..Weather::default()
                });
                sleep(time).await;
                proxy.weather(Weather::default());
            }
            _ => {
                proxy.weather(Weather {
                    refuses: true,
                    ..Weather::default()
                });
                proxy.reset_all();
                sleep(time).await;
                proxy.weather(Weather::default());
            }
        }
    }
}

fn node(url: &str) -> ProgressTracker {
    let transport = RedisTransport::builder(url).retention(Duration::from_secs(120));
    ProgressTracker::builder()
        .transport(transport.build().expect("its URL is one"))
        // Longer than the longest outage.
        .retention(Duration::from_secs(120))
        .build()
}

fn slot_count() -> usize {
    if cfg!(debug_assertions) { 10 } else { 48 }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// What this process holds of the machine's memory; 0 where nobody says.
fn resident_mib() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").ok();
    let resident = pages.and_then(|pages| pages.split(' ').nth(1)?.parse::<u64>().ok());
    resident.unwrap_or_default() * 4_096 / (1 << 20)
}

/// Faults to choose from.
const KINDS: u64 = 11;
const PACE: Pace = Pace {
    pause: Duration::from_millis(12),
    milestone_every: 20,
    line_every: 6,
    padding: 150,
};
