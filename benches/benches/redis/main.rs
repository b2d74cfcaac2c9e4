//! What many nodes on one Redis do, beside what one would write by hand, in one table:
//! `cargo bench -p progress-benches --bench redis`. It takes the same options as `validate`.
//!
//! A private `redis-server` that keeps nothing on disk runs on a free port; both nodes are in this
//! process, each with threads of its own, and all traffic stays on the loopback interface.
#![forbid(unsafe_code)]

mod broker;
mod counters;
mod latency;
mod memory;
mod nodes;
mod raw;
mod recovery;
#[path = "../../../progress-redis/tests/server/mod.rs"]
mod server;
mod throughput;

use std::process::ExitCode;

use progress_benches::table::{self, Part};

fn main() -> ExitCode {
    table::run(&PARTS)
}

const PARTS: [Part; 5] = [
    ("throughput", throughput::rows),
    ("latency", latency::rows),
    ("counters", counters::rows),
    ("memory", memory::rows),
    ("recovery", recovery::rows),
];
