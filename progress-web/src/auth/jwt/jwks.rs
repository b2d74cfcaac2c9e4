//! Sets of keys as issuers publish them.

use std::fmt;

use jsonwebtoken::jwk::Jwk;
use serde::Deserialize;
use serde_json::Value;

#[cfg(feature = "jwks-url")]
use super::key::Algorithm;
use super::key::{Key, KeyError};

/// A set of keys that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JwksError {
    /// It is larger than it can be.
    TooLarge {
        /// How many bytes it can have.
        limit: usize,
    },
    /// It is no JSON object with an array `keys`.
    Malformed,
    /// It has more keys than it can have.
    TooManyKeys {
        /// How many it can have.
        limit: usize,
    },
    /// None of its keys is for signatures that are known here.
    NoKeys,
    /// One of its keys cannot be used.
    Key(KeyError),
    /// The file cannot be read.
    Unreadable(std::io::ErrorKind),
}

impl fmt::Display for JwksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(f, "the set of keys has more than {limit} bytes"),
            Self::Malformed => f.write_str("this is no JSON object with an array `keys`"),
            Self::TooManyKeys { limit } => write!(f, "the set has more than {limit} keys"),
            Self::NoKeys => f.write_str("the set has no key that tokens can be verified with"),
            Self::Key(_) => f.write_str("a key of the set cannot be used"),
            Self::Unreadable(kind) => write!(f, "the set of keys cannot be read: {kind}"),
        }
    }
}

impl std::error::Error for JwksError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Key(error) => Some(error),
            _ => None,
        }
    }
}

/// Reads a set that was set here: a key that cannot be used is an error.
pub(super) fn strict(text: &[u8]) -> Result<Vec<Key>, JwksError> {
    read(text, |error| Err(JwksError::Key(error)))
}

/// Reads a set that somebody else keeps: a key that cannot be used is left out, for the others are
/// no worse by it.
pub(super) fn lenient(text: &[u8]) -> Result<Vec<Key>, JwksError> {
    read(text, |error| {
        tracing::warn!(%error, "a key of a JWKS is left out");
        Ok(())
    })
}

/// Leaves secrets out: what is published is none.
#[cfg(feature = "jwks-url")]
pub(super) fn published(text: &[u8]) -> Result<Vec<Key>, JwksError> {
    let mut keys = lenient(text)?;
    keys.retain(|key| key.algorithm() != Algorithm::Hs256);
    some(keys)
}

fn read(
    text: &[u8],
    bad: impl Fn(KeyError) -> Result<(), JwksError>,
) -> Result<Vec<Key>, JwksError> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    if text.len() > MOST_BYTES {
        return Err(JwksError::TooLarge { limit: MOST_BYTES });
    }
    let set: Set = serde_json::from_slice(text).map_err(|_| JwksError::Malformed)?;
    if set.keys.len() > MOST_KEYS {
        return Err(JwksError::TooManyKeys { limit: MOST_KEYS });
    }
    let mut keys = Vec::with_capacity(set.keys.len());
    for value in set.keys {
        let key = match serde_json::from_value::<Jwk>(value) {
            Ok(jwk) => Key::from_jwk(&jwk),
            Err(_) => Err(KeyError::Malformed),
        };
        match key {
            Ok(key) => keys.extend(key),
            Err(error) => bad(error)?,
        }
    }
    some(keys)
}

fn some(keys: Vec<Key>) -> Result<Vec<Key>, JwksError> {
    if keys.is_empty() {
        return Err(JwksError::NoKeys);
    }
    Ok(keys)
}

/// The largest set that is read, in bytes.
pub(super) const MOST_BYTES: usize = 1024 * 1024;

/// The most keys of a set, and of all that are set here.
pub(super) const MOST_KEYS: usize = 100;
