//! When will it be done?

use std::time::Duration;

/// Estimates the time that remains from fractions seen over time: double exponential smoothing of
/// the rate, with a time constant that grows with the task, so that slow steps keep their samples
/// and old speed is forgotten in proportion.
#[derive(Debug, Clone, Default)]
pub(crate) struct Estimator {
    last: Option<(Duration, f64)>,
    /// Smoothed once and twice; divide by `1 - memory` to undo the start from zero.
    once: f64,
    twice: f64,
    /// The weight that the start from zero still has.
    memory: f64,
    samples: u32,
}

impl Estimator {
    /// Takes note that `fraction` (0 to 1) was done after `elapsed`.
    pub(crate) fn record(&mut self, elapsed: Duration, fraction: f64) {
        let Some((then, before)) = self.last else {
            *self = Self {
                last: Some((elapsed, fraction)),
                memory: 1.0,
                ..Self::default()
            };
            return;
        };
        if fraction < before {
            // Work was taken back: what was learned about the speed no longer holds.
            *self = Self::default();
            self.record(elapsed, fraction);
            return;
        }
        let step = elapsed.saturating_sub(then);
        if step < SHORTEST_STEP || fraction == before {
            return;
        }
        let keep = decay(step, elapsed);
        let rate = (fraction - before) / step.as_secs_f64();
        self.memory *= keep;
        self.once = self.once * keep + rate * (1.0 - keep);
        let once = self.once / (1.0 - self.memory);
        self.twice = self.twice * keep + once * (1.0 - keep);
        self.last = Some((elapsed, fraction));
        self.samples += 1;
    }

    /// Estimates what remains at `elapsed`; none until that means something.
    pub(crate) fn remaining(&self, elapsed: Duration) -> Option<Duration> {
        let (then, fraction) = self.last?;
        if self.samples < FEWEST_SAMPLES || elapsed < SHORTEST_TIME || fraction >= 1.0 {
            return None;
        }
        // Since the last sample nothing was done: the rate fades, so that the estimate grows
        // while nothing happens instead of standing still.
        let keep = decay(elapsed.saturating_sub(then), elapsed);
        let rate = self.twice * keep / (1.0 - self.memory * keep);
        let seconds = (1.0 - fraction) / rate;
        (seconds.is_finite() && seconds < LONGEST.as_secs_f64())
            .then(|| Duration::from_secs_f64(seconds))
    }
}

fn decay(step: Duration, elapsed: Duration) -> f64 {
    let constant = (elapsed.as_secs_f64() / 4.0).clamp(2.0, 60.0);
    (-step.as_secs_f64() / constant).exp()
}

/// Steps shorter than this say more about the scheduler than about the work.
const SHORTEST_STEP: Duration = Duration::from_millis(20);
const FEWEST_SAMPLES: u32 = 3;
const SHORTEST_TIME: Duration = Duration::from_millis(500);
/// Past this a number only looks like knowledge.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn steady_work_is_estimated_within_a_tenth() {
        let mut estimator = Estimator::default();
        for step in 0..=40 {
            estimator.record(after(f64::from(step) * 0.25), f64::from(step) / 100.0);
        }
        // 40 % in 10 s: 15 s remain.
        let left = estimator.remaining(after(10.0)).unwrap().as_secs_f64();
        assert!((13.5..=16.5).contains(&left), "{left}");
    }

    #[test]
    fn absent_until_it_means_something() {
        let mut estimator = Estimator::default();
        assert_eq!(estimator.remaining(after(5.0)), None);
        estimator.record(after(0.0), 0.0);
        estimator.record(after(1.0), 0.1);
        assert_eq!(estimator.remaining(after(1.0)), None);
    }

    #[test]
    fn grows_while_nothing_happens() {
        let mut estimator = Estimator::default();
        for step in 0..=20 {
            estimator.record(after(f64::from(step) * 0.5), f64::from(step) / 100.0);
        }
        let at_once = estimator.remaining(after(10.0)).unwrap();
        let later = estimator.remaining(after(14.0)).unwrap();
        assert!(later > at_once, "{later:?} after {at_once:?}");
    }

    #[test]
    fn work_taken_back_starts_it_afresh() {
        let mut estimator = Estimator::default();
        for step in 0..=10 {
            estimator.record(after(f64::from(step)), f64::from(step) / 20.0);
        }
        estimator.record(after(11.0), 0.1);
        assert_eq!(estimator.remaining(after(11.0)), None);
    }
}
