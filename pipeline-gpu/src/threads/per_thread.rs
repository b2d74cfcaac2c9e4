//! Stages with something of their own on each thread.

use std::{fmt, io, sync::Arc, time::Duration};

use progress_core::TaskError;

use super::{CpuPool, GRACE, crew::Crew};
use crate::{context::Context, stage::Stage};

/// What works on one thread and stays there: a session, an encoder, scratch memory. It need not be
/// `Send`. See [`PerThread`].
pub trait ThreadStage<In, Out>: 'static {
    /// Works on one item. One that takes long should look at [`Context::is_cancelled`].
    ///
    /// # Errors
    ///
    /// That with which the item fails.
    fn run(&mut self, cx: &Context, input: In) -> Result<Out, TaskError>;
}

impl<F, In, Out> ThreadStage<In, Out> for F
where
    F: FnMut(&Context, In) -> Result<Out, TaskError> + 'static,
{
    fn run(&mut self, cx: &Context, input: In) -> Result<Out, TaskError> {
        self(cx, input)
    }
}

/// A [`Stage`] on threads of its own, each with a [`ThreadStage`] of its own; it works on as many
/// items at a time as it has threads.
///
/// A worker is made on its thread when the first item comes to it. If that fails, the item fails,
/// and the next one has it tried again. After a panic the worker is made anew.
///
/// ```
/// use pipeline_gpu::{Context, PerThread, Pipeline};
/// use progress_core::Reporter;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let count = PerThread::new("count", 2, || {
///     let mut seen = 0_u32; // each thread's own
///     Ok(move |_cx: &Context, text: &'static str| {
///         seen += 1;
///         Ok((seen, text.len()))
///     })
/// })?;
/// let pipeline = Pipeline::builder("texts").stage("count", count).build()?;
/// assert_eq!(pipeline.run(&Reporter::noop(), "four").await?, (1, 4));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PerThread<W, M> {
    crew: Crew<Option<W>>,
    make: Arc<M>,
    threads: usize,
}

impl<W: 'static, M> PerThread<W, M>
where
    M: Fn() -> Result<W, TaskError> + Send + Sync + 'static,
{
    /// Starts so many threads, from 1 to [`CpuPool::THREADS`], called `name-0`, `name-1`…; `make`
    /// makes what works on each.
    ///
    /// # Errors
    ///
    /// That of the operating system if it gives no more threads.
    pub fn new(name: &str, threads: usize, make: M) -> io::Result<Self> {
        let threads = threads.clamp(1, CpuPool::THREADS);
        Ok(Self {
            crew: Crew::start(name, threads)?,
            make: Arc::new(make),
            threads,
        })
    }
}

impl<W, M, In, Out> Stage<In, Out> for PerThread<W, M>
where
    W: ThreadStage<In, Out>,
    M: Fn() -> Result<W, TaskError> + Send + Sync + 'static,
    In: Send + 'static,
    Out: Send + 'static,
{
    async fn run(&self, cx: Context, input: In) -> Result<Out, TaskError> {
        let make = Arc::clone(&self.make);
        let job = {
            let cx = cx.clone();
            move |own: &mut Option<W>| {
                // Taken out: after a panic it is not put back.
                let mut worker = match own.take() {
                    Some(worker) => worker,
                    None => make()?,
                };
                let result = worker.run(&cx, input);
                *own = Some(worker);
                result
            }
        };
        self.crew.run(&cx, job).await
    }

    fn concurrency(&self) -> usize {
        self.threads
    }

    fn grace(&self) -> Duration {
        GRACE
    }
}

impl<W, M> fmt::Debug for PerThread<W, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerThread")
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}
