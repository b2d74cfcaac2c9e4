//! What the routes that answer and are done can be set to.

use std::{fmt, str::FromStr, sync::OnceLock};

use bytes::Bytes;
use http::{Uri, uri::Scheme};

use crate::{auth::Origin, builder::GatewayBuilder};

/// Settings of the routes that answer and are done.
#[derive(Debug, Clone)]
pub(crate) struct HttpSettings {
    pub(crate) base_url: Option<BaseUrl>,
    pub(crate) create_on_publish: bool,
    pub(crate) items: usize,
    pub(crate) terse_health: bool,
    /// Of the routes, made when it is first asked for.
    pub(crate) description: OnceLock<Bytes>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            base_url: None,
            create_on_publish: false,
            items: 500_000,
            terse_health: false,
            description: OnceLock::new(),
        }
    }
}

impl GatewayBuilder {
    /// Sets what stands before the prefix in the URLs of answers, for a service behind a proxy
    /// (default nothing: they are root-relative).
    ///
    /// ```
    /// use progress_core::{ProgressTracker, TaskId};
    /// use progress_web::Gateway;
    ///
    /// let gateway = Gateway::builder(ProgressTracker::new())
    ///     .base_url("https://jobs.example.org".parse()?)
    ///     .prefix("/api")
    ///     .build();
    /// let urls = gateway.urls(&"video-42".parse::<TaskId>()?);
    /// assert_eq!(urls.polling_url, "https://jobs.example.org/api/tasks/video-42");
    /// assert_eq!(urls.websocket_url, "wss://jobs.example.org/api/ws/progress/video-42");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn base_url(mut self, url: BaseUrl) -> Self {
        self.settings.http.base_url = Some(url);
        self
    }

    /// Sets whether the first event that is posted to an unknown id starts a shared task (default
    /// no: the answer is 404). Whoever may publish to an id can then make tasks under it.
    pub fn create_on_publish(mut self, create: bool) -> Self {
        self.settings.http.create_on_publish = create;
        self
    }

    /// Sets how many events one request can publish (default 500 000, more than fit into the
    /// default body; at least 1).
    pub fn items(mut self, events: usize) -> Self {
        self.settings.http.items = events.max(1);
        self
    }

    /// Has `GET /health` keep to itself what the broker's last error said (default: it tells), which
    /// may name hosts: for services whose `/health` strangers can reach.
    pub fn terse_health(mut self) -> Self {
        self.settings.http.terse_health = true;
        self
    }
}

/// Scheme, authority and perhaps a path, `http` or `https`, that the URLs of answers begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    http: String,
    socket: String,
}

impl BaseUrl {
    /// With the scheme of HTTP; no slash at the end.
    pub(crate) fn http(&self) -> &str {
        &self.http
    }

    /// Returns the name of the host, without a port; of an IPv6 address in brackets.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        let (_, rest) = self.http.split_once("://")?;
        let authority = rest.split('/').next()?;
        match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(host),
            _ => Some(authority),
        }
    }

    /// Where pages under it are from.
    pub(crate) fn origin(&self) -> Option<Origin> {
        let authority = self.http.split('/').take(3).collect::<Vec<_>>();
        authority.join("/").parse().ok()
    }

    /// With the scheme of WebSockets; no slash at the end.
    pub(crate) fn socket(&self) -> &str {
        &self.socket
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidBaseUrl;

    fn from_str(text: &str) -> Result<Self, InvalidBaseUrl> {
        let uri: Uri = text.parse().map_err(|_| InvalidBaseUrl)?;
        let (Some(scheme), Some(authority), None) = (uri.scheme(), uri.authority(), uri.query())
        else {
            return Err(InvalidBaseUrl);
        };
        let socket = if *scheme == Scheme::HTTP {
            "ws"
        } else if *scheme == Scheme::HTTPS {
            "wss"
        } else {
            return Err(InvalidBaseUrl);
        };
        let rest = format!("{authority}{}", uri.path().trim_end_matches('/'));
        Ok(Self {
            http: format!("{scheme}://{rest}"),
            socket: format!("{socket}://{rest}"),
        })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.http)
    }
}

/// A text is no [`BaseUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidBaseUrl;

impl fmt::Display for InvalidBaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base URL is not of the form http(s)://host[:port][/path]")
    }
}

impl std::error::Error for InvalidBaseUrl {}
