//! Typed multi-stage inference pipelines on ONNX Runtime, whose every step a watcher can see.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod cancel;
#[cfg(feature = "__runtime")]
pub mod onnx;

pub use cancel::Cancel;
