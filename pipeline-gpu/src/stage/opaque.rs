//! Progress that is estimated.

use std::time::Duration;

use progress_core::TaskError;

use crate::{context::Context, stage::Stage};

/// A stage whose progress is estimated. See [`Stage::opaque`].
#[derive(Debug, Clone)]
pub struct Opaque<S>(S);

impl<S> Opaque<S> {
    pub(super) fn new(stage: S) -> Self {
        Self(stage)
    }
}

impl<S, In, Out> Stage<In, Out> for Opaque<S>
where
    S: Stage<In, Out>,
{
    fn run(&self, cx: Context, input: In) -> impl Future<Output = Result<Out, TaskError>> + Send {
        self.0.run(cx, input)
    }

    fn concurrency(&self) -> usize {
        self.0.concurrency()
    }

    fn grace(&self) -> Duration {
        self.0.grace()
    }

    fn is_opaque(&self) -> bool {
        true
    }
}
