//! Where a renderer's links may lead.

use std::{
    error::Error,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs as _},
};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use tokio::task::spawn_blocking;

/// Where results may lie. A renderer on the web has no business on this machine, nor in its networks.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    host: String,
    is_local: bool,
    is_nearby: bool,
}

impl Reach {
    /// Of a renderer at this URL; `nearby` is whether it is trusted with the networks of this machine.
    pub(super) fn of(base: &Url, nearby: bool) -> Self {
        Self {
            host: host(base).to_owned(),
            is_local: is_loopback(base),
            is_nearby: nearby || is_inside(base),
        }
    }

    /// Whether whatever has a name or an address may be asked.
    pub(super) fn is_anywhere(&self) -> bool {
        self.is_local || self.is_nearby
    }

    /// Whether a result may be fetched there.
    pub(super) fn check(&self, url: &Url) -> Result<(), Astray> {
        if url.scheme() != "https" && !(self.is_local && url.scheme() == "http") {
            return Err(Astray::Scheme);
        }
        if self.is_anywhere() || host(url) == self.host || !is_inside(url) {
            Ok(())
        } else {
            Err(Astray::Inside)
        }
    }

    /// Checks what the first link redirects to as the link itself.
    pub(super) fn redirects(&self) -> Policy {
        let reach = self.clone();
        Policy::custom(move |attempt| match reach.check(attempt.url()) {
            Ok(()) => Policy::limited(5).redirect(attempt),
            Err(astray) => attempt.error(astray),
        })
    }
}

/// A name may be anybody's, and have an address in here.
impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let is_free = self.is_anywhere() || name.as_str().trim_end_matches('.') == self.host;
        Box::pin(async move {
            let found = spawn_blocking(move || (name.as_str(), 0).to_socket_addrs());
            let found: Vec<_> = found
                .await??
                .filter(|found| is_free || is_public(found.ip()))
                .collect();
            if found.is_empty() {
                return Err(Astray::Inside.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// A link that is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Astray {
    Scheme,
    Inside,
}

impl Astray {
    /// What a request failed of, if it is this.
    pub(super) fn of(error: &reqwest::Error) -> Option<Self> {
        let first: &(dyn Error + 'static) = error;
        std::iter::successors(Some(first), |error| (*error).source())
            .find_map(|error| error.downcast_ref().copied())
    }
}

impl fmt::Display for Astray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "the link to the result is none by https",
            Self::Inside => "the link to the result leads to this machine or into its network",
        })
    }
}

impl Error for Astray {}

/// Whether the host is this machine, by name or by address.
pub(super) fn is_loopback(url: &Url) -> bool {
    host(url) == "localhost" || address(url).is_some_and(|address| address.is_loopback())
}

/// Whether the host is surely none on the web.
fn is_inside(url: &Url) -> bool {
    let host = host(url);
    host == "localhost"
        || host.ends_with(".localhost")
        || address(url).is_some_and(|address| !is_public(address))
}

/// The host, without the dot that a name may end with.
fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_end_matches('.')
}

fn address(url: &Url) -> Option<IpAddr> {
    let host = host(url).trim_start_matches('[').trim_end_matches(']');
    host.parse().ok()
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        // This network, and what is multicast, reserved or broadcast.
        || a == 0
        || a >= 224
        // Shared by a provider's customers; for protocols; for benchmarks.
        || (a == 100 && b & 0xC0 == 64)
        || (a, b, c) == (192, 0, 0)
        || (a == 198 && b & 0xFE == 18))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match (a, b, c, d, e, f) {
        // The unspecified address, the loopback's, and an IPv4 address in the old way and mapped.
        (0, 0, 0, 0, 0, 0 | 0xFFFF) => is_public_v4(v4(g, h)),
        // An IPv4 address behind a translator, one of this network's own, and behind a relay.
        (0, 0, 0, 0, 0xFFFF, 0) | (0x64, 0xFF9B, 0, ..) => is_public_v4(v4(g, h)),
        (0x64, 0xFF9B, 1, ..) => false,
        (0x2002, ..) => is_public_v4(v4(b, c)),
        // Unique local addresses; link-local and, formerly, site-local; multicast.
        _ => !(a & 0xFE00 == 0xFC00 || a & 0xFF80 == 0xFE80 || a & 0xFF00 == 0xFF00),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_name_with_an_address_in_here_is_none_for_a_renderer_on_the_web() {
        for (base, nearby, is_found) in [
            ("https://api.example.com", false, false),
            ("https://api.example.com", true, true),
            ("https://10.1.2.3", false, true),
            ("https://localhost", false, true),
        ] {
            let reach = Reach::of(&Url::parse(base).unwrap(), nearby);
            let found = reach.resolve("localhost".parse().unwrap()).await;
            assert_eq!(found.is_ok(), is_found, "{base}");
        }
    }

    #[tokio::test]
    async fn why_a_name_is_not_followed_is_known_of_the_request_that_failed() {
        let reach = Reach::of(&Url::parse("https://api.example.com").unwrap(), false);
        let client = reqwest::Client::builder()
            .no_proxy()
            .dns_resolver(Arc::new(reach));
        let asked = client.build().unwrap().get("https://localhost").send();
        let error = asked.await.unwrap_err();
        assert_eq!(Astray::of(&error), Some(Astray::Inside));
    }
}
