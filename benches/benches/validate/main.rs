//! All targets in one table: `cargo bench -p progress-benches --bench validate`.
//!
//! Exits with 1 if a row misses its target. `--slack 10` makes every target ten times as easy, for a
//! machine that is busy with other things; `--only publish` measures one part; `--test` only shows that
//! everything runs.
#![forbid(unsafe_code)]

mod core_rows;
mod memory;
mod server;
mod watchers;
mod web_rows;

use std::{env, process::ExitCode};

use progress_benches::table::{self, Part};

fn main() -> ExitCode {
    if env::var_os(server::ROLE).is_some() {
        return server::run();
    }
    table::run(&PARTS)
}

const PARTS: [Part; 8] = [
    ("counter", core_rows::counter),
    ("publish", core_rows::publish),
    ("wake", core_rows::wake),
    ("fanout", core_rows::fanout),
    ("replay", core_rows::replay),
    ("memory", memory::rows),
    ("throughput", core_rows::throughput),
    ("web", web_rows::rows),
];
