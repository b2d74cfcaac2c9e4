//! Attempts that are repeated.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::timeout;

use crate::{event::TaskError, task::Reporter};

/// How often, and after what delays, a failed attempt is repeated.
///
/// The default: 3 retries, after 1 s, 2 s and 4 s; no delay above 10 s.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    retries: u32,
    first: Duration,
    factor: f32,
    longest: Duration,
    jitter: bool,
}

impl RetryPolicy {
    /// Makes the default policy.
    #[must_use]
    pub fn new() -> Self {
        Self {
            retries: 3,
            first: Duration::from_secs(1),
            factor: 2.0,
            longest: Duration::from_secs(10),
            jitter: false,
        }
    }

    /// Sets how many attempts may follow the first one (default 3, so at most four in all).
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Sets the delay before the first retry (default 1 s).
    #[must_use]
    pub fn first_delay(mut self, delay: Duration) -> Self {
        self.first = delay;
        self
    }

    /// Sets by what each delay is multiplied to give the next (default 2; below 1, or no number, it
    /// is 1).
    #[must_use]
    pub fn factor(mut self, factor: f32) -> Self {
        // `max` takes the other one for no number.
        self.factor = factor.max(1.0);
        self
    }

    /// Sets the longest delay (default 10 s).
    #[must_use]
    pub fn longest_delay(mut self, delay: Duration) -> Self {
        self.longest = delay;
        self
    }

    /// Makes each delay longer by a random part of itself (default: no), so that many who failed
    /// together do not come back together.
    #[must_use]
    pub fn jitter(mut self) -> Self {
        self.jitter = true;
        self
    }

    fn delays(&self) -> impl Iterator<Item = Duration> + use<> {
        let exponential = ExponentialBuilder::new()
            .with_min_delay(self.first.min(self.longest))
            .with_max_delay(self.longest)
            .with_factor(self.factor)
            .with_max_times(self.retries as usize);
        match self.jitter {
            true => exponential.with_jitter().build(),
            false => exponential.build(),
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new()
    }
}

/// Calls `attempt` until it succeeds, as the policy says.
///
/// Every failure is published as `error` with `retry_count` and `max_retries`. One that a retry
/// follows has the number of that retry, from 1, and `retry_after_ms`; the last one has the number
/// of retries that were made. An error that [asks](TaskError::retry_after) for a longer wait than
/// the policy's gets it.
///
/// An error that is not [retryable](TaskError::retryable) is the last, as is every error once the
/// work [is to stop](Reporter::is_cancelled): a wait for the next attempt is broken off, an attempt
/// that runs is not; it can look for itself.
///
/// # Errors
///
/// The last error, with the number of retries made. `CANCELLED` if the work was to stop before the
/// first attempt.
///
/// # Cancel safety
///
/// Dropping the future drops the attempt that runs; no other follows.
///
/// # Panics
///
/// Where there is no tokio runtime with time.
///
/// # Examples
///
/// See the [module `batch`](crate::batch).
pub async fn retry<T, F, A>(
    reporter: &Reporter,
    policy: RetryPolicy,
    mut attempt: F,
) -> Result<T, TaskError>
where
    F: FnMut() -> A,
    A: Future<Output = Result<T, TaskError>>,
{
    if reporter.is_cancelled() {
        return Err(TaskError::new(
            "CANCELLED",
            "It was cancelled before it began",
        ));
    }
    let mut delays = policy.delays();
    let mut made = 0;
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let again = error.is_retryable() && !reporter.is_cancelled();
        let Some(delay) = delays.next().filter(|_| again) else {
            return Err(last(reporter, error, made, policy.retries));
        };
        let asked = error.retry_after_ms().map_or(delay, Duration::from_millis);
        let delay = delay.max(asked);
        let failed = error.clone().retry_after(delay);
        reporter.retrying(failed, made + 1, policy.retries);
        if timeout(delay, reporter.cancelled()).await.is_ok() {
            // It has been told of.
            return Err(error.retry(made, policy.retries));
        }
        made += 1;
    }
}

fn last(reporter: &Reporter, error: TaskError, made: u32, retries: u32) -> TaskError {
    let error = error.retry(made, retries);
    reporter.retrying(error.clone(), made, retries);
    error
}
