//! The page in a real browser. It leaves pictures in `target/screenshots`.

#[allow(dead_code, reason = "the demo's tests use all of it")]
#[path = "../../demo/tests/browser/axe.rs"]
mod axe;
#[allow(dead_code, reason = "the demo's tests use all of it")]
#[path = "../../demo/tests/browser/driver.rs"]
mod driver;
#[allow(dead_code, reason = "the demo's tests use all of it")]
#[path = "../../demo/tests/browser/page.rs"]
mod page;
mod support;

use std::{io::Write as _, path::PathBuf, process::Stdio};

use event_hub::users::Role;
use fantoccini::Locator;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use self::{
    driver::Browser,
    support::{PATIENCE, SECRET, picture, relay::Relay, text, token, torn},
};

/// The hub as a process, which can be killed and started again in its place.
struct Host {
    process: Child,
    url: String,
    secret: tempfile::NamedTempFile,
}

impl Host {
    async fn start() -> Self {
        let mut secret = tempfile::NamedTempFile::new().unwrap();
        writeln!(secret, "{SECRET}").unwrap();
        let (process, url) = Self::spawn(&secret, "127.0.0.1:0").await;
        Self {
            process,
            url,
            secret,
        }
    }

    async fn spawn(secret: &tempfile::NamedTempFile, listen: &str) -> (Child, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_event-hub"));
        command.args(["--sample", "500ms", "--listen", listen, "--secret-file"]);
        let command = command.arg(secret.path()).stdout(Stdio::piped());
        let mut process = command.kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let said = timeout(PATIENCE, lines.next_line()).await;
        let said = said.expect("it is ready").unwrap().unwrap();
        (process, said.rsplit(' ').next().unwrap().to_owned())
    }

    async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    async fn start_again(&mut self) {
        let listen = self.url.strip_prefix("http://").unwrap();
        (self.process, _) = Self::spawn(&self.secret, listen).await;
    }

    /// What a route answers an operator.
    async fn get(&self, path: &str) -> Value {
        let asked = reqwest::Client::new().get(format!("{}{path}", self.url));
        let answer = asked.bearer_auth(token(Role::Operator)).send().await;
        answer.unwrap().json().await.unwrap()
    }

    /// Does what an operator may.
    async fn ask(&self, method: Method, path: &str, body: Value) {
        let asked = reqwest::Client::new().request(method, format!("{}{path}", self.url));
        let asked = asked.bearer_auth(token(Role::Operator)).json(&body);
        assert!(asked.send().await.unwrap().status().is_success(), "{path}");
    }

    /// The clients that watch something, and those that are there under a name.
    async fn clients(&self) -> (Vec<Value>, Vec<Value>) {
        let clients = self.get("/clients").await["clients"].clone();
        let clients: Vec<Value> = serde_json::from_value(clients).unwrap();
        let watches = |client: &Value| client["topics"] != json!([]);
        clients.into_iter().partition(watches)
    }
}

impl Browser {
    /// Opens the page in a role, and waits until it is live.
    async fn open_as(&self, host: &Host, role: Role) {
        self.open_at(&host.url, role).await;
    }

    async fn open_at(&self, url: &str, role: Role) {
        // Another fragment alone would not load it anew.
        self.open("about:blank").await;
        self.open(&format!("{url}/#token={}", token(role))).await;
        self.until_state("live").await;
    }

    async fn until_state(&self, state: &str) {
        let is_so =
            format!("document.querySelector('#connection')?.dataset.connection === '{state}'");
        self.until(&is_so).await;
    }

    async fn write(&self, selector: &str, text: &str) {
        let found = self.client.find(Locator::Css(selector)).await;
        found.unwrap().send_keys(text).await.unwrap();
    }

    async fn create_session(&self, name: &str) {
        self.write("#session-name", name).await;
        self.click("#new-session button").await;
        let title =
            format!("document.querySelector('#photos-title').textContent.includes('{name}')");
        self.until(&title).await;
    }

    /// Waits until a channel's card shows an event with a text.
    async fn until_told(&self, channel: &str, text: &str) {
        self.until(&format!(
            "[...document.querySelectorAll('[data-channel={channel}] .events li')]
                .some((line) => line.textContent.includes('{text}'))"
        ))
        .await;
    }

