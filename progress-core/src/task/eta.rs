//! When a task and its stages will be done.

use std::time::Duration;

use crate::{
    estimator::{Amount, meaningful},
    task::{value::Value, work::Work},
};

/// What is known of the stages at the top, kept as they begin and end.
#[derive(Debug, Default)]
pub(crate) struct Course {
    /// How many run, and the sum of their indices: of one alone, its index.
    running: u32,
    indices: usize,
    /// The weight of those that have begun.
    begun: f64,
}

impl Course {
    fn add(&mut self, index: usize) {
        self.running += 1;
        self.indices += index;
    }

    fn remove(&mut self, index: usize) {
        self.running -= 1;
        self.indices -= index;
    }

    fn only_one(&self) -> Option<usize> {
        (self.running == 1).then_some(self.indices)
    }
}

impl Work {
    /// Takes note of a top stage's first sign of life, its own or below it.
    pub(super) fn begin_course(&mut self, top: usize) {
        let value = &mut self.values[top];
        if !value.node.enter() {
            return;
        }
        self.course.begun += value.weight;
        if !value.node.is_complete() {
            self.course.add(top);
        }
    }

    /// Takes note that a top stage that has begun was finished, or is no longer.
    pub(super) fn move_course(&mut self, top: usize, complete: bool) {
        match complete {
            true => self.course.remove(top),
            false => self.course.add(top),
        }
    }

    /// Takes a value that was just measured into the estimates.
    pub(super) fn record_pace(&mut self, index: usize, elapsed: Duration) {
        let value = &mut self.values[index];
        if let Some((amount, _)) = extent(value) {
            value.estimator.record(elapsed, amount);
        }
        if self.percent.is_reported() || self.percent.has_stages() {
            let share = self.percent.fraction();
            if !self.estimator.is_started() {
                self.estimator.record(Duration::ZERO, Amount::Share(0.0));
            }
            self.estimator.record(elapsed, Amount::Share(share));
        }
    }

    /// Estimates when a stage will be done.
    pub(super) fn stage_eta(&self, index: usize, elapsed: Duration) -> Option<Duration> {
        let value = &self.values[index];
        let (_, left) = extent(value)?;
        value.estimator.remaining(elapsed, left?)
    }

    /// Estimates when the task will be done.
    ///
    /// Where stages run one after the other, each has a speed of its own: what remains of the one
    /// that runs is its own matter, and those to come take as long for their weight as those before
    /// did for theirs. Where several run at a time, or a percent was reported, only the speed of the
    /// whole is known.
    pub(super) fn eta(&self, elapsed: Duration) -> Option<Duration> {
        if self.percent.is_reported() {
            return self.eta_of_whole(elapsed);
        }
        if !self.percent.has_stages() {
            return self.stage_eta(0, elapsed);
        }
        self.eta_of_course(elapsed)
            .or_else(|| self.eta_of_whole(elapsed))
    }

    fn eta_of_whole(&self, elapsed: Duration) -> Option<Duration> {
        let left = 1.0 - self.percent.fraction();
        self.estimator.remaining(elapsed, left)
    }

    fn eta_of_course(&self, elapsed: Duration) -> Option<Duration> {
        let only = match self.course.running {
            0 => None,
            _ => Some(self.course.only_one()?),
        };
        let mut seconds = 0.0;
        let mut pending = (self.percent.weights() - self.course.begun).max(0.0);
        if let Some(index) = only {
            let value = &self.values[index];
            match self.stage_eta(index, elapsed) {
                Some(eta) => seconds = eta.as_secs_f64(),
                // Too young to have a speed of its own: it has that of those before it, if any.
                None if self.course.begun > value.weight => {
                    pending += value.weight * (1.0 - value.done);
                }
                None => return None,
            }
        }
        if pending > 0.0 {
            seconds += pending * elapsed.as_secs_f64() / self.percent.weighted();
        }
        match seconds > 0.0 {
            true => meaningful(seconds),
            false => None,
        }
    }
}

/// How much of a value is done, and how much is left if that is known.
fn extent(value: &Value) -> Option<(Amount, Option<f64>)> {
    if value.counts() {
        let left = value
            .total
            .map(|total| total.saturating_sub(value.published) as f64);
        return Some((Amount::Units(value.published), left));
    }
    let known = value.node.is_known() && value.path.is_some();
    known.then_some((Amount::Share(value.done), Some(1.0 - value.done)))
}
