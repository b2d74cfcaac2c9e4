//! The server: the page, the uploads, the media, and the routes of `progress-axum`.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post, put},
};
use demo::multipart::UploadLimits;
use progress_core::{Limits, ProgressTracker, TaskId, batch::RetryPolicy, log::LogLimits};
use progress_web::{Gateway, Open};
use tokio::sync::Semaphore;

use crate::{
    batch::Batches,
    chunks::{ChunkLimits, Uploads},
    media, multipart, page,
    studio::{Analyser, Studio, see},
    uploads,
};

pub use demo::server::Server;

/// Settings of the server.
#[derive(Clone)]
#[must_use]
pub struct Settings {
    listen: SocketAddr,
    at_once: usize,
    cached_results: usize,
    uploads: UploadLimits,
    chunks: ChunkLimits,
    retries: RetryPolicy,
    analyser: Arc<dyn Analyser>,
}

impl Settings {
    /// Sets the address to listen on (default 127.0.0.1:8080).
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Sets how many media are analysed at a time (default 5).
    pub fn at_once(mut self, media: usize) -> Self {
        self.at_once = media.max(1);
        self
    }

    /// Sets how many results are kept by the hash of their content, some kilobytes each; those that
    /// are asked for least go first (default 10 000).
    pub fn cached_results(mut self, results: usize) -> Self {
        self.cached_results = results;
        self
    }

    /// Sets the bounds of uploads in one request.
    pub fn uploads(mut self, limits: UploadLimits) -> Self {
        self.uploads = limits;
        self
    }

    /// Sets the bounds of uploads in chunks.
    pub fn chunks(mut self, limits: ChunkLimits) -> Self {
        self.chunks = limits;
        self
    }

    /// Sets how an analysis that failed is repeated (default up to 3 times, after 1, 2 and 4 s).
    pub fn retries(mut self, policy: RetryPolicy) -> Self {
        self.retries = policy;
        self
    }

    /// Sets what analyses the media (default [`see`]).
    pub fn analyser(mut self, analyser: impl Analyser) -> Self {
        self.analyser = Arc::new(analyser);
        self
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            at_once: 5,
            cached_results: 10_000,
            uploads: UploadLimits::default(),
            chunks: ChunkLimits::default(),
            retries: RetryPolicy::default(),
            analyser: Arc::new(see),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("listen", &self.listen)
            .field("at_once", &self.at_once)
            .field("uploads", &self.uploads)
            .field("chunks", &self.chunks)
            .finish_non_exhaustive()
    }
}

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct App {
    shared: Arc<Shared>,
}

struct Shared {
    gateway: Gateway,
    batches: Batches,
    chunked: Uploads,
    limits: UploadLimits,
    uploads: Semaphore,
    folder: tempfile::TempDir,
}

/// Binds the server's address.
///
/// # Errors
///
/// What the system says if the address cannot be had or there is no place for uploads.
pub async fn bind(settings: Settings) -> std::io::Result<Server> {
    let address = settings.listen;
    let app = App::new(settings)?;
    let (gateway, folder) = (app.gateway().clone(), app.folder().to_owned());
    Server::bind(address, gateway, folder, app.router()).await
}

impl App {
    fn new(settings: Settings) -> std::io::Result<Self> {
        let files = settings.uploads.files;
        let tracker = ProgressTracker::builder()
            .limits(
                Limits::default()
                    // A batch lists its items in its metadata, about 250 bytes each.
                    .payload((files * 512).max(64 * 1024))
                    .log(LogLimits::default().bytes(8 * 1024 * 1024)),
            )
            .build();
        let gateway = demo::server::gateway(tracker.clone(), files)
            // Whoever knows the random id of a batch or an item may stop it.
            .authorizer(Open::new().cancelling())
            .build();
        let studio = Studio::new(
            settings.at_once,
            settings.cached_results,
            settings.retries,
            settings.analyser,
        );
        Ok(Self {
            shared: Arc::new(Shared {
                gateway,
                batches: Batches::new(tracker, studio, files),
                chunked: Uploads::new(settings.chunks),
                uploads: Semaphore::new(settings.uploads.uploads),
                limits: settings.uploads,
                folder: tempfile::Builder::new()
                    .prefix("media-analysis-")
                    .tempdir()?,
            }),
        })
    }

    fn router(&self) -> Router {
        let request_limit = usize::try_from(self.shared.limits.request).unwrap_or(usize::MAX);
        let of_protocol = |path: &str| {
            let found = self.gateway().find(path);
            let path = found.expect("a path of the protocol").path;
            progress_axum::route_as(self.gateway().clone(), path)
        };
        Router::new()
            .route(
                ANALYZE_MEDIA,
                post(multipart::analyze_media).layer(DefaultBodyLimit::max(request_limit)),
            )
            .route(&format!("{ANALYZE_MEDIA}/stream"), of_protocol("/sse"))
            .route("/api/media/{id}", get(media::media))
            .route(
                "/api/media/{task_id}/stream",
                of_protocol("/sse/progress/id"),
            )
            .route(
                "/api/uploads",
                post(uploads::create).layer(DefaultBodyLimit::max(LARGEST_WISH)),
            )
            .route("/api/uploads/{id}", get(uploads::standing))
            .route("/api/uploads/{id}/chunks/{n}", put(uploads::put))
            .route("/api/uploads/{id}/complete", post(uploads::complete))
            .merge(page::routes())
            .with_state(self.clone())
    }

    /// Where items can be watched together.
    pub(crate) fn stream_url(&self, media: &[TaskId]) -> String {
        let ids: Vec<&str> = media.iter().map(TaskId::as_str).collect();
        format!("{ANALYZE_MEDIA}/stream?ids={}", ids.join(","))
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        &self.shared.gateway
    }

    pub(crate) fn batches(&self) -> &Batches {
        &self.shared.batches
    }

    pub(crate) fn chunked(&self) -> &Uploads {
        &self.shared.chunked
    }

    pub(crate) fn upload_limits(&self) -> &UploadLimits {
        &self.shared.limits
    }

    pub(crate) fn uploads_under_way(&self) -> &Semaphore {
        &self.shared.uploads
    }

    pub(crate) fn folder(&self) -> &Path {
        self.shared.folder.path()
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("gateway", self.gateway())
            .finish_non_exhaustive()
    }
}

const ANALYZE_MEDIA: &str = "/api/agent/analyze-media";
const LARGEST_WISH: usize = 16 * 1024;
