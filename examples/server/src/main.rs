//! Every route of the protocol as a server of its own; see the README.

mod bench;
mod broker;
mod serve;
mod settings;
mod users;

use std::io::Write as _;

use clap::Parser;
use progress_core::{Limits, ProgressTracker};
use progress_web::{BaseUrl, ForwardedHeader, Gateway, GatewayBuilder, Open};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use self::settings::{Forwarded, Options, Settings};

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
    let listener = TcpListener::bind(settings.listen).await.map_err(|error| {
        let listen = settings.listen;
        anyhow::anyhow!("cannot listen on {listen}: {error}; another can be set with --listen")
    })?;
    let gateway = gateway(&settings)?;
    println!("{}", url(&settings, &listener)?);
    std::io::stdout().flush()?;
    serve::run(listener, gateway, &settings).await
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
        // Who may do everything is whoever gets here: not a page whose name resolves to this machine.
        gateway = gateway.host("localhost");
        if let Some(host) = settings.base_url.as_ref().and_then(BaseUrl::host) {
            gateway = gateway.host(host);
        }
    }
    if let Some(url) = &settings.base_url {
        gateway = gateway.base_url(url.clone());
    }
    gateway = settings.users.apply(gateway)?;
    gateway = limited(gateway, settings);
    if let Some(age) = settings.max_connection_age {
        gateway = gateway.max_connection_age(age);
    }
    if let Some(bytes) = settings.max_body {
        gateway = gateway.body(bytes);
    }
    if let Some(bytes) = settings.max_message {
        gateway = gateway.message(bytes);
    }
    Ok(gateway.build())
}

/// Sets what one client may have and do.
fn limited(mut gateway: GatewayBuilder, settings: &Settings) -> GatewayBuilder {
    if let Some(connections) = settings.max_connections_per_address {
        gateway = gateway.sessions_per_address(connections);
    }
    gateway = match settings.max_requests {
        None => gateway,
        Some(0) => gateway.unlimited_requests(),
        Some(per_second) => gateway.request_rate(per_second.saturating_mul(5), per_second),
    };
    let header = match settings.forwarded_header {
        Forwarded::XForwardedFor => ForwardedHeader::XForwardedFor,
        Forwarded::Forwarded => ForwardedHeader::Forwarded,
    };
    gateway.trusted_proxies(settings.trusted_proxies.iter().copied(), header)
}
