//! Every route of the protocol as a server of its own; see the README.

mod bench;
mod broker;
mod serve;
mod settings;

use std::io::Write as _;

use clap::Parser;
use progress_core::{Limits, ProgressTracker};
use progress_web::{Gateway, Open};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use self::settings::{Options, Settings};

/// Gives the memory that a crowd of connections needed back to the system, within seconds of their end
/// and by threads of its own; glibc's allocator keeps it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        // No colours in files and journals.
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr)
        .init();
    let settings = Options::parse().resolve()?;
    // Each connection is a file to the system, which allows few unless it is asked.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files stays");
    }
    let listener = serve::listen(settings.listen, settings.frozen_after).map_err(|error| {
        let listen = settings.listen;
        anyhow::anyhow!("cannot listen on {listen}: {error}; another can be set with --listen")
    })?;
    let gateway = gateway(&settings)?;
    println!("{}", url(&settings, &listener)?);
    std::io::stdout().flush()?;
    serve::run(listener, gateway, &settings, stop()).await
}

/// What is printed when the server can be reached.
fn url(settings: &Settings, listener: &TcpListener) -> std::io::Result<String> {
    match &settings.base_url {
        Some(url) => Ok(url.to_string()),
        None => Ok(format!("http://{}", listener.local_addr()?)),
    }
}

fn gateway(settings: &Settings) -> anyhow::Result<Gateway> {
    let mut limits = Limits::default();
    if let Some(tasks) = settings.max_tasks {
        limits = limits.tasks(tasks);
    }
    let tracker = ProgressTracker::builder()
        .limits(limits)
        .tick(settings.tick)
        .retention(settings.retention);
    let tracker = match &settings.redis {
        Some(url) => broker::join(tracker, url, settings)?.build(),
        None => tracker.build(),
    };
    // So that health tells how that goes before anybody needs it.
    tracker.connect();
    let mut gateway = Gateway::builder(tracker)
        .heartbeat(settings.heartbeat)
        .dead_after(settings.dead_after)
        .unknown_wait(settings.unknown_wait)
        .sessions(settings.max_connections)
        .create_on_publish(true)
        .presets();
    if let Some(format) = &settings.format {
        gateway = gateway.default_format(format);
    }
    if settings.aliases {
        gateway = gateway.aliases();
    }
    if settings.open {
        let everything = Open::new()
            .named_ids()
            .listing()
            .channels()
            .publishing()
            .cancelling()
            .managing();
        gateway = gateway.authorizer(everything);
    }
    if let Some(url) = &settings.base_url {
        gateway = gateway.base_url(url.clone());
    }
    if let Some(bytes) = settings.max_body {
        gateway = gateway.body(bytes);
    }
    if let Some(bytes) = settings.max_message {
        gateway = gateway.message(bytes);
    }
    Ok(gateway.build())
}

/// Waits for Ctrl-C or, on Unix, SIGTERM.
async fn stop() {
    if let Err(error) = signal().await {
        // Then it ends by being killed.
        tracing::warn!(%error, "signals are not heard");
        std::future::pending().await
    }
}

async fn signal() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            stopped = tokio::signal::ctrl_c() => stopped,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
