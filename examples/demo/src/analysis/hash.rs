use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::run::StepFailure;
use super::{Observer, Step};

/// The size and SHA-256 of a file.
pub(super) struct Hashed {
    pub(super) size: u64,
    pub(super) sha256: String,
}

pub(super) fn hash(path: &Path, observer: &mut dyn Observer) -> Result<Hashed, StepFailure> {
    let mut file = File::open(path)?;
    let total = file.metadata()?.len();
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK_LEN];
    let mut size = 0;
    observer.progress(Step::Hash, 0, total);
    loop {
        if observer.is_cancelled() {
            return Err(StepFailure::Cancelled);
        }
        let read = match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        hasher.update(&chunk[..read]);
        size += read as u64;
        // A file that grows meanwhile is hashed to its end, but never reported as over-complete.
        observer.progress(Step::Hash, size.min(total), total);
    }
    Ok(Hashed {
        size,
        sha256: to_hex(&hasher.finalize()),
    })
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A tenth of a millisecond of hashing: large enough to hide the system call, small enough that a
/// cancel is noticed at once.
const CHUNK_LEN: usize = 128 * 1024;
