//! All targets in one table: `cargo bench -p progress-benches --bench validate`.
//!
//! Exits with 1 if a row misses its target. `--slack 10` makes every target ten times as easy, for a
//! machine that is busy with other things; `--test` only shows that everything runs.
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
    let mut table = Table::new(slack);
    core_rows::counter(effort, &mut table);
    core_rows::publish(effort, &mut table);
    core_rows::wake(effort, &mut table);
    core_rows::fanout(effort, &mut table);
    core_rows::replay(effort, &mut table);
    memory::rows(&mut table);
    core_rows::throughput(effort, &mut table);
    web_rows::rows(effort, &mut table);

    print!("{table}");
    if table.is_met() || only_run {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// From `--slack N`, else 1.
fn slack(arguments: &[String]) -> Result<f64, String> {
    let Some(at) = arguments.iter().position(|argument| argument == "--slack") else {
        return Ok(1.0);
    };
    let value = arguments.get(at + 1).map_or("", String::as_str);
    match value.parse() {
        Ok(slack) if slack >= 1.0 && f64::is_finite(slack) => Ok(slack),
        _ => Err(format!(
            "--slack takes a number of at least 1, not `{value}`"
        )),
    }
}
