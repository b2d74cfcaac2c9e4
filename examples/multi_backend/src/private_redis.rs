//! A `redis-server` of the system's own, kept by a process that ends it with the launcher and starts
//! it again when it is killed: kill it, and watch the page.

use std::{env, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, bail};
use clap::Args;
use redis::cmd;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::{child, store::Store};

#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// The port to listen on, on loopback
    #[arg(long)]
    port: u16,
    /// How long it stays away when it ends by itself
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration, value_name = "TIME")]
    away: Duration,
}

/// Keeps one running until the launcher goes.
///
/// # Errors
///
/// If it cannot be started.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    let url = format!("redis://127.0.0.1:{}", settings.port);
    // What it needs to come back with all it knew.
    let dir = tempfile::Builder::new()
        .prefix("multi-backend-")
        .tempdir()?;
    let told = child::told_to_end();
    tokio::pin!(told);
    loop {
        let mut server = start(settings.port, dir.path())?;
        let ended = async {
            answers(&Store::new(&url)?, &mut server).await?;
            child::ready(&url, server.id().context("it runs")?)?;
            Ok::<_, anyhow::Error>(server.wait().await?)
        };
        tokio::select! {
            ended = ended => tracing::warn!("redis-server: {}", ended?),
            () = &mut told => {
                server.kill().await?;
                return Ok(());
            }
        }
        tokio::select! {
            () = sleep(settings.away) => {}
            () = &mut told => return Ok(()),
        }
    }
}

fn start(port: u16, dir: &Path) -> anyhow::Result<Child> {
    let program = env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
    let mut command = Command::new(program);
    command
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"])
        .args(["--loglevel", "warning", "--port", &port.to_string()])
        .arg("--dir")
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    command
        .spawn()
        .context("redis-server cannot be started: install it, or name another Redis with --redis")
}

async fn answers(store: &Store, server: &mut Child) -> anyhow::Result<()> {
    let patience = Instant::now() + STARTS_IN;
    while store.ask::<()>(&cmd("PING")).await.is_err() {
        if let Some(status) = server.try_wait()? {
            bail!("redis-server has ended at once: {status}");
        }
        if Instant::now() > patience {
            bail!("redis-server does not answer");
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

const STARTS_IN: Duration = Duration::from_secs(20);
