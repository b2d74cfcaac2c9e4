//! Present values of a task and its stages, and the percent of the whole.

use std::sync::Arc;

use crate::{
    estimator::Estimator,
    event::{Metadata, ProgressUpdate},
    task::{counter::Counter, tree::Node},
};

/// What the task itself, or one of its stages, has reported so far.
#[derive(Debug, Default)]
pub(crate) struct Value {
    pub(crate) counter: Arc<Counter>,
    /// Its key in the log, given at its first event.
    pub(crate) key: Option<u32>,
    pub(crate) path: Option<Arc<str>>,
    pub(crate) weight: f64,
    pub(crate) total: Option<u64>,
    said: Option<Box<Said>>,
    /// Whether the counter has ever been used.
    pub(crate) counted: bool,
    /// The sampler looks at it at the next tick.
    pub(crate) watched: bool,
    /// It has changed since it was published, other than by its counter.
    pub(crate) dirty: bool,
    /// The count that was published last.
    pub(crate) published: u64,
    /// The fraction that the aggregate contains.
    pub(crate) done: f64,
    pub(super) node: Node,
    pub(super) estimator: Estimator,
    /// It has shown life of its own, not only below it.
    pub(crate) alive: bool,
    /// Its `stage_change` is published.
    pub(crate) begun: bool,
    /// Whether it was reset: then nothing done is a fraction too.
    pub(crate) fallen: bool,
}

/// What is known of a task or stage beside its counts, which is nothing of many.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) unit: Option<Arc<str>>,
    pub(crate) message: Option<Arc<str>>,
    pub(crate) metadata: Metadata,
    /// Reported as such, hence before any count.
    pub(crate) fraction: Option<f64>,
    /// Child tasks whose mean is this stage's fraction, once there are any.
    pub(crate) fed: Option<Box<Fed>>,
}

/// Child tasks that feed a stage.
#[derive(Debug, Default)]
pub(crate) struct Fed {
    /// The sum of what is done of them, in [`CHILD`]s: a counter of its own, so that counts by
    /// hand do not mix with it.
    pub(crate) counter: Arc<Counter>,
    pub(crate) children: u64,
    /// Signed: a child that begins again may tell so before the end of its run before is told.
    pub(crate) ended: i64,
    /// What was counted and no longer holds, of children that began again: apart, for the counter
    /// only grows.
    pub(crate) taken_back: u64,
}

/// The fraction of a child that is done with, as an integer.
pub(crate) const CHILD: u64 = 1_000_000;

impl Value {
    /// The task's own, whose counter is there already.
    pub(super) fn new(counter: Arc<Counter>) -> Self {
        Self {
            counter,
            ..Self::default()
        }
    }

    pub(crate) fn stage(path: Arc<str>, weight: f64) -> Self {
        Self {
            path: Some(path),
            weight,
            ..Self::default()
        }
    }

    /// The child tasks that feed it, to be told a change.
    pub(crate) fn fed_mut(&mut self) -> Option<&mut Fed> {
        self.said.as_mut()?.fed.as_deref_mut()
    }

    /// What was said of it, if anything was.
    pub(crate) fn said(&self) -> Option<&Said> {
        self.said.as_deref()
    }

    /// What is said of it, to be added to.
    pub(crate) fn says(&mut self) -> &mut Said {
        self.said.get_or_insert_default()
    }

    /// The fraction that was reported as such.
    pub(crate) fn reported(&self) -> Option<f64> {
        self.said()?.fraction
    }

    pub(crate) fn unit(&self) -> Option<&Arc<str>> {
        self.said()?.unit.as_ref()
    }

    /// Whether it has changed since it was published.
    pub(super) fn has_moved(&self) -> bool {
        self.dirty || self.count() != self.published
    }

    /// The child tasks that feed it, if there are any.
    pub(crate) fn fed(&self) -> Option<&Fed> {
        let fed = self.said()?.fed.as_deref();
        fed.filter(|fed| fed.children > 0)
    }

