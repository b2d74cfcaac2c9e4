//! Finding a Python that can work here.

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::Command;

/// The worker's program.
pub(crate) fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("python/worker.py")
}

/// Finds a Python with the package `redis`: the one that is asked for, else that of the environment
/// which the tests have too, or of the system.
pub(crate) async fn find(asked: Option<&PathBuf>) -> Option<PathBuf> {
    let places = match asked {
        Some(asked) => vec![asked.clone()],
        None => vec![environment().join("bin/python"), "python3".into()],
    };
    for python in places {
        if has_redis(&python).await {
            return Some(python);
        }
    }
    None
}

/// How to get one.
pub(crate) fn advice() -> String {
    let venv = environment();
    let venv = venv.display();
    format!("python3 -m venv {venv} && {venv}/bin/pip install redis")
}

/// Below the directory that this program was built into.
fn environment() -> PathBuf {
    let built = env::current_exe().unwrap_or_default();
    let target = built.parent().and_then(Path::parent);
    target
        .unwrap_or_else(|| Path::new("target"))
        .join("interop/venv")
}

async fn has_redis(python: &Path) -> bool {
    let tried = Command::new(python)
        .args(["-c", "import redis"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tried.await.is_ok_and(|status| status.success())
}
