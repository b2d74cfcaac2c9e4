//! A renderer on this machine that does what it is told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use pipeline_gpu::{
    Pipeline, RunError, Stage as _,
    remote::{ApiKey, Media, RenderRequest, Renderer},
    stages::{Render, RenderJob},
};
use progress_core::{ProgressTracker, TaskState};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{soon, tell, until};

/// A renderer with one job.
#[derive(Clone, Default)]
struct Remote {
    url: Arc<str>,
    is_endless: bool,
    is_asked: Arc<AtomicBool>,
    is_deleted: Arc<AtomicBool>,
}

impl Remote {
    async fn start(is_endless: bool) -> (Self, Render) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let remote = Self {
            url: url.as_str().into(),
            is_endless,
            ..Self::default()
        };
        let routes = Router::new()
            .route(
                "/talks",
                post(|| async { Json(json!({ "id": "tlk_1", "status": "created" })) }),
            )
            .route("/talks/{id}", get(Self::talk).delete(Self::delete))
            .route("/video", get(|| async { b"moving pictures".to_vec() }))
            .with_state(remote.clone());
        tokio::spawn(async { axum::serve(listener, routes).await });
        let builder = Renderer::builder(url, ApiKey::basic("user", "secret").unwrap());
        let quick = Duration::from_millis(5);
        let renderer = builder.polls(quick, quick).build().unwrap();
        (remote, Render::new(&renderer))
    }

    async fn talk(State(remote): State<Self>) -> Json<Value> {
        // First it is at work, then done.
        let is_first = !remote.is_asked.swap(true, Ordering::SeqCst);
        Json(match is_first || remote.is_endless {
            true => json!({ "id": "tlk_1", "status": "started" }),
            false => {
                let url = format!("{}/video", remote.url);
                json!({ "id": "tlk_1", "status": "done", "result_url": url })
            }
        })
    }

    async fn delete(State(remote): State<Self>) -> Json<Value> {
        remote.is_deleted.store(true, Ordering::SeqCst);
        Json(json!({}))
    }
}

fn job(folder: &TempDir) -> RenderJob {
    let request = RenderRequest::new(
        Media::url("https://example.com/face.png"),
        Media::url("https://example.com/voice.mp3"),
    );
    RenderJob::new(request, folder.path().join("talk.mp4"))
}

#[tokio::test]
async fn a_video_is_rendered_and_fetched_and_watchers_are_told() {
    let (_remote, render) = Remote::start(false).await;
    let folder = TempDir::new().unwrap();
    let told = tell(render, job(&folder)).await;
    let video = told.result.as_ref().unwrap();
    assert_eq!(std::fs::read(&video.file).unwrap(), b"moving pictures");
    assert_eq!(video.bytes, 15);
    assert_eq!(told.metadata("render_id"), "tlk_1");
    assert_eq!(told.metadata("render_status"), "done");
    assert_eq!(told.metadata("bytes"), 15);
    assert_eq!(told.message(), "The video is here");
}

#[tokio::test]
async fn a_cancelled_item_has_its_job_deleted_at_the_renderer() {
    let (remote, render) = Remote::start(true).await;
    let folder = TempDir::new().unwrap();
    let pipeline = Pipeline::builder("render")
        .stage("render", render)
        .build()
        .unwrap();
    let tracker = ProgressTracker::new();
    let item = pipeline.item(job(&folder));
    let run = item.submit_with(tracker.task("render"), |_| ()).unwrap();
    until(|| remote.is_asked.load(Ordering::SeqCst)).await;
    tracker.cancel("render", "not needed").await.unwrap();
    assert!(matches!(soon(run).await, Err(RunError::Cancelled { .. })));
    until(|| remote.is_deleted.load(Ordering::SeqCst)).await;
    let snapshot = tracker.snapshot("render").await.unwrap();
    assert_eq!(snapshot.state, TaskState::Cancelled);
    assert!(!folder.path().join("talk.mp4").exists());
}

#[tokio::test]
async fn an_item_whose_time_is_over_has_its_job_deleted_before_it_fails() {
    let (remote, render) = Remote::start(true).await;
    let folder = TempDir::new().unwrap();
    let told = tell(render.timeout(Duration::from_secs(2)), job(&folder)).await;
    assert_eq!(told.result.unwrap_err().code(), "STAGE_TIMEOUT");
    assert!(remote.is_deleted.load(Ordering::SeqCst));
}
