//! Whose request it is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::{HeaderMap, request::Parts};

use super::{
    forwarded::{ForwardedHeader, Hop},
    network::Network,
};
use crate::gateway::Gateway;

/// The hops whose word counts, and where they give it.
#[derive(Debug, Clone)]
pub(crate) struct TrustedProxies {
    pub(super) networks: Box<[Network]>,
    pub(super) header: ForwardedHeader,
}

/// Whose request it is; goes with the request from the first look at it on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Client {
    /// None where the server does not know its peers.
    pub(crate) address: Option<IpAddr>,
    /// What it is counted as; none if its address is not counted.
    pub(crate) key: Option<AddressKey>,
}

/// An address as limits count it: whoever has one of IPv6 has all of its network of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AddressKey {
    V4(Ipv4Addr),
    V6(u64),
}

impl Gateway {
    /// Returns the address of a request's client: that of the peer, unless that is a
    /// [trusted proxy](crate::GatewayBuilder::trusted_proxies); then the nearest one that such
    /// proxies name and that is none of them. `None` where the peer is not known: it is the
    /// `SocketAddr` in the request's extensions, which the adapters put there.
    ///
    /// An address of IPv4 never comes as one of IPv6 (`::ffff:192.0.2.7`).
    ///
    /// ```
    /// use std::net::{IpAddr, SocketAddr};
    ///
    /// use http::Request;
    /// use progress_web::{ForwardedHeader, Gateway};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let tracker = progress_core::ProgressTracker::new();
    /// let gateway = Gateway::builder(tracker)
    ///     .trusted_proxies(["10.0.0.0/8".parse()?], ForwardedHeader::XForwardedFor)
    ///     .build();
    /// let request = Request::get("/tasks")
    ///     .extension("10.0.0.2:40000".parse::<SocketAddr>()?)
    ///     .header("x-forwarded-for", "198.51.100.1, 203.0.113.7, 10.0.0.9");
    /// let (request, ()) = request.body(())?.into_parts();
    /// let client: IpAddr = "203.0.113.7".parse()?;
    /// assert_eq!(gateway.client_address(&request), Some(client));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn client_address(&self, request: &Parts) -> Option<IpAddr> {
        self.client(request).address
    }

    /// As it was found when the request came, or as it is found now.
    pub(crate) fn client(&self, request: &Parts) -> Client {
        let known = request.extensions.get::<Client>();
        known
            .copied()
            .unwrap_or_else(|| Client::of(request, self.limits().proxies()).0)
    }
}

impl Client {
    /// Finds out whose request it is, and whether a trusted proxy's header was malformed.
    pub(super) fn of(request: &Parts, proxies: Option<&TrustedProxies>) -> (Self, bool) {
        let Some(peer) = request.extensions.get::<SocketAddr>() else {
            return (Self::default(), false);
        };
        let peer = peer.ip().to_canonical();
        let (address, malformed) = match proxies {
            Some(proxies) => proxies.client_behind(peer, &request.headers),
            None => (peer, false),
        };
        let client = Self {
            address: Some(address),
            key: AddressKey::counted(address, proxies),
        };
        (client, malformed)
    }
}

impl TrustedProxies {
    /// The nearest address that is not trusted; where the proxies' word ends, the last of them.
    fn client_behind(&self, peer: IpAddr, headers: &HeaderMap) -> (IpAddr, bool) {
        let is_trusted = |address| self.trusts(address);
        let mut nearest = peer;
        if !is_trusted(peer) {
            return (peer, false);
        }
        for hop in self.header.hops(headers) {
            match hop {
                Hop::Address(address) if is_trusted(address) => nearest = address,
                Hop::Address(address) => return (address, false),
                Hop::Hidden => break,
                Hop::Malformed => return (nearest, true),
            }
        }
        (nearest, false)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let mut networks = self.networks.iter();
        networks.any(|network| network.contains(address))
    }
}

impl AddressKey {
    /// What a connection of TCP is counted as: none if its peer is not counted, or is a trusted
    /// proxy, whose connections are those of many.
    #[cfg(feature = "serve")]
    pub(super) fn of_peer(peer: SocketAddr, proxies: Option<&TrustedProxies>) -> Option<Self> {
        let peer = peer.ip().to_canonical();
        let is_trusted = proxies.is_some_and(|proxies| proxies.trusts(peer));
        Self::counted(peer, proxies).filter(|_| !is_trusted)
    }

    /// None if the address is not counted: without a trusted proxy a private one may well be that
    /// of a proxy that is not told of here, and all its clients would be one.
    fn counted(address: IpAddr, proxies: Option<&TrustedProxies>) -> Option<Self> {
        (proxies.is_some() || !is_private(address)).then(|| Self::of(address))
    }

    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_loopback() || address.is_private() || address.is_link_local()
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}
