use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::kind::{Guess, guess};
use super::{AnalysisError, ErrorKind, Kind, Step};

/// A file to analyse, and what its sender said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    path: PathBuf,
    name: String,
    content_type: Option<String>,
}

impl Source {
    /// Describes the file at `path`, which its sender called `name`.
    ///
    /// The name is used for its extension and repeated in the result; it is never opened.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, name: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            name: name.into(),
            content_type: None,
        }
    }

    /// Adds the content type that came with the file, such as `image/jpeg`; unknown unless set.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Returns the name that the sender gave the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns where the file lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the leading bytes and says which steps the file will go through.
    ///
    /// # Errors
    ///
    /// Fails with [`ErrorKind::FileReadFailed`] if the file cannot be read.
    pub fn kind(&self) -> Result<Kind, AnalysisError> {
        let guess = self.guess().map_err(|error| {
            AnalysisError::new(ErrorKind::FileReadFailed, Step::Hash).caused_by(error)
        })?;
        Ok(guess.kind())
    }

    pub(super) fn guess(&self) -> io::Result<Guess> {
        let mut head = Vec::with_capacity(HEAD_LEN);
        File::open(&self.path)?
            .take(HEAD_LEN as u64)
            .read_to_end(&mut head)?;
        Ok(guess(&self.name, self.content_type.as_deref(), &head))
    }
}

/// The longest signature, that of BMP with its header size, ends at byte 18.
const HEAD_LEN: usize = 32;
