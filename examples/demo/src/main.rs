//! `demo` serves the page; `demo FILE…` processes files and shows the same in the terminal.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use demo::{
    multipart::UploadLimits,
    server::{self, Settings},
    terminal,
};
use tracing_subscriber::EnvFilter;

/// Drop files on a page and watch them being processed, or name them here and watch it at once.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Files to process in the terminal; without any, the page is served.
    files: Vec<PathBuf>,
    /// The address to serve the page on.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// How many files are worked on at a time; the others are queued.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1024))]
    at_once: u16,
    /// The largest file of an upload, in MiB.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    max_file_mib: u64,
    /// The largest upload, in MiB.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    max_request_mib: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    // In the terminal the ends of tasks are shown anyway.
    let usual = if arguments.files.is_empty() {
        "warn"
    } else {
        "warn,progress=off"
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let at_once = usize::from(arguments.at_once);
    if !arguments.files.is_empty() {
        return terminal::run(&arguments.files, at_once).await;
    }
    serve(&arguments, at_once).await?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(arguments: &Arguments, at_once: usize) -> anyhow::Result<()> {
    let limits = UploadLimits {
        file: arguments.max_file_mib * MIB,
        request: arguments.max_request_mib * MIB,
        ..UploadLimits::default()
    };
    let settings = Settings::default()
        .listen(arguments.listen)
        .at_once(at_once)
        .limits(limits);
    let server = server::bind(settings).await.map_err(|error| {
        anyhow::anyhow!(
            "cannot listen on {}: {error}; another address can be set with --listen",
            arguments.listen
        )
    })?;
    println!("Drop files on {}", server.url());
    Ok(server.run().await?)
}

const MIB: u64 = 1024 * 1024;
