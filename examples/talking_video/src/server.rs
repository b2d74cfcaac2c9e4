//! The server: the page, the upload, the results, and the routes of `progress-axum` under `/api`.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderName, HeaderValue, Method, header},
    routing::{get, post},
};
use pipeline_gpu::{Breaker, Prior};
use progress_core::{ProgressTracker, TaskError, TaskId};
use progress_web::{ForwardedHeader, Gateway, Origin};
use tokio::{sync::Semaphore, time::timeout};
use tower_http::cors::CorsLayer;

pub use crate::settings::{Limits, Rendering, Settings};
use crate::{
    generate, learned,
    models::Models,
    page, result,
    studio::{self, Plan, Studio},
    users::Users,
    webhook,
};

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

struct Shared {
    gateway: Gateway,
    studio: Studio,
    users: Users,
    limits: Limits,
    token_ttl: Duration,
    renderer_name: &'static str,
    prior_file: Option<PathBuf>,
    uploads: Semaphore,
    folder: tempfile::TempDir,
}

/// Builds the pipeline on these models, and binds the server's address.
///
/// # Errors
///
/// That of the [pipeline](studio::build); `ORIGIN_INVALID`; `PUBLIC_URL_INVALID`; `ADDRESS_UNAVAILABLE`.
///
/// # Cancel safety
///
/// Dropping the future drops the pipeline and removes the folder of videos; nothing listens.
pub async fn bind(settings: Settings, models: &Models) -> Result<Server, TaskError> {
    let address = settings.listen;
    let cors = cors(&settings.origins)?;
    let retention = settings.retention;
    let webhook = settings.webhook.clone().map(|webhook| {
        let renderer = settings.rendering.renderer.clone();
        webhook::routes(webhook, renderer, settings.limits.idle)
    });
    let app = App::new(settings, models)?;
    let (gateway, folder) = (app.gateway().clone(), app.folder().to_owned());
    tokio::spawn(sweep(Arc::downgrade(&app.0), retention));
    let router = app.router().merge(webhook.unwrap_or_default());
    let server = demo::server::Server::bind_under(PREFIX, address, gateway, folder, router).await;
    let server = server.map_err(|error| {
        let message = format!("cannot listen on {address}: {error}");
        TaskError::new("ADDRESS_UNAVAILABLE", message)
            .solution("--listen ADDRESS:PORT, for another one")
    })?;
    Ok(Server {
        served: server.map(|router| router.layer(cors)),
        app,
    })
}

/// The server, bound and ready to run.
#[derive(Debug)]
pub struct Server {
    served: demo::server::Server,
    app: App,
}

impl Server {
    /// Returns the URL of the page.
    #[must_use]
    pub fn url(&self) -> String {
        self.served.url()
    }

    /// Returns the folder in which videos are kept, each under the id of its task.
    #[must_use]
    pub fn videos_folder(&self) -> &Path {
        self.app.folder()
    }

    /// Serves until SIGTERM or Ctrl-C, and then takes leave as [`demo::server::Server::run`] does. What is not done by then is
    /// cancelled, and has up to 12 s for its jobs at the renderer to be deleted, so that they cost no more than they have to; after a
    /// second signal too.
    ///
    /// # Errors
    ///
    /// What the system says if signals cannot be heard.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cuts off every connection, and leaves jobs at the renderer.
    pub async fn run(self) -> std::io::Result<()> {
        let served = self.served.run().await;
        let studio = self.app.studio();
        // Closed at the first poll, so that nothing is taken after those that are cancelled.
        let stopped = async {
            tokio::join!(studio.close(), async {
                studio.cancel_all("The service stops");
            })
        };
        if timeout(TO_DELETE, stopped).await.is_err() {
            tracing::warn!(
                left = studio.live(),
                "jobs may be left at the renderer: it does not answer"
            );
        }
        served
    }
}

