//! Sockets, and what carries the routes over them.

use std::time::Duration;

use axum::{Router, serve::ListenerExt as _};
use progress_web::Gateway;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    bench,
    settings::{Adapter, Settings},
};

/// Serves until the process ends.
///
/// # Errors
///
/// If the listener fails.
pub(crate) async fn run(
    listener: TcpListener,
    gateway: Gateway,
    settings: &Settings,
) -> anyhow::Result<()> {
    match settings.adapter {
        Adapter::Axum => {
            let mut routes = Router::new();
            if settings.bench {
                routes = routes.merge(bench::routes(gateway.tracker().clone()));
            }
            let routes = routes.merge(progress_axum::router_with(gateway));
            axum::serve(listener.tap_io(|socket| prepare(socket)), routes).await?;
        }
        Adapter::Warp => {
            let routes = progress_warp::routes_with(gateway);
            warp::serve(routes).incoming(listener).run().await;
        }
    }
    Ok(())
}

/// A frame goes out at once, and a peer that is gone is noticed, also where only the server sends:
/// an event stream gets a heartbeat every 30 s, which has to be acknowledged in time.
fn prepare(socket: &TcpStream) {
    let options = SockRef::from(socket);
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(30));
    let prepared = options
        .set_tcp_nodelay(true)
        .and_then(|()| options.set_tcp_keepalive(&keepalive));
    #[cfg(target_os = "linux")]
    let prepared = prepared.and_then(|()| options.set_tcp_user_timeout(Some(FROZEN_AFTER)));
    if let Err(error) = prepared {
        tracing::debug!(%error, "socket options not set");
    }
}

/// Data unacknowledged for so long means that the peer is gone.
#[cfg(target_os = "linux")]
const FROZEN_AFTER: Duration = Duration::from_secs(50);
