//! One process of the system, kept running; and those that are ended together.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    sync::{oneshot, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

/// How a process is started.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    role: &'static str,
    program: PathBuf,
    args: Vec<OsString>,
    listen: Option<SocketAddr>,
}

impl Part {
    pub(crate) fn new(role: &'static str, program: PathBuf) -> Self {
        Self {
            role,
            program,
            args: Vec::new(),
            listen: None,
        }
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub(crate) fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// Its standard input stays open for as long as the launcher lives, and tells it when to end.
    fn spawn(&self) -> anyhow::Result<Child> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(address) = self.listen {
            command.args(["--listen", &address.to_string()]);
        }
        // So that Ctrl-C in a terminal is for the launcher, who knows the order.
        #[cfg(unix)]
        command.process_group(0);
        let program = self.program.display();
        command
            .spawn()
            .with_context(|| format!("{program} cannot be started"))
    }

    /// Tells what it said when it was ready; one that chose a port keeps it.
    fn came_up(&mut self, line: &str) -> String {
        println!("{:<8}{line}", self.role);
        let what = line.split(' ').next().unwrap_or_default();
        if let Some((_, address)) = what.split_once("://") {
            self.listen = address.parse().ok().or(self.listen);
        }
        what.to_owned()
    }

    /// Runs it until it is to stop, again and again.
    async fn keep(
        mut self,
        first: oneshot::Sender<String>,
        mut stop: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let mut first = Some(first);
        let mut name = String::new();
        loop {
            let mut process = self.spawn()?;
            let stdin = process.stdin.take();
            let stdout = process.stdout.take().context("it is piped")?;
            let mut lines = BufReader::new(stdout).lines();
            let said = async {
                while let Some(line) = lines.next_line().await? {
                    name = self.came_up(&line);
                    if let Some(first) = first.take() {
                        let _launcher_is_gone = first.send(name.clone());
                    }
                }
                process.wait().await
            };
            let ended = tokio::select! {
                ended = said => Some(ended?),
                () = told(&mut stop) => None,
            };
            let Some(ended) = ended else {
                drop(stdin);
                return last_words(process, lines).await;
            };
            if first.is_some() {
                bail!("{} has ended before it was ready: {ended}", self.role);
            }
            tracing::warn!("{} {name} is started again: {ended}", self.role);
            tokio::select! {
                () = sleep(AGAIN_IN) => {}
                () = told(&mut stop) => return Ok(()),
            }
        }
    }
}

/// Waits until a process is to stop, or there is nobody left to say so.
async fn told(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// Waits for a process to end that knows that it is to.
async fn last_words(
    mut process: Child,
    mut lines: Lines<BufReader<ChildStdout>>,
) -> anyhow::Result<()> {
    let ended = async {
        // It may still have something to say, and must not wait for a reader.
        while matches!(lines.next_line().await, Ok(Some(_))) {}
        process.wait().await
    };
    match timeout(ENDS_IN, ended).await {
        Ok(ended) => drop(ended?),
        Err(_) => process.kill().await?,
    }
    Ok(())
}

/// Processes that are ended together.
#[derive(Debug, Default)]
pub(crate) struct Group {
    stop: watch::Sender<bool>,
    kept: JoinSet<anyhow::Result<()>>,
}

impl Group {
    /// Starts a process and waits until it is ready; gives what it says that it is.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub(crate) async fn start(&mut self, part: Part) -> anyhow::Result<String> {
        let (first, is_ready) = oneshot::channel();
        self.kept.spawn(part.keep(first, self.stop.subscribe()));
        match is_ready.await {
            Ok(what) => Ok(what),
            Err(_) => Err(self.failed().await),
        }
    }

    /// Waits until one of them cannot be kept running.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        loop {
            match self.kept.join_next().await {
                Some(Ok(Err(error))) => return error,
                Some(Err(panic)) => return panic.into(),
                Some(Ok(Ok(()))) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Ends all of them.
    pub(crate) async fn end(mut self) {
        self.stop.send_replace(true);
        while self.kept.join_next().await.is_some() {}
    }
}

const AGAIN_IN: Duration = Duration::from_secs(1);
const ENDS_IN: Duration = Duration::from_secs(8);
