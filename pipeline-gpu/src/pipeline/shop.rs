//! What the workers of all stages of a pipeline share.

use std::{sync::Arc, time::Duration};

use progress_core::{Limits, StageDecl, TaskError};
use tokio_util::sync::CancellationToken;

use super::{
    aside::Aside,
    item::{Item, Stop},
    ledger::{Ends, Failure},
    line::Holds,
};
use crate::{error::BuildError, prior::Prior, sync::Mutex, threads::CpuPool};

/// A stage as the builder was told of it.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) name: Arc<str>,
    pub(super) label: Option<Arc<str>>,
    pub(super) weight: f64,
    pub(super) concurrency: usize,
    pub(super) queue: usize,
    pub(super) ordered: bool,
    pub(super) grace: Duration,
    pub(super) opaque: bool,
}

pub(super) struct Shop {
    pub(super) name: Arc<str>,
    pub(super) plans: Vec<Plan>,
    pub(super) ends: Arc<dyn Ends>,
    pub(super) prior: Mutex<Prior>,
    pub(super) pool: CpuPool,
    /// Room for items that are paused by themselves, which let others pass.
    pub(super) aside: Aside,
    pub(super) done: CancellationToken,
}

impl Shop {
    /// The stages with their present weights, below a path.
    pub(super) fn stages(&self, under: Option<&str>) -> Vec<StageDecl> {
        let names = self.plans.iter().map(|plan| &*plan.name);
        let learned = self.prior.lock().weights(names);
        let declare = |(index, plan): (usize, &Plan)| {
            let path = match under {
                Some(under) => format!("{under}/{}", plan.name),
                None => plan.name.to_string(),
            };
            let weight = match &learned {
                Some(weights) => weights[index],
                None => plan.weight,
            };
            let stage = StageDecl::new(path, weight);
            match &plan.label {
                Some(label) => stage.label(label),
                None => stage,
            }
        };
        self.plans.iter().enumerate().map(declare).collect()
    }
}

/// The lines of a pipeline, and who ends what is taken out of them.
pub(super) struct Floor {
    pub(super) shop: Arc<Shop>,
    pub(super) lines: Vec<Arc<dyn Holds>>,
}

impl Floor {
    /// Has an item stop. One that waits ends here; one that is worked on, when its stage has
    /// stopped.
    pub(super) fn stop(&self, item: &Item, stop: Stop) {
        item.ask_to_stop(stop);
        // Its own code is dropped after it has ended.
        let withdrawn = self.lines.iter().find_map(|line| line.withdraw(item));
        if withdrawn.is_some() {
            self.shop.ends.fail(item, Failure::Stopped(None));
        }
    }

    pub(super) fn wake(&self) {
        for line in &self.lines {
            line.wake();
        }
    }
}

/// The stage that an error names, if it comes from one.
pub(super) fn failed_in(error: TaskError, path: &str) -> Failure {
    Failure::Failed(error.in_stage(path))
}

pub(super) fn check_name(name: &str) -> Result<(), BuildError> {
    let sound = name.len() <= Limits::NAME_LEN
        && !name.chars().any(char::is_control)
        && !name.split('/').any(str::is_empty)
        && name.split('/').count() <= Limits::STAGE_DEPTH;
    match sound {
        true => Ok(()),
        false => Err(BuildError::StageName {
            name: name.to_owned(),
        }),
    }
}
