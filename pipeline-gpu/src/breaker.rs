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
/// that fails opens it again. One that takes longer than it would be open makes room for another;
/// once that has begun it counts only if it succeeds.
///
/// A call counts as failed if its error is retryable, or if it panicked. Others tell of their
/// input and not of the service; they, and calls that were cancelled or dropped, count as neither:
/// see [`Stage::guarded_by`](crate::Stage::guarded_by) for where timeouts belong.
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
    thresholds: Thresholds,
    name: Arc<str>,
    circuit: Arc<Mutex<Circuit>>,
}

#[derive(Clone, Copy)]
struct Thresholds {
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
    /// Raised when the state changes: what began before says nothing more.
    era: u64,
    /// Of the newest call while it is half open. Of those before, which took too long, only a success
    /// says something.
    turn: u64,
}

#[derive(Debug)]
enum State {
    Closed {
        failed: u32,
    },
    Open {
        until: Instant,
    },
    /// With the time until which others wait for the call that is on its way.
    HalfOpen {
        succeeded: u32,
        calling: Option<Instant>,
    },
}

impl Breaker {
    /// Makes one that is closed. The name is for people: it begins the message of errors.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            thresholds: Thresholds {
                failures: 5,
                open_for: Duration::from_secs(30),
                successes: 1,
            },
            name: Arc::from(name),
            circuit: Arc::new(Mutex::new(Circuit {
                state: State::Closed { failed: 0 },
                era: 0,
                turn: 0,
            })),
        }
    }

    /// Sets after how many failures in a row it opens (default 5; at least 1). For this clone and
    /// those made of it, as are the others.
    #[must_use]
    pub fn failures(mut self, failures: u32) -> Self {
        self.thresholds.failures = failures.max(1);
        self
    }

    /// Sets how long it is open, and how long a call may take while it is half open (default 30 s;
    /// no more than 30 years).
    #[must_use]
    pub fn open_for(mut self, time: Duration) -> Self {
        self.thresholds.open_for = time.min(LONGEST);
        self
    }

    /// Sets after how many successes in a row it closes again (default 1; at least 1).
    #[must_use]
    pub fn successes(mut self, successes: u32) -> Self {
        self.thresholds.successes = successes.max(1);
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
        let circuit = &mut *circuit;
        let now = Instant::now();
        if let State::Open { until } = circuit.state
            && now >= until
        {
            circuit.enter(State::HalfOpen {
                succeeded: 0,
                calling: None,
            });
        }
        let wait = match &mut circuit.state {
            State::Closed { .. } => None,
            State::Open { until } => Some(*until - now),
            State::HalfOpen { calling, .. } => match *calling {
                Some(until) if now < until => Some(until - now),
                _ => {
                    circuit.turn += 1;
                    *calling = Some(now + self.thresholds.open_for);
                    None
                }
            },
        };
        match wait {
            Some(wait) => Err(error::circuit_open(&self.name, wait)),
            None => Ok(Call {
                breaker: self,
                era: circuit.era,
                turn: circuit.turn,
                undecided: true,
            }),
        }
    }

    fn note(&self, call: &Call<'_>, outcome: Outcome) {
        let mut circuit = self.circuit.lock();
        if circuit.era != call.era {
            return;
        }
        let is_newest = circuit.turn == call.turn;
        let open = State::Open {
            until: Instant::now() + self.thresholds.open_for,
        };
        match (&mut circuit.state, outcome) {
            (State::Closed { failed }, Outcome::Success) => *failed = 0,
            (State::Closed { failed }, Outcome::Failure) => {
                *failed += 1;
                if *failed >= self.thresholds.failures {
                    circuit.enter(open);
                }
            }
            (State::HalfOpen { succeeded, calling }, Outcome::Success) => {
                if is_newest {
                    *calling = None;
                }
                *succeeded += 1;
                if *succeeded >= self.thresholds.successes {
                    circuit.enter(State::Closed { failed: 0 });
                }
            }
            (State::HalfOpen { .. }, Outcome::Failure) if is_newest => circuit.enter(open),
            (State::HalfOpen { calling, .. }, Outcome::Neither) if is_newest => *calling = None,
            (State::HalfOpen { .. }, _)
            | (State::Closed { .. }, Outcome::Neither)
            | (State::Open { .. }, _) => {}
        }
    }
}

impl Circuit {
    fn enter(&mut self, state: State) {
        self.state = state;
        self.era += 1;
    }
}

/// A call on its way. Dropped without a word it counts as neither, while unwinding as failed.
pub(crate) struct Call<'a> {
    breaker: &'a Breaker,
    era: u64,
    turn: u64,
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
        self.breaker.note(&self, outcome);
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.undecided {
            let outcome = match std::thread::panicking() {
                true => Outcome::Failure,
                false => Outcome::Neither,
            };
            self.breaker.note(self, outcome);
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

/// What can be added to any instant, on every system.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

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
    async fn probes_that_take_too_long_close_it_if_they_succeed() {
        let breaker = breaker();
        fail(&breaker);
        fail(&breaker);
        // Each begins when the one before has taken as long as it would be open, and takes longer.
        tokio::time::advance(Duration::from_secs(10)).await;
        let first = breaker.call().unwrap();
        tokio::time::advance(Duration::from_secs(10)).await;
        let second = breaker.call().unwrap();
        first.succeeded();
        assert!(breaker.call().is_err(), "the second is on its way");
        tokio::time::advance(Duration::from_secs(10)).await;
        let _third = breaker.call().unwrap();
        second.succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_takes_too_long_makes_room_for_another_and_may_fail() {
        let breaker = breaker();
        fail(&breaker);
        fail(&breaker);
        tokio::time::advance(Duration::from_secs(10)).await;
        let hangs = breaker.call().unwrap();
        tokio::time::advance(Duration::from_secs(7)).await;
        let error = breaker.call().err().unwrap();
        assert_eq!(error.retry_after_ms(), Some(3_000));
        tokio::time::advance(Duration::from_secs(3)).await;
        let second = breaker.call().unwrap();
        hangs.failed();
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(breaker.call().is_err(), "the second is on its way");
        second.succeeded();
        // It is late, but nobody has taken its place.
        let late = breaker.call().unwrap();
        tokio::time::advance(Duration::from_secs(60)).await;
        late.succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn it_may_be_open_for_ever() {
        let breaker = breaker().open_for(Duration::MAX);
        succeed(&breaker);
        fail(&breaker);
        fail(&breaker);
        tokio::time::advance(Duration::from_secs(1 << 29)).await;
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(breaker.call().is_err());
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
