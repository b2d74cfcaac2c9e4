//! The quick gates: everything a change must pass before it lands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use crate::needs::{self, User};
use crate::report::Outcome;
use crate::{Context, Gate, fuzz, interop, js, junit, models};

/// All quick gates: the cheapest first, so that a slip shows early.
pub(crate) fn quick() -> impl Iterator<Item = &'static Gate> {
    STATIC.iter().chain(TESTS).chain(DYNAMIC)
}

/// What `cargo xtask test` runs.
pub(crate) const TESTS: &[Gate] = &[
    Gate {
        name: "needs",
        run: install_needs,
    },
    Gate {
        name: "tests",
        run: tests,
    },
    Gate {
        name: "doctests",
        run: doctests,
    },
    Gate {
        name: "js",
        run: js::run,
    },
];

const STATIC: &[Gate] = &[
    Gate {
        name: "fmt",
        run: fmt,
    },
    Gate {
        name: "clippy",
        run: clippy,
    },
    Gate {
        name: "rustdoc",
        run: rustdoc,
    },
];

const DYNAMIC: &[Gate] = &[
    Gate {
        name: "loom",
        run: loom,
    },
    Gate {
        name: "benches",
        run: benches,
    },
    Gate {
        name: "fuzz",
        run: fuzz::run,
    },
    Gate {
        name: "package",
        run: package,
    },
];

fn fmt(context: &Context) -> Result<Outcome> {
    context.cargo(["fmt", "--all", "--check"]).run()?;
    Ok(Outcome::Passed)
}

/// Warnings are denied after `--`, for the workspace alone: in `RUSTFLAGS` they would change every
/// dependency's fingerprint and have all of them built again.
fn clippy(context: &Context) -> Result<Outcome> {
    needs::ensure(User::Build, &context.root)?;
    context
        .cargo(["clippy", "--workspace", "--all-targets", "--all-features"])
        .args(["--", "-D", "warnings"])
        .run()?;
    Ok(Outcome::Passed)
}

/// The same features as clippy, whose checked dependencies it reads.
fn rustdoc(context: &Context) -> Result<Outcome> {
    context
        .cargo(["doc", "--workspace", "--no-deps", "--all-features"])
        .arg("--document-private-items")
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()?;
    Ok(Outcome::Passed)
}

fn install_needs(context: &Context) -> Result<Outcome> {
    needs::ensure(User::Build, &context.root)?;
    needs::ensure(User::Tests, &context.root)?;
    interop::ensure(context)?;
    js::install(context)?;
    models::ensure(context)?;
    Ok(Outcome::Passed)
}

/// Without nextest, `--tests --examples` selects what nextest selects by default; `--all-targets`
/// would run the benches too, which are a gate of their own.
fn tests(context: &Context) -> Result<Outcome> {
    if context.has_subcommand("nextest") {
        let profile = if context.ci { "ci" } else { "default" };
        let report = context.target_dir(&format!("nextest/{profile}/junit.xml"));
        // That of a run before is not of this one.
        remove(&report)?;
        let nextest = context.cargo(["nextest", "run", "--workspace", "--all-features"]);
        let result = nextest.args(["--profile", profile]).run();
        return match result {
            // It did not get so far as to run them.
            Err(error) if !report.is_file() => Err(error),
            result => Ok(junit::outcome(&report, result.is_ok())),
        };
    }
    context
        .cargo(["test", "--workspace", "--tests", "--examples"])
        .args(["--all-features", "--no-fail-fast"])
        .run()?;
    let note = "by cargo test: cargo-nextest is not installed";
    Ok(Outcome::PassedWith(note.into()))
}

fn doctests(context: &Context) -> Result<Outcome> {
    context
        .cargo(["test", "--doc", "--workspace", "--all-features"])
        .run()?;
    Ok(Outcome::Passed)
}

