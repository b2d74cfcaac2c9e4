//! The demo's server in a process of its own, which does what it is told on its standard input.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
    time::Duration,
};

use demo::server::{Settings, bind};
use progress_benches::events::now_us;
use progress_core::{EventPayload, TaskId};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};

/// Set for the process that is to be the server.
pub(crate) const ROLE: &str = "PROGRESS_VALIDATE_SERVER";

/// When an event was published, for whoever receives it to compare.
#[derive(Serialize)]
struct Sent {
    sent_us: u64,
}

impl EventPayload for Sent {
    const EVENT_TYPE: &'static str = "sent";
}

/// The server's process: says where it listens and which task it has, then for each line `N MICROS`
/// publishes so many events, so far apart.
#[tokio::main]
pub(crate) async fn run() -> ExitCode {
    let any = "127.0.0.1:0".parse().expect("an address");
    let server = bind(Settings::default().listen(any)).await.expect("a port");
    let id = TaskId::random();
    let task = server.tracker().task(&id).start().expect("a task");
    let mut out = tokio::io::stdout();
    let hello = format!("{} {id}\n", server.url());
    out.write_all(hello.as_bytes()).await.expect("a reader");
    out.flush().await.expect("a reader");
    tokio::spawn(server.run());

    let mut lines = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut numbers = line.split(' ').map(|number| number.parse::<u64>());
        let (Some(Ok(events)), Some(Ok(apart))) = (numbers.next(), numbers.next()) else {
            panic!("not a command: {line}");
        };
        for _ in 0..events {
            if apart > 0 {
                tokio::time::sleep(Duration::from_micros(apart)).await;
            }
            let sent = Sent { sent_us: now_us() };
            task.emit(sent).expect("it is live");
        }
    }
    ExitCode::SUCCESS
}

/// The server as its parent sees it; it goes with it.
pub(crate) struct Server {
    child: Child,
    commands: ChildStdin,
    /// Host and port.
    pub(crate) address: String,
    pub(crate) task: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        let mut child = Command::new(env::current_exe().expect("a program"))
            .env(ROLE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let commands = child.stdin.take().expect("it is piped");
        let mut hello = String::new();
        BufReader::new(child.stdout.take().expect("it is piped"))
            .read_line(&mut hello)
            .expect("it says where it listens");
        let (url, task) = hello.trim().split_once(' ').expect("a url and a task");
        Self {
            child,
            commands,
            address: url.trim_start_matches("http://").to_owned(),
            task: task.to_owned(),
        }
    }

    pub(crate) fn publish(&mut self, events: u64, apart: Duration) {
        writeln!(self.commands, "{events} {}", apart.as_micros()).expect("it listens");
    }

    /// The most memory it ever had resident, in MB; none where the system does not tell.
    pub(crate) fn peak_mb(&self) -> Option<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kib * 1024.0 / 1e6)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
