//! What is known of how long stages take.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize};

/// How long the stages of a pipeline took lately: of it their weights are made, and the progress
/// of [opaque](crate::Stage::opaque) stages.
///
/// The service keeps it: [`Pipeline::prior`](crate::Pipeline::prior) gives it, in any form of
/// serde, and [`PipelineBuilder::prior`](crate::PipelineBuilder::prior) takes it back after a
/// restart.
///
/// A stage is expected to take the median of its last 32 successful runs, without what it waited
/// for a device, a thread, a batch or another attempt: a few that were out of the ordinary
/// do not move it. What is read from outside is cut to the bounds, and durations that are none are
/// left out.
///
/// ```
/// use std::time::Duration;
///
/// use pipeline_gpu::Prior;
///
/// let mut prior = Prior::new();
/// for seconds in [2, 3, 400] {
///     prior.learn("render", Duration::from_secs(seconds));
/// }
/// assert_eq!(prior.expected("render"), Some(Duration::from_secs(3)));
/// assert_eq!(prior.expected("upload"), None);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Prior {
    /// Milliseconds, the newest last.
    stages: BTreeMap<String, VecDeque<f64>>,
}

impl Prior {
    /// How many runs of a stage are kept.
    pub const RUNS: usize = 32;
    /// How many stages are kept.
    pub const STAGES: usize = 256;
    /// After how many runs of every stage the weights are those that were learned.
    pub const ENOUGH: usize = 3;
    /// The longest run that is believed: 30 days.
    pub const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
    /// The least share of the whole that a stage keeps, so that each is seen.
    pub const LEAST_SHARE: f64 = 0.005;

    /// Makes one that knows nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes how long a stage took. A stage past [`STAGES`](Self::STAGES) is not noted.
    pub fn learn(&mut self, stage: &str, took: Duration) {
        // No longer in JSON than it is exact.
        let took = took.min(Self::LONGEST).as_micros() as f64 / 1e3;
        if let Some(runs) = self.stages.get_mut(stage) {
            if runs.len() >= Self::RUNS {
                runs.pop_front();
            }
            runs.push_back(took);
        } else if self.stages.len() < Self::STAGES {
            self.stages.insert(stage.to_owned(), VecDeque::from([took]));
        }
    }

    /// Returns how long a stage is expected to take; none if it never ran.
    #[must_use]
    pub fn expected(&self, stage: &str) -> Option<Duration> {
        let mut runs: Vec<f64> = self.stages.get(stage)?.iter().copied().collect();
        if runs.is_empty() {
            return None;
        }
        let middle = runs.len() / 2;
        let even = runs.len().is_multiple_of(2);
        let (below, median, _) = runs.select_nth_unstable_by(middle, f64::total_cmp);
        let millis = match even {
            true => f64::midpoint(below.iter().copied().fold(0.0, f64::max), *median),
            false => *median,
        };
        Some(Duration::from_secs_f64(millis / 1e3))
    }

    /// Returns how many runs of a stage are kept.
    #[must_use]
    pub fn runs(&self, stage: &str) -> usize {
        self.stages.get(stage).map_or(0, VecDeque::len)
    }

    /// The share of each of `stages` of the whole, as learned; none until enough is known of all.
    pub(crate) fn weights<'a>(
        &self,
        stages: impl Iterator<Item = &'a str> + Clone,
    ) -> Option<Vec<f64>> {
        if stages.clone().any(|stage| self.runs(stage) < Self::ENOUGH) {
            return None;
        }
        let expected: Vec<f64> = stages
            .filter_map(|stage| self.expected(stage))
            .map(|expected| expected.as_secs_f64())
            .collect();
        let whole: f64 = expected.iter().sum();
        if whole <= 0.0 {
            return None;
        }
        let share = |expected: f64| (expected / whole).max(Self::LEAST_SHARE);
        Some(expected.into_iter().map(share).collect())
    }
}

impl<'de> Deserialize<'de> for Prior {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read: BTreeMap<String, Vec<f64>> = Deserialize::deserialize(deserializer)?;
        let mut prior = Self::new();
        for (stage, runs) in read {
            let sound = runs
                .iter()
                .filter(|millis| millis.is_finite() && **millis >= 0.0);
            let newest = sound.clone().count().saturating_sub(Self::RUNS);
            for millis in sound.skip(newest) {
                let longest = Self::LONGEST.as_secs_f64();
                let seconds = (millis / 1e3).min(longest);
                prior.learn(&stage, Duration::from_secs_f64(seconds));
            }
        }
        Ok(prior)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(millis: impl IntoIterator<Item = u64>) -> Prior {
        let mut prior = Prior::new();
        for millis in millis {
            prior.learn("a", Duration::from_millis(millis));
        }
        prior
    }

    fn expected(prior: &Prior) -> u128 {
        prior.expected("a").unwrap().as_millis()
    }

    #[test]
    fn is_the_median_of_the_newest_runs() {
        assert_eq!(expected(&learned([30, 10, 20])), 20);
        assert_eq!(expected(&learned([40, 10, 20, 30])), 25);
        assert_eq!(expected(&learned([10, 10, 10, 90_000])), 10);
        let moved = learned((0..40).map(|n| if n < 8 { 1_000 } else { n }));
        assert_eq!(moved.runs("a"), Prior::RUNS);
        assert_eq!(expected(&moved), 23, "the first eight are forgotten");
    }

    #[test]
    fn weights_are_learned_once_every_stage_has_run_often_enough() {
        let mut prior = Prior::new();
        let stages = ["a", "b"];
        for _ in 0..Prior::ENOUGH {
            assert_eq!(prior.weights(stages.into_iter()), None);
            prior.learn("a", Duration::from_secs(9));
            prior.learn("b", Duration::from_secs(1));
        }
        assert_eq!(prior.weights(stages.into_iter()), Some(vec![0.9, 0.1]));
        for _ in 0..Prior::RUNS {
            prior.learn("b", Duration::ZERO);
        }
        assert_eq!(
            prior.weights(stages.into_iter()),
            Some(vec![1.0, Prior::LEAST_SHARE]),
        );
    }

    #[test]
    fn is_read_back_as_it_was_written() {
        let prior = learned([3, 1, 2]);
        let json = serde_json::to_string(&prior).unwrap();
        assert_eq!(json, r#"{"a":[3.0,1.0,2.0]}"#);
        assert_eq!(serde_json::from_str::<Prior>(&json).unwrap(), prior);
    }

    #[test]
    fn what_is_read_is_cut_to_the_bounds() {
        let runs = vec!["7"; 1_000].join(",");
        let json = format!(r#"{{"a":[-1,1e300,{runs}],"b":[-5]}}"#);
        let prior: Prior = serde_json::from_str(&json).unwrap();
        assert_eq!(prior.runs("a"), Prior::RUNS);
        assert_eq!(prior.expected("b"), None);
        let long: Prior = serde_json::from_str(r#"{"a":[1e300]}"#).unwrap();
        assert_eq!(long.expected("a"), Some(Prior::LONGEST));
        let many: Vec<_> = (0..Prior::STAGES + 5)
            .map(|n| format!(r#""{n}":[1]"#))
            .collect();
        let many: Prior = serde_json::from_str(&format!("{{{}}}", many.join(","))).unwrap();
        assert_eq!(many.stages.len(), Prior::STAGES);
    }
}
