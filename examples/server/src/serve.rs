//! What carries the routes.

use axum::Router;
use progress_web::{Gateway, Serve};
use tokio::net::TcpListener;

use crate::{
    bench,
    settings::{Adapter, Settings},
};

/// Serves until Ctrl-C or SIGTERM, and sends the clients to other servers then.
///
/// # Errors
///
/// If signals cannot be heard.
pub(crate) async fn run(
    listener: TcpListener,
    gateway: Gateway,
    settings: &Settings,
) -> anyhow::Result<()> {
    let serve = Serve::new(gateway.clone())
        // Room for requests beside the connections that stay.
        .connections(settings.max_connections.saturating_mul(2))
        .frozen_after(settings.frozen_after)
        .unready_for(settings.unready_for)
        .drain(settings.drain)
        .deadline(settings.drain_deadline);
    let served = match settings.adapter {
        Adapter::Axum => {
            let mut routes = Router::new();
            if settings.bench {
                routes = routes.merge(bench::routes(gateway.tracker().clone()));
            }
            let routes = routes.merge(progress_axum::router_with(gateway));
            progress_axum::serve(listener, routes, serve).await?
        }
        Adapter::Warp => {
            let routes = progress_warp::routes_with(gateway);
            progress_warp::serve(listener, routes, serve).await?
        }
    };
    tracing::info!(?served, "stopped");
    Ok(())
}
