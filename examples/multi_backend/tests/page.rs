//! The page, in two tabs of a browser, each from another node.

#[path = "../../demo/tests/browser/axe.rs"]
mod axe;
#[allow(dead_code, reason = "the demo's tests use all of it")]
#[path = "../../demo/tests/browser/driver.rs"]
mod driver;
mod support;

use fantoccini::{Client, Locator};
use serde_json::{Value, json};

use self::{
    driver::Browser,
    support::{System, signal, until},
};

/// What there is to see, project by project.
async fn rows(tab: &Client) -> Value {
    let script = "return [...document.querySelectorAll('#projects > li')].map((row) => [
        row.querySelector('h2').textContent,
        row.querySelector('progress').value,
        row.querySelector('.about').textContent,
        [...row.querySelectorAll('.trouble, .log li')].map((line) => line.textContent),
        row.querySelector('.result').textContent,
        row.querySelector('img')?.naturalWidth ?? 0,
    ])";
    tab.execute(script, Vec::new()).await.unwrap()
}

async fn ask_for(tab: &Client, title: &str, worker: &str) {
    let field = tab.find(Locator::Css("input[name=title]")).await.unwrap();
    field.send_keys(title).await.unwrap();
    let select = tab.find(Locator::Css("select")).await.unwrap();
    select.select_by_value(worker).await.unwrap();
    let failures = tab
        .find(Locator::Css("input[name=failures]"))
        .await
        .unwrap();
    failures.clear().await.unwrap();
    failures.send_keys("1").await.unwrap();
    let button = tab.find(Locator::Css("button")).await.unwrap();
    button.click().await.unwrap();
}

/// Waits until a tab shows so many films; gives all that it shows.
async fn films(tab: &Client, count: usize) -> Value {
    until("the films are shown", async || {
        let rows = rows(tab).await;
        let rows = rows.as_array().unwrap();
        rows.len() == count && rows.iter().all(|row| row[5].as_u64() > Some(0))
    })
    .await;
    rows(tab).await
}

#[tokio::test]
async fn two_tabs_of_two_nodes_show_the_same() {
    let system = System::start_with(&["--workers", "1", "--python-workers", "1"]).await;
    let browser = Browser::start().await;
    let tab = &browser.client;
    tab.goto(&system.axum()).await.unwrap();
    let first = tab.window().await.unwrap();
    let second = tab.new_window(true).await.unwrap().handle;
    tab.switch_to_window(second.clone()).await.unwrap();
    tab.goto(&system.warp()).await.unwrap();
    ask_for(tab, "Rain", "rust").await;
    until("it was taken", async || {
        !rows(tab).await.as_array().unwrap().is_empty()
    })
    .await;

    tab.switch_to_window(first.clone()).await.unwrap();
    ask_for(tab, "Snow", "python").await;
    let one = films(tab, 2).await;
    tab.switch_to_window(second).await.unwrap();
    let other = films(tab, 2).await;
    assert_eq!(one, other);
    for row in one.as_array().unwrap() {
        let lines = row[3].as_array().unwrap();
        assert!(lines[0].as_str().unwrap().contains("retry 1 of "), "{row}");
        assert!(lines.len() > 3, "{row}");
    }
    for scheme in axe::schemes() {
        browser.devtools("Emulation.setEmulatedMedia", scheme).await;
        assert_eq!(axe::violations(tab).await, [""; 0]);
    }
    // One that comes later sees the same, and one that has lost its node too.
    tab.switch_to_window(first).await.unwrap();
    tab.refresh().await.unwrap();
    assert_eq!(films(tab, 2).await, one);
    signal("-KILL", &system.all("web")[0].pid).await;
    system.came_up("web", 3).await;
    let wish = json!({"title": "Fog", "scenes": 1, "worker": "rust"});
    system.project(&system.warp(), &wish).await;
    let three = films(tab, 3).await;
    assert_eq!(three.as_array().unwrap()[1..], *one.as_array().unwrap());
    for row in three.as_array().unwrap() {
        assert_eq!(row[1], 100.0, "{row}");
        assert!(row[2].as_str().unwrap().starts_with("completed"), "{row}");
    }
    assert_eq!(browser.complaints_of_the_page().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test]
async fn a_film_whose_worker_is_killed_is_shown_as_the_next_one_makes_it() {
    let flags = ["--workers", "2", "--lease", "2s", "--pace", "100ms"];
    let system = System::start_with(&flags).await;
    let browser = Browser::start().await;
    let tab = &browser.client;
    tab.goto(&system.axum()).await.unwrap();
    let wish = json!({"title": "Rain", "scenes": 3});
    let task = system.project(&system.axum(), &wish).await;
    let mut worker = String::new();
    while worker.is_empty() {
        let url = format!("{}/tasks/{task}?wait=5s", system.axum());
        let (_, snapshot) = system.get(&url).await;
        worker = snapshot["labels"]["worker"]
            .as_str()
            .unwrap_or_default()
            .into();
    }
    let (_, pid) = worker.rsplit_once('-').unwrap();
    signal("-KILL", pid).await;
    let films = films(tab, 1).await;
    assert!(!films[0][4].as_str().unwrap().contains(&worker), "{films}");
    browser.close().await;
}

#[tokio::test]
async fn a_tab_shows_the_newest_hundred_projects_and_loses_no_connection() {
    // Nobody works: they all wait.
    let system = System::start_with(&[]).await;
    let browser = Browser::start().await;
    let tab = &browser.client;
    for title in ["Rain", "Snow"] {
        let wish = json!({"title": title, "scenes": 1});
        for _ in 0..130 {
            system.project(&system.axum(), &wish).await;
        }
        if title == "Rain" {
            tab.goto(&system.warp()).await.unwrap();
            let note = "window.states = [];
                const state = document.querySelector('#state');
                const changed = new MutationObserver(() => states.push(state.textContent));
                changed.observe(state, { childList: true });";
            tab.execute(note, Vec::new()).await.unwrap();
        }
        until("the newest hundred are shown", async || {
            let rows = rows(tab).await;
            let rows = rows.as_array().unwrap();
            rows.len() == 100 && rows.iter().all(|row| row[0] == title)
        })
        .await;
    }
    let status = tab.find(Locator::Css("#state")).await.unwrap();
    assert_eq!(status.text().await.unwrap(), "live");
    let states = tab.execute("return states", Vec::new()).await.unwrap();
    assert!(!states.to_string().contains("lost"), "{states}");
    assert_eq!(browser.complaints_of_the_page().await, Vec::<String>::new());
    browser.close().await;
}

impl Browser {
    /// Without those of the network: a node was killed.
    async fn complaints_of_the_page(&self) -> Vec<String> {
        let mut complaints = self.complaints().await;
        complaints.retain(|text| !text.contains("ERR_CONNECTION") && !text.contains("favicon"));
        complaints
    }
}
