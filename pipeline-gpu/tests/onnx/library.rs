//! Where the runtime is looked for. A process has one for good, so each test has a process of its
//! own.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use pipeline_gpu::onnx::{Device, Library, LibraryError, OnnxError, OnnxModel, Origin, Tried};
use progress_core::TaskError;

use crate::support::{committed, fetched, in_own_process, in_process_of, load};

/// A library that will do, and one that is too old.
fn new() -> PathBuf {
    fetched("onnxruntime-1.31.1/libonnxruntime.so.1.31.1")
}

fn old() -> PathBuf {
    fetched("onnxruntime-1.23.2/libonnxruntime.so.1.23.2")
}

/// Loads a model with the library of that path, or without saying which.
fn with(library: Option<&Path>) -> Result<OnnxModel, OnnxError> {
    let builder = OnnxModel::builder(committed("blob_det64")).device(Device::Cpu);
    load(match library {
        Some(path) => builder.library(path),
        None => builder,
    })
}

fn library_error(result: Result<OnnxModel, OnnxError>) -> LibraryError {
    match result.unwrap_err() {
        OnnxError::Library(error) => error,
        other => panic!("{other}"),
    }
}

fn missing(result: Result<OnnxModel, OnnxError>) -> Vec<Tried> {
    match library_error(result) {
        LibraryError::Missing { tried } => tried,
        other => panic!("{other}"),
    }
}

#[test]
fn a_missing_library_is_a_typed_error_and_a_later_one_is_taken() {
    in_own_process(
        "library::a_missing_library_is_a_typed_error_and_a_later_one_is_taken",
        &[],
        || {
            let path = Path::new("/nowhere/libonnxruntime.so");
            let error = with(Some(path)).unwrap_err();
            let [tried] = &missing(Err(error.clone()))[..] else {
                panic!("{error:?}")
            };
            assert_eq!(
                (tried.origin, tried.path.as_deref()),
                (Origin::Configured, Some(path))
            );
            assert!(tried.reason.contains("No such file"), "{tried}");
            let error = TaskError::from(error);
            assert_eq!(
                (error.code(), error.is_retryable()),
                ("ONNX_LIBRARY_MISSING", false)
            );
            assert!(error.solutions()[1].contains("ORT_DYLIB_PATH"), "{error:?}");
            assert!(!format!("{error:?}").contains("/nowhere"), "{error:?}");

            assert_eq!(Library::in_use(), None);
            with(Some(&new())).unwrap();
            assert_eq!(Library::in_use().unwrap().origin(), Origin::Configured);
        },
    );
}

#[test]
fn every_place_that_was_tried_is_listed_with_its_reason() {
    let name = "library::every_place_that_was_tried_is_listed_with_its_reason";
    in_own_process(name, &[("LD_LIBRARY_PATH", Path::new(""))], || {
        let result = with(None);
        if result.is_ok() {
            // This machine has one.
            assert_eq!(Library::in_use().unwrap().origin(), Origin::System);
            return;
        }
        let tried = missing(result);
        let origins: Vec<_> = tried.iter().map(|place| place.origin).collect();
        assert_eq!(
            origins[..3],
            [Origin::Configured, Origin::Environment, Origin::Beside]
        );
        assert!(origins[3..].iter().all(|origin| *origin == Origin::System));
        assert!(origins.len() > 3);
        assert!(
            tried.iter().all(|place| !place.reason.is_empty()),
            "{tried:?}"
        );
    });
}

#[test]
fn a_library_that_is_too_old_is_refused_with_its_version() {
    let old = old();
    let name = "library::a_library_that_is_too_old_is_refused_with_its_version";
    in_own_process(name, &[("ORT_DYLIB_PATH", &old)], || {
        let error = with(None).unwrap_err();
        let LibraryError::TooOld { found, needed, .. } = library_error(Err(error.clone())) else {
            panic!("{error:?}")
        };
        assert_eq!((&*found, &*needed), ("1.23.2", "1.24"));
        let error = TaskError::from(error);
        assert_eq!(
            (error.code(), error.is_retryable()),
            ("ONNX_LIBRARY_TOO_OLD", false)
        );
        assert_eq!(
            error.message(),
            "ONNX Runtime 1.23.2 is too old: 1.24 or later is needed"
        );
        // It was let go again.
        with(Some(&fetched(
            "onnxruntime-1.31.1/libonnxruntime.so.1.31.1",
        )))
        .unwrap();
    });
}

