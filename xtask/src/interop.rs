//! What the clients of `interop/` need: packages of Python and Node, below the target directory.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::Context;
use crate::process::Process;

/// Installs what is not there yet in the versions that are asked for.
pub(crate) fn ensure(context: &Context) -> Result<()> {
    let target = context.target_dir("interop");
    let (venv, node) = (target.join("venv"), target.join("node"));
    let asked = context.root.join("interop/python/requirements.txt");
    if !same(&asked, &venv.join("requirements.txt")) {
        run("python3", context, &["-m", "venv", "--clear"], &venv)?;
        let pip = venv.join("bin/pip");
        Process::new(&pip.to_string_lossy(), &context.root)
            .args(["install", "--quiet", "--disable-pip-version-check", "-r"])
            .arg(&asked)
            .run()?;
        copy(&asked, &venv.join("requirements.txt"))?;
    }
    let sources = context.root.join("interop/node");
    let lock = sources.join("package-lock.json");
    if !same(&lock, &node.join("package-lock.json")) {
        fs::create_dir_all(&node).with_context(|| format!("cannot make {}", node.display()))?;
        copy(&sources.join("package.json"), &node.join("package.json"))?;
        copy(&lock, &node.join("package-lock.json"))?;
        let installed = run(
            "npm",
            context,
            &["ci", "--no-audit", "--no-fund", "--prefix"],
            &node,
        );
        if installed.is_err() {
            // Or the next run would take it for done.
            drop(fs::remove_file(node.join("package-lock.json")));
        }
        installed?;
    }
    Ok(())
}

fn run(program: &str, context: &Context, args: &[&str], path: &Path) -> Result<()> {
    Process::new(program, &context.root)
        .args(args)
        .arg(path)
        .run()
}

fn same(one: &Path, other: &Path) -> bool {
    match (fs::read(one), fs::read(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}
