//! A model that is loaded and takes runs.

use std::{fmt, sync::Arc};

use progress_core::Reporter;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::{
    builder::ModelBuilder,
    error::OnnxError,
    placement::{Device, Placement},
    port::{Inputs, Outputs, Port},
    source::ModelSource,
    worker::{Call, Request, StopOnDrop, Workers},
};
use crate::{Cancel, stopwatch::Held, sync::Mutex};

/// A model that is loaded, and the sessions that run it.
///
/// A cheap clone, `Send` and `Sync`. Each session is held by a thread of its own and runs one
/// request at a time; the others wait in one bounded queue, first come, first served. When the last
/// clone is dropped the threads end, and with them the sessions and their memory;
/// [`close`](Self::close) waits for that.
///
/// ```no_run
/// use pipeline_gpu::{Cancel, onnx::{Device, OnnxModel, Tensor}};
///
/// # async fn run() -> Result<(), pipeline_gpu::onnx::OnnxError> {
/// let model = OnnxModel::load("models/u2netp.onnx", Device::Auto).await?;
/// println!("on {}: {:?}", model.placement().device(), model.placement().fallback_reason());
///
/// let image = Tensor::new([1, 3, 320, 320], vec![0.0_f32; 3 * 320 * 320])?;
/// let mut outputs = model.run([("input.1", image)], &Cancel::new()).await?;
/// let matte: Vec<f32> = outputs.take_vec("1959")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct OnnxModel {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) name: String,
    pub(super) inputs: Vec<Port>,
    pub(super) outputs: Vec<Port>,
    pub(super) placement: Placement,
    pub(super) workers: usize,
    /// None once the model is closed.
    pub(super) queue: Mutex<Option<mpsc::Sender<Request>>>,
    pub(super) crew: Arc<Workers>,
    /// Holds a token for each worker's thread.
    pub(super) alive: TaskTracker,
}

impl OnnxModel {
    /// Loads a model with what is usual: one session, warmed up and measured if the shapes of its
    /// inputs are fixed.
    ///
    /// # Errors
    ///
    /// [`OnnxError`] if there is no runtime, the model cannot be loaded, or the device cannot be
    /// used.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops loading.
    pub async fn load(source: impl Into<ModelSource>, device: Device) -> Result<Self, OnnxError> {
        let builder = Self::builder(source).device(device);
        builder.load(&Reporter::noop(), &Cancel::new()).await
    }

    /// Begins to describe how a model is loaded.
    pub fn builder(source: impl Into<ModelSource>) -> ModelBuilder {
        ModelBuilder::new(source.into())
    }

    pub(super) fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Returns the model's name: that of its source.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Returns what the model takes, in the model's order.
    #[must_use]
    pub fn inputs(&self) -> &[Port] {
        &self.shared.inputs
    }

    /// Returns what the model gives, in the model's order.
    #[must_use]
    pub fn outputs(&self) -> &[Port] {
        &self.shared.outputs
    }

