//! Settings: from flags, then environment, then file, then defaults.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, ensure};
use clap::Parser;
use progress_web::{BaseUrl, Network, TCP_USER_TIMEOUT, encoders::presets};
use serde::Deserialize;

use crate::users::UserOptions;

/// Serves the progress of tasks that are published to it over HTTP.
///
/// Each setting is taken from its flag, else from its environment variable, else from the file.
#[derive(Debug, Default, Parser, Deserialize)]
#[command(name = "progress-server", version)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Options {
    /// A TOML file with the other settings, named like the flags
    #[arg(long, env = "PROGRESS_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// The address to listen on; port 0 takes a free one [default: 127.0.0.1:8090]
    #[arg(long, env = "PROGRESS_LISTEN", value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Allow everybody everything; only on a loopback address
    #[arg(long, env = "PROGRESS_OPEN", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    open: Option<bool>,
    /// How often connections get a heartbeat [default: 30s]
    #[arg(long, env = "PROGRESS_HEARTBEAT", value_parser = humantime::parse_duration, value_name = "TIME")]
    #[serde(with = "humantime_serde::option")]
    heartbeat: Option<Duration>,
    /// How long a WebSocket may be silent [default: twice the heartbeat]
    #[arg(long, env = "PROGRESS_DEAD_AFTER", value_parser = humantime::parse_duration, value_name = "TIME")]
    #[serde(with = "humantime_serde::option")]
    dead_after: Option<Duration>,
    /// How long a client may acknowledge nothing, or have no room for more, before its connection is
    /// given up; on Linux [default: that of the library]
    #[arg(long, env = "PROGRESS_FROZEN_AFTER", value_parser = humantime::parse_duration, value_name = "TIME")]
    #[serde(with = "humantime_serde::option")]
    frozen_after: Option<Duration>,
    /// How often counters are looked at [default: 100ms]
    #[arg(long, env = "PROGRESS_TICK", value_parser = humantime::parse_duration, value_name = "TIME")]
    #[serde(with = "humantime_serde::option")]
    tick: Option<Duration>,
    /// How long a task is kept after its end [default: 1h]
    #[arg(long, env = "PROGRESS_RETENTION", value_parser = humantime::parse_duration, value_name = "TIME")]
    #[serde(with = "humantime_serde::option")]
    retention: Option<Duration>,
    /// How long a task that does not exist is waited for [default: 10s]
    #[arg(long, env = "PROGRESS_UNKNOWN_WAIT", value_parser = humantime::parse_duration, value_name = "TIME")]
    #[serde(with = "humantime_serde::option")]
    unknown_wait: Option<Duration>,
    /// Where clients reach this server, for the URLs in answers, such as `https://example.org/progress`
    /// [default: answers have root-relative URLs]
    #[arg(long, env = "PROGRESS_BASE_URL", value_name = "URL")]
    base_url: Option<String>,
    /// The most tasks that are kept [default: that of the library]
    #[arg(long, env = "PROGRESS_MAX_TASKS", value_name = "N")]
    max_tasks: Option<usize>,
    /// The most connections at a time [default: 10000]
    #[arg(long, env = "PROGRESS_MAX_CONNECTIONS", value_name = "N")]
    max_connections: Option<usize>,
    /// The most connections of one address at a time [default: that of the library]
    #[arg(long, env = "PROGRESS_MAX_CONNECTIONS_PER_ADDRESS", value_name = "N")]
    max_connections_per_address: Option<usize>,
    /// The most requests of one address in a second, after a burst of five times that; 0 for no
    /// limit [default: that of the library]
    #[arg(long, env = "PROGRESS_MAX_REQUESTS", value_name = "N")]
    max_requests: Option<u32>,
    /// The networks of the proxies in front of this server, such as `10.0.0.0/8,192.0.2.7`: what they
    /// say in the forwarded header tells the clients' addresses [default: none]
    #[arg(
        long,
        env = "PROGRESS_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_name = "NETWORK"
    )]
    trusted_proxies: Option<Vec<String>>,
    /// The header that those proxies append to or overwrite [default: x-forwarded-for]
    #[arg(long, env = "PROGRESS_FORWARDED_HEADER", value_name = "HEADER")]
    forwarded_header: Option<Forwarded>,
    /// The largest request body in bytes [default: that of the library]
    #[arg(long, env = "PROGRESS_MAX_BODY", value_name = "BYTES")]
    max_body: Option<usize>,
    /// The largest WebSocket message in bytes [default: that of the library]
    #[arg(long, env = "PROGRESS_MAX_MESSAGE", value_name = "BYTES")]
    max_message: Option<usize>,
    /// Serve GET /bench/{events}/{rate}/{tasks}/{prefix}, which publishes from inside the process
    #[arg(long, env = "PROGRESS_BENCH", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    bench: Option<bool>,
    /// The shape of frames for who asks for none: one of the presets of progress-web, which can
    /// all be asked for with `?format=` [default: progress.v1]
    #[arg(long, env = "PROGRESS_FORMAT", value_name = "NAME")]
    format: Option<String>,
    /// Answer on the paths of other systems too, such as `/ws/active-tasks`
    #[arg(long, env = "PROGRESS_ALIASES", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    aliases: Option<bool>,
    /// The Redis that several servers share, such as `redis://user:password@host:6379`: what is published to one is
    /// watched on all. It need not be there yet [default: this server is alone]
    // Its value may hold a password, which the help would show.
    #[arg(
        long,
        env = "PROGRESS_REDIS",
        hide_env_values = true,
        value_name = "URL"
    )]
    redis: Option<String>,
    /// What all keys in Redis begin with [default: pgs]
    #[arg(long, env = "PROGRESS_REDIS_PREFIX", value_name = "PREFIX")]
    redis_prefix: Option<String>,
    /// For how long to serve on after SIGTERM as if nothing were, but for `/health`: as long as
    /// balancers take to look [default: 0s]
    #[arg(long, env = "PROGRESS_UNREADY_FOR", value_parser = humantime::parse_duration, value_name = "TIME")]
    #[serde(with = "humantime_serde::option")]
    unready_for: Option<Duration>,
    /// Over which time clients are then spread that are sent away [default: 6s]
    #[arg(long, env = "PROGRESS_DRAIN", value_parser = humantime::parse_duration, value_name = "TIME")]
    #[serde(with = "humantime_serde::option")]
    drain: Option<Duration>,
    /// When everything is cut off that is still open, from the drain's beginning [default: 15s]
    #[arg(long, env = "PROGRESS_DRAIN_DEADLINE", value_parser = humantime::parse_duration, value_name = "TIME")]
    #[serde(with = "humantime_serde::option")]
    drain_deadline: Option<Duration>,
    /// How old a connection may get, give or take a tenth, before its client is sent to whichever
    /// server the balancer then picks [default: as old as it likes]
    #[arg(long, env = "PROGRESS_MAX_CONNECTION_AGE", value_parser = humantime::parse_duration, value_name = "TIME")]
    #[serde(with = "humantime_serde::option")]
    max_connection_age: Option<Duration>,
    /// What carries the routes [default: axum]
    #[arg(long, env = "PROGRESS_ADAPTER", value_name = "ADAPTER")]
    adapter: Option<Adapter>,
    #[command(flatten)]
    users: UserOptions,
}

