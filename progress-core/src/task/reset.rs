//! Work that begins again within its run.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    error::PublishError,
    estimator::{Amount, Estimator},
    task::{inner::Inner, shared::TaskShared, work::Work},
};

impl TaskShared {
    /// Takes back what the task (index 0, with all its stages) or one stage has done.
    pub(super) fn reset(self: &Arc<Self>, index: usize) {
        let reset = self.change(|inner, now| {
            if inner.log.is_ended() {
                return Err(PublishError::AlreadyComplete);
            }
            match index {
                0 => inner.reset_all(self, now),
                _ => inner.reset_stage(self, index, now),
            }
        });
        self.note_refusal(reset);
    }
}

impl Inner {
    fn reset_all(&mut self, shared: &TaskShared, now: Instant) -> Result<(), PublishError> {
        let active = self.active_elapsed(now);
        let work = self.work();
        for index in 0..work.values.len() {
            work.values[index].reset();
            work.measure(index);
        }
        work.percent.reset();
        work.begin_estimate(active);
        let values = work.values.len();
        for index in 0..values {
            // The task's own value always, so that the whole is seen to fall.
            if index == 0 || self.work().values[index].begun {
                self.publish_now(shared, index, now)?;
            }
        }
        Ok(())
    }

    fn reset_stage(
        &mut self,
        shared: &TaskShared,
        index: usize,
        now: Instant,
    ) -> Result<(), PublishError> {
        let active = self.active_elapsed(now);
        let work = self.work();
        work.values[index].reset();
        work.measure(index);
        work.percent.fall();
        work.begin_estimate(active);
        if work.values[index].begun {
            self.publish_now(shared, index, now)?;
        }
        Ok(())
    }

    fn publish_now(
        &mut self,
        shared: &TaskShared,
        index: usize,
        now: Instant,
    ) -> Result<(), PublishError> {
        if self.work().values[index].watched {
            self.publish_value(shared, index, now)
        } else {
            self.touch(shared, index, now)
        }
    }
}

impl Work {
    fn begin_estimate(&mut self, active: Duration) {
        self.estimator = Estimator::default();
        self.estimator
            .record(active, Amount::Share(self.percent.fraction()));
    }
}