    /// Marks it as fed by one more child task.
    pub(crate) fn feed(&mut self) {
        let watched = self.watched;
        let fed = self.says().fed.get_or_insert_default();
        fed.children += 1;
        if fed.children == 1 {
            if watched {
                fed.counter.watch();
            }
            // Counts by hand no longer show; the next one is told so.
            self.counter.unwatch();
            self.dirty = true;
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.counter().count()
    }

    /// Has the sampler look at it; the caller adds it to what is due.
    pub(crate) fn watch(&mut self) {
        self.watched = true;
        self.counter().watch();
    }

    /// Returns the count, as [`Counter::unwatch`] does.
    pub(crate) fn unwatch(&mut self) -> u64 {
        self.watched = false;
        self.counter().unwatch()
    }

    /// Whether it is as far as its counter says.
    pub(super) fn counts(&self) -> bool {
        self.counted && self.reported().is_none() && self.fed().is_none()
    }

    /// The counter that says how far it is.
    fn counter(&self) -> &Counter {
        self.fed().map_or(&self.counter, |fed| &fed.counter)
    }

    /// The fraction done, 0 to 1, if it says so itself.
    pub(crate) fn fraction(&self, count: u64) -> Option<f64> {
        if let Some(fed) = self.fed() {
            // More children may be known to come than there are yet.
            let all = fed.children.max(self.total.unwrap_or(0)).max(1);
            let done = count.saturating_sub(fed.taken_back);
            return Some((done as f64 / CHILD as f64 / all as f64).min(1.0));
        }
        let counted = || match self.total {
            Some(0) => Some(1.0),
            Some(total) if self.counted => Some((count as f64 / total as f64).min(1.0)),
            _ => None,
        };
        let fallen = || self.fallen.then_some(0.0);
        self.reported().or_else(counted).or_else(fallen)
    }

    /// Takes back what was done. A stage that children feed stands as they do.
    pub(crate) fn reset(&mut self) {
        if let Some(said) = &mut self.said {
            if said.fed.is_some() {
                return;
            }
            said.fraction = None;
        }
        self.counter.set(0);
        self.fallen = true;
    }

    /// The whole present value as an event; the task's own fields are still to be filled in.
    pub(crate) fn to_update(&self, count: u64) -> ProgressUpdate {
        let (current, total, unit) = match self.fed() {
            Some(fed) => (
                Some(u64::try_from(fed.ended).unwrap_or(0)),
                Some(fed.children.max(self.total.unwrap_or(0))),
                Some(self.unit().cloned().unwrap_or_else(|| Arc::from("tasks"))),
            ),
            None => (
                self.counted.then_some(count),
                self.total,
                self.unit().cloned(),
            ),
        };
        ProgressUpdate {
            stage: self.path.clone(),
            stage_progress: (self.path.is_some() && self.node.is_known())
                .then(|| stage_percent(self.done, self.node.is_complete())),
            current,
            total,
            unit,
            message: self.said().and_then(|said| said.message.clone()),
            metadata: self
                .said()
                .map_or_else(Metadata::default, |said| said.metadata.clone()),
            ..ProgressUpdate::default()
        }
    }
}

/// The percent of the whole task: the weighted mean of its stages' fractions, unless a percent was
/// reported as such; what is displayed never falls and stays under 100 until the task completes.
#[derive(Debug, Default)]
pub(crate) struct Percent {
    reported: Option<f64>,
    weights: f64,
    weighted: f64,
    /// The fraction of the task's own counter, which counts if there are no stages.
    own: f64,
    displayed: f64,
}

impl Percent {
    pub(crate) fn report(&mut self, percent: f64) {
        self.reported = Some(percent.clamp(0.0, 100.0));
    }

    pub(crate) fn set_own(&mut self, fraction: f64) {
        self.own = fraction;
    }

    pub(crate) fn add_stage(&mut self, weight: f64) {
        self.weights += weight;
    }

    pub(crate) fn move_stage(&mut self, weight: f64, from: f64, to: f64) {
        self.weighted += weight * (to - from);
    }

    /// Whether a percent was reported as such.
    pub(crate) fn is_reported(&self) -> bool {
        self.reported.is_some()
    }

    /// Whether stages make it up.
    pub(crate) fn has_stages(&self) -> bool {
        self.weights > 0.0
    }

    pub(crate) fn weights(&self) -> f64 {
        self.weights
    }

    /// The weight that is done.
    pub(crate) fn weighted(&self) -> f64 {
        self.weighted
    }

    /// The fraction, 0 to 1, as it is and not as it is displayed: what estimates build on.
    pub(crate) fn fraction(&self) -> f64 {
        let fraction = match self.reported {
            Some(percent) => percent / 100.0,
            None if self.weights > 0.0 => self.weighted / self.weights,
            None => self.own,
        };
        fraction.clamp(0.0, 1.0)
    }

    /// The percent to display, which from now on is the least.
    pub(crate) fn display(&mut self) -> f64 {
        let percent = round(self.fraction() * 100.0).min(BELOW_DONE);
        self.displayed = self.displayed.max(percent);
        self.displayed
    }

    /// Takes over what is displayed, where others reckon it.
    pub(crate) fn show(&mut self, percent: f64) {
        self.displayed = percent;
    }

    /// Lets what is displayed fall, once, to what it is now.
    pub(crate) fn fall(&mut self) {
        self.displayed = 0.0;
        self.display();
    }

    /// Forgets what was reported of the whole; what is displayed falls.
    pub(crate) fn reset(&mut self) {
        self.reported = None;
        self.fall();
    }

    pub(crate) fn displayed(&self) -> f64 {
        self.displayed
    }
}

/// The most that a task shows which has not completed.
pub(crate) const BELOW_DONE: f64 = 99.9;

/// The percent of a stage, 100 only when it is done: neither rounding nor child stages without
/// weight make it so before.
pub(crate) fn stage_percent(fraction: f64, complete: bool) -> f64 {
    match complete {
        true => 100.0,
        false => round(fraction * 100.0).min(99.99),
    }
}

/// Two decimals: finer steps are no news to a watcher.
pub(crate) fn round(percent: f64) -> f64 {
    (percent * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_weigh_in_by_fraction() {
        let mut percent = Percent::default();
        percent.add_stage(1.0);
        percent.add_stage(4.0);
        percent.move_stage(1.0, 0.0, 1.0);
        percent.move_stage(4.0, 0.0, 0.5);
        assert_eq!(percent.display(), 60.0);
    }

    #[test]
    fn what_is_displayed_never_falls_and_stays_below_100() {
        let mut percent = Percent::default();
        percent.set_own(0.8);
        assert_eq!(percent.display(), 80.0);
        percent.set_own(0.3);
        assert_eq!(percent.display(), 80.0);
        percent.set_own(1.0);
        assert_eq!(percent.display(), 99.9);
    }

    #[test]
    fn a_reported_percent_replaces_the_aggregate() {
        let mut percent = Percent::default();
        percent.add_stage(1.0);
        percent.report(41.7);
        percent.move_stage(1.0, 0.0, 1.0);
        assert_eq!(percent.display(), 41.7);
    }
}
