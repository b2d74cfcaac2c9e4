//! When will it be done?

#[cfg(test)]
mod tests;

use std::time::Duration;

/// Estimates the time that remains of one thing from how much of it was done when.
///
/// Double exponential smoothing of the rate. Its time constant grows with the time that the work
/// has taken: slow work keeps enough samples to mean something, and what was long ago fades in
/// proportion. Between two samples work is believed to go on for as long as usual.
///
/// A state machine: it reads no clock and takes the time elapsed without pauses. It holds nothing
/// until something was done.
#[derive(Debug, Default)]
pub(crate) struct Estimator(Option<Box<Pace>>);

/// How much is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Amount {
    /// Units: they stay as they are when it turns out that there are more of them in all.
    Units(u64),
    /// A share of the whole, 0 to 1: it gets smaller when the whole grows.
    Share(f64),
}

/// Times are in seconds, rates in amounts a second.
#[derive(Debug)]
struct Pace {
    /// When it began.
    origin: f64,
    /// The newest sample.
    at: f64,
    done: f64,
    /// The rate smoothed once and twice; divide by `1 - memory` to undo the start from zero.
    once: f64,
    twice: f64,
    /// The weight that the start from zero still has.
    memory: f64,
    /// The usual time between two samples, of which long ones make up more.
    gap: f64,
    samples: u32,
    units: bool,
    /// A leap was seen: those that follow are how this work goes.
    leapt: bool,
}

impl Estimator {
    /// Takes note of what was done after `elapsed`.
    pub(crate) fn record(&mut self, elapsed: Duration, amount: Amount) {
        let now = elapsed.as_secs_f64();
        let (done, units) = match amount {
            Amount::Units(count) => (count as f64, true),
            Amount::Share(share) => (share, false),
        };
        match &mut self.0 {
            Some(pace) if pace.units == units => pace.record(now, done),
            _ => self.0 = Some(Box::new(Pace::new(now, done, units))),
        }
    }

    /// Estimates what remains at `elapsed` if so much is `left` to do, in the units of the newest
    /// amount; none until that means something, and when nothing is left.
    pub(crate) fn remaining(&self, elapsed: Duration, left: f64) -> Option<Duration> {
        let pace = self.0.as_deref()?;
        let seconds = pace.remaining(elapsed.as_secs_f64(), left)?;
        meaningful(seconds)
    }

    /// Tells whether anything was recorded.
    pub(crate) fn is_started(&self) -> bool {
        self.0.is_some()
    }
}

/// A time that remains, unless it is none or only looks like knowledge.
pub(crate) fn meaningful(seconds: f64) -> Option<Duration> {
    (0.0..LONGEST)
        .contains(&seconds)
        .then(|| Duration::from_secs_f64(seconds))
}

impl Pace {
    fn new(now: f64, done: f64, units: bool) -> Self {
        Self {
            origin: now,
            at: now,
            done,
            once: 0.0,
            twice: 0.0,
            memory: 1.0,
            gap: 0.0,
            samples: 0,
            units,
            leapt: false,
        }
    }

    fn record(&mut self, now: f64, done: f64) {
        if done < self.done {
            self.fall(now, done);
            return;
        }
        let step = now - self.at;
        if step < SHORTEST_STEP || done == self.done {
            return;
        }
        let mut rate = (done - self.done) / step;
        if self.samples >= FEWEST_SAMPLES && !self.leapt {
            let most = LEAP * self.rate(1.0);
            if rate > most {
                // A part that was already there, such as a cached one: once, it says nothing
                // of the speed.
                self.leapt = true;
                rate = most;
            }
        }
        // One sample, however long its step, does not count more than all before it.
        let keep = self.keep(step, now).max(0.5);
        self.memory *= keep;
        self.once = self.once * keep + rate * (1.0 - keep);
        let once = self.once / (1.0 - self.memory);
        self.twice = self.twice * keep + once * (1.0 - keep);
        let keep = self.keep(step, now);
        self.gap = self.gap * keep + step * (1.0 - keep);
        (self.at, self.done) = (now, done);
        self.samples += 1;
    }

    /// Less is done than was.
    fn fall(&mut self, now: f64, done: f64) {
        if self.units || done < self.done / 2.0 {
            // Work was taken back: what was learned of the speed need no longer hold.
            *self = Self::new(now, done, self.units);
            return;
        }
        // There is more to do than was known: at the same speed, a smaller share of it each second.
        let scale = done / self.done;
        self.once *= scale;
        self.twice *= scale;
        self.done = done;
    }

    fn remaining(&self, now: f64, left: f64) -> Option<f64> {
        if self.samples < FEWEST_SAMPLES || now - self.origin < SHORTEST_TIME || left <= 0.0 {
            return None;
        }
        // For as long as it usually takes from one sample to the next, work is believed to go on
        // unseen. Then the rate fades, so that the estimate grows while nothing happens.
        let idle = (now - self.at).max(0.0);
        let unseen = idle.min(self.gap);
        let seconds = left / self.rate(self.keep(idle - unseen, now));
        Some((seconds - unseen).max(seconds / 10.0))
    }

    /// The smoothed rate, after nothing was done for so long that only `keep` of it still counts.
    fn rate(&self, keep: f64) -> f64 {
        self.twice * keep / (1.0 - self.memory * keep)
    }

    /// What the past still counts after a step: as good as exponential for short steps, and gentler
    /// for long ones, which are few samples.
    fn keep(&self, step: f64, now: f64) -> f64 {
        let constant = ((now - self.origin) / 4.0).clamp(SHORTEST_CONSTANT, LONGEST_CONSTANT);
        constant / (constant + step)
    }
}

/// Steps shorter than this say more about the scheduler than about the work; in seconds, as are all
/// times here.
const SHORTEST_STEP: f64 = 0.02;
const FEWEST_SAMPLES: u32 = 3;
const SHORTEST_TIME: f64 = 0.5;
const SHORTEST_CONSTANT: f64 = 2.0;
/// However long it has run: a quarter of an hour is enough to judge by.
const LONGEST_CONSTANT: f64 = 900.0;
/// A sample so many times as fast as usual is no speed.
const LEAP: f64 = 10.0;
/// 30 days: past this a number only looks like knowledge.
const LONGEST: f64 = 30.0 * 24.0 * 3600.0;
