//! Work that a device has to admit.

use std::time::Duration;

use progress_core::TaskError;

use crate::{admission::Admission, context::Context, stage::Stage};

/// A stage that works only while an [`Admission`] admits it. See [`Stage::on`].
#[derive(Debug, Clone)]
pub struct OnDevice<S> {
    stage: S,
    admission: Admission,
}

impl<S> OnDevice<S> {
    pub(super) fn new(stage: S, admission: Admission) -> Self {
        Self { stage, admission }
    }
}

impl<S, In, Out> Stage<In, Out> for OnDevice<S>
where
    S: Stage<In, Out>,
    In: Send,
    Out: Send,
{
    async fn run(&self, cx: Context, input: In) -> Result<Out, TaskError> {
        let _admitted = self.admission.admit(&cx).await?;
        self.stage.run(cx, input).await
    }

    fn concurrency(&self) -> usize {
        self.stage.concurrency()
    }

    fn grace(&self) -> Duration {
        self.stage.grace()
    }

    fn is_opaque(&self) -> bool {
        self.stage.is_opaque()
    }
}
