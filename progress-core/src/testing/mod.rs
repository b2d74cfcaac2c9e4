//! A broker in memory with faults to order, and the suite that every transport passes.
//!
//! ```
//! use progress_core::{ProgressTracker, testing::MemoryBus};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let bus = MemoryBus::new();
//! let worker = ProgressTracker::builder().transport(bus.connect()).build();
//! let web = ProgressTracker::builder().transport(bus.connect()).build();
//!
//! let mut events = web.subscribe("video-42");
//! worker.task("video-42").start()?.complete(())?;
//! while let Some(_frame) = events.next().await {}
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bus;
pub mod conformance;
mod faults;
mod memory;
mod recent;
mod topic;

pub use self::{bus::MemoryBus, faults::Faults, memory::MemoryTransport};
