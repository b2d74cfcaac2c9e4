//! The description of the routes, tried against them by schemathesis: it asks for all that the
//! description allows, and for much that it does not, and looks whether what is answered is described.
//!
//! What it checks, and the few things that are not true of us, stand in `interop/python/schemathesis.toml`.

mod support;

use std::{path::PathBuf, process::Stdio, time::Duration};

use progress_core::ProgressTracker;
use progress_web::{Action, Authorizer, Gateway, Principal, Refusal};
use tokio::{
    net::TcpListener,
    process::Command,
    time::{sleep, timeout},
};

use self::support::Server;

/// Runs schemathesis, with what `cargo xtask test` has installed for it, and shows what it found.
async fn try_all(url: &str, more: &[&str]) {
    let interop = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../interop/python");
    let built = PathBuf::from(env!("CARGO_BIN_EXE_progress-server"));
    let installed = built.parent().unwrap().with_file_name("interop");
    // It leaves notes where it runs.
    let notes = tempfile::tempdir().unwrap();
    let mut command = Command::new(installed.join("venv/bin/schemathesis"));
    command
        .arg("--config-file")
        .arg(interop.join("schemathesis.toml"))
        .args(["run", "--no-color"])
        .args(more)
        .arg(format!("{url}/openapi.json"))
        .current_dir(notes.path())
        .env("PYTHONPATH", &interop)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SCHEMATHESIS_HOOKS", "schemathesis_hooks")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ran = timeout(PATIENCE, command.output()).await;
    let ran = ran.expect("it ends").unwrap_or_else(|error| {
        panic!("{error}: `cargo xtask test` installs what {command:?} needs")
    });
    let said = String::from_utf8_lossy(&ran.stdout);
    let wrong = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{}\n{said}\n{wrong}", ran.status);
    // Nothing was left out, whatever the description has become.
    let tested = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("Tested:"));
    let selected = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("Selected:"));
    let (tested, selected) = (tested.unwrap().trim(), selected.unwrap().trim());
    assert_eq!(selected, format!("{tested}/{tested}"), "{said}");
    println!("{said}");
}

/// Watches a task, and comes back whenever it is sent away: somebody who is connected.
async fn watch(url: String) {
    loop {
        if let Ok(mut stream) = reqwest::get(&url).await {
            while let Ok(Some(_)) = stream.chunk().await {}
        }
        // It is sent away by hundreds of requests, not in a loop of its own.
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn every_route_answers_as_it_is_described() {
    let server = Server::start(&[&SHORT[..], &["--aliases"]].concat()).await;
    let watcher = tokio::spawn(watch(format!("{}/sse?channels=jobs", server.url)));
    try_all(&server.url, &[]).await;
    watcher.abort();
}

#[tokio::test]
async fn every_route_answers_as_it_is_described_through_warp_too() {
    let server = Server::start(&[&SHORT[..], &["--adapter", "warp"]].concat()).await;
    try_all(&server.url, &["--max-examples", "5"]).await;
}

/// Allows nothing: it wants to know who asks, and then does not care.
#[derive(Debug)]
struct Nobody;

#[progress_web::async_trait]
impl Authorizer for Nobody {
    async fn authorize(
        &self,
        request: &axum::http::request::Parts,
        _: &Action,
    ) -> Result<Principal, Refusal> {
        match request.headers.contains_key("authorization") {
            true => Err(Refusal::Forbidden { solution: None }),
            false => Err(Refusal::Unauthenticated),
        }
    }
}

#[tokio::test]
async fn who_may_do_nothing_is_told_so_as_it_is_described() {
    let gateway = Gateway::builder(ProgressTracker::new())
        .authorizer(Nobody)
        .heartbeat(Duration::from_millis(100))
        .unknown_wait(Duration::from_millis(50))
        .build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = progress_axum::router_with(gateway);
    let server = tokio::spawn(async move { axum::serve(listener, routes).await });
    try_all(&url, &["--max-examples", "5"]).await;
    server.abort();
}

/// Streams of nobody's end soon, and others soon say something.
const SHORT: [&str; 4] = ["--heartbeat", "100ms", "--unknown-wait", "50ms"];
/// Less than the runner of the tests has.
const PATIENCE: Duration = Duration::from_secs(350);
