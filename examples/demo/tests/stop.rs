//! The demo as a process that is told to stop.

#![cfg(unix)]

use std::{
    io::{BufRead as _, BufReader, Cursor},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use image::{ImageFormat, RgbImage};
use progress_core::TaskId;
use reqwest::{
    Response, StatusCode,
    multipart::{Form, Part},
};
use serde_json::Value;
use tokio::{task::spawn_blocking, time::timeout};

struct Demo {
    process: Child,
    url: String,
}

impl Demo {
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_demo"))
            .args(["--listen", "127.0.0.1:0", "--at-once", "1"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        let (_, url) = line.trim().split_once("Drop files on ").unwrap();
        Self {
            process,
            url: url.to_owned(),
        }
    }

    fn tell(&self, signal: &str) {
        let id = self.process.id().to_string();
        let told = Command::new("kill").args([signal, &id]).status();
        assert!(told.unwrap().success());
    }

    async fn watch(&self, task: &str) -> Response {
        let url = format!("{}/sse/progress/{task}", self.url);
        reqwest::get(url).await.unwrap()
    }

    /// How it ended.
    async fn ended(mut self) -> ExitStatus {
        let ended = spawn_blocking(move || self.process.wait());
        timeout(PATIENCE, ended).await.unwrap().unwrap().unwrap()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _gone = self.process.kill();
    }
}

async fn says_goodbye_at(signal: &str) {
    let demo = Demo::start();
    // A task that is still to come: its watcher is connected, and no work keeps the server.
    let mut events = demo.watch(TaskId::random().as_str()).await;
    let first = events.chunk().await.unwrap().expect("a verdict");
    assert!(first.starts_with(b"retry: "), "{first:?}");
    demo.tell(signal);
    let rest = timeout(PATIENCE, events.text()).await.unwrap();
    let rest = rest.expect("it ends in order");
    assert!(rest.contains(r#""event_type":"draining""#), "{rest}");
    assert!(rest.contains(r#""reconnect_after_ms":"#), "{rest}");
    assert!(demo.ended().await.success());
}

#[tokio::test]
async fn clients_are_told_to_come_back_at_sigterm() {
    says_goodbye_at("-TERM").await;
}

#[tokio::test]
async fn clients_are_told_to_come_back_at_ctrl_c() {
    says_goodbye_at("-INT").await;
}

#[tokio::test]
async fn work_that_is_under_way_ends_before_the_server_does() {
    let demo = Demo::start();
    let mut picture = Cursor::new(Vec::new());
    let pixels = RgbImage::from_fn(600, 400, |x, y| {
        image::Rgb([x as u8, y as u8, (x ^ y) as u8])
    });
    pixels.write_to(&mut picture, ImageFormat::Png).unwrap();
    let form = (0..5).fold(Form::new(), |form, n| {
        let part = Part::bytes(picture.get_ref().clone()).file_name(format!("{n}.png"));
        form.part("files", part)
    });
    let request = reqwest::Client::new().post(format!("{}/api/jobs", demo.url));
    let answer = request.multipart(form).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let accepted: Value = answer.json().await.unwrap();
    let events = demo.watch(accepted["task_id"].as_str().unwrap()).await;
    demo.tell("-TERM");
    let said = timeout(PATIENCE, events.text()).await.unwrap().unwrap();
    assert!(said.contains(r#""status":"completed""#), "{said}");
    assert!(demo.ended().await.success());
}

/// For what must come, but not for ever.
const PATIENCE: Duration = Duration::from_secs(30);
