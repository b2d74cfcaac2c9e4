//! The jobs that wait, and those that somebody is doing: lists in Redis.
//!
//! A worker moves a job from `mb:jobs:<kind>` to a list of its own, `mb:doing:<worker>`, and takes it
//! from there when it is done. So a job is in one of them at any time, whoever dies. A worker says
//! that it lives by a key that expires; the jobs of one that no longer does are put back by the web
//! nodes, to the front of the list of its language: only that one can go on with what it has begun.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{RedisResult, cmd, pipe};
use tokio::time::{Instant, sleep};

use crate::{
    job::{Job, Kind},
    store::Store,
};

/// The queue as all see it.
pub(crate) struct Queue {
    store: Store,
    /// Since when Redis has answered without a break.
    in_sight_since: Mutex<Option<Instant>>,
}

impl Queue {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            in_sight_since: Mutex::default(),
        }
    }

    /// Has a job wait for a worker; tells whether there was room for it, beside [`MOST_WAITING`] or,
    /// if several come at once, a few more.
    ///
    /// # Errors
    ///
    /// If Redis cannot be reached. The job may wait all the same.
    pub(crate) async fn push(&self, job: &Job) -> RedisResult<bool> {
        let list = jobs(job.worker.as_str());
        let waiting: usize = self.store.ask(cmd("LLEN").arg(&list)).await?;
        if waiting >= MOST_WAITING {
            return Ok(false);
        }
        let mut push = cmd("RPUSH");
        push.arg(list)
            .arg(serde_json::to_string(job).unwrap_or_default());
        self.store.ask::<()>(&push).await?;
        Ok(true)
    }

    /// Puts back what workers were doing who are no longer there; gives how many jobs it was.
    ///
    /// # Errors
    ///
    /// If Redis cannot be reached.
    pub(crate) async fn tidy(&self) -> RedisResult<usize> {
        let tidied = self.try_tidy().await;
        if tidied.is_err() {
            *self.since() = None;
        }
        tidied
    }

    async fn try_tidy(&self) -> RedisResult<usize> {
        let workers: Vec<String> = self.store.ask(cmd("SMEMBERS").arg(WORKERS)).await?;
        // After an outage every worker looks dead until it has had the time to say that it is not.
        let in_sight_since = *self.since().get_or_insert_with(Instant::now);
        if in_sight_since.elapsed() < ALIVE_FOR {
            return Ok(0);
        }
        let mut put_back = 0;
        for worker in workers {
            let is_there: bool = self.store.ask(cmd("EXISTS").arg(alive(&worker))).await?;
            if is_there {
                continue;
            }
            while put_back_one(&self.store, &worker).await? {
                put_back += 1;
            }
            let mut gone = cmd("SREM");
            self.store.ask::<()>(gone.arg(WORKERS).arg(&worker)).await?;
        }
        Ok(put_back)
    }

    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        let since = self.in_sight_since.lock();
        since.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The queue as one worker sees it. It does one job at a time.
pub(crate) struct Desk {
    store: Store,
    kind: Kind,
    worker: String,
}

impl Desk {
    /// The worker's name begins with its kind and a hyphen; no two processes have the same.
    pub(crate) fn new(store: Store, kind: Kind, worker: String) -> Self {
        Self {
            store,
            kind,
            worker,
        }
    }

    /// Says again and again that the worker lives.
    pub(crate) async fn stay_alive(&self) {
        loop {
            let mut say = pipe();
            say.atomic()
                .cmd("SET")
                .arg(alive(&self.worker))
                .arg(1)
                .arg("PX")
                .arg(ALIVE_FOR.as_millis() as u64)
                .cmd("SADD")
                .arg(WORKERS)
                .arg(&self.worker);
            // If Redis is away nobody else sees who lives either.
            let _away: RedisResult<()> = self.store.ask_all(&say).await;
            sleep(ALIVE_FOR / 4).await;
        }
    }

    /// Waits for the next job; with it comes its text, by which it is told to be [done](Self::done).
    pub(crate) async fn take(&self) -> (Job, String) {
        loop {
            match self.try_take().await {
                Ok(Some(text)) => match serde_json::from_str(&text) {
                    Ok(job) => return (job, text),
                    Err(error) => {
                        tracing::error!(%error, text, "this is no job");
                        // It would come again and again.
                        self.done(&text).await;
                    }
                },
                // Two lists are looked at, and only one can be waited for.
                Ok(None) => sleep(LOOK_AGAIN).await,
                Err(error) => {
                    tracing::debug!(%error, "no jobs without Redis");
                    sleep(AWAY_FOR).await;
                }
            }
        }
    }

    async fn try_take(&self) -> RedisResult<Option<String>> {
        let doing = doing(&self.worker);
        // One that was taken, and the answer got lost.
        let mine: Option<String> = self.store.ask(cmd("LINDEX").arg(&doing).arg(0)).await?;
        if mine.is_some() {
            return Ok(mine);
        }
        for kind in [self.kind, Kind::Any] {
            let mut take = cmd("LMOVE");
            take.arg(jobs(kind.as_str()))
                .arg(&doing)
                .arg("LEFT")
                .arg("RIGHT");
            let text: Option<String> = self.store.ask(&take).await?;
            if text.is_some() {
                return Ok(text);
            }
        }
        Ok(None)
    }

    /// Says that a job is done, until Redis has heard it. Its text is the one that was taken: whoever
    /// wrote it may order its fields otherwise.
    pub(crate) async fn done(&self, text: &str) {
        let mut remove = cmd("LREM");
        remove.arg(doing(&self.worker)).arg(1).arg(text);
        while self.store.ask::<()>(&remove).await.is_err() {
            sleep(AWAY_FOR).await;
        }
    }

    /// Puts back what the worker was doing; for when it goes.
    ///
    /// # Errors
    ///
    /// If Redis cannot be reached: then the web nodes do it in a while.
    pub(crate) async fn leave(&self) -> RedisResult<()> {
        while put_back_one(&self.store, &self.worker).await? {}
        let mut leave = pipe();
        leave
            .atomic()
            .cmd("SREM")
            .arg(WORKERS)
            .arg(&self.worker)
            .cmd("DEL")
            .arg(alive(&self.worker));
        self.store.ask_all(&leave).await
    }
}

async fn put_back_one(store: &Store, worker: &str) -> RedisResult<bool> {
    let kind = worker.split('-').next().unwrap_or_default();
    let mut put_back = cmd("LMOVE");
    put_back
        .arg(doing(worker))
        .arg(jobs(kind))
        .arg("LEFT")
        .arg("LEFT");
    let text: Option<String> = store.ask(&put_back).await?;
    Ok(text.is_some())
}

fn jobs(kind: &str) -> String {
    format!("mb:jobs:{kind}")
}

fn doing(worker: &str) -> String {
    format!("mb:doing:{worker}")
}

fn alive(worker: &str) -> String {
    format!("mb:alive:{worker}")
}

/// Jobs that wait for workers of one kind.
pub(crate) const MOST_WAITING: usize = 1_000;
const WORKERS: &str = "mb:workers";
/// How long a worker counts as alive after it said so.
const ALIVE_FOR: Duration = Duration::from_secs(4);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const AWAY_FOR: Duration = Duration::from_millis(200);
