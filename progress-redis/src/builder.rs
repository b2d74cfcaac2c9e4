//! How a transport is made.

use std::{fmt, time::Duration};

use redis::{Client, ConnectionInfo, IntoConnectionInfo, RedisResult};

#[cfg(feature = "tls")]
use {crate::tls::Tls, redis::ConnectionAddr};

use crate::{client::Patience, connection::Server, keys::Keys, transport::RedisTransport};

/// Makes a [`RedisTransport`].
///
/// ```
/// use std::time::Duration;
/// use progress_redis::RedisTransport;
///
/// let transport = RedisTransport::builder("redis://127.0.0.1:6379")
///     .prefix("shop")
///     .retention(Duration::from_secs(600))
///     .build()?;
/// # drop(transport);
/// # Ok::<(), progress_redis::BuildError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct RedisTransportBuilder {
    url: String,
    prefix: String,
    pub(crate) retention: Duration,
    pub(crate) stalled_after: Duration,
    pub(crate) abandoned_after: Duration,
    pub(crate) ingest: Option<String>,
    connect_timeout: Duration,
    answer_timeout: Duration,
    probe_every: Duration,
    #[cfg(feature = "tls")]
    tls: Tls,
}

impl RedisTransportBuilder {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            prefix: "pgs".to_owned(),
            retention: Duration::from_secs(3600),
            stalled_after: Duration::from_secs(600),
            abandoned_after: Duration::from_secs(3600),
            ingest: None,
            connect_timeout: Duration::from_secs(1),
            answer_timeout: Duration::from_secs(2),
            probe_every: Duration::from_secs(1),
            #[cfg(feature = "tls")]
            tls: Tls::default(),
        }
    }

    /// Sets what all keys and channels begin with, followed by a colon (default `pgs`): nodes see each
    /// other if theirs is the same. It is not empty and holds no brace and no space.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets how long a task is kept after its end (default 1 hour).
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// Sets how long a shared task that does not say so itself may be silent before it counts as stalled,
    /// and before it is to be ended (default 10 minutes and 1 hour).
    pub fn silence(mut self, stalled: Duration, abandoned: Duration) -> Self {
        self.stalled_after = stalled;
        self.abandoned_after = abandoned;
        self
    }

    /// Has this node take what others publish with `PUBLISH <channels><task id> <json>`, such as
    /// `progress:video-42` for `progress:` (default: it does not). Of the nodes that do, one at a time
    /// does, and another goes on within some seconds if that one dies. It begins when the transport is
    /// first used. See the README for what can be published so; it comes at most once.
    pub fn ingest(mut self, channels: impl Into<String>) -> Self {
        self.ingest = Some(channels.into());
        self
    }

    /// Sets how long it may take to connect (default 1 s). It is tried again for ever.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long an answer may take (default 2 s). Shorter ones make errors of what Redis would do a
    /// moment later.
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.answer_timeout = timeout;
        self
    }

    /// Sets how often the node publishes something to itself, to see that what is published comes
    /// (default 1 s). Two that do not come end the connection.
    pub fn probe_every(mut self, time: Duration) -> Self {
        self.probe_every = time.max(Duration::from_millis(10));
        self
    }

    /// Believes the servers whose certificates this CA has signed, and no others: one certificate or several,
    /// in PEM. Without it those that the platform believes.
    ///
    /// The name in the URL has to be in the server's certificate.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn ca_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.ca = Some(pem.into());
        self
    }

    /// Shows a certificate to servers that ask for one: it, with those between it and its CA, and its key, in PEM.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn client_certificate(
        mut self,
        certificate_pem: impl Into<Vec<u8>>,
        key_pem: impl Into<Vec<u8>>,
    ) -> Self {
        self.tls.client = Some((certificate_pem.into(), key_pem.into()));
        self
    }

    /// Makes the transport. It connects when it is first used, and Redis need not be there yet.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if the URL, the prefix or a certificate cannot be one, or the URL is one of TLS and the
    /// feature `tls` is off.
    pub fn build(self) -> Result<RedisTransport, BuildError> {
        if self.prefix.is_empty() || self.prefix.contains(['{', '}', ' ']) {
            return Err(BuildError::Prefix);
        }
        if let Some(channels) = &self.ingest
            && (channels.is_empty() || channels.starts_with(&format!("{}:", self.prefix)))
        {
            return Err(BuildError::Ingest);
        }
        let (info, make) = self.client()?;
        let patience = Patience {
            connect: self.connect_timeout,
            answer: self.answer_timeout,
        };
        let server = Server::new(info, patience, make);
        let server = server.map_err(|error| BuildError::Url(error.to_string()))?;
        let keys = Keys::new(&self.prefix);
        Ok(RedisTransport::new(server, keys, self.probe_every, &self))
    }
}