    async fn photograph_as(&self, name: &str, scheme: &str, width: u32, height: u32) {
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", media).await;
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", size)
            .await;
        let overflow = "scrollTo(0, 0); return document.documentElement.scrollWidth - innerWidth";
        let overflow = self.client.execute(overflow, Vec::new()).await.unwrap();
        assert!(
            overflow.as_i64() <= Some(0),
            "{name} is wider than the window by {overflow}"
        );
        self.photograph(name).await;
    }
}

fn files(folder: &tempfile::TempDir) -> Vec<PathBuf> {
    let files = [
        ("lake.png", picture(20)),
        ("hills.png", picture(120)),
        ("sea.png", picture(220)),
        ("torn.png", torn()),
    ];
    let write = |(name, bytes): (&str, Vec<u8>)| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    files.map(write).into()
}

#[tokio::test]
async fn the_hubs_page_shows_what_happens_and_takes_decisions() {
    let host = Host::start().await;
    let browser = Browser::start().await;
    let folder = tempfile::tempdir().unwrap();
    browser.open_as(&host, Role::Operator).await;
    let hash = browser
        .client
        .execute("return location.hash", Vec::new())
        .await;
    assert_eq!(hash.unwrap(), "", "the token is no longer in the address");

    browser.create_session("Lake").await;
    browser.choose(&files(&folder)).await;
    browser
        .until("document.querySelectorAll('.photo[data-state=pending]').length === 3")
        .await;
    // The torn one is gone again, and is told of.
    browser
        .until("document.querySelectorAll('.photo').length === 3")
        .await;
    browser.until_told("system", "torn.png").await;
    browser.until_told("jobs", "3 imported, 1 failed").await;
    browser
        .until("[...document.querySelectorAll('.photo img')].every((img) => img.naturalWidth > 0)")
        .await;

    browser.click(".photo:nth-child(1) .approve").await;
    browser.click(".photo:nth-child(2) .reject").await;
    browser.click(".photo:nth-child(3) .select").await;
    let states =
        "[...document.querySelectorAll('.photo .chip')].map((chip) => chip.textContent).join()";
    let expected = "approved by operator,rejected by operator,pending";
    browser.until(&format!("{states} === '{expected}'")).await;
    browser
        .until_told("approval", "1 pending, 1 approved, 1 rejected")
        .await;
    browser
        .until("document.querySelector('.photo:nth-child(3) .select').ariaPressed === 'true'")
        .await;

    browser.click("#export").await;
    browser
        .until("document.querySelector('#exports button')?.textContent.includes('1')")
        .await;
    browser
        .until("[...document.querySelectorAll('#clients tr td:first-child')].some((type) => type.textContent === 'web')")
        .await;
    browser.write("#notice", "Lunch").await;
    browser.click("#broadcast button").await;
    browser
        .until("document.querySelector('#notice-line').textContent === 'Notice: Lunch'")
        .await;

    for (name, scheme, width, height) in [
        ("hub-light", "light", 1_100, 1_760),
        ("hub-dark", "dark", 1_100, 1_760),
        ("hub-narrow", "light", 390, 3_300),
        ("hub-narrow-dark", "dark", 390, 3_300),
    ] {
        browser.photograph_as(name, scheme, width, height).await;
        assert_eq!(axe::violations(&browser.client).await, [""; 0], "{name}");
    }
    assert_eq!(browser.complaints().await, [""; 0]);

    // What it shows after a reload is the same.
    let shown = async || {
        browser
            .client
            .execute(&format!("return {states}"), Vec::new())
            .await
            .unwrap()
    };
    browser.client.refresh().await.unwrap();
    browser.until(&format!("{states} === '{expected}'")).await;
    assert_eq!(shown().await, expected);
    // A channel that is switched off and on again is told anew.
    browser.click("[data-channel=photos] input").await;
    browser
        .until("document.querySelector('[data-channel=photos]').dataset.status === 'off'")
        .await;
    browser.click("[data-channel=photos] input").await;
    browser.until_told("photos", "approved by operator").await;
    browser.close().await;
}

