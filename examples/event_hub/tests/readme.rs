//! The README's snippets, as they stand there, against a hub as its users start it.

#[allow(dead_code, reason = "the demo's tests use all of it")]
#[path = "../../demo/tests/browser/driver.rs"]
mod driver;
#[allow(dead_code, reason = "the demo's tests use all of it")]
#[path = "../../demo/tests/browser/page.rs"]
mod page;
#[path = "readme/react.rs"]
mod react;
mod support;

use std::{path::PathBuf, process::Stdio};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use self::{
    driver::Browser,
    support::{PATIENCE, picture, relay::Relay, text},
};

const README: &str = include_str!("../README.md");

/// The block of code below a heading.
fn snippet(heading: &str) -> String {
    let (_, section) = README.split_once(&format!("\n### {heading}\n")).unwrap();
    let (_, code) = section.split_once("\n```").unwrap();
    let (_, code) = code.split_once('\n').unwrap();
    code.split_once("\n```").unwrap().0.to_owned()
}

/// A snippet that asks the hub at a URL.
fn snippet_at(url: &str, heading: &str) -> String {
    let snippet = snippet(heading);
    assert!(snippet.contains("://127.0.0.1:8080/"), "{snippet}");
    let host = url.strip_prefix("http://").unwrap();
    snippet.replace("127.0.0.1:8080", host)
}

/// A program, and what it prints.
struct Program {
    _process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap_or_else(|error| {
            panic!("{error}: `cargo xtask test` installs what {command:?} needs")
        });
        Self {
            lines: BufReader::new(process.stdout.take().unwrap()).lines(),
            _process: process,
        }
    }

    async fn line(&mut self) -> String {
        let line = timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.expect("it says nothing").unwrap();
        line.expect("it has ended")
    }

    /// The first line with a text in it.
    async fn until(&mut self, text: &str) -> String {
        loop {
            let line = self.line().await;
            if line.contains(text) {
                return line;
            }
        }
    }
}

/// The hub, started with `--open` as the README says.
struct Hub {
    _process: Program,
    url: String,
}

impl Hub {
    async fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_event-hub"));
        let mut process = Program::start(command.args(["--open", "--listen", "127.0.0.1:0"]));
        let said = process.line().await;
        Self {
            url: said.rsplit(' ').next().unwrap().to_owned(),
            _process: process,
        }
    }

    /// A snippet that asks this hub.
    fn snippet(&self, heading: &str) -> String {
        snippet_at(&self.url, heading)
    }

    fn python(&self, heading: &str) -> Program {
        let built = PathBuf::from(env!("CARGO_BIN_EXE_event-hub"));
        let installed = built.parent().unwrap().with_file_name("interop");
        let mut command = Command::new(installed.join("venv/bin/python"));
        Program::start(command.args(["-c", &self.snippet(heading)]))
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let client = reqwest::Client::new();
        let asked = client.post(format!("{}{path}", self.url)).json(&body);
        asked.send().await.unwrap().json().await.unwrap()
    }

    async fn session(&self, name: &str) -> String {
        let session = self.post("/api/sessions", json!({"name": name})).await;
        text(&session["session_id"])
    }

    /// Sends the only client away, as soon as it is there under its name.
    async fn send_away(&self, name: &str) {
        let mut client = Value::Null;
        support::until("the client is listed", async || {
            let clients = reqwest::get(format!("{}/clients", self.url)).await.unwrap();
            let clients: Value = clients.json().await.unwrap();
            client = clients["clients"][0].clone();
            client["client_name"] == name
        })
        .await;
        let url = format!("{}/clients/{}", self.url, text(&client["id"]));
        let gone = reqwest::Client::new().delete(url).send().await.unwrap();
        assert_eq!(gone.status(), 204);
    }
}

/// What stands between backticks in a text.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_table_has_each_event_on_its_channel() {
    let (_, events) = README.split_once("\n## Events\n").unwrap();
    let (table, _) = events.split_once("\n\nEach is").unwrap();
    let mut named: Vec<_> = table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .flat_map(|row| {
            let names = quoted(row);
            let channel = names[0];
            names[1..]
                .iter()
                .map(move |name| (*name, channel))
                .collect::<Vec<_>>()
        })
        .collect();
    // JobCreated => "job_created", Jobs;
    let declared = include_str!("../src/events.rs").lines();
    let declared = declared.filter(|line| !line.starts_with("//"));
    let declared = declared.filter_map(|line| line.split_once(" => \"")?.1.split_once("\", "));
    let mut declared: Vec<_> = declared
        .map(|(name, rest)| (name, rest.split([',', ';']).next().unwrap().to_lowercase()))
        .collect();
    named.sort_unstable();
    declared.sort_unstable();
    let declared: Vec<_> = declared
        .iter()
        .map(|(name, channel)| (*name, channel.as_str()))
        .collect();
    assert_eq!(named, declared);
    assert_eq!(named.len(), 22);
}

#[test]
fn the_tests_that_it_names_are_there_and_each_code_is_tested() {
    let tests = tests();
    let (_, weaknesses) = README.split_once("\n## What such hubs get wrong").unwrap();
    let (weaknesses, _) = weaknesses.split_once("\n## ").unwrap();
    let is_test = |name: &&str| name.matches('_').count() > 1;
    let named: Vec<_> = quoted(weaknesses).into_iter().filter(is_test).collect();
    assert!(named.len() > 14, "{named:?}");
    for test in named {
        assert!(tests.contains(&format!("fn {test}(")), "{test}");
    }
    let (_, codes) = README.split_once("Codes beyond the protocol's:").unwrap();
    let (codes, _) = codes.split_once("\n\n").unwrap();
    for code in quoted(codes) {
        assert!(tests.contains(&format!("\"{code}\"")), "{code}");
    }
}

