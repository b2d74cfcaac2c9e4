//! Models under a real ONNX Runtime, which `cargo xtask models` fetches; without it these tests
//! fail.
#![cfg(feature = "onnx")]

mod batched;
mod inputs;
mod library;
mod loading;
mod numbers;
mod outputs;
mod placement;
mod real;
mod running;
mod support;
mod tasks;
