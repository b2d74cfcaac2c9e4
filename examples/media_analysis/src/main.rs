//! `media-analysis` serves the page and the API.

use std::net::SocketAddr;

use clap::Parser;
use media_analysis::{
    ChunkLimits,
    server::{self, Settings},
};
use tracing_subscriber::EnvFilter;

/// Many media, uploaded and analysed at once, watched on one event stream.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The address to serve on.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// How many media are analysed at a time; the others wait.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1024))]
    at_once: u16,
    /// The results that are kept by the hash of their file.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    cached_results: u32,
    /// The largest file that is sent in chunks, in MiB.
    #[arg(long, default_value_t = 10_240, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    max_file_mib: u64,
    /// What all uploads in chunks together may take on disk, in MiB.
    #[arg(long, default_value_t = 20_480, value_parser = clap::value_parser!(u64).range(1..=16_777_216))]
    max_disk_mib: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let chunks = ChunkLimits {
        file: arguments.max_file_mib * MIB,
        disk: arguments.max_disk_mib * MIB,
        ..ChunkLimits::default()
    };
    let settings = Settings::default()
        .listen(arguments.listen)
        .at_once(usize::from(arguments.at_once))
        .cached_results(arguments.cached_results as usize)
        .chunks(chunks);
    let server = server::bind(settings).await.map_err(|error| {
        anyhow::anyhow!(
            "cannot listen on {}: {error}; another address can be set with --listen",
            arguments.listen
        )
    })?;
    println!("Drop media on {}", server.url());
    Ok(server.run().await?)
}

const MIB: u64 = 1024 * 1024;
