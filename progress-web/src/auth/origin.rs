//! From which pages browsers may come.
//!
//! A browser sends cookies along with a WebSocket's handshake whichever page opens it, and asks no
//! permission first as it does for other requests: the server has to look at `Origin` itself.

use std::{fmt, str::FromStr};

use http::{HeaderMap, Uri, header, request::Parts, uri::Authority};

use crate::error::{ApiError, Code};

/// The pages that may open WebSockets, and whose requests count with the user's cookies, besides the
/// server's own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins(Vec<Origin>);

/// Where a page is from: scheme, host and port, as browsers send it, such as
/// `https://app.example.org`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(Place);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Any,
    One {
        scheme: String,
        host: String,
        port: Option<u16>,
    },
}

impl Origin {
    /// Any page of anybody: for services whose answers are for all, and which know nobody by a
    /// cookie.
    #[must_use]
    pub fn any() -> Self {
        Self(Place::Any)
    }

    /// Whether it is that of the server that was asked under this name.
    fn is_of(&self, host: &str) -> bool {
        let (Ok(asked), Place::One { scheme, host, port }) = (host.parse::<Authority>(), &self.0)
        else {
            return false;
        };
        // Without a port it is the one usual for how the page was got: a proxy may have ended TLS.
        let asked_port = asked.port_u16().or_else(|| usual_port(scheme));
        asked.host().eq_ignore_ascii_case(host) && asked_port == *port
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let uri: Uri = text.parse().map_err(|_| InvalidOrigin)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(InvalidOrigin);
        };
        // A path, or a user: no origin.
        if uri.path() != "/" || text.ends_with('/') || uri.query().is_some() || text.contains('@') {
            return Err(InvalidOrigin);
        }
        let scheme = scheme.to_ascii_lowercase();
        Ok(Self(Place::One {
            port: authority.port_u16().or_else(|| usual_port(&scheme)),
            host: authority.host().to_ascii_lowercase(),
            scheme,
        }))
    }
}

/// A text is no [`Origin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidOrigin;

impl fmt::Display for InvalidOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an origin is of the form scheme://host[:port]")
    }
}

impl std::error::Error for InvalidOrigin {}

fn usual_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

impl Origins {
    pub(crate) fn add(&mut self, origin: Origin) {
        self.0.push(origin);
    }

    /// Whether a request comes from a page that may: also if it comes from none, as those of other
    /// programs do.
    pub(crate) fn check(&self, request: &Parts) -> Result<(), ApiError> {
        if self.allows(request) {
            return Ok(());
        }
        tracing::debug!(origin = ?request.headers.get(header::ORIGIN), "a page of elsewhere was refused");
        let message = "pages of this origin may not open connections or change anything here";
        let error = ApiError::new(Code::OriginNotAllowed, message).field("origin");
        Err(error.solution("Allow the page's origin with GatewayBuilder::origin"))
    }

    pub(crate) fn allows(&self, request: &Parts) -> bool {
        let mut origins = request.headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else {
            return !is_cross_site(&request.headers);
        };
        if self.0.contains(&Origin::any()) {
            return true;
        }
        let origin = origin.to_str().ok().and_then(|origin| origin.parse().ok());
        let (Some(origin), None): (Option<Origin>, _) = (origin, origins.next()) else {
            return false;
        };
        let asked = request.headers.get(header::HOST);
        let host = match (asked, request.uri.authority()) {
            (Some(host), _) => host.to_str().ok(),
            (None, authority) => authority.map(Authority::as_str),
        };
        host.is_some_and(|host| origin.is_of(host)) || self.0.contains(&origin)
    }
}

/// What browsers say where they send no origin, such as of an image's request.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    site.is_some_and(|site| matches!(site.as_bytes(), b"cross-site" | b"same-site"))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn allows(origins: &Origins, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::get("/ws");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        origins.allows(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_page_of_the_server_itself_may_and_others_may_not() {
        let own = Origins::default();
        let from = |origin, host| allows(&own, &[("origin", origin), ("host", host)]);
        assert!(from("http://jobs.example:8090", "jobs.example:8090"));
        assert!(from("https://jobs.example", "jobs.example"));
        assert!(from("https://JOBS.example", "jobs.example:443"));
        assert!(from("http://[::1]:8090", "[::1]:8090"));
        for (origin, host) in [
            ("http://evil.example", "jobs.example"),
            ("http://jobs.example.evil.example", "jobs.example"),
            ("http://jobs.example:81", "jobs.example"),
            ("https://jobs.example", "jobs.example:80"),
            ("http://jobs.example@evil.example", "jobs.example"),
            ("http://jobs.example/path", "jobs.example"),
            ("null", "jobs.example"),
            ("", "jobs.example"),
            ("jobs.example", "jobs.example"),
            ("http://jobs.example", ""),
        ] {
            assert!(!from(origin, host), "{origin} {host}");
        }
        // Twice is one too many, also if one of them may.
        let twice = [
            ("host", "a"),
            ("origin", "http://a"),
            ("origin", "http://b"),
        ];
        assert!(!allows(&own, &twice));
    }

    #[test]
    fn who_is_no_browser_says_nothing_and_may() {
        let own = Origins::default();
        assert!(allows(&own, &[("host", "a")]));
        assert!(allows(
            &own,
            &[("host", "a"), ("sec-fetch-site", "same-origin")]
        ));
        assert!(!allows(
            &own,
            &[("host", "a"), ("sec-fetch-site", "cross-site")]
        ));
    }

    #[test]
    fn others_may_when_they_are_named() {
        let mut origins = Origins::default();
        origins.add("https://app.example".parse().unwrap());
        for none in [
            "",
            "app.example",
            "https://",
            "https://a.example/x",
            "https://a.example/",
        ] {
            assert_eq!(none.parse::<Origin>(), Err(InvalidOrigin), "{none}");
        }
        let from = |origin| allows(&origins, &[("origin", origin), ("host", "jobs.example")]);
        assert!(from("https://app.example"));
        assert!(from("https://app.example:443"));
        assert!(!from("http://app.example"));
        assert!(!from("https://b.example"));
        let mut any = Origins::default();
        any.add(Origin::any());
        assert!(allows(&any, &[("origin", "null"), ("host", "a")]));
    }
}
