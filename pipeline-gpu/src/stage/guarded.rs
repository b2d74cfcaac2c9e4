//! Calls that a breaker may refuse.

use std::time::Duration;

use progress_core::TaskError;

use crate::{breaker::Breaker, context::Context, stage::Stage};

/// A stage behind a [`Breaker`]. See [`Stage::guarded_by`].
#[derive(Debug, Clone)]
pub struct Guarded<S> {
    stage: S,
    breaker: Breaker,
}

impl<S> Guarded<S> {
    pub(super) fn new(stage: S, breaker: Breaker) -> Self {
        Self { stage, breaker }
    }
}

impl<S, In, Out> Stage<In, Out> for Guarded<S>
where
    S: Stage<In, Out>,
    In: Send,
    Out: Send,
{
    async fn run(&self, cx: Context, input: In) -> Result<Out, TaskError> {
        let call = self.breaker.call()?;
        let result = self.stage.run(cx.clone(), input).await;
        match &result {
            Ok(_) => call.succeeded(),
            // An error that no other attempt would mend is the item's fault; one that follows a
            // request to stop is nobody's.
            Err(error)
                if error.is_retryable() && !cx.is_cancelled() && !cx.reporter().is_cancelled() =>
            {
                call.failed();
            }
            Err(_) => {}
        }
        result
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
