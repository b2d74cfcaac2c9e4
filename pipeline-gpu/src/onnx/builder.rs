//! Describes how a model is loaded, and loads it.

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc};

use progress_core::Reporter;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::{
    error::OnnxError,
    interrupt::{Interrupt, SetOnDrop},
    load::Loader,
    model::{OnnxModel, Shared, lost},
    options::{Options, WarmUp},
    placement::{Device, Provider},
    port::Inputs,
    source::ModelSource,
    worker::{self, Workers},
};
use crate::{Cancel, sync::Mutex};

/// Describes how a model is loaded; made by [`OnnxModel::builder`].
///
/// ```no_run
/// use std::num::NonZeroUsize;
///
/// use pipeline_gpu::{Cancel, onnx::{Device, OnnxModel}};
/// use progress_core::ProgressTracker;
///
/// # async fn load() -> Result<(), Box<dyn std::error::Error>> {
/// let task = ProgressTracker::new().task("models").start()?;
/// let model = OnnxModel::builder("models/pitch.onnx")
///     .device(Device::Auto)
///     .gpu_memory_limit(2 << 30)
///     .threads(NonZeroUsize::MIN)
///     .warm_up_shape("audio", [1, 16_000])
///     .check_finite(true)
///     .load(&task, &Cancel::new())
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is loaded before `load`"]
pub struct ModelBuilder {
    source: ModelSource,
    options: Options,
}

impl ModelBuilder {
    pub(super) fn new(source: ModelSource) -> Self {
        Self {
            source,
            options: Options::default(),
        }
    }

    /// Sets where the model is to run (default [`Device::Auto`]).
    pub fn device(mut self, device: Device) -> Self {
        self.options.device = device;
        self
    }

    /// Sets the providers to try, in this order, in place of those of the [device](Self::device),
    /// whose GPU they take. Without the CPU among them, loading fails where none of them can be
    /// used.
    pub fn providers(mut self, providers: impl IntoIterator<Item = Provider>) -> Self {
        self.options.providers = Some(providers.into_iter().collect());
        self
    }

    /// Sets the library of ONNX Runtime, or the folder that it is in (default: `ORT_DYLIB_PATH`,
    /// then beside the program and in `lib` there or beside that folder, then where the system looks).
    /// A process can use only one.
    #[cfg(feature = "onnx")]
    pub fn library(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.library = Some(path.into());
        self
    }

    /// The most sessions that a model has.
    pub const WORKERS: NonZeroUsize = NonZeroUsize::new(256).unwrap();
    /// The most threads that a session uses for one operation.
    pub const THREADS: NonZeroUsize = NonZeroUsize::new(1_024).unwrap();
    /// The most runs that wait for a session.
    pub const QUEUE: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

    /// Sets how many sessions there are, each with the model's whole memory and a thread of its own
    /// (default 1; up to [`WORKERS`](Self::WORKERS)).
    pub fn workers(mut self, workers: NonZeroUsize) -> Self {
        self.options.workers = workers.min(Self::WORKERS);
        self
    }

