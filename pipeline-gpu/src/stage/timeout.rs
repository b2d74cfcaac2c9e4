//! A limit of time.

use std::{pin::pin, time::Duration};

use progress_core::TaskError;
use tokio::time::{Instant, sleep, timeout};

use crate::{context::Context, error, stage::Stage};

/// A stage that has so much time, and after it its [grace](Stage::grace). See [`Stage::timeout`].
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
        let mut run = pin!(self.stage.run(cx.with_cancel(flag.clone()), input));
        tokio::select! {
            biased;
            result = &mut run => return result,
            () = spent(&cx, self.limit) => {}
        }
        // For the threads that work for it, and for what it has to undo elsewhere.
        flag.cancel();
        let _too_late = timeout(self.stage.grace(), run).await;
        Err(error::stage_timeout(cx.stage(), self.limit))
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

/// Waits for so much time in which the item is not paused, nor waits for its stage after a pause.
async fn spent(cx: &Context, mut left: Duration) {
    while cx.resumed().await {
        let began = Instant::now();
        if timeout(left, cx.held_up()).await.is_err() {
            return;
        }
        left = left.saturating_sub(began.elapsed());
    }
    // The pipeline is gone, so that the pause would be for ever.
    sleep(left).await;
}
