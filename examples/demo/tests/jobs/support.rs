//! A demo server of the test's own, and a client that does not play by the rules.

use std::{io::Cursor, time::Duration};

use demo::server::{self, Settings};
use image::{ImageFormat, RgbImage};
use progress_core::{ProgressTracker, Snapshot, TrackerStats};
use reqwest::{StatusCode, multipart::Form};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

pub(crate) struct Demo {
    pub(crate) url: String,
    pub(crate) tracker: ProgressTracker,
    folder: std::path::PathBuf,
}

impl Demo {
    pub(crate) async fn start() -> Self {
        Self::start_with(Settings::default()).await
    }

    pub(crate) async fn start_with(settings: Settings) -> Self {
        let address = "127.0.0.1:0".parse().unwrap();
        let server = server::bind(settings.listen(address)).await.unwrap();
        let demo = Self {
            url: server.url(),
            tracker: server.tracker(),
            folder: server.uploads_folder().to_owned(),
        };
        tokio::spawn(server.run());
        demo
    }

    pub(crate) async fn post(&self, form: Form) -> (StatusCode, Value) {
        let answer = reqwest::Client::new()
            .post(format!("{}/api/jobs", self.url))
            .multipart(form)
            .send()
            .await
            .unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// The task once it has ended.
    pub(crate) async fn ended(&self, id: &str) -> Snapshot {
        let mut events = self.tracker.subscribe(id);
        timeout(PATIENCE, async { while events.next().await.is_some() {} })
            .await
            .unwrap_or_else(|_| panic!("task {id} has not ended"));
        self.tracker.snapshot(id).await.unwrap()
    }

    /// Waits until the tracker's counts are as they should.
    pub(crate) async fn until(&self, condition: impl Fn(&TrackerStats) -> bool) {
        wait(|| condition(&self.tracker.stats())).await;
    }

    /// Waits until every task has ended and no upload is on disk.
    pub(crate) async fn nothing_is_left(&self) {
        self.until(|stats| stats.tasks == stats.ended).await;
        wait(|| std::fs::read_dir(&self.folder).unwrap().next().is_none()).await;
    }
}

async fn wait(condition: impl Fn() -> bool) {
    let met = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, met).await.expect("the condition is met");
}

/// An upload sent by hand, chunk by chunk.
pub(crate) struct RawUpload {
    socket: TcpStream,
}

impl RawUpload {
    pub(crate) async fn start(demo: &Demo, batch: Option<&str>) -> Self {
        let address = demo.url.trim_start_matches("http://");
        let mut socket = TcpStream::connect(address).await.unwrap();
        let query = batch.map(|id| format!("?batch={id}")).unwrap_or_default();
        let head = format!(
            "POST /api/jobs{query} HTTP/1.1\r\nhost: {address}\r\ntransfer-encoding: chunked\r\n\
             content-type: multipart/form-data; boundary=frontier\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        Self { socket }
    }

    pub(crate) async fn begin_file(&mut self, name: &str) {
        let head = format!(
            "--frontier\r\ncontent-disposition: form-data; name=\"files\"; filename=\"{name}\"\r\n\r\n"
        );
        self.send(head.as_bytes()).await;
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let size = format!("{:x}\r\n", bytes.len());
        // The server may have answered and closed already, which is then what the test is about.
        let _gone = self.socket.write_all(size.as_bytes()).await;
        let _gone = self.socket.write_all(bytes).await;
        let _gone = self.socket.write_all(b"\r\n").await;
    }

    pub(crate) async fn finish(mut self) -> (u16, Value) {
        self.send(b"\r\n--frontier--\r\n").await;
        self.end_here().await
    }

    /// Ends the body, complete or not, and reads the answer.
    pub(crate) async fn end_here(mut self) -> (u16, Value) {
        self.socket.write_all(b"0\r\n\r\n").await.unwrap();
        let mut text = String::new();
        let mut buffer = [0; 4096];
        loop {
            let read = timeout(PATIENCE, self.socket.read(&mut buffer))
                .await
                .expect("an answer")
                .unwrap();
            text.push_str(&String::from_utf8_lossy(&buffer[..read]));
            let body = text.split_once("\r\n\r\n").map(|(_, body)| body);
            if let Some(Ok(body)) = body.map(serde_json::from_str) {
                return (text[9..12].parse().unwrap(), body);
            }
            assert_ne!(read, 0, "the answer is cut short: {text}");
        }
    }
}

/// A picture with some detail.
pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
    let image = RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(x * 5) as u8, (y * 7) as u8, ((x ^ y) * 3) as u8])
    });
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

const PATIENCE: Duration = Duration::from_secs(30);
