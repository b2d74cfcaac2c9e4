//! A limit of time.

use std::time::Duration;

use progress_core::TaskError;

use crate::{context::Context, error, stage::Stage};

/// A stage that has so much time. See [`Stage::timeout`].
#[derive(Debug, Clone)]
pub struct Timeout<S> {
    stage: S,
    limit: Duration,
}

impl<S> Timeout<S> {
    pub(super) fn new(stage: S, limit: Duration) -> Self {
        Self { stage, limit }
    }
}

impl<S, In, Out> Stage<In, Out> for Timeout<S>
where
    S: Stage<In, Out>,
    In: Send,
    Out: Send,
{
    async fn run(&self, cx: Context, input: In) -> Result<Out, TaskError> {
        let flag = cx.cancel().child();
        let run = self.stage.run(cx.with_cancel(flag.clone()), input);
        tokio::select! {
            biased;
            result = run => result,
            () = tokio::time::sleep(self.limit) => {
                // For the threads that work for it.
                flag.cancel();
                Err(error::stage_timeout(cx.stage(), self.limit))
            }
        }
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
