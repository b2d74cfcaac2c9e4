//! A circuit breaker.

use std::{fmt, sync::Arc, time::Duration};

use progress_core::TaskError;
use tokio::time::Instant;

use crate::{error, sync::Mutex};

/// Leaves alone what keeps failing: a remote service, a device.
///
/// Closed, it lets every call through. After [`failures`](Self::failures) calls in a row that
/// failed it opens, and refuses calls for a [time](Self::open_for). Then it is half open: one call
/// at a time goes through. After [`successes`](Self::successes) of them in a row it closes; one
/// that fails opens it again.
///
/// A call counts as failed if its error is retryable, or if it panicked. Others tell of their
/// input and not of the service; they, and calls that were cancelled, count as neither.
///
/// Clones share one state: give the same breaker to all that call the same service.
///
/// ```
/// use std::time::Duration;
///
/// use pipeline_gpu::{Breaker, BreakerState};
///
/// let renderer = Breaker::new("The renderer")
///     .failures(3)
///     .open_for(Duration::from_secs(20))
///     .successes(1);
/// assert_eq!(renderer.state(), BreakerState::Closed);
/// ```
#[derive(Clone)]
pub struct Breaker {
    limits: Limits,
    name: Arc<str>,
    circuit: Arc<Mutex<Circuit>>,
}

#[derive(Clone, Copy)]
struct Limits {
    failures: u32,
    open_for: Duration,
    successes: u32,
}

/// What a [`Breaker`] does with calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakerState {
    /// They go through.
    Closed,
    /// They are refused.
    Open,
    /// One at a time goes through, to see how it ends.
    HalfOpen,
}

#[derive(Debug)]
struct Circuit {
    state: State,
    /// Raised when the state changes: a call that began before says nothing about it.
    era: u64,
}

#[derive(Debug)]
enum State {
    Closed { failed: u32 },
    Open { until: Instant },
    HalfOpen { succeeded: u32, calling: bool },
}

impl Breaker {
    /// Makes one that is closed. The name is for people: it begins the message of errors.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            limits: Limits {
                failures: 5,
                open_for: Duration::from_secs(30),
                successes: 1,
            },
            name: Arc::from(name),
            circuit: Arc::new(Mutex::new(Circuit {
                state: State::Closed { failed: 0 },
                era: 0,
            })),
        }
    }

    /// Sets after how many failures in a row it opens (default 5; at least 1). For this clone and
    /// those made of it, as are the others.
    #[must_use]
    pub fn failures(mut self, failures: u32) -> Self {
        self.limits.failures = failures.max(1);
        self
    }

    /// Sets how long it is open (default 30 s).
    #[must_use]
    pub fn open_for(mut self, time: Duration) -> Self {
        self.limits.open_for = time;
        self
    }

    /// Sets after how many successes in a row it closes again (default 1; at least 1).
    #[must_use]
    pub fn successes(mut self, successes: u32) -> Self {
        self.limits.successes = successes.max(1);
        self
    }

    /// Returns what it does with calls now.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        match self.circuit.lock().state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { until } if Instant::now() < until => BreakerState::Open,
            State::Open { .. } | State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Begins a call, if that may be.
    pub(crate) fn call(&self) -> Result<Call<'_>, TaskError> {
        let mut circuit = self.circuit.lock();
        let now = Instant::now();
        if let State::Open { until } = circuit.state
            && now >= until
        {
            circuit.become_(State::HalfOpen {
                succeeded: 0,
                calling: false,
            });
        }
        let wait = match &mut circuit.state {
            State::Closed { .. } => None,
            State::Open { until } => Some(*until - now),
            State::HalfOpen { calling, .. } => {
                // How long the call before takes is not known.
                std::mem::replace(calling, true).then_some(Duration::ZERO)
            }
        };
        match wait {
            Some(wait) => Err(error::circuit_open(&self.name, wait)),
            None => Ok(Call {
                breaker: self,
                era: circuit.era,
                undecided: true,
            }),
        }
    }

    fn note(&self, era: u64, outcome: Outcome) {
        let mut circuit = self.circuit.lock();
        if circuit.era != era {
            return;
        }
        let open = State::Open {
            until: Instant::now() + self.limits.open_for,
        };
        match (&mut circuit.state, outcome) {
            (State::Closed { failed }, Outcome::Success) => *failed = 0,
            (State::Closed { failed }, Outcome::Failure) => {
                *failed += 1;
                if *failed >= self.limits.failures {
                    circuit.become_(open);
                }
            }
            (State::HalfOpen { succeeded, calling }, Outcome::Success) => {
                *calling = false;
                *succeeded += 1;
                if *succeeded >= self.limits.successes {
                    circuit.become_(State::Closed { failed: 0 });
                }
            }
            (State::HalfOpen { .. }, Outcome::Failure) => circuit.become_(open),
            (State::HalfOpen { calling, .. }, Outcome::Neither) => *calling = false,
            (State::Closed { .. }, Outcome::Neither) | (State::Open { .. }, _) => {}
        }
    }
}

