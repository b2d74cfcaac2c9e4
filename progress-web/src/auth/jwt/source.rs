//! Keys that are kept elsewhere, and change there.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::{
    runtime::Handle,
    task::AbortHandle,
    time::{Instant, timeout},
};

use super::key::Key;

/// Gets keys from where they are.
#[async_trait]
pub(super) trait Fetch: Send + Sync + fmt::Debug + 'static {
    /// Gets them. An error's text goes to the log: it holds nothing of what was read.
    async fn fetch(&self) -> Result<Vec<Key>, String>;
}

/// How often a source is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// For how long keys count as those that are there now. In the last fifth of it new ones are
    /// fetched while these are used.
    pub(super) fresh: Duration,
    /// For how long they are used while no new ones can be had.
    pub(super) kept: Duration,
    /// The least time from one fetch to another that only an unknown key asks for: made-up ids must
    /// cost nobody anything.
    pub(super) every: Duration,
    /// The least time from one fetch to another if the first has failed.
    pub(super) retry: Duration,
}

/// Keys that are kept elsewhere: fetched when somebody needs them, by one at a time.
#[derive(Debug)]
pub(super) struct Source {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    fetch: Box<dyn Fetch>,
    pace: Pace,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// When the last fetch began.
    began: Option<Instant>,
    /// When the last fetch ended, if it failed.
    failed: Option<Instant>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Held {
    keys: Arc<[Key]>,
    since: Instant,
}

/// A fetch that goes on whoever waits for it.
#[derive(Debug)]
struct Running {
    task: AbortHandle,
    ended: Ended,
}

type Ended = Shared<BoxFuture<'static, ()>>;

/// No keys can be had now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unavailable;

impl Source {
    pub(super) fn new(fetch: impl Fetch, pace: Pace) -> Self {
        Self {
            inner: Arc::new(Inner {
                fetch: Box::new(fetch),
                pace,
                state: Mutex::default(),
            }),
        }
    }

    /// The same, with keys to begin with.
    pub(super) fn with(keys: Vec<Key>, fetch: impl Fetch, pace: Pace) -> Self {
        let source = Self::new(fetch, pace);
        source.inner.state().held = Some(Held {
            keys: keys.into(),
            since: Instant::now(),
        });
        source
    }

    /// Returns the keys if they are fresh.
    pub(super) fn fresh(&self) -> Option<Arc<[Key]>> {
        let pace = self.inner.pace;
        let now = Instant::now();
        let mut state = self.inner.state();
        let age = state.age(now).filter(|age| *age < pace.fresh)?;
        if age >= pace.fresh * 4 / 5 {
            self.retry(&mut state, now);
        }
        state.usable(now, pace.kept).ok()
    }

    /// Returns the keys, fetched anew if they are not fresh.
    ///
    /// # Cancel safety
    ///
    /// A fetch that was begun goes on for whoever comes next.
    pub(super) async fn keys(&self) -> Result<Arc<[Key]>, Unavailable> {
        if let Some(keys) = self.fresh() {
            return Ok(keys);
        }
        let fetch = self.retry(&mut self.inner.state(), Instant::now());
        if let Some(fetch) = fetch {
            fetch.await;
        }
        self.inner
            .state()
            .usable(Instant::now(), self.inner.pace.kept)
    }

    /// Returns keys other than those seen, because one that was looked for was not among these;
    /// `None` if it is too early to fetch again, or there are none.
    ///
    /// # Cancel safety
    ///
    /// As of [`Source::keys`].
    pub(super) async fn newer(&self, seen: Option<&Arc<[Key]>>) -> Option<Arc<[Key]>> {
        let pace = self.inner.pace;
        let fetch = {
            let mut state = self.inner.state();
            let now = Instant::now();
            let is_early = is_within(state.began, now, pace.every);
            self.start(&mut state, now, is_early)
        };
        if let Some(fetch) = fetch {
            fetch.await;
        }
        let keys = self.inner.state().usable(Instant::now(), pace.kept).ok()?;
        let is_new = seen.is_none_or(|seen| !Arc::ptr_eq(seen, &keys));
        is_new.then_some(keys)
    }

    /// Tells whether the keys could not be had when they were last fetched: there may be others.
    pub(super) fn is_failing(&self) -> bool {
        self.inner.state().failed.is_some()
    }

    /// Joins or begins a fetch, unless one has just failed.
    fn retry(&self, state: &mut State, now: Instant) -> Option<Ended> {
        let is_early = is_within(state.failed, now, self.inner.pace.retry);
        self.start(state, now, is_early)
    }

