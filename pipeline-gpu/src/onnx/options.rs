//! How a model is loaded and run.

use std::{num::NonZeroUsize, path::PathBuf, thread};

use super::{
    placement::{Device, Provider},
    port::Inputs,
    reshape::NewShape,
};

/// What a [`ModelBuilder`](super::ModelBuilder) was told.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) library: Option<PathBuf>,
    pub(super) device: Device,
    pub(super) providers: Option<Vec<Provider>>,
    pub(super) workers: NonZeroUsize,
    pub(super) threads: Option<NonZeroUsize>,
    pub(super) queue: NonZeroUsize,
    pub(super) gpu_memory_limit: Option<usize>,
    pub(super) tf32: bool,
    pub(super) engine_cache: Option<PathBuf>,
    pub(super) warm_up: WarmUp,
    pub(super) profile: bool,
    pub(super) check_finite: bool,
    pub(super) output_limit: usize,
    pub(super) input_shapes: Vec<(String, NewShape)>,
    pub(super) stage: Option<String>,
}

/// The first run of a session.
#[derive(Debug, Clone, Default)]
pub(super) enum WarmUp {
    /// With zeros, if the shape of every input is fixed.
    #[default]
    Fixed,
    /// With zeros of these shapes, and of the fixed ones.
    Shapes(Vec<(String, Vec<usize>)>),
    /// With these.
    Inputs(Inputs),
    /// None.
    Off,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            library: None,
            device: Device::default(),
            providers: None,
            workers: NonZeroUsize::MIN,
            threads: None,
            queue: NonZeroUsize::new(16).unwrap_or(NonZeroUsize::MIN),
            gpu_memory_limit: None,
            tf32: true,
            engine_cache: None,
            warm_up: WarmUp::default(),
            profile: true,
            check_finite: false,
            output_limit: 1 << 30,
            input_shapes: Vec::new(),
            stage: None,
        }
    }
}

impl Options {
    /// What to try, in order; the CPU where nothing was asked for.
    pub(super) fn providers(&self) -> Vec<Provider> {
        match &self.providers {
            Some(providers) if providers.is_empty() => vec![Provider::Cpu],
            Some(providers) => providers.clone(),
            None => self.device.providers(),
        }
    }

    /// The threads within a session: the cores are shared among the workers.
    pub(super) fn threads(&self) -> usize {
        let shared = || thread::available_parallelism().map_or(1, NonZeroUsize::get) / self.workers;
        self.threads.map_or_else(shared, NonZeroUsize::get).max(1)
    }
}
