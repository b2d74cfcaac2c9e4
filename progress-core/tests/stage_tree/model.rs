//! Random trees and reports, against a model that computes everything anew each time.

use std::collections::{BTreeMap, BTreeSet};

use progress_core::{ProgressTracker, Snapshot, StageState};
use proptest::{prelude::*, test_runner::FileFailurePersistence};

use crate::common::a_tick;

#[derive(Debug, Clone)]
enum Report {
    Progress(f64),
    Count { total: u64, by: u64 },
    Message,
}

#[derive(Debug, Default)]
struct Model {
    /// By path; none if it was not declared.
    weights: BTreeMap<String, Option<f64>>,
    own: BTreeMap<String, f64>,
    counts: BTreeMap<String, u64>,
    begun: BTreeSet<String>,
}

fn above(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(above, _)| above)
}

impl Model {
    fn declared(stages: &BTreeMap<String, f64>) -> Self {
        let mut model = Self::default();
        for (path, weight) in stages {
            let mut at = path.as_str();
            let mut weigh = *weight;
            model.weights.insert(at.to_owned(), Some(weigh));
            while let Some(parent) = above(at).filter(|parent| !stages.contains_key(*parent)) {
                let sum = model.weights.entry(parent.to_owned()).or_insert(Some(0.0));
                *sum = Some(sum.unwrap() + weigh);
                (at, weigh) = (parent, *weight);
            }
        }
        model
    }

    fn report(&mut self, path: &str, report: &Report) {
        let mut at = Some(path);
        while let Some(path) = at {
            self.weights.entry(path.to_owned()).or_insert(None);
            self.begun.insert(path.to_owned());
            at = above(path);
        }
        let own = match report {
            Report::Progress(percent) => percent / 100.0,
            Report::Count { total, by } => {
                let count = self.counts.entry(path.to_owned()).or_default();
                *count += by;
                *count as f64 / *total as f64
            }
            Report::Message => return,
        };
        // A percent counts before any count.
        let percents = matches!(report, Report::Progress(_));
        if percents || !self.own.get(path).is_some_and(|own| *own < 0.0) {
            // Percents are kept negative, to tell them apart.
            let own = own.min(1.0);
            self.own
                .insert(path.to_owned(), if percents { -own - 1e-300 } else { own });
        }
    }

    fn children<'a>(&'a self, parent: Option<&'a str>) -> impl Iterator<Item = &'a str> {
        self.weights
            .keys()
            .map(String::as_str)
            .filter(move |path| above(path) == parent)
    }

    fn weight(&self, path: &str) -> f64 {
        self.weights[path].unwrap_or_else(|| {
            let declared = |path: &str| self.weights[path].is_some();
            match self.children(above(path)).any(declared) {
                true => 0.0,
                false => 1.0,
            }
        })
    }

    fn mean(&self, parent: Option<&str>) -> (f64, bool) {
        let (mut sum, mut weights, mut complete) = (0.0, 0.0, true);
        for child in self.children(parent) {
            let (fraction, done) = self.fraction(child);
            sum += self.weight(child) * fraction;
            weights += self.weight(child);
            complete &= done;
        }
        match weights > 0.0 {
            true => (sum / weights, complete),
            false => (if complete { 1.0 } else { 0.0 }, complete),
        }
    }

    fn fraction(&self, path: &str) -> (f64, bool) {
        match self.own.get(path) {
            Some(own) => (own.abs(), own.abs() >= 1.0),
            None if self.children(Some(path)).next().is_some() => self.mean(Some(path)),
            None => (0.0, false),
        }
    }

    fn check(&self, snapshot: &Snapshot, shown: &mut f64) {
        for path in self.weights.keys() {
            let stage = snapshot.stage(path).expect("mentioned");
            assert!(
                (stage.weight - self.weight(path)).abs() < 1e-9,
                "{path}: {stage:?}"
            );
            let (fraction, complete) = self.fraction(path);
            let percent = if complete {
                100.0
            } else {
                (fraction * 100.0).min(99.99)
            };
            assert!(
                (stage.progress - percent).abs() < 0.011,
                "{path} at {percent}: {stage:?}"
            );
            let state = match (self.begun.contains(path), complete) {
                (false, _) => StageState::Pending,
                (true, false) => StageState::Running,
                (true, true) => StageState::Completed,
            };
            assert_eq!(stage.state, state, "{path}");
        }
        assert_eq!(snapshot.stages.len(), self.weights.len());
        let (before, now) = (*shown, snapshot.progress);
        assert!(
            now >= before && now > self.whole() - 0.011,
            "{now} after {before}"
        );
        *shown = now;
    }

    fn whole(&self) -> f64 {
        match self.children(None).any(|path| self.weight(path) > 0.0) {
            true => (self.mean(None).0 * 100.0).min(99.9),
            false => 0.0,
        }
    }
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b"]), 1..4)
        .prop_map(|segments| segments.join("/"))
}

fn report() -> impl Strategy<Value = Report> {
    prop_oneof![
        prop::sample::select(vec![0.0, 12.5, 33.3, 99.0, 100.0]).prop_map(Report::Progress),
        (1..5_u64).prop_map(|by| Report::Count { total: 10, by }),
        Just(Report::Message),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "proptest-regressions/stage_tree.txt",
        ))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_stage_is_where_its_parts_are(
        stages in prop::collection::btree_map(path(), 0.0..10.0_f64, 0..6),
        reports in prop::collection::vec((path(), report()), 1..30),
        each: bool,
        at_once in prop::collection::vec(any::<bool>(), 30),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let tracker = ProgressTracker::new();
            let mut task = tracker.task("t");
            for (path, weight) in &stages {
                task = task.stage(path.as_str(), *weight);
            }
            let task = task.start().unwrap();
            let (mut model, mut shown) = (Model::declared(&stages), 0.0);
            let mut most = 0.0_f64;
            for (n, (path, report)) in reports.iter().enumerate() {
                model.report(path, report);
                let stage = task.stage(path);
                match report {
                    Report::Progress(percent) => stage.progress(*percent),
                    Report::Count { total, by } => stage.total(*total).inc(*by),
                    Report::Message => stage.message("at work"),
                }
                most = most.max(model.whole());
                if each || at_once[n] || n + 1 == reports.len() {
                    a_tick().await;
                    model.check(&task.snapshot(), &mut shown);
                    // Within a tick, old and new counts may together have made more than was so.
                    assert!(!each || shown < most + 0.011, "{shown} of {most}");
                }
            }
        });
    }
}
