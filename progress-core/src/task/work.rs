//! How far a task's work is: present values, the percent they make up, the estimates on them.

use std::sync::Arc;

use crate::{
    estimator::Estimator,
    task::{counter::Counter, eta::Course, inner::Inner, value::Percent, values::Values},
};

/// What a task knows of its progress; made at the first report of any. A task that only tells
/// events has none.
#[derive(Debug)]
pub(crate) struct Work {
    pub(super) values: Values,
    /// Whether any stage is below another.
    pub(super) nested: bool,
    /// Whether stages were declared, so that others at the top get no weight.
    pub(super) declared: bool,
    /// Indices of the values that the sampler looks at.
    pub(super) due: Vec<usize>,
    pub(super) percent: Percent,
    /// Of the whole's share that is done.
    pub(super) estimator: Estimator,
    pub(super) course: Course,
    /// The stage of the newest `stage_change`, 0 while there is none.
    pub(super) current: u32,
}

impl Work {
    pub(super) fn new(own: Arc<Counter>) -> Self {
        Self {
            values: Values::new(own),
            nested: false,
            declared: false,
            due: Vec::new(),
            percent: Percent::default(),
            estimator: Estimator::default(),
            course: Course::default(),
            current: 0,
        }
    }

    /// Whether a value has changed that the sampler has not yet seen.
    fn has_moved(&self) -> bool {
        self.due.iter().any(|index| self.values[*index].has_moved())
    }

    /// Takes a value's count into the percent of the whole.
    pub(super) fn measure(&mut self, index: usize) -> u64 {
        let value = &mut self.values[index];
        let count = value.count();
        value.counted |= count != 0 && value.fed().is_none();
        let fraction = value.fraction(count);
        if value.path.is_some() {
            self.set_fraction(index, fraction);
        } else if let Some(fraction) = fraction {
            self.percent.set_own(fraction);
        }
        count
    }
}

impl Inner {
    /// What is known of the progress, from now on something.
    pub(crate) fn work(&mut self) -> &mut Work {
        let own = &self.own;
        self.work
            .get_or_insert_with(|| Box::new(Work::new(Arc::clone(own))))
    }

    /// The percent that is displayed.
    pub(super) fn displayed(&self) -> f64 {
        let work = self.work.as_ref();
        work.map_or(0.0, |work| work.percent.displayed())
    }

    /// Whether the sampler looks at any value.
    pub(super) fn is_due(&self) -> bool {
        self.work.as_ref().is_some_and(|work| !work.due.is_empty())
    }

    /// Whether a value has changed that the sampler has not yet seen.
    pub(super) fn has_moved(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.has_moved())
    }
}
