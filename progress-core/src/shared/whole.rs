//! How far the whole is, from how far its stages are.

use std::{cmp::Reverse, collections::HashMap};

use crate::{
    snapshot::StageSnapshot,
    task::{ancestors, stage_percent},
};

/// How far a task is by its stages.
#[derive(Debug)]
pub(super) struct Whole {
    /// The fraction of the whole, 0 to 1; none if no stage has weight.
    pub(super) fraction: Option<f64>,
    /// The percent of each stage, in their order.
    pub(super) stages: Vec<f64>,
}

impl Whole {
    /// Adds stages up: one is as far as it says, or as those right below it are in their weighted
    /// mean if that is further; the task is as far as those at the top are.
    pub(super) fn of(stages: &[StageSnapshot]) -> Self {
        let mut percents = vec![0.0; stages.len()];
        let mut sums = vec![Sum::default(); stages.len()];
        let mut top = Sum::default();
        let parents = parents(stages);
        let mut order: Vec<usize> = (0..stages.len()).collect();
        order.sort_by_key(|index| Reverse(stages[*index].path.matches('/').count()));
        for index in order {
            let stage = &stages[index];
            let below = &sums[index];
            let own = stage.progress / 100.0;
            let fraction = own.max(below.mean().unwrap_or(0.0)).clamp(0.0, 1.0);
            // However little those below may weigh, they have to be done.
            let done = own >= 1.0 || (below.stages > 0 && below.done == below.stages);
            percents[index] = match below.stages {
                0 => stage.progress,
                _ => stage_percent(fraction, done),
            };
            let above = parents[index].map_or(&mut top, |parent| &mut sums[parent]);
            above.add(stage.weight, fraction, done);
        }
        Self {
            fraction: top.mean(),
            stages: percents,
        }
    }
}

/// The nearest stage above each.
pub(super) fn parents(stages: &[StageSnapshot]) -> Vec<Option<usize>> {
    let by_path: HashMap<&str, usize> = stages
        .iter()
        .enumerate()
        .map(|(index, stage)| (&*stage.path, index))
        .collect();
    stages
        .iter()
        .map(|stage| ancestors(&stage.path).find_map(|path| by_path.get(path).copied()))
        .collect()
}

#[derive(Debug, Clone, Default)]
struct Sum {
    stages: usize,
    done: usize,
    weights: f64,
    weighted: f64,
}

impl Sum {
    fn add(&mut self, weight: f64, fraction: f64, done: bool) {
        self.stages += 1;
        self.done += usize::from(done);
        self.weights += weight;
        self.weighted += weight * fraction;
    }

    fn mean(&self) -> Option<f64> {
        (self.weights > 0.0).then(|| self.weighted / self.weights)
    }
}
