//! Progress of a stage that reports none, by how long it is expected to take.

use std::time::Duration;

use progress_core::Reporter;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::stopwatch::Stopwatch;

/// How far an estimate goes: the rest is the stage's own to tell, by its end.
const MOST: f64 = 95.0;
/// How often it is told, of how long the stage is expected to take, and within which bounds: a
/// tick of the tracker is 100 ms.
const STEPS: u32 = 50;
const OFTEN: Duration = Duration::from_millis(100);
const SELDOM: Duration = Duration::from_secs(1);

pub(super) struct Pace {
    reporter: Reporter,
    stopwatch: Stopwatch,
    expected: Duration,
    ticks: Interval,
    told: f64,
}

impl Pace {
    /// None where nobody listens.
    pub(super) fn new(
        reporter: &Reporter,
        stopwatch: &Stopwatch,
        expected: Duration,
    ) -> Option<Self> {
        reporter.task_id()?;
        let mut ticks = interval((expected / STEPS).clamp(OFTEN, SELDOM));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        // The first comes at once.
        ticks.reset();
        Some(Self {
            reporter: reporter.clone(),
            stopwatch: stopwatch.clone(),
            expected,
            ticks,
            told: 0.0,
        })
    }

    /// Tells how far it should be, from time to time.
    pub(super) async fn keep(pace: &mut Option<Self>) {
        match pace {
            Some(pace) => pace.next().await,
            None => std::future::pending().await,
        }
    }

    async fn next(&mut self) {
        self.ticks.tick().await;
        let done = self.stopwatch.elapsed().as_secs_f64() / self.expected.as_secs_f64();
        let percent = (done * 100.0).min(MOST);
        // Another attempt begins at zero; what was told stands until it is as far.
        if percent > self.told {
            if self.told == 0.0 {
                self.reporter.metadata("estimated", true);
            }
            self.told = percent;
            self.reporter.progress(percent);
        }
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        if self.told > 0.0 {
            self.reporter.metadata("estimated", false);
        }
    }
}
