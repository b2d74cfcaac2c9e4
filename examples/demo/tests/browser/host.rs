//! The demo's server as a process of its own would be: it can be killed, and started again in its place.

use std::net::SocketAddr;

use demo::server::{self, Settings};
use progress_core::TaskId;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
    task::spawn_blocking,
};

pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    settings: Settings,
    runtime: Option<Runtime>,
}

impl Host {
    pub(crate) async fn start(settings: Settings) -> Self {
        let mut host = Self {
            address: "127.0.0.1:0".parse().unwrap(),
            settings,
            runtime: None,
        };
        host.start_again().await;
        host
    }

    /// Starts a server at the address of the one that was killed.
    pub(crate) async fn start_again(&mut self) {
        let runtime = Runtime::new().unwrap();
        let settings = self.settings.clone().listen(self.address);
        let server = runtime.spawn(server::bind(settings)).await;
        let server = server.unwrap().unwrap();
        let address = server.url().trim_start_matches("http://").parse();
        self.address = address.unwrap();
        runtime.spawn(server.run());
        self.runtime = Some(runtime);
    }

    /// Ends the server in the middle of whatever it does: nobody is told.
    pub(crate) async fn kill(&mut self) {
        let runtime = self.runtime.take().expect("it runs");
        // All its tasks are dropped, and with them its sockets.
        spawn_blocking(move || drop(runtime)).await.unwrap();
    }

    /// Counts the connections by which the server is watched.
    pub(crate) async fn connections(&self) -> u64 {
        let health = reqwest::get(format!("{}health", self.page())).await;
        let health: Value = health.unwrap().json().await.unwrap();
        health["sessions"].as_u64().unwrap()
    }

    pub(crate) fn page(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(crate) fn page_of(&self, batch: &TaskId) -> String {
        format!("{}?batch={batch}", self.page())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An upload that stands still in the middle of its last file until it is told to go on.
pub(crate) struct HeldUpload {
    pub(crate) batch: TaskId,
    socket: TcpStream,
    rest: Vec<u8>,
}

impl HeldUpload {
    pub(crate) async fn start(host: &Host, files: &[(&str, Vec<u8>)]) -> Self {
        let batch = TaskId::random();
        let mut body = Vec::new();
        let manifest: Vec<_> = files
            .iter()
            .map(|(name, bytes)| json!({ "name": name, "size": bytes.len() }))
            .collect();
        part(
            &mut body,
            "name=\"manifest\"",
            json!(manifest).to_string().as_bytes(),
        );
        for (name, bytes) in files {
            let name = format!("name=\"files\"; filename=\"{name}\"");
            part(&mut body, &name, bytes);
        }
        let (_, last) = files.last().expect("there are files");
        let hold_at = body.len() - last.len() / 2;
        body.extend(format!("--{BOUNDARY}--\r\n").bytes());
        let head = format!(
            "POST /api/jobs?batch={batch} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\
             connection: close\r\ncontent-type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n",
            host.address,
            body.len(),
        );
        let rest = body.split_off(hold_at);
        let mut socket = TcpStream::connect(host.address).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(&body).await.unwrap();
        Self {
            batch,
            socket,
            rest,
        }
    }

    /// Sends the rest and waits until the server has taken it.
    pub(crate) async fn finish(mut self) {
        self.socket.write_all(&self.rest).await.unwrap();
        let mut answer = String::new();
        self.socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    }
}

fn part(body: &mut Vec<u8>, disposition: &str, content: &[u8]) {
    let head = format!("--{BOUNDARY}\r\ncontent-disposition: form-data; {disposition}\r\n\r\n");
    body.extend(head.bytes());
    body.extend(content);
    body.extend(b"\r\n");
}

const BOUNDARY: &str = "frontier";
