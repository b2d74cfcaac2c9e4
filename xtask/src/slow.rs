//! The slow gates, run by hand with `cargo xtask ci --full`. Longer fuzzing is the quick gate with more
//! time. Their tools are never installed from here: each takes minutes to compile.

use std::{env, fs};

use anyhow::{Context as _, Result};

use crate::cargo::rust_version;
use crate::report::Outcome;
use crate::{
    Context, Gate, js,
    needs::{self, User},
};

pub(crate) const GATES: &[Gate] = &[
    Gate {
        name: "proptest",
        run: proptest,
    },
    Gate {
        name: "validate",
        run: validate,
    },
    Gate {
        name: "soak",
        run: soak,
    },
    Gate {
        name: "js-e2e",
        run: js::end_to_end,
    },
    Gate {
        name: "redis-soak",
        run: redis_soak,
    },
    Gate {
        name: "powerset",
        run: powerset,
    },
    Gate {
        name: "msrv",
        run: msrv,
    },
    Gate {
        name: "deny",
        run: deny,
    },
    Gate {
        name: "advisories",
        run: advisories,
    },
    Gate {
        name: "semver",
        run: semver,
    },
    Gate {
        name: "miri",
        run: miri,
    },
    Gate {
        name: "coverage",
        run: coverage,
    },
    Gate {
        name: "mutants",
        run: mutants,
    },
];

/// About eighty times proptest's default of 256: minutes for a state machine's model test.
const PROPTEST_CASES: &str = "20000";

fn proptest(context: &Context) -> Result<Outcome> {
    let manifests = context.manifests()?;
    if !manifests.iter().any(|(_, text)| text.contains("proptest")) {
        return Ok(Outcome::Skipped("no package uses proptest yet".into()));
    }
    let process = if context.has_subcommand("nextest") {
        // The profile's time limits are made for this many cases.
        context.cargo(["nextest", "run", "--workspace", "--profile", "proptest"])
    } else {
        context.cargo(["test", "--workspace", "--tests", "--no-fail-fast"])
    };
    process.env("PROPTEST_CASES", PROPTEST_CASES).run()?;
    Ok(Outcome::PassedWith(format!("{PROPTEST_CASES} cases")))
}

/// Two rounds of two thousand connections each, `SOAK_SECONDS` sets how long one lasts; and how long
/// it takes to find a client that is gone.
fn soak(context: &Context) -> Result<Outcome> {
    if !cfg!(target_os = "linux") {
        let reason = "the server's memory is read from /proc, which only Linux has";
        return Ok(Outcome::Skipped(reason.into()));
    }
    context
        .cargo(["test", "--release", "--package", "progress-server"])
        .args(["--test", "soak", "--test", "frozen"])
        .args(["--", "--ignored", "--nocapture"])
        .run()?;
    Ok(Outcome::Passed)
}

/// Ten minutes of faults between nodes and their Redis, a minute's outage among them; the tests have
/// two. `SOAK_SECONDS` sets another length.
fn redis_soak(context: &Context) -> Result<Outcome> {
    let seconds = env::var("SOAK_SECONDS").unwrap_or_else(|_| "600".to_owned());
    needs::ensure(User::Tests, &context.root)?;
    context
        .cargo(["test", "--release", "--package", "progress-redis"])
        .args(["--test", "soak", "--", "--nocapture"])
        .env("SOAK_SECONDS", &seconds)
        .run()?;
    Ok(Outcome::PassedWith(format!("{seconds} s of faults")))
}

fn powerset(context: &Context) -> Result<Outcome> {
    with_tool(
        context,
        &[
            "hack",
            "check",
            "--workspace",
            "--ignore-private",
            "--feature-powerset",
            "--depth",
            "2",
        ],
    )
}

