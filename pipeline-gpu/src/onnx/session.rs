//! One session of the runtime: opened on a provider, warmed up, run.

use std::sync::Arc;

use ort::{
    ep,
    session::{
        RunOptions, Session as Runtime,
        builder::{BuilderResult, SessionBuilder},
    },
};
use tempfile::TempDir;

use super::{
    error::{NotANumber, OnnxError, said},
    interrupt::Interrupt,
    library,
    options::{Options, WarmUp},
    placement::{Provider, Shares},
    port::{self, Inputs, Outputs, Port},
    profile, reshape,
    source::ModelSource,
    tensor::Tensor,
};

/// A session and what it takes and gives. It stays on the thread that opened it: the runtime's runs
/// are not thread safe.
pub(super) struct Session {
    runtime: Runtime,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    /// Where the runtime writes its record, until the first run was read from it.
    record: Option<TempDir>,
    check_finite: bool,
    output_limit: usize,
}

impl Session {
    /// Loads the model for `provider`. On a GPU this takes its memory; with TensorRT it builds the
    /// engine.
    pub(super) fn open(
        source: &ModelSource,
        provider: Provider,
        options: &Options,
        record: bool,
        interrupt: &Interrupt,
    ) -> Result<Self, OnnxError> {
        let environment = &library::runtime(options.library.as_deref())?.environment;
        source.check()?;
        let record = record.then(tempfile::tempdir).transpose();
        let record = record.map_err(|error| unmeasured(&error)).ok().flatten();
        let mut builder = configured(environment, options, record.as_ref())
            .map_err(|error| OnnxError::running(&error))?;
        builder = registered(builder, provider, options)?;

        let canceler = builder.canceler();
        // If it cannot be told to stop, it ends by itself.
        let _armed = interrupt.arm(move || drop(canceler.cancel()));
        let loaded = match source.path().filter(|_| options.input_shapes.is_empty()) {
            Some(path) => builder.commit_from_file(path),
            None => {
                let model = source.read()?;
                if options.input_shapes.is_empty() {
                    builder.commit_from_memory(&model)
                } else {
                    let shapes = &options.input_shapes;
                    let model = reshape::with_input_shapes(source.name(), &model, shapes)?;
                    builder.commit_from_memory(&model)
                }
            }
        };
        if interrupt.is_set() {
            return Err(OnnxError::Cancelled);
        }
        let runtime = loaded.map_err(|error| OnnxError::loading(source.name(), &error))?;
        let ports = |outlets: &[ort::value::Outlet]| {
            let ports: Result<_, String> = outlets.iter().map(Port::of).collect();
            ports.map_err(|reason| OnnxError::ModelUnsupported {
                model: source.name().to_owned(),
                reason,
            })
        };
        Ok(Self {
            inputs: ports(runtime.inputs())?,
            outputs: ports(runtime.outputs())?,
            runtime,
            record,
            check_finite: options.check_finite,
            output_limit: options.output_limit,
        })
    }

    pub(super) fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    pub(super) fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// What the first run is given; none if there is to be none, or nobody said what to give.
    pub(super) fn warm_up_inputs(&self, how: &WarmUp) -> Result<Option<Inputs>, OnnxError> {
        let given = match how {
            WarmUp::Off => return Ok(None),
            WarmUp::Inputs(inputs) => {
                inputs.check(&self.inputs)?;
                return Ok(Some(inputs.clone()));
            }
            WarmUp::Shapes(shapes) => shapes.as_slice(),
            WarmUp::Fixed => &[],
        };
        let mut inputs = Inputs::new();
        for (name, shape) in given {
            let port = self.inputs.iter().find(|port| port.name() == name);
            let port = port.ok_or_else(|| OnnxError::InputUnknown {
                name: name.clone(),
                known: port::names(&self.inputs),
            })?;
            let zeros = Tensor::zeros(port.element_type(), shape.as_slice())?;
            inputs = inputs.with(name, zeros);
        }
        for port in &self.inputs {
            if inputs.get(port.name()).is_none() {
                let Some(shape) = port.fixed_shape() else {
                    return match how {
                        WarmUp::Shapes(_) => Err(OnnxError::InputMissing {
                            name: port.name().to_owned(),
                        }),
                        _ => Ok(None),
                    };
                };
                inputs = inputs.with(port.name(), Tensor::zeros(port.element_type(), shape)?);
            }
        }
        inputs.check(&self.inputs)?;
        Ok(Some(inputs))
    }

