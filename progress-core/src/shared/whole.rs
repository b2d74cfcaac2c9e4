//! How far the whole is, from how far its stages are.

use std::{cmp::Reverse, collections::HashMap};

use crate::snapshot::StageSnapshot;

/// How far a task is by its stages.
#[derive(Debug)]
pub(super) struct Whole {
    /// The fraction of the whole, 0 to 1; none if no stage has weight.
    pub(super) fraction: Option<f64>,
    /// The fraction of each stage, in their order.
    pub(super) stages: Vec<f64>,
}

impl Whole {
    /// Adds stages up: one is as far as it says, or as those below it are in their weighted mean
    /// if that is further; the task is as far as those at the top are.
    pub(super) fn of(stages: &[StageSnapshot]) -> Self {
        let mut fractions: Vec<f64> = stages.iter().map(|stage| stage.progress / 100.0).collect();
        let mut sums = vec![Sum::default(); stages.len()];
        let mut top = Sum::default();
        let parents = parents(stages);
        let mut order: Vec<usize> = (0..stages.len()).collect();
        order.sort_by_key(|index| Reverse(stages[*index].path.matches('/').count()));
        for index in order {
            let mean = sums[index].mean().unwrap_or(0.0);
            fractions[index] = fractions[index].max(mean).clamp(0.0, 1.0);
            let above = parents[index].map_or(&mut top, |parent| &mut sums[parent]);
            above.weights += stages[index].weight;
            above.weighted += stages[index].weight * fractions[index];
        }
        Self {
            fraction: top.mean(),
            stages: fractions,
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
        .map(|stage| above(&stage.path).find_map(|path| by_path.get(path).copied()))
        .collect()
}

/// The paths above a path, the nearest first.
fn above(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(path.rsplit_once('/'), |(above, _)| above.rsplit_once('/'))
        .map(|(above, _)| above)
}

#[derive(Debug, Clone, Default)]
struct Sum {
    weights: f64,
    weighted: f64,
}

impl Sum {
    fn mean(&self) -> Option<f64> {
        (self.weights > 0.0).then(|| self.weighted / self.weights)
    }
}
