//! Contenders measured in turns: a machine that speeds up or slows down does it to all of them.
//!
//! A turn takes a few milliseconds, so that in most of them nobody else gets the processor.

use std::time::Duration;

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    pub rounds: usize,
    /// What numbers of repetitions are divided by.
    pub divisor: u64,
}

impl Effort {
    pub const FULL: Self = Self {
        rounds: 41,
        divisor: 1,
    };
    /// Once, to see that it runs.
    pub const LEAST: Self = Self {
        rounds: 1,
        divisor: 100,
    };

    pub fn repeat(self, times: u64) -> u64 {
        (times / self.divisor).max(1)
    }
}

/// The medians of a contender's rounds, and of their ratios to the first contender's.
#[derive(Debug, Clone, Copy)]
pub struct Medians {
    pub value: f64,
    pub ratio: f64,
}

/// Runs all contenders in each round, after one that does not count. Each gives a cost.
pub fn rounds<const N: usize>(
    effort: Effort,
    mut contenders: [&mut dyn FnMut() -> f64; N],
) -> [Medians; N] {
    let medians = rounds_of(effort, &mut contenders);
    medians.try_into().expect("one for each contender")
}

/// [`rounds`] of as many contenders as there are; at least one.
pub fn rounds_of<F: FnMut() -> f64>(effort: Effort, contenders: &mut [F]) -> Vec<Medians> {
    let mut costs = vec![Vec::new(); contenders.len()];
    for contender in &mut *contenders {
        contender();
    }
    for _ in 0..effort.rounds {
        for (contender, costs) in contenders.iter_mut().zip(&mut costs) {
            costs.push(contender());
        }
    }
    let first = costs[0].clone();
    let medians = costs.into_iter().map(|costs| Medians {
        ratio: median(costs.iter().zip(&first).map(|(cost, first)| cost / first)),
        value: median(costs.into_iter()),
    });
    medians.collect()
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    quantile(values, 0.5)
}

/// The value that a part of all are at or below.
pub fn quantile(values: impl Iterator<Item = f64>, part: f64) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    values[((last as f64) * part).round() as usize]
}

/// Nanoseconds of each of so many.
pub fn each(whole: Duration, count: u64) -> f64 {
    whole.as_nanos() as f64 / count as f64
}
