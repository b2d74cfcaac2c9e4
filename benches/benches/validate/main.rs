//! All targets in one table: `cargo bench -p progress-benches --bench validate`.
//!
//! Exits with 1 if a row misses its target. `--slack 10` makes every target ten times as easy, for a
//! machine that is busy with other things; `--only publish` measures one part; `--test` only shows that
//! everything runs.
#![forbid(unsafe_code)]

mod core_rows;
mod memory;
mod rounds;
mod server;
mod table;
mod watchers;
mod web_rows;

use std::{env, process::ExitCode};

use self::{rounds::Effort, table::Table};

fn main() -> ExitCode {
    if env::var_os(server::ROLE).is_some() {
        return server::run();
    }
    let arguments: Vec<String> = env::args().skip(1).collect();
    let only_run = arguments.iter().any(|argument| argument == "--test");
    let only = after(&arguments, "--only");
    let slack = match slack(&arguments) {
        Ok(slack) => slack,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let effort = if only_run {
        Effort::LEAST
    } else {
        Effort::FULL
    };
    // Single short turns say nothing about speed.
    let mut table = Table::new(if only_run { f64::INFINITY } else { slack });
    for (name, rows) in PARTS {
        if only.is_none_or(|only| only == name) {
            rows(effort, &mut table);
        }
    }
    if table.is_empty() {
        let names = PARTS.map(|(name, _)| name).join(", ");
        eprintln!("error: --only takes one of {names}");
        return ExitCode::from(2);
    }

    print!("{table}");
    if table.is_met() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

type Part = (&'static str, fn(Effort, &mut Table));

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

/// From `--slack N`, else 1.
fn slack(arguments: &[String]) -> Result<f64, String> {
    let Some(value) = after(arguments, "--slack") else {
        return Ok(1.0);
    };
    match value.parse() {
        Ok(slack) if slack >= 1.0 && f64::is_finite(slack) => Ok(slack),
        _ => Err(format!(
            "--slack takes a number of at least 1, not `{value}`"
        )),
    }
}

/// The value of an option; empty if there is none behind it.
fn after<'a>(arguments: &'a [String], option: &str) -> Option<&'a str> {
    let at = arguments.iter().position(|argument| argument == option)?;
    Some(arguments.get(at + 1).map_or("", String::as_str))
}