/// Measures every performance target, each made ten times as easy: a machine that does other things
/// beside must pass, a change that costs an order of magnitude must not.
fn validate(context: &Context) -> Result<Outcome> {
    context
        .cargo(["bench", "--package", "progress-benches"])
        .args(["--bench", "validate", "--", "--slack", "10"])
        // Linking as one takes longer than it gains where the slack is that large.
        .env("CARGO_PROFILE_BENCH_LTO", "off")
        .run()?;
    // Its targets are ratios, of which a tenth says nothing.
    context
        .cargo(["bench", "--package", "progress-benches"])
        .args(["--bench", "pipeline", "--", "--slack", "1.5"])
        .env("CARGO_PROFILE_BENCH_LTO", "off")
        .run()?;
    Ok(Outcome::PassedWith(
        "with tenfold slack; the pipeline with half as much again".into(),
    ))
}

/// Checks the workspace on the oldest Rust it promises, where that toolchain is installed.
fn msrv(context: &Context) -> Result<Outcome> {
    let manifest = fs::read_to_string(context.root.join("Cargo.toml"))
        .context("cannot read the workspace manifest")?;
    let version = rust_version(&manifest).context("the workspace names no rust-version")?;
    let Some(toolchain) = context.toolchain(version) else {
        let reason = format!("toolchain {version} is not installed");
        return Ok(Outcome::Skipped(reason));
    };
    let plus = format!("+{toolchain}");
    context
        .cargo([&plus, "check", "--workspace", "--all-features"])
        // They say themselves that they ask for more.
        .args(["--exclude", "pipeline-gpu", "--exclude", "talking-video"])
        .env("CARGO_TARGET_DIR", context.target_dir("msrv"))
        .run()?;
    Ok(Outcome::PassedWith(toolchain))
}

/// Everything cargo-deny checks without a network; see `deny.toml`.
fn deny(context: &Context) -> Result<Outcome> {
    with_tool(context, &["deny", "check", "bans", "licenses", "sources"])
}

fn advisories(_: &Context) -> Result<Outcome> {
    let reason = "the advisory database is fetched over the network; where that is allowed, run: \
        cargo deny check advisories";
    Ok(Outcome::Skipped(reason.into()))
}

fn semver(_: &Context) -> Result<Outcome> {
    let reason = "no version is published to compare with";
    Ok(Outcome::Skipped(reason.into()))
}

fn miri(context: &Context) -> Result<Outcome> {
    let Some(toolchain) = context.toolchain("nightly") else {
        let reason = "Miri needs a nightly toolchain, and none is installed";
        return Ok(Outcome::Skipped(reason.into()));
    };
    let plus = format!("+{toolchain}");
    if context.cargo([&plus, "miri", "--version"]).ask().is_none() {
        let reason = format!("{toolchain} has no Miri");
        return Ok(Outcome::Skipped(reason));
    }
    context
        .cargo([&plus, "miri", "test", "--package", "progress-core", "--lib"])
        // proptest keeps its failures in files, and interpreted cases take seconds each.
        .env("MIRIFLAGS", "-Zmiri-disable-isolation")
        .env("PROPTEST_CASES", "4")
        .env("CARGO_TARGET_DIR", context.target_dir("miri"))
        .run()?;
    Ok(Outcome::Passed)
}

fn coverage(context: &Context) -> Result<Outcome> {
    with_tool(context, &["llvm-cov", "--workspace", "--summary-only"])
}

fn mutants(context: &Context) -> Result<Outcome> {
    with_tool(
        context,
        &[
            "mutants",
            "--package",
            "progress-core",
            "--output",
            "target",
        ],
    )
}

/// Runs `cargo <tool> …` if the tool is installed, and says so if it is not.
fn with_tool(context: &Context, args: &[&str]) -> Result<Outcome> {
    let tool = args[0];
    if !context.has_subcommand(tool) {
        let reason = format!("cargo-{tool} is not installed");
        return Ok(Outcome::Skipped(reason));
    }
    context.cargo([]).args(args).run()?;
    Ok(Outcome::Passed)
}
