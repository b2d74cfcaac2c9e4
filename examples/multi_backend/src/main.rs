//! Web nodes and workers, each a process of its own, that share a Redis; see the README.
//!
//! Without a command it is the launcher, which starts itself again as everything else.

mod child;
mod film;
mod job;
mod launch;
mod node;
mod part;
mod private_redis;
mod produce;
mod python;
mod queue;
mod site;
mod store;
mod worker;

use std::{io::IsTerminal as _, time::Duration};

use clap::{Args, Parser, Subcommand};
use progress_core::ProgressTracker;
use progress_redis::RedisTransport;
use tracing_subscriber::EnvFilter;

/// Starts web nodes, workers and a Redis, and ends them all at Ctrl-C.
#[derive(Debug, Parser)]
#[command(
    name = "multi-backend",
    version,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    system: launch::System,
}

/// What the launcher starts; each also runs by itself, while its standard input is open.
#[derive(Debug, Subcommand)]
enum Role {
    /// A web node: takes projects, and shows every project
    Web(node::Settings),
    /// A worker in Rust
    Worker(worker::Settings),
    /// A redis-server that is started again whenever it ends
    Redis(private_redis::Settings),
}

/// What all processes of one system are told alike.
#[derive(Debug, Clone, Args)]
struct Shared {
    /// How often connections get a heartbeat; they are dead after twice this without a word
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration, value_name = "TIME")]
    heartbeat: Duration,
    /// How long a node may be out of Redis' sight before its tasks are ended by others
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration, value_name = "TIME")]
    lease: Duration,
    /// How long a worker rests after each step, so that there is something to watch
    #[arg(long, default_value = "40ms", value_parser = humantime::parse_duration, value_name = "TIME")]
    pace: Duration,
}

impl Shared {
    /// The same words again, for a process of this program.
    fn flags(&self) -> Vec<String> {
        [
            ("--heartbeat", self.heartbeat),
            ("--lease", self.lease),
            ("--pace", self.pace),
        ]
        .into_iter()
        .flat_map(|(flag, time)| {
            [
                flag.to_owned(),
                humantime::format_duration(time).to_string(),
            ]
        })
        .collect()
    }

    /// This process's node of the system.
    fn tracker(&self, transport: RedisTransport) -> ProgressTracker {
        ProgressTracker::builder()
            .transport(transport)
            .lease(self.lease)
            .build()
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,multi_backend=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let cli = Cli::parse();
    match cli.role {
        None => launch::run(&cli.system).await,
        Some(Role::Web(settings)) => node::run(&settings).await,
        Some(Role::Worker(settings)) => worker::run(&settings).await,
        Some(Role::Redis(settings)) => private_redis::run(&settings).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
