//! Cargo itself: its commands, installed subcommands and toolchains, and what the manifests say.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::Context;
use crate::process::Process;

impl Context {
    /// `cargo …` on the toolchain in force.
    ///
    /// By name, not by the `CARGO` variable: that names one toolchain's own binary, which does not
    /// understand `+nightly`.
    pub(crate) fn cargo<const N: usize>(&self, args: [&str; N]) -> Process {
        let process = Process::new("cargo", &self.root).args(args);
        if self.ci {
            // A clean clone is built once; incremental state would only cost time and disk, and of what is known
            // for debuggers nothing is read but the lines of a panic.
            process
                .env("CARGO_INCREMENTAL", "0")
                .env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only")
        } else {
            process
        }
    }

    /// Whether `cargo <subcommand>` is installed.
    pub(crate) fn has_subcommand(&self, subcommand: &str) -> bool {
        let process = Process::new("cargo", &self.root);
        process.args([subcommand, "--version"]).ask().is_some()
    }

    /// The name of an installed toolchain of this channel or version.
    ///
    /// rustup is asked for its list rather than for the toolchain: asking for one may download it.
    pub(crate) fn toolchain(&self, channel: &str) -> Option<String> {
        let list = Process::new("rustup", &self.root)
            .args(["toolchain", "list"])
            .ask()?;
        pick_toolchain(&list, channel)
    }

    /// Every manifest of the workspace, two levels down at most, with its text.
    pub(crate) fn manifests(&self) -> Result<Vec<(PathBuf, String)>> {
        let mut found = Vec::new();
        let mut dirs = vec![(self.root.clone(), 0)];
        while let Some((dir, depth)) = dirs.pop() {
            let manifest = dir.join("Cargo.toml");
            if manifest.is_file() {
                let text = fs::read_to_string(&manifest)
                    .with_context(|| format!("cannot read {}", manifest.display()))?;
                found.push((manifest, text));
            }
            if depth < 2 {
                let entries = fs::read_dir(&dir).context("cannot list the workspace")?;
                dirs.extend(
                    entries
                        .flatten()
                        .filter(|entry| entry.path().is_dir())
                        .filter(|entry| !is_output(&entry.file_name().to_string_lossy()))
                        .map(|entry| (entry.path(), depth + 1)),
                );
            }
        }
        Ok(found)
    }
}

/// The least Rust version the workspace declares.
pub(crate) fn rust_version(root_manifest: &str) -> Option<&str> {
    root_manifest.lines().find_map(|line| {
        let value = line.trim().strip_prefix("rust-version")?.trim_start();
        value
            .strip_prefix('=')?
            .trim()
            .strip_prefix('"')?
            .strip_suffix('"')
    })
}

/// Picks the toolchain named plainly (`nightly-<host>`) before a dated one
/// (`nightly-2026-01-01-<host>`): the plain one is what people type.
fn pick_toolchain(list: &str, channel: &str) -> Option<String> {
    let names = || {
        list.lines()
            .filter_map(|line| line.split_whitespace().next())
            .filter_map(|name| Some((name, name.strip_prefix(channel)?)))
    };
    let plain = |rest: &str| {
        rest.is_empty() || (rest.starts_with('-') && !rest[1..].starts_with(char::is_numeric))
    };
    let dated = |rest: &str| rest.starts_with('-') || rest.starts_with('.');
    names()
        .find(|(_, rest)| plain(rest))
        .or_else(|| names().find(|(_, rest)| dated(rest)))
        .map(|(name, _)| name.to_owned())
}

fn is_output(name: &str) -> bool {
    name.starts_with('.') || name == "target" || name == "node_modules"
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
stable-x86_64-unknown-linux-gnu (active, default)
nightly-2026-01-01-x86_64-unknown-linux-gnu
nightly-x86_64-unknown-linux-gnu
1.88.0-x86_64-unknown-linux-gnu
";

    #[test]
    fn plain_toolchain_comes_before_a_dated_one() {
        let picked = pick_toolchain(LIST, "nightly");
        assert_eq!(picked.as_deref(), Some("nightly-x86_64-unknown-linux-gnu"));
        let dated: Vec<_> = LIST.lines().take(2).collect();
        let picked = pick_toolchain(&dated.join("\n"), "nightly");
        let expected = "nightly-2026-01-01-x86_64-unknown-linux-gnu";
        assert_eq!(picked.as_deref(), Some(expected));
    }

    #[test]
    fn version_matches_its_patch_releases_only() {
        let picked = pick_toolchain(LIST, "1.88");
        assert_eq!(picked.as_deref(), Some("1.88.0-x86_64-unknown-linux-gnu"));
        assert_eq!(pick_toolchain(LIST, "1.8"), None);
        assert_eq!(pick_toolchain("", "nightly"), None);
    }

    #[test]
    fn rust_version_is_read_from_the_manifest() {
        let text = "[workspace.package]\nedition = \"2024\"\nrust-version = \"1.88\"\n";
        assert_eq!(rust_version(text), Some("1.88"));
        assert_eq!(rust_version("rust-version.workspace = true"), None);
    }
}