#[tokio::test]
async fn the_hubs_page_shows_each_role_what_it_may() {
    let host = Host::start().await;
    let browser = Browser::start().await;
    let folder = tempfile::tempdir().unwrap();
    browser.open_as(&host, Role::Operator).await;
    browser.create_session("Lake").await;
    browser.choose(&files(&folder)[..1]).await;
    browser
        .until("document.querySelector('.photo[data-state=pending]') !== null")
        .await;
    let seen = "return [
        document.querySelectorAll('.channel[data-status=live]').length,
        !document.querySelector('.photo .actions').hidden,
        !document.querySelector('#new-session').hidden,
        !document.querySelector('#clients').closest('section').hidden,
    ]";
    for (role, expected) in [
        (Role::Operator, json!([7, true, true, true])),
        (Role::Reviewer, json!([5, true, false, false])),
        (Role::Viewer, json!([4, false, false, false])),
    ] {
        browser.open_as(&host, role).await;
        browser
            .until("document.querySelector('.photo[data-state=pending]') !== null")
            .await;
        browser
            .until("!document.querySelector('.channel[data-status=connecting]')")
            .await;
        let seen = browser.client.execute(seen, Vec::new()).await.unwrap();
        assert_eq!(seen, expected, "{role:?}");
    }
    // Who has no token is told what to do.
    browser
        .client
        .execute("sessionStorage.clear()", Vec::new())
        .await
        .unwrap();
    browser.client.refresh().await.unwrap();
    browser.until_state("ended").await;
    let said = "document.querySelector('#problem').textContent.includes('addresses')";
    browser.until(said).await;
    browser.close().await;
}

#[tokio::test]
async fn the_hubs_page_survives_a_restart_of_the_server() {
    let mut host = Host::start().await;
    let browser = Browser::start().await;
    browser.open_as(&host, Role::Operator).await;
    browser.create_session("Lake").await;
    browser.choose(&files(&tempfile::tempdir().unwrap())).await;
    browser.until_told("jobs", "3 imported, 1 failed").await;
    host.kill().await;
    browser.until_state("stale").await;
    for (name, scheme) in [("hub-offline", "light"), ("hub-offline-dark", "dark")] {
        browser.photograph_as(name, scheme, 1_100, 1_500).await;
        assert_eq!(axe::violations(&browser.client).await, [""; 0], "{name}");
    }
    host.start_again().await;
    browser.until_state("live").await;
    // Another hub, which knows of nothing: the page does not show what is no longer so.
    browser
        .until("document.querySelectorAll('#sessions li').length === 0")
        .await;
    browser
        .until("!document.querySelector('[data-channel=sessions] .events li')")
        .await;
    browser.create_session("Hills").await;
    browser.until_told("sessions", "Hills").await;
    browser.close().await;
}

#[tokio::test]
async fn the_hubs_page_is_told_what_it_missed_once() {
    let host = Host::start().await;
    let browser = Browser::start().await;
    let relay = Relay::start(&host.url).await;
    browser.open_at(&relay.url, Role::Operator).await;
    browser.create_session("Lake").await;
    browser.until_told("sessions", "Lake").await;
    relay.cut();
    browser.until_state("stale").await;
    host.ask(Method::POST, "/api/sessions", json!({"name": "Hills"}))
        .await;
    relay.mend();
    browser.until_told("sessions", "Hills").await;
    let names = "[...document.querySelectorAll('#sessions button')].map((button) => button.textContent).join()";
    browser.until(&format!("{names} === 'Hills,Lake'")).await;
    let told = "return document.querySelectorAll('[data-channel=sessions] .events li').length";
    let told = browser.client.execute(told, Vec::new()).await.unwrap();
    assert_eq!(told, 2, "each once");
    // It registers again too.
    support::until("it is listed", async || {
        let (_, registered) = host.clients().await;
        registered
            .iter()
            .any(|client| client["client_type"] == "web")
    })
    .await;
    browser.close().await;
}

