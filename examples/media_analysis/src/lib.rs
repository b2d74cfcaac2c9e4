//! Many media, uploaded and analysed at once, watched on one event stream.
//!
//! ```text
//! multipart ──────────────┐
//!                         ├─> item (a task each) ─> analysis, five at once ─> result or error
//! chunks, in any order ───┘     └── progress-core ──> one stream for all, or polling
//! ```
#![forbid(unsafe_code)]

mod batch;
mod chunks;
mod item;
mod media;
mod multipart;
mod page;
pub mod server;
pub mod studio;
mod uploads;

pub use self::chunks::ChunkLimits;
