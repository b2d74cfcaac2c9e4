//! Keys of a JWKS on the web.

use std::{fmt, net::IpAddr, time::Duration};

use async_trait::async_trait;
use reqwest::{
    Client, StatusCode, Url,
    redirect::{Attempt, Policy},
};

use super::{
    jwks,
    key::Key,
    source::{Fetch, Pace, Source},
};

/// A URL that keys cannot be fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JwksUrlError {
    /// It is no URL, or has a user's name or password in it.
    Malformed,
    /// It is not `https`.
    NotHttps,
    /// It is not of this machine.
    NotLoopback,
    /// The client cannot be made, as without a way to check certificates.
    Client,
}

impl fmt::Display for JwksUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "this is no URL that keys can be fetched from",
            Self::NotHttps => "keys are fetched by https only",
            Self::NotLoopback => "without https, keys are fetched from this machine only",
            Self::Client => "no client for https can be made",
        })
    }
}

impl std::error::Error for JwksUrlError {}

/// Where a JWKS is on the web.
#[derive(Clone)]
pub(super) enum Place {
    Https(String),
    /// Without https, on this machine.
    Loopback(String),
}

/// Makes a source of it. Nothing is fetched yet.
pub(super) fn open(place: &Place, fresh: Duration, kept: Duration) -> Result<Source, JwksUrlError> {
    let fresh = fresh.max(EVERY);
    let pace = Pace {
        fresh,
        kept: kept.max(fresh),
        every: EVERY,
        retry: Duration::from_secs(5),
    };
    Ok(Source::new(JwksUrl::new(place)?, pace))
}

/// A JWKS on the web. `Debug` shows no query, for some hold keys of an API.
struct JwksUrl {
    url: Url,
    client: Client,
}

impl JwksUrl {
    fn new(place: &Place) -> Result<Self, JwksUrlError> {
        let (Place::Https(text) | Place::Loopback(text)) = place;
        let url = Url::parse(text).map_err(|_| JwksUrlError::Malformed)?;
        let host = url.host_str().ok_or(JwksUrlError::Malformed)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(JwksUrlError::Malformed);
        }
        let client = Client::builder()
            .redirect(Policy::custom(within_host))
            .connect_timeout(Duration::from_secs(3))
            .timeout(Duration::from_secs(5))
            .user_agent(concat!("progress-web/", env!("CARGO_PKG_VERSION")));
        let client = match place {
            Place::Https(_) if url.scheme() == "https" => client.https_only(true),
            Place::Https(_) => return Err(JwksUrlError::NotHttps),
            // Nobody else's proxy is asked for what is here.
            Place::Loopback(_) if is_loopback(host) => client.no_proxy(),
            Place::Loopback(_) => return Err(JwksUrlError::NotLoopback),
        };
        let client = client.build().map_err(|_| JwksUrlError::Client)?;
        Ok(Self { url, client })
    }
}

#[async_trait]
impl Fetch for JwksUrl {
    async fn fetch(&self) -> Result<Vec<Key>, String> {
        let told = |error: reqwest::Error| error.without_url().to_string();
        let request = self.client.get(self.url.clone());
        let mut response = request.send().await.map_err(told)?;
        if response.status() != StatusCode::OK {
            return Err(format!("the answer is {}", response.status().as_u16()));
        }
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(told)? {
            if text.len() + chunk.len() > jwks::MOST_BYTES {
                return Err(format!("there are more than {} bytes", jwks::MOST_BYTES));
            }
            text.extend_from_slice(&chunk);
        }
        jwks::published(&text).map_err(|error| error.to_string())
    }
}

impl fmt::Debug for JwksUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.url.clone();
        url.set_query(None);
        url.set_fragment(None);
        f.debug_tuple("JwksUrl").field(&url.as_str()).finish()
    }
}

/// Follows a few redirects, never to another server: who asks it for keys has trusted this one.
fn within_host(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let is_within = attempt
        .previous()
        .first()
        .is_some_and(|first| first.origin() == attempt.url().origin());
    if is_within && attempt.previous().len() <= 3 {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The least time from one fetch to another.
const EVERY: Duration = Duration::from_secs(30);
