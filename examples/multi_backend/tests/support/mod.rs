//! The whole system as its users start it, and what is done to it.

#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod client;

use std::{
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use redis::FromRedisValue;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::Notify,
    time::{Instant, sleep, timeout},
};

/// For what must come, but not for ever.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// The launcher and all that it has started; ended on drop.
pub(crate) struct System {
    pub(crate) launcher: Child,
    said: Arc<Said>,
    http: reqwest::Client,
}

/// The lines of the launcher.
#[derive(Default)]
struct Said {
    lines: Mutex<Vec<String>>,
    more: Notify,
}

/// A process as the launcher tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) role: String,
    pub(crate) name: String,
    pub(crate) pid: String,
}

impl System {
    /// Starts one on free ports, with workers in Rust.
    pub(crate) async fn start() -> Self {
        Self::start_with(&["--workers", "2"]).await
    }

    /// Starts one with other flags; workers only as they say.
    pub(crate) async fn start_with(flags: &[&str]) -> Self {
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_multi-backend"));
        let python = binary.parent().unwrap().with_file_name("interop");
        let usual = USUAL.iter().filter(|[flag, _]| !flags.contains(flag));
        let mut launcher = Command::new(binary)
            .args(usual.flatten())
            .arg("--python")
            .arg(python.join("venv/bin/python"))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::<Said>::default();
        let mut lines = BufReader::new(launcher.stdout.take().unwrap()).lines();
        let hearing = Arc::clone(&said);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                hearing.lines.lock().unwrap().push(line);
                hearing.more.notify_waiters();
            }
        });
        let system = Self {
            launcher,
            said,
            http: reqwest::Client::new(),
        };
        system
            .until("all run", |lines| {
                lines
                    .iter()
                    .any(|line| line.starts_with("all run"))
                    .then_some(())
            })
            .await;
        let asked = flags.iter().position(|flag| *flag == "--python-workers");
        if let Some(asked) = asked {
            let workers = system.all("worker");
            let count = workers
                .iter()
                .filter(|worker| worker.name.starts_with("python"));
            let wanted: usize = flags[asked + 1].parse().unwrap();
            assert_eq!(
                count.count(),
                wanted,
                "`cargo xtask test` installs what Python needs"
            );
        }
        system
    }

    /// Waits until the launcher has said something.
    async fn until<T>(&self, what: &str, find: impl Fn(&[String]) -> Option<T>) -> T {
        let found = async {
            loop {
                let more = self.said.more.notified();
                if let Some(found) = find(&self.said.lines.lock().unwrap()) {
                    return found;
                }
                more.await;
            }
        };
        match timeout(PATIENCE, found).await {
            Ok(found) => found,
            Err(_) => panic!("not said: {what}; {:#?}", self.said.lines.lock().unwrap()),
        }
    }

    /// Every process of a role that was ever ready, in order.
    pub(crate) fn all(&self, role: &str) -> Vec<Process> {
        processes(&self.said.lines.lock().unwrap(), role)
    }

    /// Waits until so many processes of a role have been ready, those included that are gone.
    pub(crate) async fn came_up(&self, role: &str, count: usize) -> Process {
        let nth = |lines: &[String]| processes(lines, role).get(count - 1).cloned();
        self.until(&format!("{count} of {role}"), nth).await
    }

    /// The URL of Redis.
    pub(crate) fn redis(&self) -> String {
        self.all("redis").pop().unwrap().name
    }

    /// The URL of the node on axum.
    pub(crate) fn axum(&self) -> String {
        self.all("web")[0].name.clone()
    }

    /// The URL of the node on warp.
    pub(crate) fn warp(&self) -> String {
        self.all("web")[1].name.clone()
    }

    /// Has a node take a project; gives its id.
    pub(crate) async fn project(&self, node: &str, wish: &Value) -> String {
        let (status, answer) = self.post(&format!("{node}/api/projects"), wish).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        assert_eq!(answer["project_id"], answer["task_id"]);
        answer["project_id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn post(&self, url: &str, body: &Value) -> (StatusCode, Value) {
        let answer = self.http.post(url).json(body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    pub(crate) async fn get(&self, url: &str) -> (StatusCode, Value) {
        let answer = self.http.get(url).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    /// Asks Redis itself.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &[&str]) -> redis::RedisResult<T> {
        let client = redis::Client::open(self.redis())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut asked = redis::cmd(command[0]);
        asked.arg(&command[1..]).query_async(&mut connection).await
    }

    /// How many connections have subscribed to what is published of a task.
    pub(crate) async fn subscriptions(&self, task: &str) -> u64 {
        let channel = format!("pgs:t:{{{task}}}");
        let asked = ["PUBSUB", "NUMSUB", &channel];
        self.ask::<(String, u64)>(&asked).await.unwrap().1
    }
}

impl Drop for System {
    /// All it has started ends with it, for their standard input is closed; that is waited for.
    fn drop(&mut self) {
        let _may_be_gone = self.launcher.start_kill();
        let begun = std::time::Instant::now();
        let pids = ["redis", "web", "worker"].map(|role| self.all(role));
        for process in pids.iter().flatten() {
            while is_there(&process.pid) && begun.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

fn processes(lines: &[String], role: &str) -> Vec<Process> {
    let read = |line: &String| {
        let words: Vec<_> = line.split_whitespace().collect();
        match *words {
            [its, name, "pid", pid] if its == role => Some(Process {
                role: its.to_owned(),
                name: name.to_owned(),
                pid: pid.to_owned(),
            }),
            _ => None,
        }
    };
    lines.iter().filter_map(read).collect()
}

/// Sends a signal to one process.
pub(crate) async fn signal(signal: &str, pid: &str) {
    let told = Command::new("kill").args([signal, pid]).status().await;
    assert!(told.unwrap().success(), "kill {signal} {pid}");
}

/// Whether a process is there.
pub(crate) fn is_there(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    // One that nobody has waited for yet is there only by name.
    stat.is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .starts_with(" Z")
    })
}

/// What a system is started with where a test does not say otherwise.
const USUAL: [[&str; 2]; 5] = [
    ["--axum", "127.0.0.1:0"],
    ["--warp", "127.0.0.1:0"],
    ["--workers", "0"],
    ["--python-workers", "0"],
    ["--pace", "5ms"],
];

/// Waits until something is so.
pub(crate) async fn until<F>(what: &str, mut is_so: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// A film that takes a moment.
pub(crate) fn short() -> Value {
    json!({"title": "Rain", "scenes": 2})
}
