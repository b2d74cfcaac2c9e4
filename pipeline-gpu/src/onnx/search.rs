//! Where a library of ONNX Runtime is looked for.

use std::{
    env,
    path::{Path, PathBuf},
};

use super::library::{LibraryError, Origin, Tried};

/// The variable that other programs on ONNX Runtime know too.
const VARIABLE: &str = "ORT_DYLIB_PATH";

/// The API that is asked of the library: `api-24` in the manifest, unless another crate asks for
/// more.
fn needed() -> String {
    format!("1.{}", ort::MINOR_VERSION)
}

/// Loads the first library that will do.
pub(super) fn load(configured: Option<&Path>) -> Result<(Origin, PathBuf), LibraryError> {
    let variable = env::var_os(VARIABLE).map(PathBuf::from);
    let program = env::current_exe().ok();
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
fn last_cause(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .last()
        .unwrap_or(error)
        .to_string()
}

/// A place to look at.
#[derive(Debug, PartialEq)]
enum Place {
    File(Origin, PathBuf),
    Nothing(Tried),
}

/// What to try, in order. A path that somebody gave is the only one: another library in its place
/// would be a surprise.
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

/// The libraries in a folder, the newest version first; packages name them
/// `libonnxruntime.so.1.31.1`.
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

const ENDING: &str = env::consts::DLL_SUFFIX;

/// What the system may know the library as.
const NAMES: &[&str] = if cfg!(windows) {
    &["onnxruntime.dll"]
} else if cfg!(target_os = "macos") {
    &["libonnxruntime.dylib", "libonnxruntime.1.dylib"]
} else {
    &["libonnxruntime.so", "libonnxruntime.so.1"]
};

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
}
