//! Where a model comes from.

use std::{
    borrow::Cow,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::error::OnnxError;

/// A model in the ONNX format: a file, or its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct ModelSource {
    name: String,
    kind: Kind,
}

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    File(PathBuf),
    Bytes(Arc<[u8]>),
}

impl ModelSource {
    /// A file. Weights that the model keeps in files of their own are looked for beside it.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = path.file_stem().unwrap_or_default();
        Self {
            name: name.to_string_lossy().into_owned(),
            kind: Kind::File(path),
        }
    }

    /// The bytes of a file, under a name for people.
    pub fn bytes(name: impl Into<String>, bytes: impl Into<Arc<[u8]>>) -> Self {
        Self {
            name: name.into(),
            kind: Kind::Bytes(bytes.into()),
        }
    }

    /// Returns the name: for a file, that of the file without its ending.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file, if it is one that the runtime can open itself.
    pub(super) fn path(&self) -> Option<&Path> {
        match &self.kind {
            Kind::File(path) => Some(path),
            Kind::Bytes(_) => None,
        }
    }

    /// Looks whether there is anything to load: what the runtime says of a file that is not there,
    /// or empty, does not always tell.
    pub(super) fn check(&self) -> Result<(), OnnxError> {
        let len = match &self.kind {
            Kind::File(path) => {
                let file = fs::File::open(path).and_then(|file| file.metadata());
                let meta = file.map_err(|error| self.missing(&error))?;
                if meta.is_dir() {
                    return Err(self.missing(&io::ErrorKind::IsADirectory.into()));
                }
                meta.len()
            }
            Kind::Bytes(bytes) => bytes.len() as u64,
        };
        if len == 0 {
            return Err(OnnxError::ModelInvalid {
                model: self.name.clone(),
                reason: "it has no bytes".into(),
            });
        }
        Ok(())
    }

    /// The whole model.
    pub(super) fn read(&self) -> Result<Cow<'_, [u8]>, OnnxError> {
        match &self.kind {
            Kind::File(path) => fs::read(path)
                .map(Cow::Owned)
                .map_err(|error| self.missing(&error)),
            Kind::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
        }
    }

    fn missing(&self, error: &io::Error) -> OnnxError {
        let path = self.path().unwrap_or_else(|| Path::new(""));
        OnnxError::ModelMissing {
            model: self.name.clone(),
            reason: format!("{}: {error}", path.display()),
        }
    }
}

impl From<&str> for ModelSource {
    fn from(path: &str) -> Self {
        Self::file(path)
    }
}

impl From<String> for ModelSource {
    fn from(path: String) -> Self {
        Self::file(path)
    }
}

impl From<&Path> for ModelSource {
    fn from(path: &Path) -> Self {
        Self::file(path)
    }
}

impl From<PathBuf> for ModelSource {
    fn from(path: PathBuf) -> Self {
        Self::file(path)
    }
}

impl From<&PathBuf> for ModelSource {
    fn from(path: &PathBuf) -> Self {
        Self::file(path)
    }
}

impl From<Vec<u8>> for ModelSource {
    fn from(bytes: Vec<u8>) -> Self {
        Self::bytes("model", bytes)
    }
}

impl From<&[u8]> for ModelSource {
    fn from(bytes: &[u8]) -> Self {
        Self::bytes("model", bytes)
    }
}

impl fmt::Debug for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ModelSource");
        shown.field("name", &self.name);
        match &self.kind {
            Kind::File(path) => shown.field("path", path).finish(),
            Kind::Bytes(bytes) => shown.field("bytes", &bytes.len()).finish(),
        }
    }
}
