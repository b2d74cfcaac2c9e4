//! The demo's server: the page, the upload, and the routes of `progress-axum`.

use std::{
    fmt, future,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    response::Response,
    routing::post,
    serve::ListenerExt as _,
};
use progress_core::{Limits, ProgressTracker, log::LogLimits};
use progress_web::Gateway;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, oneshot},
    time::sleep,
};

use crate::{batch::Workshop, page, upload};

pub use crate::upload::UploadLimits;

/// Settings of the server.
#[derive(Debug, Clone)]
#[must_use]
pub struct Settings {
    listen: SocketAddr,
    at_once: usize,
    limits: UploadLimits,
}

impl Settings {
    /// Sets the address to listen on (default 127.0.0.1:8080).
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Sets how many files are worked on at a time (default 5).
    pub fn at_once(mut self, files: usize) -> Self {
        self.at_once = files.max(1);
        self
    }

    /// Sets the bounds of an upload.
    pub fn limits(mut self, limits: UploadLimits) -> Self {
        self.limits = limits;
        self
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            at_once: 5,
            limits: UploadLimits::default(),
        }
    }
}

/// The server, bound and ready to run.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: App,
}

/// What the handlers share.
#[derive(Clone)]
pub struct App {
    shared: Arc<Shared>,
}

struct Shared {
    gateway: Gateway,
    workshop: Workshop,
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
    let listener = TcpListener::bind(settings.listen).await?;
    Ok(Server {
        address: listener.local_addr()?,
        listener,
        app: App::new(&settings)?,
    })
}

impl Server {
    /// Returns the URL of the page.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the tracker.
    #[must_use]
    pub fn tracker(&self) -> ProgressTracker {
        self.app.gateway().tracker().clone()
    }

    /// Returns the folder in which uploads are kept while they are worked on.
    #[must_use]
    pub fn uploads_folder(&self) -> &Path {
        self.app.folder()
    }

    /// Serves until the future is dropped.
    ///
    /// # Errors
    ///
    /// What the system says if connections can no longer be taken.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes no more connections; those that are open go on until their
    /// runtime ends.
    pub async fn run(self) -> std::io::Result<()> {
        self.run_until(future::pending()).await
    }

    /// Serves until it is to stop, and then takes leave: no new work is taken and what is under way
    /// gets 10 s to end; the clients are told to come back, and get 5 s to go.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    pub async fn run_until(
        self,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let listener = self.listener.tap_io(|connection| {
            // A frame is small and goes out at once, or waits for the answer to the one before.
            let _only_slower = connection.set_nodelay(true);
        });
        let gateway = self.app.gateway().clone();
        let (told, is_told) = oneshot::channel::<()>();
        let leave = {
            let gateway = gateway.clone();
            async move {
                stop.await;
                // First the work: who watches it is told its end, which closes the connection.
                gateway.tracker().drain(WORK_ENDS_IN).await;
                gateway.drain(COME_BACK_WITHIN);
                drop(told);
            }
        };
        let served = axum::serve(listener, self.app.router().into_make_service())
            .with_graceful_shutdown(leave);
        let gone = async {
            served.await?;
            // WebSockets are no longer the server's to wait for.
            all_gone(&gateway).await;
            Ok(())
        };
        let too_long = async {
            let _told = is_told.await;
            sleep(CLIENTS_GO_IN).await;
        };
        tokio::select! {
            gone = gone => gone,
            () = too_long => Ok(()),
        }
    }
}

impl App {
    fn new(settings: &Settings) -> std::io::Result<Self> {
        let files = settings.limits.files;
        let tracker = ProgressTracker::builder()
            .limits(
                Limits::default()
                    // A batch lists its files in its metadata, about 200 bytes each.
                    .payload((files * 512).max(64 * 1024))
                    .log(LogLimits::default().bytes(8 * 1024 * 1024)),
            )
            .build();
        let gateway = Gateway::builder(tracker.clone())
            // The batch and all its files on one stream.
            .topics(files + 1)
            .build();
        Ok(Self {
            shared: Arc::new(Shared {
                gateway,
                workshop: Workshop::new(tracker, settings.at_once),
                uploads: Semaphore::new(settings.limits.uploads),
                limits: settings.limits.clone(),
                folder: tempfile::Builder::new()
                    .prefix("progress-demo-")
                    .tempdir()?,
            }),
        })
    }

    fn router(&self) -> Router {
        let request_limit = usize::try_from(self.shared.limits.request).unwrap_or(usize::MAX);
        Router::new()
            .route(
                "/api/jobs",
                post(upload::create_job).layer(DefaultBodyLimit::max(request_limit)),
            )
            .merge(page::routes())
            .method_not_allowed_fallback(method_not_allowed)
            .fallback(not_found)
            .with_state(self.clone())
            .merge(progress_axum::router_with(self.gateway().clone()))
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        &self.shared.gateway
    }

    pub(crate) fn workshop(&self) -> &Workshop {
        &self.shared.workshop
    }

    pub(crate) fn upload_limits(&self) -> &UploadLimits {
        &self.shared.limits
    }

    pub(crate) fn uploads(&self) -> &Semaphore {
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

/// Waits until nobody is connected any more.
async fn all_gone(gateway: &Gateway) {
    while gateway.sessions() > 0 {
        sleep(LOOK_AGAIN).await;
    }
}

async fn not_found(State(app): State<App>) -> Response {
    app.gateway().not_found().map(axum::body::Body::from)
}

async fn method_not_allowed(State(app): State<App>) -> Response {
    app.gateway()
        .method_not_allowed()
        .map(axum::body::Body::from)
}

const WORK_ENDS_IN: Duration = Duration::from_secs(10);
const CLIENTS_GO_IN: Duration = Duration::from_secs(5);
/// Over which the clients are spread that come back, to the next server if there is one.
const COME_BACK_WITHIN: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
