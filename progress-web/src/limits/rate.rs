//! How many requests an address may make.
//!
//! It is asked before the authorizer, whose work it saves too: so it goes by address. Subjects have
//! no rate of their own, as what is costly of theirs is bounded by itself: connections, bodies,
//! messages, tasks.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use governor::{
    Quota, RateLimiter, clock::Clock, middleware::NoOpMiddleware, nanos::Nanos, state::StateStore,
};
use tokio::time::Instant;

use super::{client::AddressKey, settings::RequestRate};
use crate::error::{ApiError, Code};

/// Counts requests against a [`RequestRate`], by address.
#[derive(Debug)]
pub(super) struct Requests {
    limiter: RateLimiter<AddressKey, Buckets, Ticks, NoOpMiddleware<Duration>>,
    per_second: u32,
}

impl Requests {
    pub(super) fn new(rate: RequestRate, most_keys: usize) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        let clock = Ticks(Instant::now());
        let buckets = Buckets {
            most: most_keys,
            clock: clock.clone(),
            kept: Mutex::default(),
        };
        Self {
            limiter: RateLimiter::new(quota, buckets, clock),
            per_second: rate.per_second.get(),
        }
    }

    /// Takes one request.
    pub(super) fn take(&self, key: &AddressKey) -> Result<(), ApiError> {
        self.limiter.check_key(key).map_err(|until| {
            let wait = until.wait_time_from(self.limiter.clock().now());
            let limit = self.per_second;
            let message = format!("too many requests, the limit is {limit} a second");
            ApiError::new(Code::RateLimited, message)
                .detail("limit", limit)
                .detail("scope", "address")
                .retry_after(wait.max(SOONEST))
        })
    }
}

/// Time since the gateway was made, by tokio's clock.
#[derive(Debug, Clone)]
struct Ticks(Instant);

impl Clock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Where each address stands, for as many as there is room for. Those beyond share one bucket:
/// they are slowed down together, and never let through uncounted.
#[derive(Debug)]
struct Buckets {
    most: usize,
    clock: Ticks,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// When the bucket of each is full again; one that is full is as good as none.
    full_at: HashMap<AddressKey, Nanos>,
    /// The bucket of those that there is no room for.
    others: Option<Nanos>,
    /// Not before this is it worth looking again for what can be dropped.
    swept_until: Nanos,
}

impl StateStore for Buckets {
    type Key = AddressKey;

    fn measure_and_replace<T, F, E>(&self, key: &AddressKey, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut kept = self.lock();
        if let Some(full_at) = kept.full_at.get_mut(key) {
            let (outcome, next) = f(Some(*full_at))?;
            *full_at = next;
            return Ok(outcome);
        }
        if kept.full_at.len() >= self.most {
            kept.sweep(self.clock.now().into());
        }
        let has_room = kept.full_at.len() < self.most;
        let (outcome, next) = f(if has_room { None } else { kept.others })?;
        if has_room {
            kept.full_at.insert(*key, next);
        } else {
            kept.others = Some(next);
        }
        Ok(outcome)
    }
}

impl Buckets {
    /// Every step leaves it whole.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Drops the buckets that are full, at most once in a while: it looks at all of them.
    fn sweep(&mut self, now: Nanos) {
        if now < self.swept_until {
            return;
        }
        self.swept_until = now + Nanos::from(SWEEP);
        self.full_at.retain(|_, full_at| *full_at > now);
        self.full_at.shrink_to(self.full_at.len() * 2);
    }
}

/// Between two looks at all buckets.
const SWEEP: Duration = Duration::from_secs(1);
/// No answer says zero.
const SOONEST: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, num::NonZeroU32};

    use super::*;

    fn requests(burst: u32, per_second: u32, most: usize) -> Requests {
        let at_least_one = |number| NonZeroU32::new(number).unwrap();
        let rate = RequestRate {
            burst: at_least_one(burst),
            per_second: at_least_one(per_second),
        };
        Requests::new(rate, most)
    }

    fn key(number: u32) -> AddressKey {
        AddressKey::V4(Ipv4Addr::from_bits(number))
    }

    fn taken(requests: &Requests, number: u32) -> usize {
        let taken = (0..1_000).take_while(|_| requests.take(&key(number)).is_ok());
        taken.count()
    }

    fn kept(requests: Requests) -> usize {
        requests.limiter.into_state_store().lock().full_at.len()
    }

    #[tokio::test(start_paused = true)]
    async fn each_address_has_a_burst_and_then_so_many_a_second() {
        let requests = requests(10, 4, 100);
        assert_eq!((taken(&requests, 1), taken(&requests, 2)), (10, 10));
        let refused = requests.take(&key(1)).unwrap_err();
        assert_eq!(refused.object().retry_after_ms(), Some(250));
        tokio::time::advance(Duration::from_millis(249)).await;
        assert_eq!(taken(&requests, 1), 0);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(taken(&requests, 1), 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((taken(&requests, 1), taken(&requests, 2)), (4, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn the_largest_rates_let_everybody_in() {
        for (burst, per_second) in [(u32::MAX, 1), (1, u32::MAX), (u32::MAX, u32::MAX)] {
            let requests = requests(burst, per_second, 1);
            tokio::time::advance(Duration::from_secs(3_600)).await;
            assert!(requests.take(&key(1)).is_ok());
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(requests.take(&key(1)).is_ok());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_there_is_no_room_for_share_one_bucket_until_others_are_full_again() {
        let requests = requests(10, 1, 100);
        for number in 0..100 {
            assert_eq!(taken(&requests, number), 10);
        }
        // A thousand addresses more have as much as one.
        let newcomers = (1_000..2_000).map(|number| taken(&requests, number));
        assert_eq!(newcomers.sum::<usize>(), 10);
        tokio::time::advance(Duration::from_secs(10)).await;
        // All are full again, so there is room for others.
        assert_eq!(taken(&requests, 5_000), 10);
        assert_eq!(kept(requests), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_addresses_takes_no_more_memory_than_there_is_room_for() {
        let requests = requests(1_000, 200, 1_000);
        let let_in = (0..50_000).filter(|number| requests.take(&key(*number)).is_ok());
        assert_eq!(let_in.count(), 2_000);
        assert_eq!(kept(requests), 1_000);
    }
}
