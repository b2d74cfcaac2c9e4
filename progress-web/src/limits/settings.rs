//! What the limits of clients can be set to.

#[cfg(feature = "serve")]
use std::net::SocketAddr;
use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicBool, Ordering},
};

use http::request::Parts;

#[cfg(feature = "serve")]
use super::client::AddressKey;
use super::{
    body::Room,
    client::{Client, TrustedProxies},
    connections::ConnectionLimits,
    forwarded::ForwardedHeader,
    head,
    network::Network,
    rate::Requests,
};
use crate::{
    builder::GatewayBuilder, error::ApiError, gateway::Gateway, metrics::Metrics, routes::Path,
};

/// What the limits of clients were set to.
#[derive(Debug)]
pub(crate) struct LimitSettings {
    proxies: Option<TrustedProxies>,
    per_address: usize,
    per_subject: usize,
    requests: Option<RequestRate>,
    headers: usize,
    uri: usize,
    bodies: usize,
}

/// A burst, then so many a second.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestRate {
    pub(super) burst: NonZeroU32,
    pub(super) per_second: NonZeroU32,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            proxies: None,
            per_address: 100,
            per_subject: 1_000,
            requests: Some(RequestRate::new(1_000, 200)),
            headers: 32 * 1024,
            uri: 8 * 1024,
            bodies: 256 * 1024 * 1024,
        }
    }
}

impl LimitSettings {
    /// How many connections of one address are let in.
    #[cfg(feature = "serve")]
    pub(crate) fn per_address(&self) -> usize {
        self.per_address
    }

    /// With how many connections there can be in all.
    pub(crate) fn connections(&self, all: usize) -> ConnectionLimits {
        ConnectionLimits {
            all,
            address: self.per_address,
            subject: self.per_subject,
        }
    }
}

impl RequestRate {
    fn new(burst: u32, per_second: u32) -> Self {
        let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self {
            burst: at_least_one(burst),
            per_second: at_least_one(per_second),
        }
    }
}

/// What holds clients to the limits of one gateway.
#[derive(Debug)]
pub(crate) struct Limits {
    proxies: Option<TrustedProxies>,
    requests: Option<Requests>,
    headers: usize,
    uri: usize,
    room: Room,
    /// Whether operators were told that peers are not known.
    told: AtomicBool,
}

impl Limits {
    /// Of a gateway whose bodies have to this size each: there is room for one, whatever was set.
    pub(crate) fn new(settings: &LimitSettings, body: usize) -> Self {
        Self {
            proxies: settings.proxies.clone(),
            requests: settings.requests.map(|rate| Requests::new(rate, MOST_KEYS)),
            headers: settings.headers,
            uri: settings.uri,
            room: Room::new(settings.bodies.max(body)),
            told: AtomicBool::new(false),
        }
    }

    /// For the bodies of requests.
    pub(crate) fn room(&self) -> &Room {
        &self.room
    }

    pub(super) fn proxies(&self) -> Option<&TrustedProxies> {
        self.proxies.as_ref()
    }

    /// What a connection of TCP is counted as; none if it is not counted by its peer.
    #[cfg(feature = "serve")]
    pub(crate) fn peer_key(&self, peer: SocketAddr) -> Option<AddressKey> {
        AddressKey::of_peer(peer, self.proxies())
    }

    /// Finds out whose request it is; that goes with the request from here on.
    fn identify(&self, request: &mut Parts, counts: &Metrics) -> Client {
        let (client, malformed) = Client::of(request, self.proxies());
        if malformed {
            counts.limited("forwarded");
            tracing::debug!("a trusted proxy's header is malformed: the proxy counts as client");
        }
        if client.address.is_none() && !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "requests come without the address of their peer: limits by address do not hold"
            );
        }
        request.extensions.insert(client);
        client
    }
}

impl Gateway {
    /// Has a request go on only within the limits of its client and of heads, before anything else
    /// is done for it.
    pub(crate) fn admit(&self, path: Path, request: &mut Parts) -> Result<(), ApiError> {
        let (limits, counts) = (self.limits(), self.counts());
        let client = limits.identify(request, counts);
        // Who looks after the service asks often, and by its address.
        let is_probe = path.as_str().starts_with("/health");
        let refused_as = |what| move |_: &ApiError| counts.limited(what);
        if let (Some(requests), Some(key)) = (&limits.requests, &client.key)
            && !is_probe
        {
            requests.take(key).inspect_err(refused_as("requests"))?;
        }
        if !is_probe {
            self.settings().ladder.hosts.check(request)?;
        }
        head::check_uri(&request.uri, limits.uri).inspect_err(refused_as("uri"))?;
        head::check_headers(&request.headers, limits.headers).inspect_err(refused_as("headers"))
    }
}