/// Where proxies say whom they speak for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Forwarded {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded`, of RFC 7239.
    Forwarded,
}

/// What carries the routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Adapter {
    /// `progress-axum`.
    #[default]
    Axum,
    /// `progress-warp`.
    Warp,
}

/// What the server does.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub listen: SocketAddr,
    pub open: bool,
    pub heartbeat: Duration,
    pub dead_after: Duration,
    pub frozen_after: Duration,
    pub tick: Duration,
    pub retention: Duration,
    pub unknown_wait: Duration,
    pub base_url: Option<BaseUrl>,
    pub max_tasks: Option<usize>,
    pub max_connections: usize,
    pub max_connections_per_address: Option<usize>,
    pub max_requests: Option<u32>,
    pub trusted_proxies: Vec<Network>,
    pub forwarded_header: Forwarded,
    pub max_body: Option<usize>,
    pub max_message: Option<usize>,
    pub bench: bool,
    pub format: Option<String>,
    pub aliases: bool,
    pub redis: Option<String>,
    pub redis_prefix: Option<String>,
    pub unready_for: Duration,
    pub drain: Duration,
    pub drain_deadline: Duration,
    pub max_connection_age: Option<Duration>,
    pub adapter: Adapter,
    pub users: UserOptions,
}

impl Options {
    /// Reads the file, if one is named, and fills in the defaults.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, names a setting that does not exist, or the settings contradict
    /// each other.
    pub(crate) fn resolve(self) -> anyhow::Result<Settings> {
        let file = match &self.config {
            None => Self::default(),
            Some(path) => {
                let text = fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                toml::from_str(&text).with_context(|| format!("in {}", path.display()))?
            }
        };
        let heartbeat = self.heartbeat.or(file.heartbeat).unwrap_or(HEARTBEAT);
        let settings = Settings {
            listen: self.listen.or(file.listen).unwrap_or(LISTEN),
            open: self.open.or(file.open).unwrap_or(false),
            heartbeat,
            dead_after: (self.dead_after.or(file.dead_after)).unwrap_or(heartbeat * 2),
            frozen_after: (self.frozen_after.or(file.frozen_after)).unwrap_or(TCP_USER_TIMEOUT),
            tick: self
                .tick
                .or(file.tick)
                .unwrap_or(Duration::from_millis(100)),
            retention: (self.retention.or(file.retention)).unwrap_or(Duration::from_secs(3600)),
            unknown_wait: (self.unknown_wait.or(file.unknown_wait))
                .unwrap_or(Duration::from_secs(10)),
            base_url: (self.base_url.or(file.base_url))
                .map(|url| url.parse().context("base-url"))
                .transpose()?,
            max_tasks: self.max_tasks.or(file.max_tasks),
            max_connections: (self.max_connections.or(file.max_connections)).unwrap_or(10_000),
            max_connections_per_address: (self.max_connections_per_address)
                .or(file.max_connections_per_address),
            max_requests: self.max_requests.or(file.max_requests),
            trusted_proxies: (self.trusted_proxies.or(file.trusted_proxies))
                .unwrap_or_default()
                .iter()
                .map(|text| {
                    text.parse()
                        .with_context(|| format!("trusted-proxies: {text}"))
                })
                .collect::<anyhow::Result<_>>()?,
            forwarded_header: (self.forwarded_header.or(file.forwarded_header)).unwrap_or_default(),
            max_body: self.max_body.or(file.max_body),
            max_message: self.max_message.or(file.max_message),
            bench: self.bench.or(file.bench).unwrap_or(false),
            format: self.format.or(file.format),
            aliases: self.aliases.or(file.aliases).unwrap_or(false),
            redis: self.redis.or(file.redis),
            redis_prefix: self.redis_prefix.or(file.redis_prefix),
            unready_for: (self.unready_for.or(file.unready_for)).unwrap_or_default(),
            drain: self.drain.or(file.drain).unwrap_or(DRAIN),
            drain_deadline: (self.drain_deadline.or(file.drain_deadline)).unwrap_or(DRAIN_DEADLINE),
            max_connection_age: self.max_connection_age.or(file.max_connection_age),
            adapter: self.adapter.or(file.adapter).unwrap_or_default(),
            users: self.users.or(file.users),
        };
        ensure!(
            !settings.open || settings.listen.ip().is_loopback(),
            "--open lets everybody publish, cancel and manage: it is refused on {}, which is no \
             loopback address",
            settings.listen.ip()
        );
        settings.users.check(settings.open)?;
        if let Some(format) = &settings.format {
            let presets = presets::NAMES;
            ensure!(
                presets.contains(&&**format) || format == "progress.v1",
                "format: {format} is none of progress.v1, {}",
                presets.join(", ")
            );
        }
        ensure!(
            settings.redis.is_some() || settings.redis_prefix.is_none(),
            "redis-prefix: there is no redis that it could be for"
        );
        Ok(settings)
    }
}

