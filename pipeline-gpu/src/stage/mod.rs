//! Stages, and what can be put around one.

mod guarded;
mod on_device;
mod opaque;
mod retry;
mod timeout;

use std::time::Duration;

use progress_core::{TaskError, batch::RetryPolicy};

pub use self::{
    guarded::Guarded, on_device::OnDevice, opaque::Opaque, retry::Retry, timeout::Timeout,
};
use crate::{admission::Admission, breaker::Breaker, context::Context};

/// One step of a [`Pipeline`](crate::Pipeline): makes an `Out` of an `In`.
///
/// A function `Fn(Context, In) -> impl Future<Output = Result<Out, TaskError>>` is a stage. Code
/// that keeps a processor busy goes into [`blocking`](crate::blocking) or, where it needs something
/// of its own on its thread, into [`PerThread`](crate::PerThread); what is quicker for many items
/// at once, into [`Batched`](crate::Batched).
///
/// A failure is a [`TaskError`]; the item's task fails with it, and with the stage's name. A panic
/// fails the item that it happened to, with the code `STAGE_PANICKED`.
///
/// # Cancel safety
///
/// When the item is to stop, [`Context::cancel`] is set, and the future is dropped
/// [`grace`](Self::grace) later if it has not come to an end by itself.
///
/// # Examples
///
/// Retries, limits and the like are put around a stage; what is outermost comes first:
///
/// ```
/// use std::time::Duration;
///
/// use pipeline_gpu::{Breaker, Context, Admission, Stage};
/// use progress_core::{TaskError, batch::RetryPolicy};
///
/// #[derive(Debug, Clone)]
/// struct Picture(Vec<u8>);
///
/// struct Render;
///
/// impl Stage<Picture, String> for Render {
///     async fn run(&self, cx: Context, picture: Picture) -> Result<String, TaskError> {
///         cx.reporter().message("Rendering");
///         Ok(format!("/videos/{}.mp4", picture.0.len()))
///     }
/// }
///
/// // Each attempt is admitted to the device, then let through by the breaker, then has ten seconds.
/// let render = Render
///     .timeout(Duration::from_secs(10))
///     .guarded_by(&Breaker::new("renderer"))
///     .on(&Admission::new("cuda:0", 2))
///     .retry(RetryPolicy::new().retries(2));
/// # fn is_stage<In, Out>(_: &impl Stage<In, Out>) {}
/// # is_stage::<Picture, String>(&render);
/// ```
pub trait Stage<In, Out>: Send + Sync + 'static {
    /// Works on one item.
    ///
    /// # Errors
    ///
    /// That of the item, which fails with it unless a [retry](Self::retry) mends it. A panic fails the
    /// item too, with `STAGE_PANICKED`.
    fn run(&self, cx: Context, input: In) -> impl Future<Output = Result<Out, TaskError>> + Send;

    /// Returns how many items it works on at a time, where the pipeline's builder does not
    /// [say](crate::PipelineBuilder::concurrency) (default 1).
    fn concurrency(&self) -> usize {
        1
    }

    /// Returns how long it may go on once it is to stop, to come to an end by itself, where the
    /// pipeline's builder does not [say](crate::PipelineBuilder::grace) (default not at all).
    fn grace(&self) -> Duration {
        Duration::ZERO
    }

    /// Tells whether it reports no progress of its own, so that it is to be estimated (default no).
    /// See [`opaque`](Self::opaque).
    fn is_opaque(&self) -> bool {
        false
    }

    /// Repeats attempts that fail with an error that is retryable, as `policy` says.
    ///
    /// Each failure is an `error` event with the number of the retry. An attempt begins with the
    /// stage's counts at zero; none begins while the item is paused.
    fn retry(self, policy: RetryPolicy) -> Retry<Self>
    where
        Self: Sized,
        In: Clone,
    {
        Retry::new(self, policy)
    }

    /// Gives the work so much time; then it is to stop, is dropped after its [grace](Self::grace), and
    /// fails with `STAGE_TIMEOUT`, which is retryable. While the item or its pipeline is paused, its time stands still.
    ///
    /// Inside [`retry`](Self::retry) it is the time of each attempt; outside, of all of them. Inside
    /// [`guarded_by`](Self::guarded_by), what takes too long counts as failed there; outside, the
    /// breaker never learns of it. Outside [`on`](Self::on) it is also the time in the device's line.
    ///
    /// A thread that is at work goes on until it [looks](Context::is_cancelled), and is not free
    /// until then.
    fn timeout(self, limit: Duration) -> Timeout<Self>
    where
        Self: Sized,
    {
        Timeout::new(self, limit)
    }

    /// Fails at once with `CIRCUIT_OPEN` while `breaker` is open.
    ///
    /// It judges what is inside: [`timeout`](Self::timeout) belongs there, since a call that is
    /// dropped from outside counts neither as failed nor as a success, and a service that hangs
    /// would never open it. [`on`](Self::on) belongs outside, or the time that a call waits for the
    /// device is the service's.
    fn guarded_by(self, breaker: &Breaker) -> Guarded<Self>
    where
        Self: Sized,
    {
        Guarded::new(self, breaker.clone())
    }

    /// Works only while `admission` admits it, in the order of asking.
    fn on(self, admission: &Admission) -> OnDevice<Self>
    where
        Self: Sized,
    {
        OnDevice::new(self, admission.clone())
    }

    /// Has progress estimated from how long the stage took before, to 95 % of the stage and never
    /// backwards, with `estimated: true` in the stage's metadata. For work that says nothing until
    /// it is done. Without a [prior](crate::Prior), there is none.
    fn opaque(self) -> Opaque<Self>
    where
        Self: Sized,
    {
        Opaque::new(self)
    }
}

impl<F, In, Out, Fut> Stage<In, Out> for F
where
    F: Fn(Context, In) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Out, TaskError>> + Send,
{
    fn run(&self, cx: Context, input: In) -> impl Future<Output = Result<Out, TaskError>> + Send {
        self(cx, input)
    }
}
