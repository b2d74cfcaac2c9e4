//! The servers that proxies are put before.

use std::net::SocketAddr;

use super::{
    proxy::{Kind, Proxy, Times},
    support::Server,
};

impl Proxy {
    /// Before one server or two.
    pub(crate) async fn before(kind: Kind, servers: &[&Server]) -> Self {
        let nodes: Vec<_> = servers.iter().map(|server| node(server)).collect();
        Self::start(kind, &nodes, Times::AsTheyAre).await
    }
}

/// Where a server is.
pub(crate) fn node(server: &Server) -> SocketAddr {
    server.url["http://".len()..].parse().unwrap()
}
