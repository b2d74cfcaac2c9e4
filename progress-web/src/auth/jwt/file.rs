//! Keys of a JWKS file.

use std::{fs::File, io::Read, path::PathBuf, time::Duration};

use async_trait::async_trait;
use tokio::task::spawn_blocking;

use super::{
    jwks::{self, JwksError},
    key::Key,
    source::{Fetch, Pace, Source},
};

/// A JWKS file.
#[derive(Debug, Clone)]
struct JwksFile {
    path: PathBuf,
}

/// Reads the file, which has to be there, and makes it a source.
pub(super) fn open(path: PathBuf, kept: Duration) -> Result<Source, JwksError> {
    let file = JwksFile { path };
    let keys = file.read()?;
    let pace = Pace {
        fresh: FRESH,
        kept: kept.max(FRESH),
        every: Duration::from_secs(1),
        retry: Duration::from_secs(1),
    };
    Ok(Source::with(keys, file, pace))
}

impl JwksFile {
    fn read(&self) -> Result<Vec<Key>, JwksError> {
        let mut text = Vec::new();
        File::open(&self.path)
            .and_then(|file| {
                let limit = jwks::MOST_BYTES as u64 + 1;
                file.take(limit).read_to_end(&mut text)
            })
            .map_err(|error| JwksError::Unreadable(error.kind()))?;
        jwks::lenient(&text)
    }
}

#[async_trait]
impl Fetch for JwksFile {
    async fn fetch(&self) -> Result<Vec<Key>, String> {
        let file = self.clone();
        match spawn_blocking(move || file.read()).await {
            Ok(read) => read.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// For how long a file counts as unchanged. It is small and near: reading it is cheaper than all
/// the ways to be told of a change, and sees those that they miss.
const FRESH: Duration = Duration::from_secs(5);