impl GatewayBuilder {
    /// Sets how many connections one address can have at a time (default 100): WebSockets, event
    /// streams and polls that are held. One more is refused with `CONNECTION_LIMIT`, 503 or 4029.
    ///
    /// Addresses of IPv6 are counted by their network of 64 bits. Loopback, private and link-local
    /// peers are not counted unless there are [trusted proxies](Self::trusted_proxies), for such a
    /// peer may be a proxy that is not told of here. Where an adapter does not know the peers, none
    /// are counted.
    pub fn sessions_per_address(mut self, sessions: usize) -> Self {
        self.settings.limits.per_address = sessions;
        self
    }

    /// Sets how many connections one [subject](crate::Principal::subject) can have at a time
    /// (default 1 000), over all its addresses. A WebSocket for many topics counts as soon as the
    /// authorizer names its subject.
    pub fn sessions_per_subject(mut self, sessions: usize) -> Self {
        self.settings.limits.per_subject = sessions;
        self
    }

    /// Sets how many requests one address may make at once, and then per second (default 1 000,
    /// then 200; each at least 1). One more is refused with `RATE_LIMITED`, 429, before the
    /// authorizer is asked; `Retry-After` says when there is room again.
    ///
    /// Who is counted is as with [`sessions_per_address`](Self::sessions_per_address). `/health` is
    /// not counted. To 100 000 addresses are told apart at a time; those beyond share one rate.
    pub fn request_rate(mut self, burst: u32, per_second: u32) -> Self {
        self.settings.limits.requests = Some(RequestRate::new(burst, per_second));
        self
    }

    /// Has requests not be counted, such as where a proxy does that.
    pub fn unlimited_requests(mut self) -> Self {
        self.settings.limits.requests = None;
        self
    }

    /// Sets how many bytes a request's headers may have in all (default 32 KiB): with more it is
    /// answered 431. Servers have bounds of their own below which this has to lie.
    pub fn headers(mut self, bytes: usize) -> Self {
        self.settings.limits.headers = bytes;
        self
    }

    /// Sets how many bytes a request's path and query may have (default 8 KiB): with more it is
    /// answered 414.
    pub fn uri(mut self, bytes: usize) -> Self {
        self.settings.limits.uri = bytes;
        self
    }

    /// Sets how many bytes of requests' bodies are held at a time, in all (default 256 MiB, and at
    /// least one [body](Self::body)). They count as they arrive, until the request is answered; who
    /// brings one more is refused with `CONNECTION_LIMIT`, 503, to try again in 1 s. Putting a
    /// body's pieces together can take twice as much for a moment.
    pub fn bodies(mut self, bytes: usize) -> Self {
        self.settings.limits.bodies = bytes;
        self
    }

    /// Sets the proxies whose word counts of whom they speak for (default none), and the one header
    /// in which they give it; any other such header is ignored.
    ///
    /// From the peer on that header is read from its right end, as long as it names proxies of these
    /// networks: the first other address is the [client's](Gateway::client_address). Where it
    /// breaks off, is malformed or hides the address, the last of the proxies counts as client. To
    /// 64 hops and 4 KiB are read. With proxies all clients are counted, private ones too.
    ///
    /// Trust only what overwrites or appends to that header: what passes it on as it is has every
    /// client choose its address. The PROXY protocol is for the server in front to speak.
    pub fn trusted_proxies(
        mut self,
        networks: impl IntoIterator<Item = Network>,
        header: ForwardedHeader,
    ) -> Self {
        let networks: Box<[_]> = networks.into_iter().collect();
        let proxies = TrustedProxies { networks, header };
        self.settings.limits.proxies = (!proxies.networks.is_empty()).then_some(proxies);
        self
    }
}

/// Addresses whose requests are told apart at a time, about 5 MiB.
const MOST_KEYS: usize = 100_000;