    /// Runs the model when nobody waits for it: the first time is when GPUs compile and allocate.
    pub(super) fn warm_up(
        &mut self,
        inputs: Inputs,
        interrupt: &Interrupt,
    ) -> Result<(), OnnxError> {
        let options = run_options()?;
        let stop = Arc::clone(&options);
        let armed = interrupt.arm(move || drop(stop.terminate()));
        let (check_finite, limit) = (self.check_finite, self.output_limit);
        // Zeros are no input that an output has to make sense for.
        (self.check_finite, self.output_limit) = (false, usize::MAX);
        let run = self.run(inputs, &options);
        (self.check_finite, self.output_limit) = (check_finite, limit);
        drop(armed);
        if interrupt.is_set() {
            return Err(OnnxError::Cancelled);
        }
        run.map(drop)
    }

    /// Ends the record of what was done since the session was opened, and reads from it who ran
    /// what; nothing if it was not asked for, or nothing was run.
    pub(super) fn measured(&mut self) -> Option<Shares> {
        let _folder = self.record.take()?;
        let file = self
            .runtime
            .end_profiling()
            .map_err(|error| unmeasured(&error))
            .ok()?;
        let shares = profile::shares(file.as_ref())
            .map_err(|error| unmeasured(&error))
            .ok()?;
        (!shares.is_empty()).then_some(shares)
    }

    /// Runs the model until it is done, or `options` terminate it: between two operations, never
    /// within one.
    pub(super) fn run(
        &mut self,
        inputs: Inputs,
        options: &RunOptions,
    ) -> Result<Outputs, OnnxError> {
        let failed = |error: ort::Error| OnnxError::running(&error);
        let values = inputs.into_values().into_iter().map(|(name, tensor)| {
            let value = tensor.into_value()?;
            Ok((name, value))
        });
        let values: Vec<_> = values.collect::<ort::Result<_>>().map_err(failed)?;
        let outputs = self
            .runtime
            .run_with_options(values, options)
            .map_err(failed)?;
        let mut bytes = 0_usize;
        let mut taken = Vec::with_capacity(outputs.len());
        for (name, value) in outputs.iter() {
            // The limit is looked at before the copy that it is to prevent.
            bytes = bytes.saturating_add(size(value.dtype()));
            if bytes > self.output_limit {
                return Err(OnnxError::OutputTooLarge {
                    name: name.to_owned(),
                    bytes,
                    limit: self.output_limit,
                });
            }
            let Some(tensor) = Tensor::of_value(&value).map_err(failed)? else {
                return Err(OnnxError::OutputUnsupported {
                    name: name.to_owned(),
                    kind: value.dtype().to_string(),
                });
            };
            if let Some(found) = self.check_finite.then(|| tensor.not_finite()).flatten() {
                return Err(OnnxError::OutputNotFinite {
                    name: name.to_owned(),
                    index: found.index,
                    value: NotANumber::of(found.value),
                    count: found.count,
                });
            }
            taken.push((name.to_owned(), tensor));
        }
        Ok(Outputs::new(taken))
    }
}

/// Fresh for each run: one that terminated a run would terminate each that comes after it.
pub(super) fn run_options() -> Result<Arc<RunOptions>, OnnxError> {
    let options = RunOptions::new().map_err(|error| OnnxError::running(&error))?;
    Ok(Arc::new(options))
}

/// How many bytes the elements take; nothing for what is no tensor of ours, which is refused in
/// another way.
fn size(kind: &ort::value::ValueType) -> usize {
    let element = kind.tensor_type().and_then(super::ElementType::of_runtime);
    match (element, kind.tensor_shape()) {
        (Some(element), Some(shape)) => shape.num_elements().saturating_mul(element.bytes()),
        _ => 0,
    }
}

/// Of u2netp on two cores, spinning brings 2 to 3 % of the time, and 50 us as much as 1 000.
const SPIN_MICROS: &str = "50";

