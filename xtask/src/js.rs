//! The client for browsers: its types, tests and size, what `progress-web` embeds of it, and one pass
//! through a real server and a real browser.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::Context;
use crate::needs::{self, User};
use crate::process::Process;
use crate::report::Outcome;

/// All but what takes minutes.
pub(crate) fn run(context: &Context) -> Result<Outcome> {
    needs::ensure(User::Tests, &context.root)?;
    let client = Client::of(context);
    client.install()?;
    // `check` builds the package too, which the others read.
    client.script("check").run()?;
    client.script("size").run()?;
    let embedded = context.root.join("progress-web/assets");
    let embed = client.script("embed").args(["--", "--check"]);
    embed.arg(embedded).run()?;
    client.script("page").args(["--", "--check"]).run()?;
    client.tests(context, &["test", "test:browser"])?;
    Ok(Outcome::Passed)
}

/// Real browsers against a real server behind a real nginx: tabs that come, go and sleep, outages,
/// proxies that hold back or refuse, credentials that end; and a minute of all that at random.
pub(crate) fn end_to_end(context: &Context) -> Result<Outcome> {
    needs::ensure(User::Tests, &context.root)?;
    let client = Client::of(context);
    client.install()?;
    client.script("build").run()?;
    client.tests(context, &["test:e2e"])?;
    Ok(Outcome::Passed)
}

/// Installs the packages of the client, which the event hub's snippet for React is bundled with too.
pub(crate) fn install(context: &Context) -> Result<()> {
    Client::of(context).install()
}

struct Client {
    dir: PathBuf,
}

impl Client {
    fn of(context: &Context) -> Self {
        let dir = context.root.join("clients/js");
        Self { dir }
    }

    /// Installs what the lock file names, unless it is there.
    fn install(&self) -> Result<()> {
        let lock = read(&self.dir.join("package-lock.json"))?;
        let installed = self.dir.join("node_modules/.installed");
        if fs::read(&installed).is_ok_and(|installed| installed == lock) {
            return Ok(());
        }
        let npm = Process::new("npm", &self.dir);
        npm.args(["ci", "--no-audit", "--no-fund"]).run()?;
        fs::write(&installed, lock).context("cannot note what was installed")
    }

    /// Runs tests against the server that is built for them.
    fn tests(&self, context: &Context, scripts: &[&str]) -> Result<()> {
        let build = ["build", "--package", "progress-server", "--all-features"];
        context.cargo(build).run()?;
        let server = context.target_dir("debug").join("progress-server");
        for name in scripts {
            let script = self.script(name);
            script.env("PROGRESS_SERVER", &server).run()?;
        }
        Ok(())
    }

    fn script(&self, name: &str) -> Process {
        Process::new("npm", &self.dir).args(["run", "--silent", name])
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
