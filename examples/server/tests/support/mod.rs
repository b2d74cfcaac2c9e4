//! The server as a process, and what is done to it.

#![allow(dead_code, reason = "each test uses its part")]

use std::{process::Stdio, time::Duration};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// A server on a port of its own; killed on drop.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) process: Child,
    http: reqwest::Client,
}

impl Server {
    pub(crate) async fn start(flags: &[&str]) -> Self {
        Self::start_in(&[], flags).await
    }

    /// With an environment of its own beside the test's.
    pub(crate) async fn start_in(environment: &[(&str, &str)], flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_progress-server"));
        command.args(flags).envs(environment.iter().copied());
        command.arg("--open");
        Self::spawn(command).await
    }

    /// Only for whom the flags let in.
    pub(crate) async fn start_closed(flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_progress-server"));
        command.args(flags);
        Self::spawn(command).await
    }

    /// Where the system has so many files for it, and no more.
    pub(crate) async fn start_with_files(files: u32) -> Self {
        let mut command = Command::new("sh");
        let limited = format!("ulimit -n {files}; exec \"$@\"");
        let server = env!("CARGO_BIN_EXE_progress-server");
        command.args(["-c", &limited, "sh", server, "--open"]);
        Self::spawn(command).await
    }

    pub(crate) async fn spawn(mut command: Command) -> Self {
        let mut process = command
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = timeout(PATIENCE, lines.next_line()).await;
        Self {
            url: url.expect("it is ready").unwrap().unwrap(),
            process,
            http: reqwest::Client::new(),
        }
    }

    /// From now on asks with a token.
    pub(crate) fn authorize(&mut self, token: &str) {
        let header = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        let headers = HeaderMap::from_iter([(AUTHORIZATION, header)]);
        let http = reqwest::Client::builder().default_headers(headers);
        self.http = http.build().unwrap();
    }

    /// Where it listens.
    pub(crate) fn host(&self) -> &str {
        self.url.strip_prefix("http://").expect("without TLS")
    }

    /// The URL of a route, as a WebSocket's.
    pub(crate) fn ws(&self, path: &str) -> String {
        format!("{}{path}", self.url.replacen("http", "ws", 1))
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.http.get(format!("{}{path}", self.url)).send();
        let answer = answer.await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.url)).json(body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// What a worker says of a short job.
    pub(crate) async fn work(&self, task: &str) {
        let events = json!([
            {"event_type": "progress_update", "data": {"stage": "matte", "current": 60, "total": 120}},
            {"event_type": "photo_approved", "data": {"photo": 9, "by": "zoë"}},
            {"event_type": "complete", "data": {"status": "completed", "result": {"url": "/42.mp4"}}},
        ]);
        let (status, answer) = self.post(&format!("/tasks/{task}/events"), &events).await;
        assert_eq!((status, &answer["accepted"]), (202, &json!(3)), "{answer}");
    }

    /// One that was started otherwise.
    pub(crate) fn of(process: Child, url: String) -> Self {
        Self {
            url,
            process,
            http: reqwest::Client::new(),
        }
    }
}

/// For what must come, but not for ever.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
