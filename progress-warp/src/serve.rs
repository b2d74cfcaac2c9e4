//! Serving a filter over TCP.

use std::io;

use http::Request;
use progress_web::{Serve, Served};
use tokio::net::TcpListener;
use tower_service::Service as _;
use warp::{Filter, Reply};

/// Serves a filter over TCP until SIGTERM or Ctrl-C, and then comes to a stop that clients are told
/// of: each is sent to another node at a moment of its own, and nothing that is still open then holds
/// the process, which warp's graceful shutdown waits for as long as it likes.
///
/// `gateway` is the gateway whose routes the filter has, or a [`Serve`] with bounds and times of your
/// own; its page tells all that is done. Filters find the peer's address by
/// `warp::ext::get::<SocketAddr>()`; `warp::addr::remote()` knows only that of warp's own server.
///
/// ```no_run
/// use std::time::Duration;
///
/// use progress_warp::{Gateway, ProgressTracker, Serve, routes_with, serve};
/// use tokio::net::TcpListener;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let gateway = Gateway::new(ProgressTracker::new());
/// let app = routes_with(gateway.clone());
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
pub async fn serve<F>(
    listener: TcpListener,
    filter: F,
    gateway: impl Into<Serve>,
) -> io::Result<Served>
where
    F: Filter + Clone + Send + Sync + 'static,
    F::Extract: Reply,
{
    let service = warp::service(filter);
    let answer = move |request: Request<_>| {
        let answer = service.clone().call(request);
        async move {
            match answer.await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
    };
    gateway.into().run(listener, answer).await
}
