//! The suite on axum.

mod suite;

use std::{future::Future, io, net::SocketAddr};

use axum::{Router, serve::ListenerExt as _};
use blackbox::Serves;
use progress_axum::{Gateway, Serve, Served, router_with};
use tokio::net::TcpListener;

type Server = blackbox::Server<Axum>;
type Running = blackbox::Running<Axum>;

struct Axum;

impl blackbox::Adapter for Axum {
    fn serve(
        listener: TcpListener,
        gateway: Gateway,
        prefix: &'static str,
    ) -> impl Future<Output = ()> + Send + 'static {
        let routes = router_with(gateway);
        let app = match prefix {
            "" => routes,
            prefix => Router::new().nest(prefix, routes),
        };
        let listener = listener.tap_io(|connection| connection.set_nodelay(true).unwrap());
        async {
            let service = app.into_make_service_with_connect_info::<SocketAddr>();
            axum::serve(listener, service).await.unwrap()
        }
    }
}

impl Serves for Axum {
    fn until_stopped(
        listener: TcpListener,
        gateway: Gateway,
        serve: Serve,
    ) -> impl Future<Output = io::Result<Served>> + Send + 'static {
        progress_axum::serve(listener, router_with(gateway), serve)
    }
}
