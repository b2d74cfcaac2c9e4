//! The launcher: starts every process of the system, starts those again that end, and ends them all.

use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::Args;

use crate::{
    Shared, child,
    part::{Group, Part},
    python,
};

/// What the system consists of.
#[derive(Debug, Args)]
pub(crate) struct System {
    /// The Redis to share [default: a private one on a free port]
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Where the node on axum listens; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "ADDRESS:PORT")]
    axum: SocketAddr,
    /// Where the node on warp listens
    #[arg(long, default_value = "127.0.0.1:8082", value_name = "ADDRESS:PORT")]
    warp: SocketAddr,
    /// How many workers in Rust
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=32))]
    workers: u8,
    /// How many workers in Python
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=32))]
    python_workers: u8,
    /// The Python to run them with, which has the package redis [default: one that is found]
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// How long the private Redis stays away when it is killed
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration, value_name = "TIME")]
    redis_away: Duration,
    #[command(flatten)]
    shared: Shared,
}

/// Runs the system until Ctrl-C.
///
/// # Errors
///
/// If a part of it cannot be started.
pub(crate) async fn run(system: &System) -> anyhow::Result<()> {
    let (mut redis, mut others) = (Group::default(), Group::default());
    let ran = async {
        system.start(&mut redis, &mut others).await?;
        println!("all run; Ctrl-C ends them");
        Err(tokio::select! {
            error = redis.failed() => error,
            error = others.failed() => error,
        })
    };
    let ran = tokio::select! {
        ran = ran => ran,
        () = child::terminated() => Ok(()),
    };
    // Workers put back what they are doing while Redis is still there.
    others.end().await;
    redis.end().await;
    ran
}

impl System {
    async fn start(&self, redis: &mut Group, others: &mut Group) -> anyhow::Result<()> {
        let url = match &self.redis {
            Some(url) => url.clone(),
            None => redis.start(self.private_redis()?).await?,
        };
        let mut parts = vec![
            self.ours("web", &url)?
                .args(["--adapter", "axum"])
                .listen(self.axum),
            self.ours("web", &url)?
                .args(["--adapter", "warp"])
                .listen(self.warp),
        ];
        for number in 1..=self.workers {
            let name = number.to_string();
            parts.push(self.ours("worker", &url)?.args(["--name", &name]));
        }
        parts.extend(self.python_workers(&url).await);
        for part in parts {
            others.start(part).await?;
        }
        Ok(())
    }

    /// A process of this program.
    fn ours(&self, role: &'static str, redis: &str) -> anyhow::Result<Part> {
        let part = Part::new(role, env::current_exe()?);
        Ok(part
            .args([role, "--redis", redis])
            .args(self.shared.flags()))
    }

    fn private_redis(&self) -> anyhow::Result<Part> {
        let away = humantime::format_duration(self.redis_away).to_string();
        Ok(Part::new("redis", env::current_exe()?)
            .args(["redis", "--away", &away])
            .listen((Ipv4Addr::LOCALHOST, 0).into()))
    }

    async fn python_workers(&self, redis: &str) -> Vec<Part> {
        if self.python_workers == 0 {
            return Vec::new();
        }
        let Some(python) = python::find(self.python.as_ref()).await else {
            println!(
                "no worker in Python, for none is found that has the package redis; to get it:"
            );
            println!("  {}", python::advice());
            return Vec::new();
        };
        (1..=self.python_workers)
            .map(|number| {
                let name = number.to_string();
                let pace = self.shared.pace.as_secs_f64().to_string();
                Part::new("worker", python.clone())
                    // Without files of bytecode among the sources.
                    .args(["-B".into(), python::program()])
                    .args(["--redis", redis, "--name", &name, "--pace", &pace])
            })
            .collect()
    }
}
