//! `event-hub` serves; `event-hub token` signs a token to try it with.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum as _};
use event_hub::{
    bounds::Bounds,
    server::{self, Settings},
    system::Watch,
    users::{Role, Users, mint},
};
use progress_core::TaskId;
use progress_web::jwt::{Jwt, Key};
use tracing_subscriber::EnvFilter;

/// A hub of typed events, for whoever may hear them.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Signs a token and prints it
    Token(TokenOptions),
}

#[derive(Debug, Args)]
struct ServeOptions {
    /// The address to serve on
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Let everybody do everything; on this machine's own address only
    #[arg(long, conflicts_with_all = ["secret_file", "jwks"])]
    open: bool,
    /// A file with the secret that tokens are signed with (HS256, 32 bytes or more)
    #[arg(long, env = "HUB_SECRET_FILE", value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Where the keys of tokens are: a JWKS file, or its https URL
    #[arg(long, env = "HUB_JWKS", value_name = "FILE|URL")]
    jwks: Option<String>,
    /// The issuer of the tokens [default: any that has a key]
    #[arg(long, requires = "jwks", value_name = "ISSUER")]
    jwt_issuer: Option<String>,
    /// The audience that tokens have to name [default: they name none]
    #[arg(long, requires = "jwks", value_name = "AUDIENCE")]
    jwt_audience: Option<String>,
    /// How many jobs are worked on at a time
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// How often the machine is looked at, at least 200ms
    #[arg(long, default_value = "5s", value_parser = sample_time, value_name = "TIME")]
    sample: Duration,
    /// Percent of the machine's memory from which on there is a warning
    #[arg(long, default_value_t = 90.0, value_parser = percent, value_name = "PERCENT")]
    memory_warning: f64,
    /// How often clients get a heartbeat, at least 1s; they are dead after twice this without a word
    #[arg(long, default_value = "30s", value_parser = heartbeat_time, value_name = "TIME")]
    heartbeat: Duration,
}

#[derive(Debug, Args)]
struct TokenOptions {
    /// A file with the secret, as the server has it
    #[arg(long, env = "HUB_SECRET_FILE", value_name = "FILE")]
    secret_file: PathBuf,
    /// What its holder may do
    #[arg(long, default_value = "viewer")]
    role: Role,
    /// Whom it is for
    #[arg(long, default_value = "demo")]
    subject: String,
    /// For how long it counts
    #[arg(long, default_value = "12h", value_parser = humantime::parse_duration, value_name = "TIME")]
    ttl: Duration,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Token(options)) => {
            let secret = secret(&options.secret_file)?;
            println!(
                "{}",
                mint(&secret, options.role, &options.subject, options.ttl)?
            );
            Ok(())
        }
        None => serve(&cli.serve).await,
    }
}

async fn serve(options: &ServeOptions) -> anyhow::Result<()> {
    let mut own_secret = None;
    let users = match (options.open, &options.secret_file, &options.jwks) {
        (true, _, _) => {
            let is_own = options.listen.ip().is_loopback();
            ensure!(
                is_own,
                "--open: {} is not this machine alone",
                options.listen
            );
            Users::open()
        }
        (_, None, None) => {
            // Made anew each time: only whoever started it is told tokens of it.
            let random = format!("{}{}", TaskId::random(), TaskId::random());
            tokens(options, Some(own_secret.insert(random).as_bytes()))?
        }
        (_, Some(file), _) => tokens(options, Some(&secret(file)?))?,
        (_, None, Some(_)) => tokens(options, None)?,
    };
    let bounds = Bounds {
        workers: usize::from(options.workers),
        ..Bounds::default()
    };
    let watch = Watch {
        every: options.sample,
        memory: options.memory_warning,
        ..Watch::default()
    };
    let settings = Settings::new(users)
        .listen(options.listen)
        .bounds(bounds)
        .watch(watch)
        .heartbeat(options.heartbeat);
    let server = server::bind(settings).await.with_context(|| {
        let address = options.listen;
        format!("cannot listen on {address}; another address can be set with --listen")
    })?;
    println!("The hub is at {}", server.url());
    if let Some(secret) = own_secret {
        // Behind the #, which a browser sends to nobody.
        for role in Role::value_variants() {
            let token = mint(secret.as_bytes(), *role, role.as_str(), TOKENS_COUNT_FOR)?;
            println!("as {:<9} {}/#token={token}", role.as_str(), server.url());
        }
    }
    Ok(server.run().await?)
}

fn sample_time(text: &str) -> Result<Duration, String> {
    at_least(Duration::from_millis(200), text)
}

fn heartbeat_time(text: &str) -> Result<Duration, String> {
    at_least(Duration::from_secs(1), text)
}

fn at_least(least: Duration, text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match time >= least {
        true => Ok(time),
        false => Err(format!("less than {}", humantime::format_duration(least))),
    }
}

fn percent(text: &str) -> Result<f64, String> {
    let percent: f64 = text.parse().map_err(|_not| "no number".to_owned())?;
    match (0.0..=100.0).contains(&percent) {
        true => Ok(percent),
        false => Err("not 0 to 100".to_owned()),
    }
}

fn tokens(options: &ServeOptions, secret: Option<&[u8]>) -> anyhow::Result<Users> {
    let mut jwt = Jwt::builder();
    if let Some(secret) = secret {
        jwt = jwt.key(Key::hs256(secret).context("secret-file")?);
    }
    match options.jwks.as_deref() {
        Some(url) if url.contains("://") => jwt = jwt.jwks_url(url),
        Some(file) => jwt = jwt.jwks_file(file),
        None => {}
    }
    if let Some(issuer) = &options.jwt_issuer {
        jwt = jwt.issuer(issuer);
    }
    if let Some(audience) = &options.jwt_audience {
        jwt = jwt.audience(audience);
    }
    Ok(Users::with_tokens(jwt.build().context("jwks")?))
}

const TOKENS_COUNT_FOR: Duration = Duration::from_secs(12 * 3600);

/// Reads a secret: the first line of a file.
fn secret(file: &PathBuf) -> anyhow::Result<Vec<u8>> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("secret-file: cannot read {}", file.display()))?;
    let line = text.lines().next().unwrap_or_default().trim();
    // The same bound as the server's, told before a token is made that it would not take.
    Key::hs256(line).context("secret-file")?;
    Ok(line.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn times_and_percents_are_within_their_bounds() {
        for (option, value, is_taken) in [
            ("--heartbeat", "1s", true),
            ("--heartbeat", "999ms", false),
            ("--heartbeat", "30", false),
            ("--sample", "200ms", true),
            ("--sample", "0s", false),
            ("--memory-warning", "99.5", true),
            ("--memory-warning", "101", false),
            ("--memory-warning", "NaN", false),
        ] {
            let read = Cli::try_parse_from(["event-hub", option, value]);
            assert_eq!(read.is_ok(), is_taken, "{option} {value}");
        }
    }
}
