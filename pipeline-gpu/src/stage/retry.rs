//! Attempts that are repeated.

use std::{sync::Arc, time::Duration};

use progress_core::{
    TaskError,
    batch::{RetryPolicy, retry},
};
use tokio::sync::Notify;

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
        // Between attempts nothing is done that estimates should know of.
        let between = Arc::new(Mutex::new(Some(cx.hold())));
        let reporter = cx.reporter().clone();
        let broken_off = Arc::new(Notify::new());
        let (item, waits, stops) = (cx.clone(), Arc::clone(&between), Arc::clone(&broken_off));
        let attempts = retry(&reporter, self.policy, move || {
            made += 1;
            let cx = item.in_attempt(made);
            let input = input.clone();
            let (between, over) = (Arc::clone(&waits), Arc::clone(&stops));
            async move {
                cx.ready().await?;
                // Estimates never fall, whichever way round `opaque` and this were put.
                if made > 1 && !cx.is_opaque() {
                    cx.reporter().reset();
                }
                cx.stopwatch().restart();
                between.lock().take();
                let result = self.stage.run(cx.clone(), input).await;
                if result.is_err() {
                    *between.lock() = Some(cx.hold());
                    if cx.is_cancelled() {
                        // No other follows, and nobody need be told of this one.
                        over.notify_one();
                        std::future::pending::<()>().await;
                    }
                }
                result
            }
        });
        tokio::pin!(attempts);
        tokio::select! {
            biased;
            // Before the attempts: one that only waits to begin would tell of it as an error.
            () = cx.cancel().cancelled() => {}
            result = &mut attempts => return result,
        }
        // An attempt comes to its end by itself; nobody waits for the next.
        let between_attempts = between.lock().is_some();
        if between_attempts {
            return Err(error::cancelled());
        }
        tokio::select! {
            biased;
            result = attempts => result,
            () = broken_off.notified() => Err(error::cancelled()),
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