fn loom(context: &Context) -> Result<Outcome> {
    let sources = context.root.join("progress-core/src");
    if !mentions(&sources, "loom::model")? {
        return Ok(Outcome::Skipped("no loom tests yet".into()));
    }
    let cargo = || {
        context
            .cargo(["test", "--package", "progress-core", "--lib", "--release"])
            .arg("loom")
            .env("RUSTFLAGS", "--cfg loom")
            .env("CARGO_TARGET_DIR", context.target_dir("loom"))
            // Models explore interleavings; optimising across crates buys them nothing.
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
    };
    // A filter that matches nothing passes, so the models are counted first.
    let list = cargo().args(["--", "--list"]).read()?;
    let models = list.lines().filter(|line| line.ends_with(": test")).count();
    if models == 0 {
        let note = "loom::model is called, but no test has `loom` in its path";
        return Ok(Outcome::Failed(note.into()));
    }
    cargo().run()?;
    Ok(Outcome::PassedWith(format!("models run: {models}")))
}

/// Runs every bench once, in the profile and with the features of the tests: this finds a bench that
/// does not compile or panics, without building all dependencies again for the bench profile.
fn benches(context: &Context) -> Result<Outcome> {
    let declared = fs::read_to_string(context.root.join("benches/Cargo.toml"))
        .context("cannot read the manifest of the benches")?
        .contains("[[bench]]");
    if !declared && !context.root.join("benches/benches").is_dir() {
        return Ok(Outcome::Skipped("no benches yet".into()));
    }
    context
        .cargo(["test", "--workspace", "--all-features", "--bench", "*"])
        .args(["--", "--test"])
        .run()?;
    Ok(Outcome::Passed)
}

/// Packs every crate that is published and builds it from its archive, its siblings taken from theirs: what is
/// forgotten in `include` or only works inside the workspace fails here.
fn package(context: &Context) -> Result<Outcome> {
    // Cargo unpacks and builds siblings as if they came from a registry, where a version never
    // changes, under a name made from the target directory's path: in a directory used before, the
    // siblings of an earlier run would be built again instead of today's.
    let all = context.target_dir("package-check");
    remove(&all)?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.unwrap_or_default().as_secs();
    let own = all.join(format!("{seconds}-{}", process::id()));
    // The tree of a change in the making is dirty; CI's must not be.
    let dirty = (!context.ci).then_some("--allow-dirty");
    let crates = published(context)?;
    let result = context
        .cargo(["package"])
        .args(crates.iter().flat_map(|name| ["--package", name]))
        .args(dirty)
        .arg("--target-dir")
        .arg(own)
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .run();
    remove(&all)?;
    result?;
    Ok(Outcome::PassedWith(crates.join(", ")))
}

/// The crates that a registry gets: those at the top that do not say otherwise. Their folders have their names.
fn published(context: &Context) -> Result<Vec<String>> {
    let mut crates = Vec::new();
    for entry in fs::read_dir(&context.root)? {
        let folder = entry?.path();
        let Ok(manifest) = fs::read_to_string(folder.join("Cargo.toml")) else {
            continue;
        };
        if !manifest.contains("publish = false") {
            crates.extend(
                folder
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned()),
            );
        }
    }
    crates.sort();
    Ok(crates)
}

fn remove(path: &Path) -> Result<()> {
    let removed = match path.is_dir() {
        true => fs::remove_dir_all(path),
        false if path.exists() => fs::remove_file(path),
        false => return Ok(()),
    };
    removed.with_context(|| format!("cannot remove {}", path.display()))
}

/// Whether a Rust file at or below `dir` contains `text`.
fn mentions(dir: &Path, text: &str) -> Result<bool> {
    let mut dirs = vec![PathBuf::from(dir)];
    while let Some(dir) = dirs.pop() {
        let entries = fs::read_dir(&dir);
        let entries = entries.with_context(|| format!("cannot list {}", dir.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs")
                && fs::read_to_string(&path)?.contains(text)
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mentions_looks_into_rust_sources() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        assert!(mentions(&here, "fn mentions_looks_into_rust_sources").unwrap());
        let absent = ["not", "written", "anywhere"].join("_");
        assert!(!mentions(&here, &absent).unwrap());
        assert!(mentions(&here.join("absent"), "x").is_err());
    }

    #[test]
    fn cheap_gates_come_first() {
        let names: Vec<_> = quick().map(|gate| gate.name).collect();
        assert_eq!(names[..3], ["fmt", "clippy", "rustdoc"]);
        assert_eq!(names.last(), Some(&"package"));
    }
}