impl App {
    fn new(settings: Settings, models: &Models) -> Result<Self, TaskError> {
        let limits = settings.limits;
        let webhook = settings.public_url.as_deref().map(webhook::url);
        let plan = Plan {
            renderer: settings.rendering.renderer,
            breaker: Breaker::new("The renderer")
                .failures(limits.failures)
                .open_for(limits.left_alone),
            is_stand_in: settings.rendering.is_stand_in,
            webhook: webhook.transpose()?,
            if_nobody: settings.if_nobody,
            waiting: limits.waiting,
            longest_voice: limits.longest_voice,
            deadline: limits.deadline,
            prior: settings
                .prior_file
                .as_deref()
                .map_or_else(Prior::new, learned::read),
        };
        let renderer_name = match plan.is_stand_in {
            true => "stand-in",
            false => "remote",
        };
        let studio = studio::build(models, plan)?;
        let tracker = ProgressTracker::builder()
            .retention(settings.retention)
            .build();
        let mut gateway = Gateway::builder(tracker)
            .prefix(PREFIX)
            .authorizer(settings.users.clone())
            .heartbeat(settings.heartbeat)
            .dead_after(settings.heartbeat * 2);
        // The one header that the nginx of the documentation sets.
        gateway = gateway.trusted_proxies(settings.proxies, ForwardedHeader::XForwardedFor);
        for origin in &settings.origins {
            gateway = gateway.origin(origin.parse::<Origin>().map_err(|_| no_origin(origin))?);
        }
        if settings.users.are_all() {
            // Not a page whose name resolves to this machine.
            gateway = gateway.host("localhost");
        }
        let folder = tempfile::Builder::new().prefix("talking-video-").tempdir();
        let folder = folder.map_err(|error| {
            TaskError::new(
                "NO_FOLDER",
                format!("there is no place for videos: {error}"),
            )
        })?;
        Ok(Self(Arc::new(Shared {
            gateway: gateway.build(),
            studio,
            users: settings.users,
            uploads: Semaphore::new(limits.uploads),
            limits,
            token_ttl: settings.token_ttl,
            renderer_name,
            prior_file: settings.prior_file,
            folder,
        })))
    }

    fn router(&self) -> Router {
        let largest = DefaultBodyLimit::max(self.limits().request());
        Router::new()
            .route(GENERATE, post(generate::generate).layer(largest))
            .route(
                "/api/video-generation/{task_id}/result",
                get(result::result),
            )
            .merge(page::routes())
            .with_state(self.clone())
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        &self.0.gateway
    }

    pub(crate) fn studio(&self) -> &Studio {
        &self.0.studio
    }

    pub(crate) fn users(&self) -> &Users {
        &self.0.users
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn token_ttl(&self) -> Duration {
        self.0.token_ttl
    }

    pub(crate) fn renderer_name(&self) -> &'static str {
        self.0.renderer_name
    }

    pub(crate) fn uploads_under_way(&self) -> &Semaphore {
        &self.0.uploads
    }

    /// Keeps how long the stages took.
    pub(crate) async fn keep_prior(&self) {
        let Some(file) = self.0.prior_file.clone() else {
            return;
        };
        let prior = self.studio().prior();
        let kept = tokio::task::spawn_blocking(move || learned::write(&file, &prior)).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!(%error, "what was learned cannot be kept");
        }
    }

    pub(crate) fn result_url(&self, id: &TaskId) -> String {
        format!("/api/video-generation/{id}/result")
    }

    /// Where the video of a task is, once there is one.
    pub(crate) fn result_file(&self, id: &TaskId) -> PathBuf {
        self.folder().join(id.as_str())
    }

    fn folder(&self) -> &Path {
        self.0.folder.path()
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("gateway", self.gateway())
            .finish_non_exhaustive()
    }
}

/// Removes videos whose tasks are not kept any more, as long as there is a server.
async fn sweep(app: std::sync::Weak<Shared>, retention: Duration) {
    let mut tick = tokio::time::interval((retention / 4).clamp(SWEEP.0, SWEEP.1));
    loop {
        tick.tick().await;
        let Some(app) = app.upgrade() else { return };
        let Ok(mut files) = tokio::fs::read_dir(app.folder.path()).await else {
            continue;
        };
        while let Ok(Some(file)) = files.next_entry().await {
            let name = file.file_name();
            let id = name.to_str().and_then(|name| name.parse::<TaskId>().ok());
            // What is being written has another name until it is whole, `.abc123.part`, which could be the id of a task too; it
            // goes with whoever writes it.
            let Some(id) = id.filter(TaskId::is_random) else {
                continue;
            };
            let is_kept = app.gateway.tracker().snapshot(id).await.is_ok();
            if !is_kept {
                let _gone = tokio::fs::remove_file(file.path()).await;
            }
        }
    }
}

/// What pages of trusted origins may read and send.
fn cors(origins: &[String]) -> Result<CorsLayer, TaskError> {
    let origins = origins.iter().map(|origin| {
        let known = origin.parse::<Origin>().is_ok();
        let header = HeaderValue::try_from(origin.as_str())
            .ok()
            .filter(|_| known);
        header.ok_or_else(|| no_origin(origin))
    });
    Ok(CorsLayer::new()
        .allow_origin(origins.collect::<Result<Vec<_>, _>>()?)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            HeaderName::from_static("last-event-id"),
        ])
        .expose_headers([header::ETAG, header::RETRY_AFTER])
        .max_age(Duration::from_secs(3_600)))
}

fn no_origin(origin: &str) -> TaskError {
    let message = format!("{origin} is no origin");
    TaskError::new("ORIGIN_INVALID", message).solution("--origin https://app.example.org")
}

const PREFIX: &str = "/api";
const GENERATE: &str = "/api/video-generation/generate";
/// As long as [`Render`](pipeline_gpu::stages::Render) takes at most, and a little.
const TO_DELETE: Duration = Duration::from_secs(12);
const SWEEP: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
