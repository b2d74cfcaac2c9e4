#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(
    missing_docs,
    missing_debug_implementations,
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used
)]

mod admission;
mod batch;
mod breaker;
mod cancel;
mod context;
mod error;
mod pipeline;
mod prior;
mod stage;
mod stopwatch;
mod sync;
mod threads;

pub use self::{
    admission::{Admitted, Device},
    batch::{BatchContext, BatchStage, Batched},
    breaker::{Breaker, BreakerState},
    cancel::Cancel,
    context::Context,
    error::{BuildError, Refusal, RunError, SubmitError},
    pipeline::{ItemTask, Pipeline, PipelineBuilder, Request, Run},
    prior::Prior,
    stage::{Guarded, OnDevice, Opaque, Retry, Stage, Timeout},
    threads::{Blocking, CpuPool, PerThread, ThreadStage, blocking},
};