/// The text of all tests.
fn tests() -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![folder.join("src"), folder.join("tests")];
    let mut tests = String::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let is_source = path.to_string_lossy().contains("/src/") && !path.ends_with("tests.rs");
            let text = match is_source {
                true => text
                    .split_once("\nmod tests {")
                    .map_or("", |(_, tests)| tests),
                false => &text,
            };
            tests.push_str(text);
        }
    }
    tests
}

#[tokio::test]
async fn python_over_a_websocket_comes_back_and_misses_nothing() {
    let hub = Hub::start().await;
    let mut python = hub.python("Python, WebSocket");
    hub.session("Lake").await;
    let line = python.until("session_created").await;
    assert!(line.starts_with("sessions session_created {"), "{line}");
    assert!(line.contains("Lake"), "{line}");
    hub.send_away("script").await;
    hub.session("Hills").await;
    let line = python.until("session_created").await;
    assert!(line.contains("Hills"), "each once: {line}");
}

#[tokio::test]
async fn python_over_an_event_stream_hears_the_channels() {
    let hub = Hub::start().await;
    let mut python = hub.python("Python, event stream");
    let session = hub.session("Lake").await;
    let file = reqwest::multipart::Part::bytes(picture(9)).file_name("lake.png");
    let form = reqwest::multipart::Form::new().text("session_id", session);
    let job = reqwest::Client::new().post(format!("{}/api/jobs", hub.url));
    let job = job
        .multipart(form.part("files", file))
        .send()
        .await
        .unwrap();
    assert_eq!(job.status(), 202);
    let line = python.until("photo_imported").await;
    assert!(
        line.starts_with("photos ") && line.contains("lake.png"),
        "{line}"
    );
    python.until("approval approval_queue_updated").await;
}

#[tokio::test]
async fn curl_makes_a_session_imports_a_picture_and_shows_what_is_told() {
    let hub = Hub::start().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("photo.jpg"), picture(9)).unwrap();
    let mut shell = Command::new("bash");
    shell
        .args(["-euc", &hub.snippet("curl")])
        .current_dir(folder.path());
    let mut shell = Program::start(&mut shell);
    let frame = shell.until("photo_analyzed").await;
    // The answer of the call before has no line end.
    let frame = frame.split_once("data: ").unwrap().1;
    let frame: Value = serde_json::from_str(frame).unwrap();
    assert_eq!(frame["event"]["data"]["width"], 180);
}

#[tokio::test]
async fn the_browser_console_hears_the_channels() {
    let hub = Hub::start().await;
    let browser = Browser::start().await;
    browser.open(&hub.url).await;
    let listened = "window.said = [];
        console.log = (...words) => said.push(words);
        setInterval(() => { document.body.dataset.said = JSON.stringify(said); }, 50);";
    let snippet = format!("{listened}\n{}", hub.snippet("Browser console"));
    browser.client.execute(&snippet, Vec::new()).await.unwrap();
    hub.session("Lake").await;
    browser
        .until("(document.body.dataset.said ?? '').includes('Lake')")
        .await;
    let said = browser
        .client
        .execute("return said", Vec::new())
        .await
        .unwrap();
    assert_eq!(said[0][0], "sessions");
    assert_eq!(said[0][1], "session_created");
    assert_eq!(said[0][2]["name"], "Lake");
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test]
async fn the_browser_shows_channels_by_react_and_misses_nothing() {
    let hub = Hub::start().await;
    let relay = Relay::start(&hub.url).await;
    let app = react::bundle(&snippet_at(&relay.url, "React"));
    let browser = Browser::start().await;
    // Any of its answers that is no page: the application's own is made here.
    browser.open(&format!("{}/api/queue", relay.url)).await;
    let page = "document.body.innerHTML = '<main id=root></main>';";
    let page = format!("{page}\n{app}");
    browser.client.execute(&page, Vec::new()).await.unwrap();
    browser
        .until("document.querySelector('h2')?.textContent === 'sessions: live'")
        .await;
    let shown = |name: &str| {
        format!(
            "[...document.querySelectorAll('li')].filter((line) => line.textContent.includes('{name}')).length === 1"
        )
    };
    hub.session("Lake").await;
    browser.until(&shown("Lake")).await;
    relay.cut();
    browser
        .until("document.querySelector('h2').textContent === 'sessions: stale'")
        .await;
    hub.session("Hills").await;
    relay.mend();
    browser.until(&shown("Hills")).await;
    browser.until(&shown("Lake")).await;
    let first = "return document.querySelector('li').textContent";
    let first = browser.client.execute(first, Vec::new()).await.unwrap();
    let first = text(&first);
    let data = first.strip_prefix("session_created ").unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["name"], "Lake");
    let expected = [
        "Failed to load resource",
        "WebSocket connection to",
        "React DevTools",
    ];
    let is_expected = |said: &String| expected.iter().any(|known| said.contains(known));
    let mut complaints = browser.complaints().await;
    complaints.retain(|said| !is_expected(said));
    assert_eq!(complaints, [""; 0]);
    browser.close().await;
}