#[test]
fn what_is_no_library_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("libonnxruntime.so");
    fs::write(&text, "not a library").unwrap();
    let name = "library::what_is_no_library_is_said_so";
    in_own_process(
        name,
        &[("ORT_DYLIB_PATH", &text), ("FOLDER", folder.path())],
        || {
            let tried = missing(with(None));
            let last = tried.last().unwrap();
            assert_eq!(last.origin, Origin::Environment);
            assert!(!last.reason.is_empty(), "{last}");
            // A library of something else.
            let other = fs::read_dir("/lib/x86_64-linux-gnu")
                .into_iter()
                .flatten()
                .flatten();
            let mut other = other.filter(|file| file.file_name() == "libm.so.6");
            if let Some(libm) = other.next() {
                let tried = missing(with(Some(&libm.path())));
                assert_eq!(tried[0].reason, "it is not ONNX Runtime");
            }
        },
    );
}

#[test]
fn the_variable_names_a_file_or_its_folder() {
    let name = "library::the_variable_names_a_file_or_its_folder";
    let library = new();
    let folder = library.parent().unwrap();
    in_own_process(
        name,
        &[("ORT_DYLIB_PATH", folder), ("FILE", &library)],
        || {
            let file = PathBuf::from(env::var_os("FILE").unwrap());
            let loaded = OnnxModel::load(committed("blob_det64"), Device::Auto);
            pollster::block_on(loaded).unwrap();
            let used = Library::in_use().unwrap();
            assert_eq!(used.origin(), Origin::Environment);
            assert_eq!(
                used.path().canonicalize().unwrap(),
                file.canonicalize().unwrap()
            );
            assert!(
                used.build().starts_with("ORT Build Info"),
                "{}",
                used.build()
            );
        },
    );
}

#[test]
fn a_library_beside_the_program_is_found() {
    let program = env::current_exe().unwrap();
    // On the same disk, so that a link is enough.
    let folder = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
    let (lib, copy) = (folder.path().join("lib"), folder.path().join("program"));
    fs::create_dir(&lib).unwrap();
    fs::hard_link(&program, &copy).unwrap();
    let library = new();
    fs::hard_link(&library, lib.join("libonnxruntime.so.1.31.1")).unwrap();
    let name = "library::a_library_beside_the_program_is_found";
    in_process_of(&copy, name, &[], || {
        with(None).unwrap();
        let used = Library::in_use().unwrap();
        assert_eq!(used.origin(), Origin::Beside);
        assert!(
            used.path().ends_with("lib/libonnxruntime.so.1.31.1"),
            "{used:?}"
        );
    });
}

#[test]
fn a_second_library_in_one_process_is_a_conflict() {
    let old = old();
    let name = "library::a_second_library_in_one_process_is_a_conflict";
    in_own_process(name, &[("OLD", &old)], || {
        let first = new();
        with(Some(&first)).unwrap();
        let other = PathBuf::from(env::var_os("OLD").unwrap());
        let error = with(Some(&other)).unwrap_err();
        let expected = LibraryError::Conflict {
            used: first.clone(),
            asked: other,
        };
        assert_eq!(error, OnnxError::Library(expected));
        assert_eq!(TaskError::from(error).code(), "ONNX_LIBRARY_CONFLICT");
        // The same by another name, by its folder, or unnamed, is none.
        let folder = first.parent().unwrap();
        let around = folder
            .join("..")
            .join(folder.file_name().unwrap())
            .join(first.file_name().unwrap());
        for same in [Some(around.as_path()), Some(folder), None] {
            with(same).unwrap();
        }
    });
}
