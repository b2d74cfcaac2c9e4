//! The suite on warp.

mod suite;

use std::{future::Future, io};

use blackbox::Serves;
use progress_warp::{Gateway, Serve, Served, routes_with};
use tokio::net::TcpListener;
use warp::Filter as _;

type Server = blackbox::Server<Warp>;
type Running = blackbox::Running<Warp>;

struct Warp;

impl blackbox::Adapter for Warp {
    fn serve(
        listener: TcpListener,
        gateway: Gateway,
        prefix: &'static str,
    ) -> impl Future<Output = ()> + Send + 'static {
        let segments = prefix.split('/').filter(|segment| !segment.is_empty());
        let routes = segments
            .rev()
            .fold(routes_with(gateway), |routes, segment| {
                warp::path(segment).and(routes).boxed()
            });
        warp::serve(routes).incoming(listener).run()
    }
}

impl Serves for Warp {
    fn until_stopped(
        listener: TcpListener,
        gateway: Gateway,
        serve: Serve,
    ) -> impl Future<Output = io::Result<Served>> + Send + 'static {
        progress_warp::serve(listener, routes_with(gateway), serve)
    }
}
