//! Where pictures and archives are: files that go when nobody holds them, within a budget.

use std::{
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tempfile::{NamedTempFile, TempDir, TempPath};
use tokio::io::AsyncWriteExt as _;

use crate::refusal::Refusal;

/// A folder of its own, deleted at the end. A cheap clone.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: TempDir,
    limit: u64,
    used: AtomicU64,
}

/// Bytes of the budget, given back on drop.
#[derive(Debug)]
struct Reserved {
    store: Store,
    bytes: u64,
}

/// A file that is all there.
#[derive(Debug)]
pub(crate) struct Stored {
    path: TempPath,
    reserved: Reserved,
}

/// A file that is being received.
#[derive(Debug)]
pub(crate) struct Incoming {
    file: tokio::fs::File,
    path: TempPath,
    reserved: Reserved,
}

impl Store {
    pub(crate) fn new(limit: u64) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("event-hub-").tempdir()?;
        Ok(Self {
            shared: Arc::new(Shared {
                folder,
                limit,
                used: AtomicU64::new(0),
            }),
        })
    }

    /// Bytes that are held.
    pub(crate) fn used(&self) -> u64 {
        self.shared.used.load(Ordering::Relaxed)
    }

    pub(crate) fn percent(&self) -> f64 {
        self.used() as f64 * 100.0 / self.shared.limit.max(1) as f64
    }

    pub(crate) fn receive(&self) -> Result<Incoming, Refusal> {
        let (file, path) = self.file()?.into_parts();
        Ok(Incoming {
            file: tokio::fs::File::from_std(file),
            path,
            reserved: self.nothing(),
        })
    }

    /// A file for whoever writes it by himself; then [`keep`](Self::keep) it.
    pub(crate) fn file(&self) -> Result<NamedTempFile, Refusal> {
        NamedTempFile::new_in(self.shared.folder.path())
            .map_err(|error| Refusal::internal("a file could not be made", &error))
    }

    pub(crate) fn keep(&self, file: NamedTempFile) -> Result<Stored, Refusal> {
        let path = file.into_temp_path();
        let size = fs::metadata(&path)
            .map_err(|error| Refusal::internal("a file could not be kept", &error))?;
        let mut reserved = self.nothing();
        reserved.take(size.len())?;
        Ok(Stored { path, reserved })
    }

    fn nothing(&self) -> Reserved {
        Reserved {
            store: self.clone(),
            bytes: 0,
        }
    }
}

impl Reserved {
    fn take(&mut self, bytes: u64) -> Result<(), Refusal> {
        let Shared { limit, used, .. } = &*self.store.shared;
        let fits = |used: u64| used.checked_add(bytes).filter(|used| used <= limit);
        used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map_err(|_full| Refusal::full("STORE_FULL", *limit, "there is no room for it"))?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.store
            .shared
            .used
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Incoming {
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.reserved.take(bytes.len() as u64)?;
        let written = self.file.write_all(bytes).await;
        written.map_err(|error| Refusal::internal("a file could not be written", &error))
    }

    pub(crate) async fn finish(mut self) -> Result<Stored, Refusal> {
        let flushed = self.file.flush().await;
        flushed.map_err(|error| Refusal::internal("a file could not be written", &error))?;
        Ok(Stored {
            path: self.path,
            reserved: self.reserved,
        })
    }
}

impl Stored {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.reserved.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_goes_gives_its_room_back() {
        let store = Store::new(10).unwrap();
        let mut first = store.receive().unwrap();
        first.write(b"1234567").await.unwrap();
        let first = first.finish().await.unwrap();
        let mut second = store.receive().unwrap();
        let refused = second.write(b"1234").await.unwrap_err();
        assert_eq!(refused.into_error().code(), "STORE_FULL");
        assert_eq!((first.bytes(), store.used()), (7, 7));
        let path = first.path().to_owned();
        drop(first);
        assert_eq!(store.used(), 0);
        assert!(!path.exists());
        second.write(b"1234").await.unwrap();
    }
}