impl RedisTransportBuilder {
    /// Where Redis is, and what makes a client of that.
    fn client(
        &self,
    ) -> Result<
        (
            ConnectionInfo,
            impl FnOnce(ConnectionInfo) -> RedisResult<Client>,
        ),
        BuildError,
    > {
        let is_tls = self.url.split_once(':').is_some_and(|(scheme, _)| {
            let names = ["rediss", "valkeys"];
            names.iter().any(|name| scheme.eq_ignore_ascii_case(name))
        });
        if is_tls && !cfg!(feature = "tls") {
            return Err(BuildError::TlsFeature);
        }
        let info = self.url.as_str().into_connection_info();
        let info = info.map_err(|error| BuildError::Url(error.to_string()))?;
        #[cfg(feature = "tls")]
        {
            if self.tls.is_asked_for() && !is_tls {
                return Err(BuildError::NotTls);
            }
            if matches!(info.addr(), ConnectionAddr::TcpTls { insecure, .. } if *insecure) {
                let error = "a server is not believed without a certificate".to_owned();
                return Err(BuildError::Url(error));
            }
            self.tls.check().map_err(BuildError::Certificate)?;
            let tls = self.tls.clone();
            Ok((info, move |info| tls.client(info)))
        }
        #[cfg(not(feature = "tls"))]
        Ok((info, Client::open))
    }
}

impl fmt::Debug for RedisTransportBuilder {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTransportBuilder")
            .field("prefix", &self.prefix)
            .field("retention", &self.retention)
            .finish_non_exhaustive()
    }
}

/// A transport cannot be made as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The URL is not one of Redis: `redis://user:password@host:port/db`.
    Url(String),
    /// The prefix is empty, or holds a brace or a space.
    Prefix,
    /// The URL is one of TLS, `rediss:`, for which the crate's feature `tls` is needed.
    TlsFeature,
    /// Certificates were given for a URL that is not one of TLS.
    NotTls,
    /// A certificate or a key cannot be one, or they do not belong together.
    Certificate(String),
    /// The channels to take messages from begin with nothing, or are the transport's own.
    Ingest,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => write!(f, "not a URL of Redis: {error}"),
            Self::Prefix => f.write_str("a prefix is not empty and holds no brace and no space"),
            Self::TlsFeature => {
                f.write_str("a URL of TLS needs the feature `tls` of progress-redis")
            }
            Self::NotTls => f.write_str("certificates are for URLs of TLS, rediss:"),
            Self::Certificate(error) => f.write_str(error),
            Self::Ingest => f.write_str("channels of others begin with something else than ours"),
        }
    }
}

impl std::error::Error for BuildError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_url_or_a_prefix_is_refused() {
        let refused = |url: &str, prefix: &str| {
            let transport = RedisTransport::builder(url).prefix(prefix).build();
            transport.expect_err("it cannot be one")
        };
        assert!(matches!(refused("http://a", "p"), BuildError::Url(_)));
        assert_eq!(refused("redis://a", "{p}"), BuildError::Prefix);
        assert_eq!(refused("redis://a", ""), BuildError::Prefix);
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn a_url_of_tls_names_the_feature_that_it_needs() {
        for url in ["rediss://localhost", "REDISS://localhost", "valkeys://a"] {
            let error = RedisTransport::builder(url).build().expect_err("it is off");
            assert_eq!(error, BuildError::TlsFeature);
            assert!(error.to_string().contains("`tls`"), "{error}");
        }
    }
}
