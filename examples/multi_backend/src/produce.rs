//! A video from its title to its files, told stage by stage.

use std::time::Duration;

use progress_core::{
    Level, Reporter, TaskError,
    batch::{RetryPolicy, retry},
};
use redis::pipe;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    film::{self, Asset, FRAMES, Film},
    job::{Job, MAX_RETRIES},
    store::Store,
};

/// One job at work.
pub(crate) struct Production<'a> {
    pub(crate) job: &'a Job,
    pub(crate) task: &'a Reporter,
    pub(crate) store: &'a Store,
    /// How long it rests after each step.
    pub(crate) pace: Duration,
    pub(crate) worker: &'a str,
}

impl Production<'_> {
    /// Does all of it; gives what the task's result is to be.
    ///
    /// # Errors
    ///
    /// What the task fails with. If the task is to stop, it is that.
    pub(crate) async fn run(&self) -> Result<Value, TaskError> {
        let lines = self.script().await?;
        let assets = self.assets(&lines).await?;
        let film = self.render(&assets).await?;
        let thumbnail = self.thumbnail(&assets).await?;
        self.upload(&film, &thumbnail).await?;
        Ok(json!({
            "video_url": self.url("film.gif"),
            "thumbnail_url": self.url("thumbnail.gif"),
            "bytes": film.len(),
            "frames": assets.len() as u64 * FRAMES,
            "sha256": film::digest(&film),
            "worker": self.worker,
        }))
    }

    async fn script(&self) -> Result<Vec<String>, TaskError> {
        let script = self.enter("script");
        let mut lines = Vec::new();
        for scene in 0..u64::from(self.job.scenes) {
            let line = film::line(&self.job.title, scene);
            script.message(&line);
            lines.push(line);
            script.inc(1);
            self.rest().await?;
        }
        script.log(Level::Info, format!("{} lines are written", lines.len()));
        script.log(Level::Warn, "There is no soundtrack: the film is silent");
        Ok(lines)
    }

    async fn assets(&self, lines: &[String]) -> Result<Vec<Asset>, TaskError> {
        let stage = self.enter("assets");
        let mut failures = self.job.failures;
        let mut assets = Vec::new();
        for (scene, line) in lines.iter().enumerate() {
            let asset = retry(self.task, asset_policy(), || {
                let fails = failures > 0;
                failures = failures.saturating_sub(1);
                let stage = &stage;
                async move {
                    if !fails {
                        return Ok(Asset::of(line));
                    }
                    let text = "The asset service is busy";
                    stage.log(
                        Level::Error,
                        format!("{text}: no picture for scene {scene}"),
                    );
                    Err(TaskError::new("ASSET_SERVICE_BUSY", text)
                        .retryable(true)
                        .stage("assets")
                        .detail("scene", scene)
                        .solution("It is asked again by itself")
                        .solution("Make the film with fewer scenes")
                        .trace_id(&*self.job.trace_id))
                }
            });
            let asset = asset.await?;
            stage.metadata("digest", &asset.digest);
            assets.push(asset);
            stage.inc(1);
            self.rest().await?;
        }
        stage.log(Level::Info, format!("{} pictures are there", assets.len()));
        Ok(assets)
    }

    async fn render(&self, assets: &[Asset]) -> Result<Vec<u8>, TaskError> {
        let stage = self.enter("render");
        let mut film = Film::new().map_err(|error| self.not_encoded(&error))?;
        for asset in assets {
            for frame in 0..FRAMES {
                let pushed = film.push(asset, frame);
                pushed.map_err(|error| self.not_encoded(&error))?;
                stage.inc(1);
                self.rest().await?;
            }
        }
        let film = film.finish().map_err(|error| self.not_encoded(&error))?;
        stage.log(Level::Info, format!("The film has {} bytes", film.len()));
        Ok(film)
    }

    async fn thumbnail(&self, assets: &[Asset]) -> Result<Vec<u8>, TaskError> {
        let stage = self.enter("thumbnail");
        stage.message("The middle of the film");
        let thumbnail = assets[assets.len() / 2].thumbnail();
        let thumbnail = thumbnail.map_err(|error| self.not_encoded(&error))?;
        stage.finish();
        self.rest().await?;
        Ok(thumbnail)
    }

    async fn upload(&self, film: &[u8], thumbnail: &[u8]) -> Result<(), TaskError> {
        let stage = self.enter("upload");
        stage.set_total((film.len() + thumbnail.len()) as u64);
        for (name, file) in [("film.gif", film), ("thumbnail.gif", thumbnail)] {
            for (number, part) in file.chunks(PART).enumerate() {
                let put = retry(self.task, store_policy(), || {
                    self.put(name, number * PART, part)
                });
                put.await?;
                stage.inc(part.len() as u64);
                self.rest().await?;
            }
        }
        stage.log(Level::Info, "The film can be seen");
        Ok(())
    }

    /// Watchers see at once where it is, and not with the first thing that is done there.
    fn enter(&self, stage: &str) -> Reporter {
        let stage = self.task.stage(stage);
        stage.inc(0);
        stage
    }

    /// Writes a part of a file to where it belongs, so that it may be written twice.
    async fn put(&self, name: &str, offset: usize, part: &[u8]) -> Result<(), TaskError> {
        let key = file_key(self.job.id.as_str(), name);
        let mut put = pipe();
        put.atomic()
            .cmd("SETRANGE")
            .arg(&key)
            .arg(offset)
            .arg(part)
            .cmd("EXPIRE")
            .arg(&key)
            .arg(KEPT_FOR.as_secs());
        let put: redis::RedisResult<()> = self.store.ask_all(&put).await;
        put.map_err(|error| {
            TaskError::new("STORE_UNAVAILABLE", "The film cannot be stored")
                .retryable(true)
                .stage("upload")
                .detail("reason", error.to_string())
                .solution("It is tried again by itself")
                .trace_id(&*self.job.trace_id)
        })
    }

    /// Lets others have their turn, and watchers something to see.
    async fn rest(&self) -> Result<(), TaskError> {
        match timeout(self.pace, self.task.cancelled()).await {
            Ok(()) => Err(TaskError::new("CANCELLED", "It was told to stop")),
            Err(_) => Ok(()),
        }
    }

    fn not_encoded(&self, error: &gif::EncodingError) -> TaskError {
        TaskError::new("NOT_ENCODED", "The film cannot be encoded")
            .detail("reason", error.to_string())
            .trace_id(&*self.job.trace_id)
    }

    fn url(&self, name: &str) -> String {
        format!("/api/files/{}/{name}", self.job.id)
    }
}

/// Where a file of a project is kept, so that every web node can serve it.
pub(crate) fn file_key(project: &str, name: &str) -> String {
    format!("mb:file:{project}:{name}")
}

fn asset_policy() -> RetryPolicy {
    RetryPolicy::new()
        .retries(MAX_RETRIES)
        .first_delay(Duration::from_millis(300))
}

/// Longer than a Redis takes to be started again.
fn store_policy() -> RetryPolicy {
    RetryPolicy::new()
        .retries(20)
        .first_delay(Duration::from_millis(200))
        .longest_delay(Duration::from_secs(2))
}

const PART: usize = 16 * 1024;
const KEPT_FOR: Duration = Duration::from_secs(3600);
