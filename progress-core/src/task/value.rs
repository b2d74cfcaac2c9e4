//! Present values of a task and its stages, and the percent of the whole.

use std::sync::Arc;

use crate::{
    event::{Metadata, ProgressUpdate},
    task::counter::Counter,
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
    pub(crate) unit: Option<Arc<str>>,
    pub(crate) message: Option<Arc<str>>,
    pub(crate) metadata: Metadata,
    /// Reported as such, hence before any count.
    pub(crate) fraction: Option<f64>,
    /// Children whose mean is this stage's fraction; their sum is the counter, in [`CHILD`]s.
    pub(crate) fed: Option<Fed>,
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
    pub(crate) begun: bool,
}

/// Children that feed a stage.
#[derive(Debug, Default)]
pub(crate) struct Fed {
    pub(crate) children: u64,
    /// Signed: a child that begins again may tell so before the end of its run before is told.
    pub(crate) ended: i64,
}

/// The fraction of a child that is done with, as an integer.
pub(crate) const CHILD: u64 = 1_000_000;

impl Value {
    pub(crate) fn stage(path: Arc<str>, weight: f64) -> Self {
        Self {
            path: Some(path),
            weight,
            ..Self::default()
        }
    }

    /// The fraction done, 0 to 1, if anything says so.
    pub(crate) fn fraction(&self, count: u64) -> Option<f64> {
        if let Some(fed) = &self.fed {
            // More children may be known to come than there are yet.
            let all = fed.children.max(self.total.unwrap_or(0)).max(1);
            return Some((count as f64 / CHILD as f64 / all as f64).min(1.0));
        }
        self.fraction.or_else(|| match self.total {
            Some(0) => Some(1.0),
            Some(total) if self.counted => Some((count as f64 / total as f64).min(1.0)),
            _ => None,
        })
    }

    /// The whole present value as an event; the task's own fields are still to be filled in.
    pub(crate) fn to_update(&self, count: u64) -> ProgressUpdate {
        let (current, total, unit) = match &self.fed {
            Some(fed) => (
                Some(u64::try_from(fed.ended).unwrap_or(0)),
                Some(fed.children.max(self.total.unwrap_or(0))),
                Some(self.unit.clone().unwrap_or_else(|| Arc::from("tasks"))),
            ),
            None => (self.counted.then_some(count), self.total, self.unit.clone()),
        };
        ProgressUpdate {
            stage: self.path.clone(),
            stage_progress: match self.path {
                Some(_) => self.fraction(count).map(|fraction| round(fraction * 100.0)),
                None => None,
            },
            current,
            total,
            unit,
            message: self.message.clone(),
            metadata: self.metadata.clone(),
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

    pub(crate) fn displayed(&self) -> f64 {
        self.displayed
    }
}

/// The most that a task shows which has not completed.
pub(crate) const BELOW_DONE: f64 = 99.9;

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
