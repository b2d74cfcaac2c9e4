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
#[cfg(feature = "audio")]
#[cfg_attr(docsrs, doc(cfg(feature = "audio")))]
pub mod audio;
mod batch;
mod breaker;
#[cfg(feature = "remote")]
#[cfg_attr(docsrs, doc(cfg(feature = "remote")))]
pub mod remote;
#[cfg(feature = "vision")]
#[cfg_attr(docsrs, doc(cfg(feature = "vision")))]
pub mod vision;

mod cancel;
mod context;
mod desk;
mod error;
#[cfg(feature = "__runtime")]
#[cfg_attr(docsrs, doc(cfg(any(feature = "onnx", feature = "download-binaries"))))]
pub mod onnx;
mod pipeline;
mod place;
mod prior;
mod stage;
pub mod stages;
mod stopwatch;
mod sync;
mod threads;

pub use self::{
    admission::{Admission, Admitted},
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
