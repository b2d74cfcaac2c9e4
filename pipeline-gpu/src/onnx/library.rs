//! The one library of ONNX Runtime that a process uses: where it is looked for, and what was found.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
};

use ort::environment::Environment;

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

    /// Returns its file, or the name under which the system found it; empty where it is part of the program.
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
            Self::Environment => VARIABLE,
            Self::Beside => "beside the program",
            Self::System => "system",
            Self::Linked => "linked",
        })
    }
}

/// The variable that other programs on ONNX Runtime know too.
const VARIABLE: &str = "ORT_DYLIB_PATH";

/// Set, the runtime neither tells anything to its makers nor notes an id for that. It is read when the runtime is started,
/// and a library cannot set it: in a process that has threads that is not safe.
const SILENCE: &str = "ORT_DISABLE_TELEMETRY";

/// The API that is asked of the library: `api-24` in the manifest, unless another crate asks for more.
fn needed() -> String {
    format!("1.{}", ort::MINOR_VERSION)
}

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
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let (origin, path) = match &*loaded {
        Some((origin, used)) => {
            if let Some(asked) = configured.filter(|asked| !same_file(asked, used)) {
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
    if std::env::var_os(SILENCE).is_none() {
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

/// Loads the first library that will do.
#[cfg(feature = "onnx")]
fn load(configured: Option<&Path>) -> Result<(Origin, PathBuf), LibraryError> {
    let variable = std::env::var_os(VARIABLE).map(PathBuf::from);
    let program = std::env::current_exe().ok();
    let folder = program.as_deref().and_then(Path::parent);
    let (mut tried, mut too_old) = (Vec::new(), None);
    for place in places(configured, variable.as_deref(), folder) {
        let (origin, path) = match place {
            Place::File(origin, path) => (origin, path),
            Place::Nothing(none) => {
                tried.push(none);
                continue;
            }
        };
        let reason = match ort::init_from(&path) {
            Ok(_) => return Ok((origin, path)),
            Err(ort::LoadDynamicError::BadVersion { version_str, .. }) => {
                let reason = format!("it is version {version_str}");
                too_old.get_or_insert(version_str);
                reason
            }
            Err(ort::LoadDynamicError::Dlopen { error, .. }) => last_cause(&error),
            Err(ort::LoadDynamicError::MissingApi { .. }) => "it is not ONNX Runtime".into(),
            Err(error) => error.to_string(),
        };
        tried.push(Tried {
            origin,
            path: Some(path),
            reason,
        });
    }
    Err(match too_old {
        Some(found) => LibraryError::TooOld {
            found,
            needed: needed(),
            tried,
        },
        None => LibraryError::Missing { tried },
    })
}

/// What the system says is at the end of the chain.
#[cfg(feature = "onnx")]
fn last_cause(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .last()
        .unwrap_or(error)
        .to_string()
}

/// There is nothing to look for: the program was linked with it.
#[cfg(not(feature = "onnx"))]
fn load(_configured: Option<&Path>) -> Result<(Origin, PathBuf), LibraryError> {
    Ok((Origin::Linked, PathBuf::new()))
}

/// A place to look at.
#[derive(Debug, PartialEq)]
enum Place {
    File(Origin, PathBuf),
    Nothing(Tried),
}

/// What to try, in order. A path that somebody gave is the only one: another library in its place would be a surprise.
fn places(configured: Option<&Path>, variable: Option<&Path>, folder: Option<&Path>) -> Vec<Place> {
    let nothing = |origin, reason: &str| {
        Place::Nothing(Tried {
            origin,
            path: None,
            reason: reason.to_owned(),
        })
    };
    if let Some(path) = configured {
        return given(Origin::Configured, path);
    }
    let mut places = vec![nothing(Origin::Configured, "no path is set")];
    if let Some(path) = variable.filter(|path| !path.as_os_str().is_empty()) {
        places.extend(given(Origin::Environment, path));
        return places;
    }
    places.push(nothing(Origin::Environment, "it is not set"));
    let beside = folder.into_iter().flat_map(|folder| {
        let parts = [folder.to_owned(), folder.join("lib"), folder.join("../lib")];
        parts.into_iter().flat_map(|part| libraries(&part))
    });
    let before = places.len();
    places.extend(beside.map(|file| Place::File(Origin::Beside, file)));
    if places.len() == before {
        places.push(nothing(Origin::Beside, "there is none"));
    }
    places.extend(
        NAMES
            .iter()
            .map(|name| Place::File(Origin::System, name.into())),
    );
    places
}

/// What a path stands for that somebody gave: a folder for the libraries in it.
fn given(origin: Origin, path: &Path) -> Vec<Place> {
    if !path.is_dir() {
        // What is not there may be a name that the system knows.
        let file = if path.exists() {
            std::path::absolute(path).ok()
        } else {
            None
        };
        return vec![Place::File(origin, file.unwrap_or_else(|| path.to_owned()))];
    }
    let files = libraries(path);
    if files.is_empty() {
        return vec![Place::Nothing(Tried {
            origin,
            path: Some(path.to_owned()),
            reason: "there is no library in this folder".into(),
        })];
    }
    files
        .into_iter()
        .map(|file| Place::File(origin, file))
        .collect()
}

/// The libraries in a folder, the newest version first; packages name them `libonnxruntime.so.1.31.1`.
fn libraries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = version(&name)?;
            Some((version, entry.path()))
        })
        .collect();
    files.sort_by(|one, other| other.cmp(one));
    files.into_iter().map(|(_, file)| file).collect()
}

/// The version in the name of a library, if it is one.
fn version(name: &str) -> Option<Vec<u32>> {
    let rest = name.strip_prefix(STEM)?;
    let numbers = rest
        .strip_suffix(ENDING)
        .or_else(|| rest.strip_prefix(ENDING))?;
    let numbers = numbers.split('.').filter(|number| !number.is_empty());
    numbers.map(|number| number.parse().ok()).collect()
}

const STEM: &str = if cfg!(windows) {
    "onnxruntime"
} else {
    "libonnxruntime"
};

const ENDING: &str = std::env::consts::DLL_SUFFIX;

/// What the system may know the library as.
const NAMES: &[&str] = if cfg!(windows) {
    &["onnxruntime.dll"]
} else if cfg!(target_os = "macos") {
    &["libonnxruntime.dylib", "libonnxruntime.1.dylib"]
} else {
    &["libonnxruntime.so", "libonnxruntime.so.1"]
};

fn same_file(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if one.is_dir() {
        return real(other).parent() == Some(&real(one));
    }
    real(one) == real(other)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn files(places: &[Place]) -> Vec<(Origin, String)> {
        let names = places.iter().filter_map(|place| match place {
            Place::File(origin, path) => {
                Some((*origin, path.file_name()?.to_string_lossy().into_owned()))
            }
            Place::Nothing(_) => None,
        });
        names.collect()
    }

    #[test]
    fn a_path_that_was_given_is_the_only_one() {
        let (configured, variable) = (Path::new("/a/b.so"), Path::new("/c/d.so"));
        let all = places(Some(configured), Some(variable), Some(Path::new("/e")));
        assert_eq!(all, [Place::File(Origin::Configured, configured.into())]);
        let all = places(None, Some(variable), Some(Path::new("/e")));
        assert_eq!(files(&all), [(Origin::Environment, "d.so".into())]);
    }

    #[test]
    fn an_empty_variable_is_none() {
        let all = places(None, Some(Path::new("")), None);
        let system = |name: &str| (Origin::System, name.to_owned());
        assert_eq!(
            files(&all),
            [system("libonnxruntime.so"), system("libonnxruntime.so.1")]
        );
    }

    #[test]
    fn the_newest_library_beside_the_program_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "libonnxruntime.so.1.9.0",
            "libonnxruntime.so.1.31.1",
            "libonnxruntime_providers_shared.so",
            "libonnxruntime.so.bak",
            "readme",
        ] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let found = files(&places(None, None, Some(folder.path())));
        let names: Vec<_> = found.iter().map(|(_, name)| &**name).collect();
        assert_eq!(
            names[..2],
            ["libonnxruntime.so.1.31.1", "libonnxruntime.so.1.9.0"]
        );
        assert_eq!(names[2..], *NAMES);
        // A folder stands for what is in it.
        assert_eq!(files(&given(Origin::Environment, folder.path())).len(), 2);
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
