//! Attempts that are repeated.

use std::{sync::Arc, time::Duration};

use progress_core::{
    TaskError,
    batch::{RetryPolicy, retry},
};

use crate::{context::Context, error, stage::Stage, sync::Mutex};

/// A stage whose failed attempts are repeated. See [`Stage::retry`].
#[derive(Debug, Clone)]
pub struct Retry<S> {
    stage: S,
    policy: RetryPolicy,
}

impl<S> Retry<S> {
    pub(super) fn new(stage: S, policy: RetryPolicy) -> Self {
        Self { stage, policy }
    }
}

impl<S, In, Out> Stage<In, Out> for Retry<S>
where
    S: Stage<In, Out>,
    In: Clone + Send,
    Out: Send,
{
    async fn run(&self, cx: Context, input: In) -> Result<Out, TaskError> {
        let mut made = 0;
        let opaque = self.stage.is_opaque();
        // Between attempts nothing is done that estimates should know of.
        let between = Arc::new(Mutex::new(Some(cx.hold())));
        let reporter = cx.reporter().clone();
        let (item, waits) = (cx.clone(), Arc::clone(&between));
        let attempts = retry(&reporter, self.policy, move || {
            made += 1;
            let cx = item.in_attempt(made);
            let input = input.clone();
            let between = Arc::clone(&waits);
            async move {
                cx.ready().await?;
                if made > 1 && !opaque {
                    cx.reporter().reset();
                }
                cx.stopwatch().restart();
                between.lock().take();
                let result = self.stage.run(cx.clone(), input).await;
                if result.is_err() {
                    *between.lock() = Some(cx.hold());
                }
                // Once it is to stop no other follows.
                result.map_err(|error| match cx.is_cancelled() {
                    true => error.retryable(false),
                    false => error,
                })
            }
        });
        tokio::pin!(attempts);
        tokio::select! {
            biased;
            result = &mut attempts => return result,
            () = cx.cancel().cancelled() => {}
        }
        // An attempt comes to its end by itself; nobody waits for the next.
        let waits = between.lock().is_some();
        match waits {
            true => Err(error::cancelled()),
            false => attempts.await,
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
