//! What a bundler makes of a component on the hooks of `@progress-rs/client/react`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;
use tempfile::TempDir;

/// Checks the types of a component, as strictly as the client's own, and gives a script that runs it.
pub(crate) fn bundle(component: &str) -> String {
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/js");
    let client = client.canonicalize().unwrap();
    let packages = client.join("node_modules");
    assert!(
        packages.join("react").exists(),
        "{}: not there; `cargo xtask test` installs it",
        packages.display()
    );
    let project = project(&client, component);
    run(&packages, "tsc", &["--project", "."], &project);
    let arguments = [
        "app.tsx",
        "--bundle",
        "--format=iife",
        "--define:process.env.NODE_ENV=\"development\"",
        "--outfile=app.js",
        "--log-level=warning",
    ];
    run(&packages, "esbuild", &arguments, &project);
    fs::read_to_string(project.path().join("app.js")).unwrap()
}

/// A project that has the client as if it were installed.
fn project(client: &Path, component: &str) -> TempDir {
    let project = tempfile::tempdir().unwrap();
    let folder = project.path();
    fs::write(folder.join("app.tsx"), component).unwrap();
    std::os::unix::fs::symlink(client.join("node_modules"), folder.join("node_modules")).unwrap();
    let source = |file: &str| vec![client.join("src").join(file)];
    let settings = json!({
        "extends": client.join("tsconfig.json"),
        "compilerOptions": {
            "module": "ESNext",
            "moduleResolution": "Bundler",
            "types": [],
            "paths": {
                "@progress-rs/client": source("index.ts"),
                "@progress-rs/client/react": source("react/index.ts"),
            },
        },
        "include": ["app.tsx"],
    });
    fs::write(folder.join("tsconfig.json"), settings.to_string()).unwrap();
    project
}

fn run(packages: &Path, name: &str, arguments: &[&str], project: &TempDir) {
    let program: PathBuf = packages.join(".bin").join(name);
    let done = Command::new(&program)
        .args(arguments)
        .current_dir(project.path())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(done.status.success(), "{name}: {said}");
}
