//! Serving a router over TCP.

use std::{io, net::SocketAddr};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
};
use progress_web::{Serve, Served};
use tokio::net::TcpListener;
use tower_service::Service as _;

/// Serves an app over TCP until SIGTERM or Ctrl-C, and then comes to a stop that clients are told of:
/// each is sent to another node at a moment of its own, and nothing that is still open then holds the
/// process, which axum's graceful shutdown waits for as long as it likes.
///
/// `gateway` is the gateway whose routes the app has, or a [`Serve`] with bounds and times of your
/// own; its page tells all that is done. Handlers find the peer's address as
/// `ConnectInfo<SocketAddr>`, without `into_make_service_with_connect_info`.
///
/// ```no_run
/// use std::time::Duration;
///
/// use progress_axum::{Gateway, ProgressTracker, Serve, router_with, serve};
/// use tokio::net::TcpListener;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let gateway = Gateway::new(ProgressTracker::new());
/// let app = axum::Router::new().merge(router_with(gateway.clone()));
/// let listener = TcpListener::bind("127.0.0.1:8080").await?;
/// let served = serve(listener, app, Serve::new(gateway).unready_for(Duration::from_secs(5))).await?;
/// println!("{} clients went elsewhere", served.clients);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// What the system says if it cannot listen to signals. Whatever happens later does not end it.
///
/// # Cancel safety
///
/// Dropping the future closes the listener and cuts off every connection.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    gateway: impl Into<Serve>,
) -> io::Result<Served> {
    // Once, and not for every request.
    let app = app.with_state(());
    let answer = move |mut request: Request<_>| {
        if let Some(peer) = request.extensions().get::<SocketAddr>().copied() {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        let answer = app.clone().call(request);
        async move {
            match answer.await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
    };
    gateway.into().run(listener, answer).await
}
