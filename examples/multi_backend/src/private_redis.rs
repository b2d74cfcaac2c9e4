//! A `redis-server` of the system's own, kept by a process that ends it with the launcher and starts
//! it again when it is killed: kill it, and watch the page.

use std::{
    env,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Stdio,
    time::Duration,
};

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
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
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
    // What it needs to come back with all it knew.
    let dir = tempfile::Builder::new()
        .prefix("multi-backend-")
        .tempdir()?;
    let told = child::told_to_end();
    tokio::pin!(told);
    let mut listen = settings.listen;
    loop {
        let mut server = tokio::select! {
            started = start(&mut listen, dir.path()) => started?,
            () = &mut told => return Ok(()),
        };
        let pid = server.id().context("it runs")?;
        child::ready(&url(listen), pid)?;
        tokio::select! {
            ended = server.wait() => tracing::warn!("redis-server has ended: {}", ended?),
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

/// Starts one, at an address that stays the same from then on. Dropping the future ends it.
async fn start(listen: &mut SocketAddr, dir: &Path) -> anyhow::Result<Child> {
    if listen.port() != 0 {
        return start_at(*listen, dir).await;
    }
    let mut tries = 0..MOST_TRIES;
    loop {
        let address = TcpListener::bind(*listen)?.local_addr()?;
        match start_at(address, dir).await {
            Ok(server) => {
                *listen = address;
                return Ok(server);
            }
            // Somebody else may have taken it before redis-server did.
            Err(error) if tries.next().is_none() => return Err(error),
            Err(_) => {}
        }
    }
}

async fn start_at(address: SocketAddr, dir: &Path) -> anyhow::Result<Child> {
    let program = env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
    let mut command = Command::new(program);
    command
        .args(["--save", "", "--appendonly", "yes", "--loglevel", "warning"])
        .args(["--bind", &address.ip().to_string()])
        .args(["--port", &address.port().to_string()])
        .arg("--dir")
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    let mut server = command.spawn().context(
        "redis-server cannot be started: install it, or name another Redis with --redis",
    )?;
    answers(&Store::new(&url(address))?, &mut server).await?;
    Ok(server)
}

/// Waits until it answers, and not another one that was there before.
async fn answers(store: &Store, server: &mut Child) -> anyhow::Result<()> {
    let itself = format!("process_id:{}\r", server.id().context("it runs")?);
    let patience = Instant::now() + STARTS_IN;
    loop {
        if let Some(status) = server.try_wait()? {
            bail!("redis-server has ended at once: {status}");
        }
        let info: redis::RedisResult<String> = store.ask(cmd("INFO").arg("server")).await;
        if info.is_ok_and(|info| info.contains(&itself)) {
            return Ok(());
        }
        if Instant::now() > patience {
            bail!("redis-server does not answer");
        }
        sleep(Duration::from_millis(10)).await;
    }
}

fn url(address: SocketAddr) -> String {
    format!("redis://{address}")
}

const STARTS_IN: Duration = Duration::from_secs(20);
const MOST_TRIES: u32 = 10;
