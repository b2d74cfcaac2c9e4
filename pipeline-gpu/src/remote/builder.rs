//! How a renderer is reached, and how patient one is with it.

use std::{env, fmt, sync::Arc, time::Duration};

use reqwest::{Client, Url, redirect::Policy};

use super::{
    error::RemoteError,
    key::ApiKey,
    link::shown,
    reach::{Reach, is_loopback},
    renderer::Renderer,
};

/// Makes a [`Renderer`].
#[derive(Clone)]
#[must_use]
pub struct RendererBuilder {
    base: String,
    key: ApiKey,
    settings: Settings,
}

/// All that is not an address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) connect_timeout: Duration,
    pub(super) request_timeout: Duration,
    pub(super) job_timeout: Duration,
    pub(super) attempts: usize,
    pub(super) first_delay: Duration,
    pub(super) longest_delay: Duration,
    pub(super) first_poll: Duration,
    pub(super) longest_poll: Duration,
    pub(super) max_retry_after: Duration,
    pub(super) max_upload: usize,
    pub(super) max_result: u64,
    pub(super) nearby: bool,
}

impl RendererBuilder {
    pub(super) fn new(base: String, key: ApiKey) -> Self {
        Self {
            base,
            key,
            settings: Settings {
                connect_timeout: Duration::from_secs(10),
                request_timeout: Duration::from_secs(60),
                job_timeout: Duration::from_secs(600),
                attempts: 5,
                first_delay: Duration::from_millis(500),
                longest_delay: Duration::from_secs(10),
                first_poll: Duration::from_secs(1),
                longest_poll: Duration::from_secs(10),
                max_retry_after: Duration::from_secs(60),
                max_upload: 64 << 20,
                max_result: 1 << 30,
                nearby: false,
            },
        }
    }

    /// Sets how long a connection may take. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// Sets how long one request and its answer may take, and how long a download may stand still.
    /// Default: 60 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.settings.request_timeout = timeout;
        self
    }

    /// Sets how long a job may take, from its submission to its end, and how long its download.
    /// Default: 10 minutes.
    pub fn job_timeout(mut self, timeout: Duration) -> Self {
        self.settings.job_timeout = timeout;
        self
    }

    /// Sets how often one request is made at most. Default: 5.
    pub fn attempts(mut self, attempts: usize) -> Self {
        self.settings.attempts = attempts;
        self
    }

    /// Sets the delay after the first failed attempt, which doubles from one to the next, and the
    /// longest. Default: 500 ms, 10 s. Up to as much again is added by chance.
    pub fn delays(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.first_delay = first;
        self.settings.longest_delay = longest;
        self
    }

    /// Sets the time before a job is first asked for, which grows by half from one time to the next,
    /// and the longest. Default: 1 s, 10 s.
    pub fn polls(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.first_poll = first;
        self.settings.longest_poll = longest;
        self
    }

    /// Sets how long `Retry-After` is waited for at most; where it asks for more, the error of a request
    /// comes at once, and a job that is waited on is asked for after this time. Default: 60 s.
    pub fn max_retry_after(mut self, max: Duration) -> Self {
        self.settings.max_retry_after = max;
        self
    }

    /// Sets the most bytes of one upload. Default: 64 MiB.
    pub fn max_upload(mut self, bytes: usize) -> Self {
        self.settings.max_upload = bytes;
        self
    }

    /// Sets the most bytes of a result. Default: 1 GiB.
    pub fn max_result(mut self, bytes: u64) -> Self {
        self.settings.max_result = bytes;
        self
    }

    /// Sets whether results may lie in the networks of this machine: at private and link-local
    /// addresses, and its own. Default: only at the base URL's host, and wherever they like where the
    /// base URL has such an address itself.
    pub fn results_nearby(mut self, nearby: bool) -> Self {
        self.settings.nearby = nearby;
        self
    }

    /// Makes the renderer. Nothing is asked of it yet.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Config`] if the base URL is none by https (or by http, on this machine) or has
    /// more than a host and a path; a timeout, the first delay, the first poll or the attempts are 0; or
    /// no client that checks certificates can be made.
    pub fn build(self) -> Result<Renderer, RemoteError> {
        let wrong = |field, expected| RemoteError::Config { field, expected };
        let base = Url::parse(&self.base)
            .ok()
            .filter(|url| url.username().is_empty() && url.password().is_none())
            .filter(|url| url.query().is_none() && url.fragment().is_none())
            .ok_or_else(|| {
                let expected = "a URL without name, password, query and fragment";
                wrong("the base URL", expected)
            })?;
        let is_local = is_loopback(&base);
        if base.scheme() != "https" && !(base.scheme() == "http" && is_local) {
            return Err(wrong("the base URL", "by https, or on this machine"));
        }
        self.settings.check()?;
        let client = || {
            let client = Client::builder()
                .connect_timeout(self.settings.connect_timeout)
                .read_timeout(self.settings.request_timeout)
                .https_only(!is_local)
                .user_agent(concat!("pipeline-gpu/", env!("CARGO_PKG_VERSION")));
            // Nobody else's proxy is asked for what is here.
            if is_local { client.no_proxy() } else { client }
        };
        let made = |client: reqwest::ClientBuilder| {
            let client = client.build();
            client.map_err(|_| wrong("the client", "one that can check certificates"))
        };
        let reach = Reach::of(&base, self.settings.nearby);
        // What refers to a link is the link, signed as it is.
        let mut plain = client().redirect(reach.redirects()).referer(false);
        // A proxy looks names up itself; the only one that is looked up here is its own.
        if !reach.is_anywhere() && !PROXIES.iter().any(|name| env::var_os(name).is_some()) {
            plain = plain.dns_resolver(Arc::new(reach.clone()));
        }
        Ok(Renderer::new(
            base,
            self.key,
            self.settings,
            reach,
            // Whoever redirects an API's call would have the key, or a job made a GET.
            made(client().redirect(Policy::none()))?,
            made(plain)?,
        ))
    }
}

impl fmt::Debug for RendererBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RendererBuilder")
            // It may have what is refused when it is built, as a password.
            .field("base", &shown(&self.base))
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Settings {
    fn check(&self) -> Result<(), RemoteError> {
        for (field, time) in [
            ("connect_timeout", self.connect_timeout),
            ("request_timeout", self.request_timeout),
            ("job_timeout", self.job_timeout),
            ("the first delay", self.first_delay),
            ("the first poll", self.first_poll),
        ] {
            if time.is_zero() {
                return Err(RemoteError::Config {
                    field,
                    expected: "more than no time",
                });
            }
        }
        if self.attempts == 0 {
            return Err(RemoteError::Config {
                field: "attempts",
                expected: "1 at least",
            });
        }
        Ok(())
    }
}

/// What names a proxy to the client.
const PROXIES: [&str; 6] = [
    "ALL_PROXY",
    "all_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
];
