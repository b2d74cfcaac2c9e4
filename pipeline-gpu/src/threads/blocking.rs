//! Synchronous functions as stages.

use std::{fmt, sync::Arc, time::Duration};

use progress_core::TaskError;

use super::GRACE;
use crate::{context::Context, stage::Stage};

/// A synchronous function as a [`Stage`]. See [`blocking`].
pub struct Blocking<F>(Arc<F>);

/// Makes a stage of a function that keeps a processor busy: it runs on the pipeline's
/// [pool](crate::PipelineBuilder::pool).
///
/// A function that takes long should look at [`Context::is_cancelled`] now and then: half a second
/// after it is to stop its item ends without it, but its thread is not free before it returns.
///
/// ```
/// use pipeline_gpu::{Context, Pipeline, blocking};
/// use progress_core::Reporter;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let pipeline = Pipeline::builder("sums")
///     .stage("sum", blocking(|_cx: &Context, numbers: Vec<u32>| Ok(numbers.iter().sum::<u32>())))
///     .build()?;
/// assert_eq!(pipeline.run(&Reporter::noop(), vec![1, 2, 3]).await?, 6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn blocking<F, In, Out>(function: F) -> Blocking<F>
where
    F: Fn(&Context, In) -> Result<Out, TaskError> + Send + Sync + 'static,
{
    Blocking(Arc::new(function))
}

impl<F, In, Out> Stage<In, Out> for Blocking<F>
where
    F: Fn(&Context, In) -> Result<Out, TaskError> + Send + Sync + 'static,
    In: Send + 'static,
    Out: Send + 'static,
{
    async fn run(&self, cx: Context, input: In) -> Result<Out, TaskError> {
        let function = Arc::clone(&self.0);
        let pool = cx.pool().clone();
        let job = {
            let cx = cx.clone();
            move || function(&cx, input)
        };
        pool.run(&cx, job).await
    }

    fn grace(&self) -> Duration {
        GRACE
    }
}

impl<F> Clone for Blocking<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F> fmt::Debug for Blocking<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocking").finish_non_exhaustive()
    }
}