impl Circuit {
    fn become_(&mut self, state: State) {
        self.state = state;
        self.era += 1;
    }
}

/// A call on its way. Dropped without a word it counts as neither, while unwinding as failed.
pub(crate) struct Call<'a> {
    breaker: &'a Breaker,
    era: u64,
    undecided: bool,
}

enum Outcome {
    Success,
    Failure,
    Neither,
}

impl Call<'_> {
    pub(crate) fn succeeded(self) {
        self.end(Outcome::Success);
    }

    pub(crate) fn failed(self) {
        self.end(Outcome::Failure);
    }

    fn end(mut self, outcome: Outcome) {
        self.undecided = false;
        self.breaker.note(self.era, outcome);
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.undecided {
            let outcome = match std::thread::panicking() {
                true => Outcome::Failure,
                false => Outcome::Neither,
            };
            self.breaker.note(self.era, outcome);
        }
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("name", &self.name)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new("The renderer")
            .failures(2)
            .open_for(Duration::from_secs(10))
            .successes(2)
    }

    fn fail(breaker: &Breaker) {
        breaker.call().unwrap().failed();
    }

    fn succeed(breaker: &Breaker) {
        breaker.call().unwrap().succeeded();
    }

    #[tokio::test(start_paused = true)]
    async fn opens_after_failures_in_a_row_and_says_for_how_long() {
        let breaker = breaker();
        fail(&breaker);
        succeed(&breaker);
        fail(&breaker);
        assert_eq!(breaker.state(), BreakerState::Closed);
        fail(&breaker);
        assert_eq!(breaker.state(), BreakerState::Open);
        tokio::time::advance(Duration::from_secs(4)).await;
        let error = breaker.call().err().unwrap();
        assert_eq!(error.code(), "CIRCUIT_OPEN");
        assert!(error.is_retryable());
        assert_eq!(error.retry_after_ms(), Some(6_000));
    }

    #[tokio::test(start_paused = true)]
    async fn is_half_open_after_its_time_for_one_call_at_a_time() {
        let breaker = breaker();
        fail(&breaker);
        fail(&breaker);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        let first = breaker.call().unwrap();
        assert!(breaker.call().is_err(), "one is on its way");
        first.succeeded();
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        succeed(&breaker);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn opens_again_when_a_probe_fails() {
        let breaker = breaker();
        fail(&breaker);
        fail(&breaker);
        tokio::time::advance(Duration::from_secs(10)).await;
        succeed(&breaker);
        fail(&breaker);
        assert_eq!(breaker.state(), BreakerState::Open);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_cancelled_makes_room_for_another() {
        let breaker = breaker();
        fail(&breaker);
        fail(&breaker);
        tokio::time::advance(Duration::from_secs(10)).await;
        drop(breaker.call().unwrap());
        succeed(&breaker);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_from_before_it_opened_says_nothing_about_it() {
        let breaker = breaker();
        let old = breaker.call().unwrap();
        fail(&breaker);
        fail(&breaker);
        old.succeeded();
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_panics_has_failed() {
        let breaker = breaker().failures(1);
        let shared = breaker.clone();
        let call = std::thread::spawn(move || {
            let _call = shared.call().unwrap();
            panic!("meant");
        });
        assert!(call.join().is_err());
        // The thread has no paused clock: what it opened until is real time away.
        assert!(matches!(breaker.circuit.lock().state, State::Open { .. }));
    }
}
