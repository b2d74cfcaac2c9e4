//! The client for browsers: its types, tests and size, what `progress-web` embeds of it, and one pass
//! through a real server and a real browser.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::Context;
use crate::needs::{self, User};
use crate::process::Process;
use crate::report::Outcome;

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
    context
        .cargo(["build", "--package", "progress-server", "--all-features"])
        .run()?;
    let server = context.target_dir("debug").join("progress-server");
    for script in ["test", "test:browser", "test:e2e"] {
        client
            .script(script)
            .env("PROGRESS_SERVER", &server)
            .run()?;
    }
    Ok(Outcome::Passed)
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

    fn script(&self, name: &str) -> Process {
        Process::new("npm", &self.dir).args(["run", "--silent", name])
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
