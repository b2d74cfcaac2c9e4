//! The server: the hub's routes and page, and the protocol's.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use progress_core::ProgressTracker;
use progress_web::{Gateway, Serve};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};

use crate::{
    api::{self, App},
    bounds::Bounds,
    hub::Hub,
    import,
    system::{self, Watch},
    users::Users,
};

/// Settings of the server.
#[derive(Debug, Clone)]
#[must_use]
pub struct Settings {
    listen: SocketAddr,
    users: Users,
    bounds: Bounds,
    watch: Watch,
    heartbeat: Duration,
}

impl Settings {
    /// Has it serve these users on 127.0.0.1:8080.
    pub fn new(users: Users) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            users,
            bounds: Bounds::default(),
            watch: Watch::default(),
            heartbeat: Duration::from_secs(30),
        }
    }

    /// Sets the address to listen on.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Sets the bounds.
    pub fn bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// Sets how often the machine is looked at, and what is warned of.
    pub fn watch(mut self, watch: Watch) -> Self {
        self.watch = watch;
        self
    }

    /// Sets how often clients get a heartbeat (default 30 s). One that says nothing for twice as
    /// long is dead, and removed.
    pub fn heartbeat(mut self, every: Duration) -> Self {
        self.heartbeat = every;
        self
    }
}

/// The server, bound and ready to run.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: App,
    watch: Watch,
}

/// Binds the server's address.
///
/// # Errors
///
/// What the system says if the address cannot be had or there is no place for pictures.
pub async fn bind(settings: Settings) -> std::io::Result<Server> {
    let listener = TcpListener::bind(settings.listen).await?;
    let tracker = ProgressTracker::new();
    let mut gateway = Gateway::builder(tracker.clone())
        .authorizer(settings.users.clone())
        .heartbeat(settings.heartbeat)
        .dead_after(settings.heartbeat * 2)
        .presets();
    if settings.users.are_all() {
        // Not a page whose name resolves to this machine.
        gateway = gateway.host("localhost");
    }
    let gateway = gateway.build();
    Ok(Server {
        address: listener.local_addr()?,
        listener,
        app: App {
            uploads: Arc::new(Semaphore::new(settings.bounds.uploads)),
            hub: Hub::new(tracker, settings.bounds)?,
            gateway,
            users: settings.users,
        },
        watch: settings.watch,
    })
}

impl Server {
    /// Returns the URL of the page.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the hub.
    #[must_use]
    pub fn hub(&self) -> Hub {
        self.app.hub.clone()
    }

    /// Works and serves until SIGTERM or Ctrl-C, then takes leave: the job under way gets 10 s to
    /// end, and clients are told to come back.
    ///
    /// # Errors
    ///
    /// What the system says if signals cannot be heard.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cuts off every connection and every job.
    pub async fn run(self) -> std::io::Result<()> {
        let Self { app, watch, .. } = self;
        let mut work = JoinSet::new();
        for worker in 0..app.hub.bounds().workers {
            work.spawn(import::work(app.hub.clone(), worker));
        }
        work.spawn(system::sample(app.hub.clone(), app.gateway.clone(), watch));
        let gateway = app.gateway.clone();
        let routes: Router = api::router(app)
            .merge(progress_axum::router_with(gateway.clone()))
            .layer(from_fn_with_state(gateway.clone(), own_pages));
        let serve = Serve::new(gateway)
            .work_ends_in(WORK_ENDS_IN)
            .drain(CLIENTS_GO_OVER)
            .deadline(CLIENTS_GO_IN);
        progress_axum::serve(self.listener, routes, serve).await?;
        Ok(())
    }
}

/// Nothing is for pages of elsewhere: where everybody may everything, a browser would send what they
/// want to whoever browses.
async fn own_pages(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match gateway.check_page(&parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(error) => error.to_response().map(Body::from),
    }
}

const WORK_ENDS_IN: Duration = Duration::from_secs(10);
const CLIENTS_GO_IN: Duration = Duration::from_secs(5);
/// Over which they are spread, so that they do not come back all at once.
const CLIENTS_GO_OVER: Duration = Duration::from_secs(2);
