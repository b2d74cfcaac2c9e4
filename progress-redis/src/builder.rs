//! How a transport is made.

use std::{fmt, time::Duration};

use crate::{connection::Server, keys::Keys, transport::RedisTransport};

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
        }
    }

    /// Sets what all keys and channels begin with, followed by a colon (default `pgs`): nodes see each
    /// other if theirs is the same. No braces may be in it.
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

    /// Makes the transport. It connects when it is first used, and Redis need not be there yet.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if the URL or the prefix cannot be one.
    pub fn build(self) -> Result<RedisTransport, BuildError> {
        if self.prefix.is_empty() || self.prefix.contains(['{', '}', ' ']) {
            return Err(BuildError::Prefix);
        }
        if let Some(channels) = &self.ingest
            && (channels.is_empty() || channels.starts_with(&format!("{}:", self.prefix)))
        {
            return Err(BuildError::Ingest);
        }
        let server = Server::new(&self.url, self.connect_timeout, self.answer_timeout);
        let server = server.map_err(|error| BuildError::Url(error.to_string()))?;
        let keys = Keys::new(&self.prefix);
        Ok(RedisTransport::new(server, keys, self.probe_every, &self))
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
    /// The channels to take messages from begin with nothing, or are the transport's own.
    Ingest,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => write!(f, "not a URL of Redis: {error}"),
            Self::Prefix => f.write_str("a prefix is not empty and holds no brace and no space"),
            Self::Ingest => f.write_str("channels of others begin with something else than ours"),
        }
    }
}

impl std::error::Error for BuildError {}