#[tokio::test]
async fn the_hubs_page_shares_one_connection_with_others_of_its_user() {
    let host = Host::start().await;
    let browser = Browser::start().await;
    browser.open_as(&host, Role::Operator).await;
    let window = browser.client.new_window(true).await.unwrap();
    let first = browser.client.window().await.unwrap();
    browser
        .client
        .switch_to_window(window.handle)
        .await
        .unwrap();
    browser.open_as(&host, Role::Operator).await;
    browser.create_session("Lake").await;
    support::until("both are listed", async || {
        let (_, registered) = host.clients().await;
        registered.len() == 2
    })
    .await;
    let (watching, registered) = host.clients().await;
    assert_eq!(watching.len(), 1, "{watching:?}");
    assert_eq!(watching[0]["topics"].as_array().unwrap().len(), 7);
    assert_ne!(registered[0]["client_name"], registered[1]["client_name"]);
    // Another user's page has its own.
    browser.client.close_window().await.unwrap();
    browser.client.switch_to_window(first).await.unwrap();
    browser.until_told("sessions", "Lake").await;
    let window = browser.client.new_window(true).await.unwrap();
    browser
        .client
        .switch_to_window(window.handle)
        .await
        .unwrap();
    browser.open_as(&host, Role::Viewer).await;
    let (watching, _) = host.clients().await;
    let mut subjects: Vec<_> = watching.iter().map(|one| text(&one["subject"])).collect();
    subjects.sort();
    assert_eq!(subjects, ["operator", "viewer"]);
    browser.close().await;
}

#[tokio::test]
async fn the_hubs_page_says_that_it_was_sent_away_and_comes_back() {
    let host = Host::start().await;
    let browser = Browser::start().await;
    browser.open_as(&host, Role::Viewer).await;
    // By the one of its connections or by the other.
    for is_named in [true, false] {
        let mut clients = (Vec::new(), Vec::new());
        support::until("it is listed", async || {
            clients = host.clients().await;
            clients.0.len() == 1 && clients.1.len() == 1
        })
        .await;
        let (watching, registered) = clients;
        assert_eq!(registered[0]["client_type"], "web");
        let client = if is_named { &registered } else { &watching };
        let path = format!("/clients/{}", text(&client[0]["id"]));
        host.ask(Method::DELETE, &path, json!({})).await;
        browser.until_state("ended").await;
        let said = "document.querySelector('#connection').textContent.includes('operator')";
        browser.until(said).await;
        if is_named {
            let name = "hub-sent-away";
            browser.photograph_as(name, "light", 1_100, 700).await;
            assert_eq!(axe::violations(&browser.client).await, [""; 0]);
            support::until("nothing of it is left", async || {
                host.get("/clients").await["clients"] == json!([])
            })
            .await;
        }
        browser.click("#again").await;
        browser.until_state("live").await;
    }
    browser.close().await;
}

/// Events against answers, in the orders that are rare.
#[tokio::test]
async fn the_hubs_page_tells_news_from_what_a_list_holds() {
    let host = Host::start().await;
    let browser = Browser::start().await;
    browser.open(&host.url).await;
    let script = "const [done] = arguments;
        import('/list.js').then(async ({ List }) => {
          const applied = [], answers = [], taken = [];
          const ask = () => new Promise((answer) => answers.push(answer));
          const list = new List(ask, (event) => applied.push(event));
          const take = (epoch, seq, event, from = seq) => taken.push(list.take(
            { channel_epoch: epoch, channel_seq: seq, channel_from: from, event }));
          take('a', 1, 'before there is a list');
          let renewed = list.renew();
          take('a', 4, 'held by the list');
          take('a', 6, 'later than the list');
          answers.shift()('a:5');
          await renewed;
          take('a', 6, 'a repeat');
          take('a', 7, 'news');
          take('a', 10, 'news that stand for others', 8);
          take('b', 1, 'of another hub');
          renewed = list.renew();
          take('b', 3, 'later than the other list');
          list.renew();
          answers.shift()('b:1');
          await new Promise(setTimeout);
          answers.shift()('b:2');
          await renewed;
          done({ applied, taken, asked: answers.length });
        });";
    let seen = browser.client.execute_async(script, Vec::new()).await;
    let expected = json!({
        "applied": [
            "later than the list", "news", "news that stand for others", "later than the other list",
        ],
        // While it is asked for there is nothing to say yet.
        "taken": [false, true, true, true, true, false, false, true],
        "asked": 0,
    });
    assert_eq!(seen.unwrap(), expected);
    browser.close().await;
}

#[tokio::test]
async fn the_hubs_page_runs_no_code_but_its_own() {
    let host = Host::start().await;
    for path in ["/", "/app.js"] {
        let answer = reqwest::get(format!("{}{path}", host.url)).await.unwrap();
        let policy = text(&json!(
            answer.headers()["content-security-policy"]
                .to_str()
                .unwrap()
        ));
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(
            !policy.contains("unsafe") && !policy.contains('*'),
            "{policy}"
        );
    }
}
