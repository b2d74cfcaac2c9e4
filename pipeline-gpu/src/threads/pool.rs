//! The pool for what keeps a processor busy.

use std::{fmt, io, sync::LazyLock, thread};

use progress_core::TaskError;

use super::crew::Crew;
use crate::context::Context;

/// A bounded pool of named threads for code that keeps a processor busy. Clones are one pool; its
/// threads end when the last is dropped.
///
/// What does not find a free thread waits its turn, in the order of asking. Each stage has at most
/// as much in the queue as it works on at a time: what is given up, by a timeout or because its item
/// was cancelled, leaves the queue with its input.
///
/// ```
/// use pipeline_gpu::{Context, CpuPool};
/// use progress_core::Reporter;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let pool = CpuPool::new("decode", 2)?; // threads decode-0 and decode-1
/// let cx = Context::detached("sum", Reporter::noop());
/// let sum = pool.run(&cx, || Ok((1..=100u32).sum::<u32>())).await?;
/// assert_eq!(sum, 5_050);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct CpuPool {
    crew: Option<Crew<()>>,
    threads: usize,
}

impl CpuPool {
    /// The most threads that a pool can have.
    pub const THREADS: usize = 1_024;

    /// Starts a pool of so many threads, from 1 to [`THREADS`](Self::THREADS), called `name-0`,
    /// `name-1`…
    ///
    /// # Errors
    ///
    /// That of the operating system if it gives no more threads.
    pub fn new(name: &str, threads: usize) -> io::Result<Self> {
        let threads = threads.clamp(1, Self::THREADS);
        Ok(Self {
            crew: Some(Crew::start(name, threads)?),
            threads,
        })
    }

    /// Returns the pool of the process, which is that of every pipeline that was given no other: as
    /// many threads as there are processors, called `pipeline-cpu-0`…
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<CpuPool> = LazyLock::new(|| {
            let threads = thread::available_parallelism().map_or(1, usize::from);
            CpuPool::new("pipeline-cpu", threads).unwrap_or_else(|error| {
                tracing::error!(%error, "no threads for the pool");
                CpuPool {
                    crew: None,
                    threads: 0,
                }
            })
        });
        &SHARED
    }

    /// Returns how many threads it has.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `job` on a thread of the pool. A panic of it goes on in the caller.
    ///
    /// # Errors
    ///
    /// That of `job`; `CANCELLED` if the work was to stop before it began; `ITEM_LOST` if the pool
    /// has no threads.
    ///
    /// # Cancel safety
    ///
    /// A job that has not begun when the future is dropped never does, and is dropped with it; one
    /// that runs, runs on: it should look at [`Context::is_cancelled`].
    pub async fn run<T, J>(&self, cx: &Context, job: J) -> Result<T, TaskError>
    where
        J: FnOnce() -> Result<T, TaskError> + Send + 'static,
        T: Send + 'static,
    {
        match &self.crew {
            Some(crew) => crew.run(cx, move |()| job()).await,
            None => Err(crate::error::item_lost()),
        }
    }
}

impl fmt::Debug for CpuPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CpuPool")
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}
