//! Models in the ONNX format, run by ONNX Runtime.
//!
//! [`OnnxModel::load`] finds the runtime's library, opens the model on the device that was asked
//! for, runs it twice, and looks at which of the runtime's providers really ran it the first time.
//! What it found is the model's [`Placement`].
//!
//! ```text
//! OnnxModel ──> queue (bounded) ──> thread "onnx-0-…" with its session
//!   run(inputs, cancel)        └──> thread "onnx-1-…" with its session
//! ```
//!
//! - **Library.** It is loaded when the first model is: see [`ModelBuilder::library`]. An error
//!   lists every place that was tried. A process uses one library, for all its models;
//!   [`Library::in_use`] says which.
//! - **Threads.** The runtime's runs are not thread safe, so each session stays on a thread of its
//!   own and runs one request at a time. What does not fit the queue waits outside it.
//! - **Stopping.** A run stops between two operations of the model, never within one. On a GPU,
//!   what it was given already it still does.
//! - **Checks.** Names, types and shapes are checked before a run, outputs for their size after it,
//!   and for NaN where [asked for](ModelBuilder::check_finite).
//! - **Errors.** [`OnnxError`] becomes a [`TaskError`](progress_core::TaskError) with a stable
//!   [code](OnnxError::code).

mod builder;
mod element;
mod error;
#[cfg(feature = "cuda")]
mod gpu;
mod interrupt;
mod library;
mod load;
mod model;
mod options;
mod placement;
mod port;
mod profile;
mod reshape;
#[cfg(feature = "onnx")]
mod search;
mod session;
mod source;
mod stack;
mod task_error;
mod tensor;
mod worker;

pub use half::{bf16, f16};

#[cfg(feature = "cuda")]
pub use self::gpu::{GpuMonitor, GpuUsage};
pub use self::{
    builder::ModelBuilder,
    element::{Element, ElementType, TensorData},
    error::{NotANumber, OnnxError},
    library::{Library, LibraryError, Origin, Tried},
    model::OnnxModel,
    placement::{Device, Fallback, Placement, Provider, Share},
    port::{Dim, Inputs, Outputs, Port},
    source::ModelSource,
    tensor::{Tensor, TensorError},
};
