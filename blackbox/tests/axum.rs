//! The suite on axum.

mod suite;

use std::{future::Future, net::SocketAddr};

use axum::{Router, serve::ListenerExt as _};
use progress_axum::{Gateway, router_with};
use tokio::net::TcpListener;

type Server = blackbox::Server<Axum>;

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