fn configured(
    environment: &ort::environment::Environment,
    options: &Options,
    record: Option<&TempDir>,
) -> ort::Result<SessionBuilder> {
    let builder = Runtime::builder(environment)?
        .with_intra_threads(options.threads())?
        .with_inter_threads(1)?
        // Between two operations of a run its threads spin, for a wake-up takes longer than many an
        // operation; but not for long, and not after the run, when others have work to do.
        .with_intra_op_spinning(options.threads() > 1)?
        .with_config_entry("session.intra_op.spin_duration_us", SPIN_MICROS)?
        .with_config_entry("session.force_spinning_stop", "1")?
        .with_inter_op_spinning(false)?;
    Ok(match record {
        Some(folder) => builder.with_profiling(folder.path().join("run"))?,
        None => builder,
    })
}

/// Adds the provider, and takes an error from it for one: by default the runtime logs it and goes
/// on without.
fn registered(
    builder: SessionBuilder,
    provider: Provider,
    options: &Options,
) -> Result<SessionBuilder, OnnxError> {
    let unavailable = |reason: String| OnnxError::ProviderUnavailable {
        tried: vec![super::Fallback { provider, reason }],
    };
    let providers = match provider {
        // It is always there, after all others.
        Provider::Cpu => return Ok(builder),
        Provider::Cuda => cuda(options).map(|cuda| vec![cuda.error_on_failure()]),
        Provider::TensorRt => tensorrt(options),
    };
    let providers = providers.ok_or_else(|| {
        let feature = if provider == Provider::Cuda {
            "cuda"
        } else {
            "tensorrt"
        };
        unavailable(format!(
            "this program was built without the feature `{feature}`"
        ))
    })?;
    let added: BuilderResult = builder.with_execution_providers(providers);
    added.map_err(|error| unavailable(said(error.message())))
}

#[cfg(feature = "cuda")]
#[expect(
    clippy::unnecessary_wraps,
    reason = "there is none without the feature"
)]
fn cuda(options: &Options) -> Option<ep::ExecutionProviderDispatch> {
    let mut cuda = ep::CUDA::default()
        .with_device_id(gpu(options))
        .with_tf32(options.tf32);
    if let Some(limit) = options.gpu_memory_limit {
        // By the default strategy a pool doubles, and is at its limit long before the model needs
        // it.
        cuda = cuda
            .with_memory_limit(limit)
            .with_arena_extend_strategy(ep::ArenaExtendStrategy::SameAsRequested);
    }
    Some(cuda.build())
}

#[cfg(not(feature = "cuda"))]
fn cuda(_options: &Options) -> Option<ep::ExecutionProviderDispatch> {
    None
}

#[cfg(feature = "tensorrt")]
fn tensorrt(options: &Options) -> Option<Vec<ep::ExecutionProviderDispatch>> {
    let mut tensorrt = ep::TensorRT::default().with_device_id(gpu(options));
    if let Some(limit) = options.gpu_memory_limit {
        tensorrt = tensorrt.with_max_workspace_size(limit);
    }
    if let Some(folder) = &options.engine_cache {
        let folder = folder.display();
        tensorrt = tensorrt
            .with_engine_cache(true)
            .with_engine_cache_path(&folder)
            .with_timing_cache(true)
            .with_timing_cache_path(&folder);
    }
    // CUDA runs what TensorRT does not know; without it that would be the CPU, and the measured run
    // says so.
    let cuda = cuda(options);
    Some(
        std::iter::once(tensorrt.build().error_on_failure())
            .chain(cuda)
            .collect(),
    )
}

#[cfg(not(feature = "tensorrt"))]
fn tensorrt(_options: &Options) -> Option<Vec<ep::ExecutionProviderDispatch>> {
    None
}

#[cfg(feature = "cuda")]
fn gpu(options: &Options) -> i32 {
    i32::try_from(options.device.gpu()).unwrap_or(i32::MAX)
}

/// A model that cannot be measured runs all the same; its placement says that it is not proven.
fn unmeasured(error: &dyn std::fmt::Display) {
    tracing::warn!(%error, "the first run is not measured");
}