    /// Sets how many threads a session on the CPU uses for one operation (default: the cores,
    /// shared among the workers; up to [`THREADS`](Self::THREADS)).
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.options.threads = Some(threads.min(Self::THREADS));
        self
    }

    /// Sets how many runs may wait for a session (default 16; up to [`QUEUE`](Self::QUEUE)). Who comes
    /// when it is full waits for room.
    pub fn queue(mut self, runs: NonZeroUsize) -> Self {
        self.options.queue = runs.min(Self::QUEUE);
        self
    }

    /// Sets how many bytes of a GPU's memory a session may take for what it computes (default: no
    /// limit). Of TensorRT it is the memory of its workspace. The runtime has no such limit for the
    /// CPU.
    pub fn gpu_memory_limit(mut self, bytes: usize) -> Self {
        self.options.gpu_memory_limit = Some(bytes);
        self
    }

    /// Sets whether CUDA may round what it multiplies to 10 bits of mantissa, which is several
    /// times as fast (default yes, as in other frameworks). Without, results differ from the CPU's
    /// only in the last digits.
    pub fn tf32(mut self, allowed: bool) -> Self {
        self.options.tf32 = allowed;
        self
    }

    /// Sets a folder in which TensorRT keeps the engines that it builds (default: none is kept). It
    /// must exist.
    pub fn engine_cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.options.engine_cache = Some(folder.into());
        self
    }

    /// Sets the shape of an input in the first run, which is of zeros. Needed for inputs whose
    /// shape is not fixed; for the others, the model's is taken. Without it, a model that has such
    /// inputs is not warmed up.
    pub fn warm_up_shape(mut self, input: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        let shape = (input.into(), shape.into());
        match &mut self.options.warm_up {
            WarmUp::Shapes(shapes) => shapes.push(shape),
            other => *other = WarmUp::Shapes(vec![shape]),
        }
        self
    }

    /// Sets the inputs of the first runs, two for each session, for models that zeros are nothing to.
    pub fn warm_up_inputs(mut self, inputs: impl Into<Inputs>) -> Self {
        self.options.warm_up = WarmUp::Inputs(inputs.into());
        self
    }

    /// Loads the model without running it. The first request then takes longer, and the placement
    /// is not proven.
    pub fn without_warm_up(mut self) -> Self {
        self.options.warm_up = WarmUp::Off;
        self
    }

    /// Sets whether the first run is measured, to learn which provider really runs the model
    /// (default yes). The record is a file that the runtime writes to the folder for temporary
    /// files, and is removed.
    pub fn profile(mut self, measured: bool) -> Self {
        self.options.profile = measured;
        self
    }

    /// Sets whether outputs are searched for NaN and infinity, which fails the run (default no). Not
    /// those of the runs that warm the model up.
    pub fn check_finite(mut self, check: bool) -> Self {
        self.options.check_finite = check;
        self
    }

    /// Sets how many bytes the outputs of one run may take together (default 1 GiB). The runs that warm
    /// the model up have no limit.
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.options.output_limit = bytes;
        self
    }

    /// Gives an input another shape than the file says; none for a dimension that is to be free.
    /// For models that were exported for one size and work with any: which these are only a run can
    /// tell.
    ///
    /// Such a model is read into memory, and so must be one file.
    pub fn input_shape(
        mut self,
        input: impl Into<String>,
        shape: impl IntoIterator<Item = Option<usize>>,
    ) -> Self {
        let shape = shape.into_iter().collect();
        self.options.input_shapes.push((input.into(), shape));
        self
    }

    /// Sets the path below which loading reports its stages (default: the model's name).
    pub fn stage(mut self, path: impl Into<String>) -> Self {
        self.options.stage = Some(path.into());
        self
    }

    /// Loads the model, on a thread of its own.
    ///
    /// What is done is reported in stages below [`stage`](Self::stage): `load`, or `engine` where
    /// TensorRT builds one, and `warm-up`. A provider that is not used is a line in the log. At the
    /// end `device`, `provider`, `provider_proven` and `fallback_reason` are metadata of
    /// `reporter`.
    ///
    /// # Errors
    ///
    /// - [`Library`](OnnxError::Library): there is no runtime.
    /// - [`ModelMissing`](OnnxError::ModelMissing), [`ModelInvalid`](OnnxError::ModelInvalid),
    ///   [`ModelUnsupported`](OnnxError::ModelUnsupported): the model cannot be used.
    /// - [`ProviderUnavailable`](OnnxError::ProviderUnavailable): the device cannot be used.
    /// - [`WarmUp`](OnnxError::WarmUp), or an error about its inputs: the first run failed.
    /// - [`OutOfMemory`](OnnxError::OutOfMemory), [`RunFailed`](OnnxError::RunFailed): from the
    ///   runtime.
    /// - [`Thread`](OnnxError::Thread): a session's thread could not be started, or panicked.
    /// - [`Tensor`](OnnxError::Tensor): there is no memory for a [`warm_up_shape`](Self::warm_up_shape).
    /// - [`Cancelled`](OnnxError::Cancelled): `cancel` was set.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops loading as setting `cancel` does, without waiting for its end.
    pub async fn load(self, reporter: &Reporter, cancel: &Cancel) -> Result<OnnxModel, OnnxError> {
        if cancel.is_cancelled() {
            return Err(OnnxError::Cancelled);
        }
        let interrupt = Interrupt::default();
        let on_drop = SetOnDrop::new(&interrupt);
        let (name, workers) = (self.source.name().to_owned(), self.options.workers.get());
        let (queue, requests) = mpsc::channel(self.options.queue.get());
        let (crew, alive) = (Workers::new(requests), TaskTracker::new());
        let loader = Loader {
            source: self.source,
            options: self.options,
            interrupt: interrupt.clone(),
            reporter: reporter.clone(),
        };
        // No name of a thread holds a zero byte.
        let thread = |number: usize| format!("onnx-{number}-{}", name.replace('\0', ""));

        let first = loader.clone();
        let open = move || {
            let opened = first.first()?;
            let (inputs, outputs) = (opened.session.inputs(), opened.session.outputs());
            let ports = (inputs.to_vec(), outputs.to_vec());
            Ok((opened.session, (ports, opened.provider, opened.placement)))
        };
        let answer = worker::start(thread(0), Arc::clone(&crew), alive.token(), open)?;
        let learned = opened(answer, cancel, &interrupt).await?;
        let ((inputs, outputs), provider, placement) = learned;
        for number in 1..workers {
            let loader = loader.clone();
            let open = move || Ok((loader.another(provider, number as u64 + 1)?, ()));
            let answer = worker::start(thread(number), Arc::clone(&crew), alive.token(), open)?;
            opened(answer, cancel, &interrupt).await?;
        }
        on_drop.let_go();
        Ok(OnnxModel::new(Shared {
            name,
            inputs,
            outputs,
            placement,
            workers,
            queue: Mutex::new(Some(queue)),
            crew,
            alive,
        }))
    }

    /// Does what [`load`](Self::load) does, and blocks the thread meanwhile. Not for threads of an
    /// asynchronous runtime.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_blocking(
        self,
        reporter: &Reporter,
        cancel: &Cancel,
    ) -> Result<OnnxModel, OnnxError> {
        pollster::block_on(self.load(reporter, cancel))
    }
}

/// Waits until a worker has opened its session, or was told not to and has stopped.
async fn opened<T>(
    mut answer: oneshot::Receiver<Result<T, OnnxError>>,
    cancel: &Cancel,
    interrupt: &Interrupt,
) -> Result<T, OnnxError> {
    tokio::select! {
        biased;
        opened = &mut answer => opened.map_err(lost)?,
        () = cancel.cancelled() => {
            interrupt.set();
            drop(answer.await);
            Err(OnnxError::Cancelled)
        }
    }
}
