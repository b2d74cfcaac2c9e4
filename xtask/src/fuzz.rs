//! Every fuzz target for a set time.

use std::fs;

use anyhow::{Context as _, Result};

use crate::Context;
use crate::needs::{self, User};
use crate::process::Process;
use crate::report::Outcome;

/// Far above what a decoder or a state machine should hold, and low enough that a leak or an
/// unbounded queue is found within a short run.
const MEMORY_MEGABYTES: u32 = 2048;

/// Below it, what full optimisation costs in the build is not made up for by more inputs a second.
const SHORT_SECONDS: u32 = 60;

pub(crate) fn run(context: &Context) -> Result<Outcome> {
    if !context.root.join("fuzz/Cargo.toml").is_file() {
        return Ok(Outcome::Skipped("no fuzz targets yet".into()));
    }
    let Some(toolchain) = context.toolchain("nightly") else {
        let reason = "fuzzing needs a nightly toolchain, and none is installed";
        return Ok(Outcome::Skipped(reason.into()));
    };
    needs::ensure(User::Fuzz, &context.root)?;
    if !context.has_subcommand("fuzz") {
        context.cargo(["install", "cargo-fuzz", "--locked"]).run()?;
    }

    let plus = format!("+{toolchain}");
    let list = cargo_fuzz(context, &plus, "list").read()?;
    let targets: Vec<_> = list.split_whitespace().collect();
    if targets.is_empty() {
        return Ok(Outcome::Failed("fuzz/ lists no target".into()));
    }
    cargo_fuzz(context, &plus, "build").run()?;

    let seconds = context.fuzz_seconds;
    let mut failed = Vec::new();
    for target in &targets {
        let corpus = format!("fuzz/corpus/{target}");
        let at = context.root.join(&corpus);
        fs::create_dir_all(at).with_context(|| format!("cannot create {corpus}"))?;
        // The first directory takes new inputs; committed seeds are only read.
        let seeds = format!("fuzz/seeds/{target}");
        let seeds = context.root.join(&seeds).is_dir().then_some(seeds);
        let result = cargo_fuzz(context, &plus, "run")
            .arg(target)
            .arg(corpus)
            .args(seeds)
            .arg("--")
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-rss_limit_mb={MEMORY_MEGABYTES}"))
            .run();
        if let Err(error) = result {
            println!("{error:#}");
            failed.push(*target);
        }
    }
    if !failed.is_empty() {
        return Ok(Outcome::Failed(failed.join(", ")));
    }
    let note = format!("{seconds} s each: {}", targets.join(", "));
    Ok(Outcome::PassedWith(note))
}

/// `cargo fuzz`, building where a hand-run `cargo fuzz` does unless all builds are sent elsewhere:
/// its sanitizer flags must not meet the workspace's own builds.
fn cargo_fuzz(context: &Context, plus: &str, subcommand: &str) -> Process {
    let mut process = context.cargo([plus, "fuzz", subcommand]);
    if context.fuzz_seconds.get() < SHORT_SECONDS {
        process = process.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    }
    if std::env::var_os("CARGO_TARGET_DIR").is_some() {
        process.env("CARGO_TARGET_DIR", context.target_dir("fuzz"))
    } else {
        process
    }
}
