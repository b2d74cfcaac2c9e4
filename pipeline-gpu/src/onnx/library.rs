//! The one library of ONNX Runtime that a process uses: where it is looked for, and what was found.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use ort::{environment::Environment, logging::LogLevel};

#[cfg(feature = "onnx")]
use super::search::load;
use crate::sync::Mutex;

/// The runtime of this process, once it was started.
static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// The runtime, and the library that it is.
#[derive(Debug)]
pub(super) struct Runtime {
    pub(super) environment: Environment,
    library: Library,
}

/// The library of ONNX Runtime that this process uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    origin: Origin,
    path: PathBuf,
    build: String,
}

impl Library {
    /// Returns the library in use; none before the first model was loaded.
    #[must_use]
    pub fn in_use() -> Option<&'static Self> {
        RUNTIME.get().map(|runtime| &runtime.library)
    }

    /// Returns how it was found.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Returns its file, or the name under which the system found it; empty where it is part of the
    /// program.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what the library says of how it was built.
    #[must_use]
    pub fn build(&self) -> &str {
        &self.build
    }
}

/// Where a library was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// The path in the [options](super::ModelBuilder::library) of the model.
    Configured,
    /// The path in the variable `ORT_DYLIB_PATH`.
    Environment,
    /// The folder of the program, or `lib` in it or beside it.
    Beside,
    /// The places where the system looks for libraries.
    System,
    /// The program itself, which was linked with it.
    Linked,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configured => "configured",
            Self::Environment => "ORT_DYLIB_PATH",
            Self::Beside => "beside the program",
            Self::System => "system",
            Self::Linked => "linked",
        })
    }
}

/// Set, the runtime neither tells anything to its makers nor notes an id for that. It is read when
/// the runtime is started, and a library cannot set it: in a process that has threads that is not
/// safe.
const SILENCE: &str = "ORT_DISABLE_TELEMETRY";

/// A place where no library was found that can be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tried {
    /// The kind of place.
    pub origin: Origin,
    /// The file or name that was tried; none if there was nothing to try.
    pub path: Option<PathBuf>,
    /// Why it is not used.
    pub reason: String,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}, {}: {}", self.origin, path.display(), self.reason),
            None => write!(f, "{}: {}", self.origin, self.reason),
        }
    }
}

/// Why there is no runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LibraryError {
    /// There is no library in any of the places.
    Missing {
        /// Every place, in the order in which they were tried.
        tried: Vec<Tried>,
    },
    /// The only libraries found are older than what this crate speaks to.
    TooOld {
        /// The version of the first.
        found: String,
        /// The least version that will do, such as `1.24`.
        needed: String,
        /// Every place, in the order in which they were tried.
        tried: Vec<Tried>,
    },
    /// The process uses another library already, and can use only one.
    Conflict {
        /// The one in use.
        used: PathBuf,
        /// The one that was asked for.
        asked: PathBuf,
    },
    /// The library was found and did not start.
    Unusable {
        /// The library.
        path: PathBuf,
        /// What it says.
        reason: String,
    },
}

impl fmt::Display for LibraryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tried = match self {
            Self::Missing { tried } => {
                f.write_str("no library of ONNX Runtime was found")?;
                tried
            }
            Self::TooOld {
                found,
                needed,
                tried,
            } => {
                write!(
                    f,
                    "ONNX Runtime {found} is too old, {needed} or later is needed"
                )?;
                tried
            }
            Self::Conflict { used, asked } => {
                let (used, asked) = (used.display(), asked.display());
                return write!(
                    f,
                    "this process uses {used} already, and cannot use {asked} too"
                );
            }
            Self::Unusable { path, reason } => {
                return write!(f, "{} did not start: {reason}", path.display());
            }
        };
        tried.iter().try_for_each(|place| write!(f, "; {place}"))
    }
}

impl std::error::Error for LibraryError {}

