//! Work that begins again within its run.

use std::sync::Arc;

use tokio::time::Instant;

use crate::{
    error::PublishError,
    estimator::{Amount, Estimator},
    task::{inner::Inner, shared::TaskShared},
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
        for index in 0..self.values.len() {
            self.values[index].reset();
            self.measure(index);
        }
        self.percent.reset();
        self.begin_estimate(now);
        for index in 0..self.values.len() {
            // The task's own value always, so that the whole is seen to fall.
            if index == 0 || self.values[index].begun {
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
        self.values[index].reset();
        self.measure(index);
        self.percent.fall();
        self.begin_estimate(now);
        if self.values[index].begun {
            self.publish_now(shared, index, now)?;
        }
        Ok(())
    }

    fn begin_estimate(&mut self, now: Instant) {
        let active = self.active_elapsed(now);
        self.estimator = Estimator::default();
        self.estimator
            .record(active, Amount::Share(self.percent.fraction()));
    }

    fn publish_now(
        &mut self,
        shared: &TaskShared,
        index: usize,
        now: Instant,
    ) -> Result<(), PublishError> {
        if self.values[index].watched {
            self.publish_value(shared, index, now)
        } else {
            self.touch(shared, index, now)
        }
    }
}