    /// Joins the fetch that is under way, or begins one unless it is too early.
    fn start(&self, state: &mut State, now: Instant, is_early: bool) -> Option<Ended> {
        if let Some(running) = &state.running
            && !running.task.is_finished()
        {
            return Some(running.ended.clone());
        }
        if is_early {
            return None;
        }
        let runtime = Handle::try_current().ok()?;
        state.began = Some(now);
        let inner = Arc::clone(&self.inner);
        let task = runtime.spawn(async move { inner.fetch(now).await });
        let running = Running {
            task: task.abort_handle(),
            ended: task.map(drop).boxed().shared(),
        };
        let ended = running.ended.clone();
        state.running = Some(running);
        Some(ended)
    }
}

impl Inner {
    async fn fetch(&self, began: Instant) {
        let fetched = match timeout(LONGEST_FETCH, self.fetch.fetch()).await {
            Ok(fetched) => fetched,
            Err(_) => Err("it took too long".to_owned()),
        };
        match fetched {
            Ok(keys) => {
                tracing::debug!(keys = keys.len(), source = ?self.fetch, "keys of tokens fetched");
                let held = Held {
                    keys: keys.into(),
                    since: began,
                };
                let mut state = self.state();
                state.held = Some(held);
                state.failed = None;
            }
            Err(error) => {
                tracing::warn!(error, source = ?self.fetch, "keys of tokens cannot be fetched");
                self.state().failed = Some(Instant::now());
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn age(&self, now: Instant) -> Option<Duration> {
        let held = self.held.as_ref()?;
        Some(now.saturating_duration_since(held.since))
    }

    fn usable(&self, now: Instant, kept: Duration) -> Result<Arc<[Key]>, Unavailable> {
        match &self.held {
            Some(held) if now.saturating_duration_since(held.since) < kept => {
                Ok(Arc::clone(&held.keys))
            }
            _ => Err(Unavailable),
        }
    }
}

fn is_within(since: Option<Instant>, now: Instant, time: Duration) -> bool {
    since.is_some_and(|since| now.saturating_duration_since(since) < time)
}

/// The longest that a fetch may take, and thereby a request that waits for it.
const LONGEST_FETCH: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::time::{advance, sleep};

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Elsewhere {
        asked: Arc<AtomicUsize>,
        is_away: Arc<AtomicBool>,
        is_stuck: Arc<AtomicBool>,
    }

    #[async_trait]
    impl Fetch for Elsewhere {
        async fn fetch(&self) -> Result<Vec<Key>, String> {
            let n = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
            sleep(secs(1)).await;
            if self.is_stuck.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            if self.is_away.load(Ordering::Relaxed) {
                return Err("it is away".into());
            }
            let key = Key::hs256([0; 32]).map_err(|error| error.to_string())?;
            Ok(vec![key.kid(n.to_string())])
        }
    }

    impl Elsewhere {
        fn source(&self) -> Source {
            let pace = Pace {
                fresh: secs(300),
                kept: secs(3_600),
                every: secs(30),
                retry: secs(5),
            };
            Source::new(self.clone(), pace)
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::Relaxed)
        }
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// Which fetch the keys are of.
    fn of(keys: &[Key]) -> &str {
        keys[0].id().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_need_keys_at_once_cause_one_fetch() {
        let there = Elsewhere::default();
        let source = there.source();
        let found = join_all((0..100).map(|_| source.keys())).await;
        assert!(found.iter().all(|keys| of(keys.as_ref().unwrap()) == "1"));
        assert_eq!(there.asked(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_renewed_in_the_background_before_they_are_stale() {
        let there = Elsewhere::default();
        let source = there.source();
        source.keys().await.unwrap();
        advance(secs(200)).await;
        assert_eq!(of(&source.keys().await.unwrap()), "1");
        assert_eq!(there.asked(), 1);
        advance(secs(50)).await;
        let began = Instant::now();
        assert_eq!(of(&source.keys().await.unwrap()), "1");
        assert_eq!(began.elapsed(), secs(0));
        sleep(secs(2)).await;
        assert_eq!(of(&source.keys().await.unwrap()), "2");
        assert_eq!(there.asked(), 2);
        // Where nobody asked for long, the next one waits for keys that are there now.
        advance(secs(1_000)).await;
        assert_eq!(of(&source.keys().await.unwrap()), "3");
    }

    #[tokio::test(start_paused = true)]
    async fn flood_of_unknown_keys_causes_a_fetch_each_half_minute() {
        let there = Elsewhere::default();
        let source = there.source();
        let mut seen = source.keys().await.unwrap();
        for half_minute in 2..5 {
            advance(secs(30)).await;
            let began = Instant::now();
            for n in 0..1_000 {
                let newer = source.newer(Some(&seen)).await;
                assert_eq!(newer.is_some(), n == 0);
                seen = newer.unwrap_or(seen);
            }
            // Only the first one waited.
            assert_eq!(began.elapsed(), secs(1));
            assert_eq!(there.asked(), half_minute);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn last_good_keys_are_kept_while_no_others_can_be_had() {
        let there = Elsewhere::default();
        let source = there.source();
        source.keys().await.unwrap();
        there.is_away.store(true, Ordering::Relaxed);
        advance(secs(1_000)).await;
        assert_eq!(of(&source.keys().await.unwrap()), "1");
        // After a failure nobody waits for a while.
        let began = Instant::now();
        for _ in 0..1_000 {
            assert_eq!(of(&source.keys().await.unwrap()), "1");
        }
        assert_eq!((began.elapsed(), there.asked()), (secs(0), 2));
        advance(secs(2_600)).await;
        assert_eq!(source.keys().await.unwrap_err(), Unavailable);
        assert_eq!(there.asked(), 3);
        there.is_away.store(false, Ordering::Relaxed);
        advance(secs(6)).await;
        assert_eq!(of(&source.keys().await.unwrap()), "4");
    }

    #[tokio::test(start_paused = true)]
    async fn fetch_that_hangs_is_given_up_and_outlives_who_asked() {
        let there = Elsewhere::default();
        there.is_stuck.store(true, Ordering::Relaxed);
        let source = there.source();
        let began = Instant::now();
        let impatient = timeout(secs(3), source.keys()).await;
        assert!(impatient.is_err());
        assert_eq!(source.keys().await.unwrap_err(), Unavailable);
        assert_eq!((began.elapsed(), there.asked()), (LONGEST_FETCH, 1));
    }
}