/// Starts the runtime, or returns the one that was started.
pub(super) fn runtime(configured: Option<&Path>) -> Result<&'static Runtime, LibraryError> {
    /// The library that was loaded, which cannot be exchanged even if the runtime did not start.
    static LOADED: Mutex<Option<(Origin, PathBuf)>> = Mutex::new(None);

    // Held while the library is looked for: of two models that are loaded at once, one looks.
    let mut loaded = LOADED.lock();
    let (origin, path) = match &*loaded {
        Some((origin, used)) => {
            if let Some(asked) = configured.filter(|asked| !is_it(asked, used)) {
                return Err(LibraryError::Conflict {
                    used: used.clone(),
                    asked: asked.to_owned(),
                });
            }
            (*origin, used.clone())
        }
        None => loaded.insert(load(configured)?).clone(),
    };
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    if !std::env::var(SILENCE).is_ok_and(|value| !["", "0", "false"].contains(&&*value)) {
        tracing::warn!(
            "ONNX Runtime as Microsoft builds it, from 1.29 on, tells Microsoft that it was started; \
             {SILENCE}=1 in the environment of the process keeps it from that"
        );
    }
    let environment = ort::init()
        .with_name(env!("CARGO_PKG_NAME"))
        // What it tells of models and runs; that it was started it tells before this is heard.
        .with_telemetry(false)
        .build()
        .map_err(|error| LibraryError::Unusable {
            path: path.clone(),
            reason: error.message().to_owned(),
        })?;
    environment.set_log_level(heard());
    let library = Library {
        origin,
        path,
        build: ort::info().to_owned(),
    };
    tracing::info!(%origin, path = %library.path.display(), build = library.build, "ONNX Runtime started");
    Ok(RUNTIME.get_or_init(|| Runtime {
        environment,
        library,
    }))
}

/// The least level at which somebody listens to what the runtime logs through `tracing`: what
/// nobody hears it need not say. Asked once, so it is that of the subscriber that is there when the
/// first model is loaded.
fn heard() -> LogLevel {
    if tracing::enabled!(target: "ort::logging", tracing::Level::TRACE) {
        LogLevel::Verbose
    } else if tracing::enabled!(target: "ort::logging", tracing::Level::INFO) {
        LogLevel::Info
    } else {
        LogLevel::Warning
    }
}

/// There is nothing to look for: the program was linked with it.
#[cfg(not(feature = "onnx"))]
fn load(_configured: Option<&Path>) -> Result<(Origin, PathBuf), LibraryError> {
    Ok((Origin::Linked, PathBuf::new()))
}

/// Whether the library that is used is the one asked for, or one in the folder asked for.
fn is_it(asked: &Path, used: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder_of = |path: &Path| path.parent().map(real);
    let asked_real = real(asked);
    if asked.is_dir() {
        // Where it was found, or where the link leads that was found there.
        return [folder_of(used), folder_of(&real(used))].contains(&Some(asked_real));
    }
    asked_real == real(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_library_that_a_folder_links_to_is_of_both_folders() {
        let root = tempfile::tempdir().unwrap();
        let (links, store) = (root.path().join("lib"), root.path().join("store"));
        for folder in [&links, &store] {
            std::fs::create_dir(folder).unwrap();
        }
        let (link, file) = (
            links.join("libonnxruntime.so"),
            store.join("libonnxruntime.so.1"),
        );
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for asked in [&links, &store, &link, &file] {
            assert!(is_it(asked, &link), "{}", asked.display());
        }
        assert!(is_it(&store, &file));
        assert!(!is_it(root.path(), &link));
    }

    #[test]
    fn every_place_is_listed_with_its_reason() {
        let error = LibraryError::Missing {
            tried: vec![
                Tried {
                    origin: Origin::Environment,
                    path: None,
                    reason: "it is not set".into(),
                },
                Tried {
                    origin: Origin::System,
                    path: Some("libonnxruntime.so".into()),
                    reason: "not found".into(),
                },
            ],
        };
        assert_eq!(
            error.to_string(),
            "no library of ONNX Runtime was found; ORT_DYLIB_PATH: it is not set; \
             system, libonnxruntime.so: not found"
        );
    }
}
