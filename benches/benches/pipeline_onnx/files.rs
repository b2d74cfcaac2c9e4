//! Where the runtime and the models are.

use std::{
    env,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    thread,
};

/// The runtime that `cargo xtask models` fetched, or the one in `ORT_DYLIB_PATH`.
pub(crate) fn runtime() -> PathBuf {
    let variable = env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty());
    variable.map_or_else(
        || fetched("onnxruntime-1.31.1/libonnxruntime.so.1.31.1"),
        PathBuf::from,
    )
}

/// A model of the crate's tests, or one that was fetched.
pub(crate) fn model(name: &str) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipeline-gpu/tests/models");
    let committed = tests.join(format!("{name}.onnx"));
    if committed.is_file() {
        return committed;
    }
    fetched(&format!("{name}.onnx"))
}

/// As many threads as one session uses by itself.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// A file in `models` below the target directory, in which this program is too.
fn fetched(name: &str) -> PathBuf {
    let program = env::current_exe().unwrap();
    let mut folders = program
        .ancestors()
        .map(|folder| folder.join("models").join(name));
    let found = folders.find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is not here; run: cargo xtask models"))
}
