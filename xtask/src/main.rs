//! The workspace's own commands, run as `cargo xtask <command>`.
//!
//! - `cargo xtask models` fetches ONNX Runtime and the models that tests and examples run.
//! - `cargo xtask gpu-check` makes the folder that checks `pipeline-gpu` on a machine with a GPU.
//! - `cargo xtask test` installs what the tests need and runs them all.
//! - `cargo xtask ci` runs every quick gate, in order, and ends with a table of what happened.
//! - `cargo xtask ci --full` adds the slow gates, which are run by hand.
//!
//! A gate that cannot run here is listed as `skipped:` with its reason, never left out.

mod cargo;
mod fuzz;
mod gates;
mod gpu_check;
mod interop;
mod js;
mod junit;
mod models;
mod needs;
mod process;
mod report;
mod slow;

use std::env;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand};

use crate::report::{Outcome, Report};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "The workspace's own commands")]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Fetch ONNX Runtime and the models that tests and examples run, unless they are there
    Models,
    /// Make the folder to carry to a machine with a GPU, and to run there
    GpuCheck,
    /// Install what the tests need, then run them all, doctests included
    Test,
    /// Run every gate and print what passed, failed and was skipped
    Ci(CiArgs),
}

#[derive(Args)]
struct CiArgs {
    /// Run the slow gates too (hours)
    #[arg(long)]
    full: bool,
    /// Seconds for each fuzz target [default: 10, or 600 with --full]
    #[arg(long, value_name = "SECONDS")]
    fuzz_seconds: Option<NonZeroU32>,
    /// Run only this gate; may be given more than once
    #[arg(long, value_name = "GATE")]
    only: Vec<String>,
}

/// What every gate is given.
struct Context {
    /// The workspace root; every command runs there.
    root: PathBuf,
    /// On a CI machine: the tree must be clean and nobody is there to answer.
    ci: bool,
    /// How long each fuzz target runs.
    fuzz_seconds: NonZeroU32,
}

impl Context {
    fn new(ci: bool, fuzz_seconds: NonZeroU32) -> Self {
        Self {
            root: workspace_root(),
            ci,
            fuzz_seconds,
        }
    }

    /// The directory builds go to, or a build of its own inside it: flags such as `--cfg loom` apply
    /// to every dependency, and in the shared directory would make each run rebuild the other's.
    fn target_dir(&self, own: &str) -> PathBuf {
        let base = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
        self.root.join(base).join(own)
    }
}

/// One gate: its name in the table, and what it does.
struct Gate {
    name: &'static str,
    run: fn(&Context) -> Result<Outcome>,
}

fn run(task: Task) -> Result<bool> {
    let ci = env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    let mut report = Report::default();
    match task {
        Task::Models => {
            let context = Context::new(ci, NonZeroU32::MIN);
            report.run(&models::GATE, &context);
        }
        Task::GpuCheck => {
            let context = Context::new(ci, NonZeroU32::MIN);
            report.run(&gpu_check::GATE, &context);
        }
        Task::Test => {
            let context = Context::new(ci, NonZeroU32::MIN);
            for gate in gates::TESTS {
                report.run(gate, &context);
            }
        }
        Task::Ci(args) => {
            check_names(&args.only)?;
            let seconds = if args.full { 600 } else { 10 };
            let seconds = NonZeroU32::new(seconds).unwrap_or(NonZeroU32::MIN);
            let context = Context::new(ci, args.fuzz_seconds.unwrap_or(seconds));
            let wanted = |gate: &Gate| {
                args.only.is_empty() || args.only.iter().any(|name| name == gate.name)
            };
            for gate in gates::quick() {
                if wanted(gate) {
                    report.run(gate, &context);
                } else {
                    report.skip(gate.name, "not named by --only");
                }
            }
            for gate in slow::GATES {
                if !wanted(gate) {
                    report.skip(gate.name, "not named by --only");
                } else if args.full || !args.only.is_empty() {
                    report.run(gate, &context);
                } else {
                    report.skip(gate.name, "slow, run by hand: cargo xtask ci --full");
                }
            }
        }
    }
    print!("\n{report}");
    Ok(report.succeeded())
}

/// Refuses a misspelt gate, which would otherwise pass by running nothing.
fn check_names(only: &[String]) -> Result<()> {
    let known: Vec<_> = gates::quick()
        .chain(slow::GATES)
        .map(|gate| gate.name)
        .collect();
    if let Some(name) = only.iter().find(|name| !known.contains(&name.as_str())) {
        bail!(
            "no gate is called `{name}`; there are: {}",
            known.join(", ")
        );
    }
    Ok(())
}

/// The directory above this package. `cargo run` names it at run time, which stays right when the
/// checkout is moved; a binary started by hand falls back to where it was built.
fn workspace_root() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.parent().unwrap_or(&package).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn misspelt_gate_is_refused() {
        assert!(check_names(&["clippy".into(), "mutants".into()]).is_ok());
        let error = check_names(&["clipy".into()]).unwrap_err().to_string();
        assert!(
            error.contains("`clipy`") && error.contains("fmt, clippy"),
            "{error}"
        );
    }

    #[test]
    fn gate_names_are_unique() {
        let mut names: Vec<_> = gates::quick().chain(slow::GATES).map(|g| g.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
