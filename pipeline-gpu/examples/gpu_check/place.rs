//! Where the check runs, and with which files.

use std::{error::Error, num::NonZeroUsize, path::PathBuf, thread};

use pipeline_gpu::{
    Cancel,
    onnx::{Device, GpuMonitor, GpuUsage, ModelBuilder, OnnxError, OnnxModel},
};
use progress_core::Reporter;

use crate::{report::Report, subject::Subject};

pub(crate) struct Place {
    models: PathBuf,
    on_cpu: bool,
    monitor: GpuMonitor,
}

impl Place {
    /// Reads the command line.
    pub(crate) fn of(mut arguments: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let (mut models, mut on_cpu) = (None, false);
        while let Some(argument) = arguments.next() {
            match &*argument {
                "--cpu" => on_cpu = true,
                "--models" => models = arguments.next().map(PathBuf::from),
                other => return Err(format!("`{other}` is no option").into()),
            }
        }
        let models = models.ok_or("where are the models?")?;
        if !models.is_dir() {
            return Err(format!("{} is no folder", models.display()).into());
        }
        Ok(Self {
            models,
            on_cpu,
            monitor: GpuMonitor::open(),
        })
    }

    pub(crate) fn describe(&self, report: &mut Report) {
        report.section("machine");
        let cores = thread::available_parallelism().map_or(0, NonZeroUsize::get);
        report.line(format_args!("{cores} cores"));
        match self.usage() {
            Some(gpu) => report.line(format_args!("{}: {}", gpu.name, used(&gpu))),
            None => {
                let why = self.monitor.unavailable().unwrap_or("it does not answer");
                report.line(format_args!("no GPU: {why}"));
            }
        }
        if self.on_cpu {
            report.skip("NVML", "without a GPU");
        } else {
            let said = self.usage().map(|gpu| used(&gpu));
            let is_there = said.is_some();
            report.check(
                "NVML",
                is_there,
                &said.unwrap_or_else(|| "no figures".into()),
            );
        }
    }

    /// Whether the CPU stands in for the GPU.
    pub(crate) fn is_on_cpu(&self) -> bool {
        self.on_cpu
    }

    /// What the GPU does now.
    pub(crate) fn usage(&self) -> Option<GpuUsage> {
        self.monitor.usage(0)
    }

    /// Of two numbers, the one for where this runs: what a GPU does in no time takes the CPU long.
    pub(crate) fn times(&self, on_gpu: usize, on_cpu: usize) -> usize {
        if self.on_cpu { on_cpu } else { on_gpu }
    }

    /// A model where it is checked.
    pub(crate) fn builder(&self, subject: &Subject) -> ModelBuilder {
        self.reference(subject).device(match self.on_cpu {
            true => Device::Cpu,
            false => Device::Cuda(0),
        })
    }

    /// A model on the CPU.
    pub(crate) fn reference(&self, subject: &Subject) -> ModelBuilder {
        let file = self.models.join(format!("{}.onnx", subject.name));
        let builder = OnnxModel::builder(file).device(Device::Cpu);
        builder.warm_up_inputs((subject.inputs)())
    }

    /// A model where it is checked, ready to run.
    pub(crate) fn load(&self, subject: &Subject) -> Result<OnnxModel, OnnxError> {
        load(self.builder(subject))
    }
}

pub(crate) fn load(builder: ModelBuilder) -> Result<OnnxModel, OnnxError> {
    builder.load_blocking(&Reporter::noop(), &Cancel::new())
}

/// How full and busy a GPU is.
pub(crate) fn used(gpu: &GpuUsage) -> String {
    let (used, total) = (gpu.memory_used >> 20, gpu.memory_total >> 20);
    match gpu.busy_percent {
        Some(busy) => format!("{used} of {total} MiB, busy {busy} %"),
        None => format!("{used} of {total} MiB"),
    }
}
