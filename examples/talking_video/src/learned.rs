//! How long the stages took, kept in a file over restarts, so that the first task after one has the right weights.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use pipeline_gpu::Prior;
use tempfile::NamedTempFile;

/// Reads what was learned. Nothing was if there is no such file; nor if it says nothing that can be read, for it is no more than
/// a better guess.
pub(crate) fn read(file: &Path) -> Prior {
    let read = match fs::File::open(file) {
        Ok(opened) => {
            serde_json::from_reader(io::Read::take(opened, LARGEST)).map_err(io::Error::from)
        }
        Err(error) => Err(error),
    };
    read.unwrap_or_else(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            tracing::warn!(file = %file.display(), %error, "what was learned cannot be read");
        }
        Prior::new()
    })
}

/// Writes what was learned in place of what the file says, whole or not at all.
pub(crate) fn write(file: &Path, learned: &Prior) -> io::Result<()> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut written = NamedTempFile::new_in(folder.unwrap_or_else(|| Path::new(".")))?;
    serde_json::to_writer(&mut written, learned)?;
    written.flush()?;
    written.persist(file)?;
    Ok(())
}

/// Far more than [`Prior::STAGES`] of [`Prior::RUNS`] take.
const LARGEST: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_learned_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prior.json");
        assert_eq!(read(&file).expected("render"), None);
        let mut learned = Prior::new();
        for _ in 0..8 {
            learned.learn("render", Duration::from_secs(3));
        }
        write(&file, &learned).unwrap();
        assert_eq!(read(&file).expected("render"), Some(Duration::from_secs(3)));
        fs::write(&file, "{\"render\": 3").unwrap();
        assert_eq!(read(&file).expected("render"), None);
    }
}
