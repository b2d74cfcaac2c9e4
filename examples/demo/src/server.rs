//! The demo's server: the page, the upload, and the routes of `progress-axum`.

use std::{
    fmt,
    future::ready,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body, extract::DefaultBodyLimit, routing::post};
use progress_core::{Limits, ProgressTracker, log::LogLimits};
use progress_web::{Gateway, GatewayBuilder, Serve};
use tokio::{net::TcpListener, sync::Semaphore};

use crate::{batch::Workshop, multipart::UploadLimits, page, upload};

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

/// A server, bound and ready to run.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    gateway: Gateway,
    folder: PathBuf,
    router: Router,
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
    let app = App::new(&settings)?;
    let (gateway, folder) = (app.gateway().clone(), app.folder().to_owned());
    Server::bind(settings.listen, gateway, folder, app.router()).await
}

impl Server {
    /// Binds an address for routes of a service's own and those of its gateway; `folder` is where it
    /// keeps uploads.
    ///
    /// # Errors
    ///
    /// What the system says if the address cannot be had.
    pub async fn bind(
        address: SocketAddr,
        gateway: Gateway,
        folder: PathBuf,
        own: Router,
    ) -> std::io::Result<Self> {
        Self::bind_under("", address, gateway, folder, own).await
    }

    /// The same with the gateway's routes under a path.
    ///
    /// # Errors
    ///
    /// What the system says if the address cannot be had.
    pub async fn bind_under(
        path: &str,
        address: SocketAddr,
        gateway: Gateway,
        folder: PathBuf,
        own: Router,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let (unknown, untaken) = (gateway.clone(), gateway.clone());
        let router = own
            .method_not_allowed_fallback(move || {
                ready(untaken.method_not_allowed().map(Body::from))
            })
            .fallback(move || ready(unknown.not_found().map(Body::from)));
        let protocol = progress_axum::router_with(gateway.clone());
        let router = match path {
            "" => router.merge(protocol),
            path => router.nest(path, protocol),
        };
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            gateway,
            folder,
            router,
        })
    }

    /// Puts something around all routes.
    #[must_use]
    pub fn map(mut self, around: impl FnOnce(Router) -> Router) -> Self {
        self.router = around(self.router);
        self
    }

    /// Returns the URL of the page.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the tracker.
    #[must_use]
    pub fn tracker(&self) -> ProgressTracker {
        self.gateway.tracker().clone()
    }

    /// Returns the folder in which uploads are kept while they are worked on.
    #[must_use]
    pub fn uploads_folder(&self) -> &Path {
        &self.folder
    }

    /// Serves until SIGTERM or Ctrl-C, and then takes leave: no new work is taken and what is under
    /// way gets 10 s to end; the clients are told to come back, and get 5 s to go. At the second
    /// signal it is over at once.
    ///
    /// # Errors
    ///
    /// What the system says if signals cannot be heard.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cuts off every connection.
    pub async fn run(self) -> std::io::Result<()> {
        let serve = Serve::new(self.gateway)
            // Who watches work is told its end, which closes the connection.
            .work_ends_in(WORK_ENDS_IN)
            .drain(CLIENTS_GO_OVER)
            .deadline(CLIENTS_GO_IN);
        progress_axum::serve(self.listener, self.router, serve).await?;
        Ok(())
    }
}

/// Begins the gateway of a page that watches a batch of up to so many `files`.
pub fn gateway(tracker: ProgressTracker, files: usize) -> GatewayBuilder {
    // A batch and all its files, in each of some tabs that share a connection.
    let topics = TABS * (files + 1);
    Gateway::builder(tracker)
        .topics(topics)
        .topics_per_session(topics)
        // A batch is there when its upload has begun; its page asks again until then.
        .unknown_wait(UNKNOWN_WAIT)
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
        let gateway = gateway(tracker.clone(), files).build();
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
            .merge(page::demo())
            .with_state(self.clone())
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

const TABS: usize = 4;
const UNKNOWN_WAIT: Duration = Duration::from_secs(3);
const WORK_ENDS_IN: Duration = Duration::from_secs(10);
const CLIENTS_GO_IN: Duration = Duration::from_secs(5);
/// Over which they are spread, so that they do not come back all at once.
const CLIENTS_GO_OVER: Duration = Duration::from_secs(2);
