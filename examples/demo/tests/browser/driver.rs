//! A browser of the test's own: ChromeDriver, Chromium, and a profile that goes away with them.

use std::{
    env,
    ffi::OsString,
    io::{self, BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

use fantoccini::{Client, ClientBuilder, error::CmdError, wd::WebDriverCompatibleCommand};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) struct Browser {
    pub(crate) client: Client,
    driver: Driver,
    _profile: TempDir,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let driver = Driver::start();
        let profile = tempfile::tempdir().unwrap();
        let capabilities = json!({
            "browserName": "chrome",
            "timeouts": { "script": 60_000 },
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "binary": chromium(), "args": arguments(&profile) },
        });
        let Value::Object(capabilities) = capabilities else {
            unreachable!("it is written as an object");
        };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&driver.url)
            .await
            .unwrap_or_else(|error| panic!("Chromium does not start: {error}"));
        Self {
            client,
            driver,
            _profile: profile,
        }
    }

    /// Sends a command of the DevTools protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) {
        let body = json!({ "cmd": command, "params": parameters });
        self.extension("goog/cdp/execute", body).await.unwrap();
    }

    /// Lets no more than so many bytes a second out; with -1 as many as there are.
    pub(crate) async fn slow_down_uploads(&self, rate: i32) {
        self.devtools("Network.enable", json!({})).await;
        let conditions = json!({
            "offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": rate,
        });
        self.devtools("Network.emulateNetworkConditions", conditions)
            .await;
    }

    /// What the browser complained about since it was asked last: exceptions, refused resources.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let body = json!({ "type": "browser" });
        let entries = self.extension("se/log", body).await.unwrap();
        let entries = entries.as_array().unwrap().iter();
        entries.map(|entry| entry["message"].to_string()).collect()
    }

    pub(crate) async fn close(self) {
        self.client.close().await.unwrap();
        drop(self.driver);
    }

    /// Ends it as the system would: it gets to do nothing more.
    pub(crate) fn kill(self) {
        drop(self.driver);
    }

    async fn extension(&self, path: &'static str, body: Value) -> Result<Value, CmdError> {
        self.client.issue_cmd(Extension { path, body }).await
    }
}

/// What ChromeDriver adds to the standard.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        base.join(&format!(
            "session/{}/{}",
            session.unwrap_or_default(),
            self.path
        ))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}

/// The running ChromeDriver. Dropped, also by a test that fails, it takes Chromium with it.
struct Driver {
    process: Child,
    url: String,
}

impl Driver {
    fn start() -> Self {
        let program = program("CHROMEDRIVER", "chromedriver");
        let process = Command::new(&program)
            .arg("--port=0")
            // Chromium becomes a member of the group.
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}", missing("chromedriver", "CHROMEDRIVER", &error)));
        let mut driver = Self {
            process,
            url: String::new(),
        };
        let stdout = driver.process.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let port = lines
            .find_map(|line| {
                let (_, rest) = line.split_once("started successfully on port ")?;
                rest.trim_end_matches('.').parse::<u16>().ok()
            })
            .expect("ChromeDriver says where it listens");
        driver.url = format!("http://127.0.0.1:{port}");
        driver
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let group = format!("-{}", self.process.id());
        let _gone = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _gone = self.process.wait();
    }
}

fn chromium() -> String {
    let program = program("CHROMIUM", "chromium");
    // ChromeDriver's own message names neither the remedy nor what it looked for.
    Command::new(&program)
        .arg("--version")
        .output()
        .unwrap_or_else(|error| panic!("{}", missing("chromium", "CHROMIUM", &error)));
    let found = if program.to_string_lossy().contains('/') {
        program.into()
    } else {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path)
            .map(|folder| folder.join(&program))
            .find(|file| file.is_file())
            .expect("it has just run")
    };
    found.to_str().expect("its path is UTF-8").to_owned()
}

fn arguments(profile: &TempDir) -> Vec<String> {
    let mut arguments: Vec<_> = [
        "--headless=new",
        // It refuses to run as root with a sandbox, as in a container.
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1100,900",
    ]
    .map(str::to_owned)
    .into();
    arguments.push(format!("--user-data-dir={}", profile.path().display()));
    arguments
}

fn program(variable: &str, name: &str) -> OsString {
    env::var_os(variable)
        .filter(|named| !named.is_empty())
        .unwrap_or_else(|| name.into())
}

fn missing(name: &str, variable: &str, error: &io::Error) -> String {
    format!("{name} does not run: {error}; `cargo xtask test` installs it, or {variable} names it")
}