    /// Returns where the model runs, and why not elsewhere.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        &self.shared.placement
    }

    /// Returns how many sessions there are, and so how many runs at a time.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.shared.workers
    }

    /// Returns how many runs wait for a session.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let queue = self.shared.queue.lock();
        queue
            .as_ref()
            .map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    /// Returns how many runs have a session.
    #[must_use]
    pub fn running(&self) -> usize {
        self.shared.crew.running()
    }

    /// Says to whoever watches `reporter` what the model runs on: the
    /// [placement](Placement::report), and of a GPU how full and how busy it is at this moment, as
    /// metadata `gpu`: `{name, memory_used, memory_total, busy_percent}`, in bytes. The driver is
    /// asked each time, which takes less than a millisecond.
    pub fn report_device(&self, reporter: &Reporter) {
        let placement = self.placement();
        placement.report(reporter);
        #[cfg(feature = "cuda")]
        if let Some(usage) = placement.gpu().and_then(super::gpu::usage_of) {
            reporter.metadata("gpu", usage);
        }
    }

    /// Runs the model once.
    ///
    /// Names, types and shapes are checked first. Then it waits for room in the queue and for a
    /// session. When `cancel` is set it stops: at once while it waits, and before the next of the
    /// model's operations while it runs. It returns only when the session is free again.
    ///
    /// # Errors
    ///
    /// - [`InputUnknown`](OnnxError::InputUnknown), [`InputMissing`](OnnxError::InputMissing),
    ///   [`InputRepeated`](OnnxError::InputRepeated), [`InputType`](OnnxError::InputType),
    ///   [`InputShape`](OnnxError::InputShape): the inputs are not what the model takes; nothing
    ///   was run.
    /// - [`Cancelled`](OnnxError::Cancelled): `cancel` was set before there was a result.
    /// - [`RunFailed`](OnnxError::RunFailed), [`OutOfMemory`](OnnxError::OutOfMemory): from the
    ///   runtime.
    /// - [`OutputNotFinite`](OnnxError::OutputNotFinite),
    ///   [`OutputTooLarge`](OnnxError::OutputTooLarge),
    ///   [`OutputUnsupported`](OnnxError::OutputUnsupported): the outputs are not what they may be.
    /// - [`Closed`](OnnxError::Closed), [`Thread`](OnnxError::Thread): there is no session any
    ///   more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the run as setting `cancel` does, without waiting for its end.
    pub async fn run(
        &self,
        inputs: impl Into<Inputs> + Send,
        cancel: &Cancel,
    ) -> Result<Outputs, OnnxError> {
        self.run_after(inputs.into(), cancel, None).await
    }

    /// Runs the model as a part of a stage, of whose time the wait for a session is none.
    #[cfg(any(feature = "audio", feature = "vision"))]
    pub(crate) async fn run_in(
        &self,
        cx: &crate::Context,
        inputs: impl Into<Inputs> + Send,
    ) -> Result<Outputs, OnnxError> {
        self.run_after(inputs.into(), cx.cancel(), Some(cx.hold()))
            .await
    }

    /// Runs the model; `wait` is dropped when a session takes it.
    async fn run_after(
        &self,
        inputs: Inputs,
        cancel: &Cancel,
        wait: Option<Held>,
    ) -> Result<Outputs, OnnxError> {
        inputs.check(&self.shared.inputs)?;
        if cancel.is_cancelled() {
            return Err(OnnxError::Cancelled);
        }
        let queue = self.shared.queue.lock().clone().ok_or(OnnxError::Closed)?;
        let call = Call::new(wait)?;
        let on_drop = StopOnDrop::new(&call);
        let (reply, mut answer) = oneshot::channel();
        let room = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(OnnxError::Cancelled),
            room = queue.reserve_owned() => room.map_err(|_| OnnxError::Closed)?,
        };
        // The sender that comes back is dropped: a model that is closed waits for none that is
        // idle.
        drop(room.send(Request {
            inputs,
            call: Arc::clone(&call),
            reply,
        }));
        let result = tokio::select! {
            biased;
            result = &mut answer => result.map_err(lost)?,
            () = cancel.cancelled() => {
                call.stop();
                if call.has_begun() {
                    // Whatever it says: it was told to stop. But the device is taken until it has
                    // said it.
                    drop(answer.await);
                }
                Err(OnnxError::Cancelled)
            }
        };
        on_drop.let_go();
        result
    }

    /// Does what [`run`](Self::run) does, and blocks the thread meanwhile. Not for threads of an
    /// asynchronous runtime.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_blocking(
        &self,
        inputs: impl Into<Inputs> + Send,
        cancel: &Cancel,
    ) -> Result<Outputs, OnnxError> {
        pollster::block_on(self.run(inputs, cancel))
    }

    /// Takes no more runs, lets those that wait or run end, and waits until the sessions are gone.
    /// For all clones.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the model closed.
    pub async fn close(&self) {
        drop(self.shared.queue.lock().take());
        self.shared.alive.close();
        self.shared.alive.wait().await;
    }
}

/// A worker that ends without an answer has panicked.
pub(super) fn lost(_: oneshot::error::RecvError) -> OnnxError {
    OnnxError::Thread {
        reason: "it ended without an answer".into(),
    }
}

impl fmt::Debug for OnnxModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnnxModel")
            .field("name", &self.shared.name)
            .field("inputs", &self.shared.inputs)
            .field("outputs", &self.shared.outputs)
            .field("placement", &self.shared.placement)
            .field("workers", &self.shared.workers)
            .finish_non_exhaustive()
    }
}
