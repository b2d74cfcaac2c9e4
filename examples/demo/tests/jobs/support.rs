//! A demo server of the test's own.

use std::{io::Cursor, time::Duration};

use demo::server::{self, Settings};
use image::{ImageFormat, RgbImage};
use progress_core::{ProgressTracker, Snapshot, TrackerStats};
use reqwest::{StatusCode, multipart::Form};
use serde_json::Value;
use tokio::time::timeout;

use crate::raw::RawUpload;

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

    /// An upload by hand, of a batch of this id.
    pub(crate) async fn upload(&self, batch: Option<&str>) -> RawUpload {
        let query = batch.map(|id| format!("?batch={id}")).unwrap_or_default();
        RawUpload::start(&self.url, &format!("/api/jobs{query}")).await
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
