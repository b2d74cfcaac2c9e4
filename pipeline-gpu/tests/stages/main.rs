//! The stages supplied, in pipelines, on models under a real ONNX Runtime, which `cargo xtask models` fetches; without it these
//! tests fail.
#![cfg(feature = "onnx")]

mod faces;
mod pictures;
mod rendering;
mod support;
mod voices;
