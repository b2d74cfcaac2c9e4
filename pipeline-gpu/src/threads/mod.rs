//! Threads for what keeps a processor busy.

mod blocking;
mod crew;
mod per_thread;
mod pool;

pub use self::{
    blocking::{Blocking, blocking},
    per_thread::{PerThread, ThreadStage},
    pool::CpuPool,
};

use std::time::Duration;

/// How long synchronous code may go on once it is to stop: it can only look at the flag, and an end
/// that is told before the work has stopped is early.
const GRACE: Duration = Duration::from_millis(500);
