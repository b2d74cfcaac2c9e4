//! The demo: drop files on a page and watch them being processed, or name them on the command line
//! and watch the same in the terminal.
//!
//! ```text
//! upload ─┐
//!         ├─> batch (parent) ─> one task per file ─> analysis ─> result or error
//! FILE… ──┘        └────────────── progress-core ──> page, terminal, curl
//! ```
#![forbid(unsafe_code)]

pub mod analysis;
pub mod batch;
pub mod multipart;
pub mod page;
pub mod refusal;
pub mod server;
pub mod terminal;
mod upload;
pub mod work;

/// The README's example of use compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}
