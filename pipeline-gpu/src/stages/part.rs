//! Stages that work on a part of an item.

use std::{fmt, marker::PhantomData, time::Duration};

use progress_core::TaskError;

use crate::{context::Context, stage::Stage};

/// A stage that works on a part of its items. See [`part()`].
pub struct Part<S, Split, Join, In, Rest, Out> {
    stage: S,
    split: Split,
    join: Join,
    types: PhantomData<fn(In, Rest) -> Out>,
}

/// Puts a stage where items are more than what it takes: `split` makes of an item what the stage takes and the rest, `join`
/// makes the next item of that rest and what the stage gave.
///
/// Both are to be quick, for they run between the others' work; they do not copy if the item holds its parts in an
/// [`Arc`](std::sync::Arc).
///
/// ```
/// use pipeline_gpu::{Context, Pipeline, stages::part};
/// use progress_core::{Reporter, TaskError};
///
/// // A stage that knows of lengths alone.
/// let double = |_cx: Context, length: usize| async move { Ok::<_, TaskError>(length * 2) };
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let pipeline = Pipeline::builder("named")
///     .stage("double", part(
///         double,
///         |name: String| (name.len(), name),
///         |name: String, doubled: usize| format!("{name}: {doubled}"),
///     ))
///     .build()?;
/// assert_eq!(pipeline.run(&Reporter::noop(), "Ada".to_owned()).await?, "Ada: 6");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn part<S, Split, Join, Whole, In, Rest, Out, Next>(
    stage: S,
    split: Split,
    join: Join,
) -> Part<S, Split, Join, In, Rest, Out>
where
    S: Stage<In, Out>,
    Split: Fn(Whole) -> (In, Rest) + Send + Sync + 'static,
    Join: Fn(Rest, Out) -> Next + Send + Sync + 'static,
{
    Part {
        stage,
        split,
        join,
        types: PhantomData,
    }
}

impl<S, Split, Join, Whole, In, Rest, Out, Next> Stage<Whole, Next>
    for Part<S, Split, Join, In, Rest, Out>
where
    S: Stage<In, Out>,
    Split: Fn(Whole) -> (In, Rest) + Send + Sync + 'static,
    Join: Fn(Rest, Out) -> Next + Send + Sync + 'static,
    Whole: Send + 'static,
    In: Send + 'static,
    Rest: Send + 'static,
    Out: Send + 'static,
    Next: Send + 'static,
{
    async fn run(&self, cx: Context, whole: Whole) -> Result<Next, TaskError> {
        let (input, rest) = (self.split)(whole);
        let output = self.stage.run(cx, input).await?;
        Ok((self.join)(rest, output))
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

impl<S: fmt::Debug, Split, Join, In, Rest, Out> fmt::Debug for Part<S, Split, Join, In, Rest, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}
