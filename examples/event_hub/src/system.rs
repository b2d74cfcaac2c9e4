//! How the machine and the hub are, sampled from time to time.

use std::time::Duration;

use progress_web::Gateway;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::{
    events::{ResourceWarning, SystemStatus},
    hub::Hub,
};

/// How often it is looked, and what is too much.
#[derive(Debug, Clone)]
pub struct Watch {
    /// Between two samples (5 s, at least 200 ms: a shorter one tells nothing of the processor).
    pub every: Duration,
    /// Percent of the machine's memory from which on it is warned of (90).
    pub memory: f64,
    /// Percent of the hub's [store](crate::bounds::Bounds::stored) from which on it is warned of (90).
    pub store: f64,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(5),
            memory: 90.0,
            store: 90.0,
        }
    }
}

/// Samples for ever.
pub(crate) async fn sample(hub: Hub, gateway: Gateway, watch: Watch) {
    let mut system = System::new();
    let mut memory = Limit::new("memory", watch.memory);
    let mut store = Limit::new("store", watch.store);
    let mut clock = tokio::time::interval(watch.every.max(sysinfo::MINIMUM_CPU_UPDATE_INTERVAL));
    loop {
        clock.tick().await;
        let status = look(&mut system, &hub, &gateway);
        let used = status.memory_used as f64 * 100.0 / status.memory_total.max(1) as f64;
        hub.tell(status);
        let warnings = [memory.passed(used), store.passed(hub.store().percent())];
        for warning in warnings.into_iter().flatten() {
            hub.tell(warning);
        }
    }
}

fn look(system: &mut System, hub: &Hub, gateway: &Gateway) -> SystemStatus {
    system.refresh_cpu_usage();
    system.refresh_memory();
    let ours = Pid::from_u32(std::process::id());
    let kind = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[ours]), true, kind);
    SystemStatus {
        cpu_percent: system.global_cpu_usage(),
        memory_used: system.used_memory(),
        memory_total: system.total_memory(),
        memory_hub: system.process(ours).map_or(0, sysinfo::Process::memory),
        clients: gateway.sessions(),
        stored: hub.store().used(),
    }
}

/// A limit that is told of when it is passed, and again only after it was well below.
#[derive(Debug)]
struct Limit {
    resource: &'static str,
    percent: f64,
    is_passed: bool,
}

impl Limit {
    fn new(resource: &'static str, percent: f64) -> Self {
        Self {
            resource,
            percent,
            is_passed: false,
        }
    }

    fn passed(&mut self, percent: f64) -> Option<ResourceWarning> {
        let was_passed = self.is_passed;
        self.is_passed = match was_passed {
            false => percent >= self.percent,
            true => percent > self.percent - WELL_BELOW,
        };
        (self.is_passed && !was_passed).then_some(ResourceWarning {
            resource: self.resource,
            percent,
            limit_percent: self.percent,
        })
    }
}

/// Percent, so that a value that swings about its limit is no alarm at each swing.
const WELL_BELOW: f64 = 5.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_told_of_once_until_it_was_better() {
        let mut limit = Limit::new("memory", 90.0);
        let told: Vec<bool> = [50.0, 90.0, 95.0, 88.0, 91.0, 84.0, 91.0]
            .map(|percent| limit.passed(percent).is_some())
            .into();
        assert_eq!(told, [false, true, false, false, false, false, true]);
    }
}