const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8090);
const HEARTBEAT: Duration = Duration::from_secs(30);
const DRAIN: Duration = Duration::from_secs(6);
const DRAIN_DEADLINE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn options(args: &[&str]) -> Options {
        Options::try_parse_from(std::iter::once(&"progress-server").chain(args)).unwrap()
    }

    #[test]
    fn flags_beat_the_file_and_the_file_beats_the_defaults() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "heartbeat = '5s'\nmax-tasks = 7\nretention = '2h'").unwrap();
        let path = file.path().to_str().unwrap();
        let settings = options(&["--config", path, "--retention", "1m"])
            .resolve()
            .unwrap();
        assert_eq!(settings.retention, Duration::from_secs(60));
        assert_eq!(settings.heartbeat, Duration::from_secs(5));
        assert_eq!(settings.dead_after, Duration::from_secs(10));
        assert_eq!(settings.max_tasks, Some(7));
        assert_eq!(settings.tick, Duration::from_millis(100));
    }

    #[test]
    fn an_unknown_setting_in_the_file_is_named() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "heart-beat = '5s'").unwrap();
        let path = file.path().to_str().unwrap();
        let error = options(&["--config", path]).resolve().unwrap_err();
        assert!(format!("{error:#}").contains("heart-beat"), "{error:#}");
    }

    #[test]
    fn a_format_that_is_none_is_told_those_there_are() {
        let error = options(&["--format", "flat-ish"]).resolve().unwrap_err();
        assert!(error.to_string().contains("stage_update"), "{error}");
        let settings = options(&["--format", "flat"]).resolve().unwrap();
        assert_eq!(settings.format.as_deref(), Some("flat"));
    }

    #[test]
    fn proxies_are_networks_from_flag_or_file() {
        let proxies = ["--trusted-proxies", "10.0.0.0/8,2001:db8::7"];
        let settings = options(&proxies).resolve().unwrap();
        let networks = ["10.0.0.0/8", "2001:db8::7"].map(|text| text.parse().unwrap());
        assert_eq!(settings.trusted_proxies, networks);
        assert_eq!(settings.forwarded_header, Forwarded::XForwardedFor);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let text = "trusted-proxies = ['0.0.0.0/0']\nforwarded-header = 'forwarded'";
        writeln!(file, "{text}").unwrap();
        let path = file.path().to_str().unwrap();
        let error = options(&["--config", path]).resolve().unwrap_err();
        assert!(format!("{error:#}").contains("0.0.0.0/0"), "{error:#}");
        let settings = options(&["--config", path, proxies[0], proxies[1]]);
        let settings = settings.resolve().unwrap();
        assert_eq!(settings.forwarded_header, Forwarded::Forwarded);
    }

    #[test]
    fn a_prefix_is_for_a_redis() {
        let error = options(&["--redis-prefix", "shop"]).resolve().unwrap_err();
        assert!(error.to_string().contains("redis-prefix"), "{error}");
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "redis = 'redis://localhost'").unwrap();
        let path = file.path().to_str().unwrap();
        let settings = options(&["--config", path, "--redis-prefix", "shop"]);
        let settings = settings.resolve().unwrap();
        assert_eq!(settings.redis.as_deref(), Some("redis://localhost"));
        assert_eq!(settings.redis_prefix.as_deref(), Some("shop"));
    }

    #[test]
    fn open_is_refused_where_others_could_reach_it() {
        let error = options(&["--open", "--listen", "0.0.0.0:0"])
            .resolve()
            .unwrap_err();
        assert!(error.to_string().contains("loopback"), "{error}");
        assert!(
            options(&["--open", "--listen", "[::1]:0"])
                .resolve()
                .is_ok()
        );
    }
}
