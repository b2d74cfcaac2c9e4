//! A renderer that does what a test tells it to.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use pipeline_gpu::remote::{ApiKey, Renderer, RendererBuilder};
use serde_json::{Value, json};
use talking_video::server::Rendering;
use tokio::net::TcpListener;

/// What a [`Held`] renderer delivers.
pub(crate) const VIDEO: &[u8] = b"\0\0\0\x18ftypmp42 and so on";

/// A renderer that takes jobs, and does them when it is told to: by failing, or well; or that is out of order.
#[derive(Clone, Default)]
pub(crate) struct Held {
    released: Arc<AtomicBool>,
    delivered: Arc<AtomicBool>,
    down: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    begun: Arc<AtomicUsize>,
    deleted: Arc<AtomicUsize>,
    told: Arc<Mutex<Value>>,
}

impl Held {
    pub(crate) async fn start(&self) -> Rendering {
        self.start_with(|renderer| renderer).await
    }

    pub(crate) async fn start_with(
        &self,
        set: impl FnOnce(RendererBuilder) -> RendererBuilder,
    ) -> Rendering {
        let renderer = Renderer::builder(self.serve().await, ApiKey::encoded("key").unwrap());
        let quick = Duration::from_millis(20);
        Rendering {
            renderer: set(renderer.polls(quick, quick)).build().unwrap(),
            is_stand_in: false,
        }
    }

    /// The same for a process of its own; gives the URL.
    pub(crate) async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let there = || async { Json(json!({ "url": "http://127.0.0.1/there" })) };
        let routes = Router::new()
            .route("/images", post(there))
            .route("/audios", post(there))
            .route("/talks", post(Self::begin))
            .route("/talks/{id}", get(Self::talk).delete(Self::delete))
            .route("/video", get(|| async { VIDEO }))
            .layer(middleware::from_fn_with_state(self.clone(), Self::count))
            .with_state(self.clone());
        tokio::spawn(async { axum::serve(listener, routes).await });
        url
    }

    /// Lets all jobs fail.
    pub(crate) fn release(&self) {
        self.released.store(true, Ordering::SeqCst);
    }

    /// Lets all jobs end with [`VIDEO`].
    pub(crate) fn deliver(&self) {
        self.delivered.store(true, Ordering::SeqCst);
    }

    /// Whether it is out of order, and answers nothing but that.
    pub(crate) fn set_down(&self, is_down: bool) {
        self.down.store(is_down, Ordering::SeqCst);
    }

    /// How many requests it had.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// What it was told of the newest job.
    pub(crate) fn told(&self) -> Value {
        self.told.lock().unwrap().clone()
    }

    /// How many jobs were begun, and how many deleted.
    pub(crate) fn jobs(&self) -> (usize, usize) {
        let of = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        (of(&self.begun), of(&self.deleted))
    }

    async fn count(State(held): State<Self>, request: Request, next: Next) -> Response {
        held.asked.fetch_add(1, Ordering::SeqCst);
        match held.down.load(Ordering::SeqCst) {
            true => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            false => next.run(request).await,
        }
    }

    async fn begin(State(held): State<Self>, Json(job): Json<Value>) -> Json<Value> {
        *held.told.lock().unwrap() = job;
        held.begun.fetch_add(1, Ordering::SeqCst);
        Json(json!({ "id": "tlk_1", "status": "created" }))
    }

    async fn delete(State(held): State<Self>) -> Json<Value> {
        held.deleted.fetch_add(1, Ordering::SeqCst);
        Json(json!({}))
    }

    async fn talk(State(held): State<Self>, headers: HeaderMap) -> Json<Value> {
        if held.delivered.load(Ordering::SeqCst) {
            let url = format!("http://{}/video", headers[header::HOST].to_str().unwrap());
            return Json(json!({ "id": "tlk_1", "status": "done", "result_url": url }));
        }
        Json(match held.released.load(Ordering::SeqCst) {
            false => json!({ "id": "tlk_1", "status": "started" }),
            true => json!({
                "id": "tlk_1", "status": "error",
                "error": { "kind": "FaceError", "description": "no face looks at the camera" },
            }),
        })
    }
}
