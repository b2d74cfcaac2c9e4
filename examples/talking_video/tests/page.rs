//! The page in a real browser: files in, a true bar, a video out; what goes wrong, said with a way out.
//!
//! It needs ChromeDriver and Chromium, which `cargo xtask test` installs, and leaves pictures in `target/screenshots`.
#![cfg(unix)]

#[path = "../../demo/tests/browser/axe.rs"]
mod axe;
#[expect(dead_code, reason = "the demo's tests use all of it")]
#[path = "../../demo/tests/browser/driver.rs"]
mod driver;
#[path = "../../demo/tests/browser/looks.rs"]
mod looks;
#[expect(dead_code, reason = "the demo's tests use all of it")]
#[path = "../../demo/tests/browser/page.rs"]
mod page;
#[expect(dead_code, reason = "the tests without a browser use the rest")]
mod support;

use std::path::Path;

use fantoccini::Locator;
use serde_json::json;
use tempfile::TempDir;

use self::{
    driver::Browser,
    support::{Host, held::Held, meadow, portrait_file, speak},
};

/// A picture comes to be shown without a change of the page.
const SHOWN: &str = "document.querySelector('[data-testid=video]')?.naturalWidth === 384";

/// Chooses the files and sends them.
async fn generate(browser: &Browser, image: &Path, audio: &Path) {
    // The form is there when the page's program has run.
    browser
        .until("document.querySelector('#image') !== null")
        .await;
    for (field, file) in [("#image", image), ("#audio", audio)] {
        let field = browser.client.find(Locator::Css(field)).await.unwrap();
        field.send_keys(file.to_str().unwrap()).await.unwrap();
    }
    browser.click("button[type=submit]").await;
}

async fn until_state(browser: &Browser, state: &str) {
    let state = json!(state);
    let task = "document.querySelector('[data-testid=task]')";
    browser
        .until(&format!("{task}?.dataset.state === {state}"))
        .await;
}

#[tokio::test]
async fn a_video_is_asked_for_watched_and_seen() {
    let host = Host::start().await;
    let browser = Browser::start().await;
    let folder = TempDir::new().unwrap();
    let voice = folder.path().join("voice.wav");
    speak("Hello, I am a picture that speaks.", &voice);

    browser.open(&host.url).await;
    browser.until_text("Make a picture speak").await;
    browser.look_over("before").await;
    generate(&browser, &portrait_file(), &voice).await;
    until_state(&browser, "completed").await;
    // It has been fetched, with the token in a header, and is shown.
    browser.until_drawn(SHOWN).await;
    browser.until_text("One person was found").await;
    browser.until_text("syllables a second").await;
    let bar = "document.querySelector('[role=progressbar]').ariaValueNow";
    browser.until(&format!("{bar} === '100'")).await;
    browser.look_over("done").await;
    browser.photograph_everywhere("talking-video-done").await;

    // Behind the #, which goes to nobody, are task and token; with them it is all there again.
    browser.client.refresh().await.unwrap();
    until_state(&browser, "completed").await;
    browser.until_drawn(SHOWN).await;
    browser.click("[data-testid=task] > .actions button").await;
    browser
        .until("document.querySelector('[data-testid=task]') === null && location.hash === ''")
        .await;
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test]
async fn a_failure_is_told_with_a_way_out() {
    let host = Host::start().await;
    let browser = Browser::start().await;
    let folder = TempDir::new().unwrap();
    let (picture, voice) = (
        folder.path().join("meadow.png"),
        folder.path().join("voice.wav"),
    );
    std::fs::write(&picture, meadow()).unwrap();
    speak("Is there anybody here?", &voice);

    browser.open(&host.url).await;
    generate(&browser, &picture, &voice).await;
    until_state(&browser, "failed").await;
    browser.until_text("NO_PERSON_FOUND").await;
    browser.until_text("Lower the confidence threshold").await;
    let failed = "document.querySelector('[data-testid=stage-detect]').dataset.state";
    browser.until(&format!("{failed} === 'failed'")).await;
    browser.look_over("failed").await;
    browser.photograph_everywhere("talking-video-failed").await;
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test]
async fn a_task_under_way_outlives_a_reload_and_is_cancelled() {
    let held = Held::default();
    let host = Host::with(Host::tokens(), held.start().await, |settings| settings).await;
    let browser = Browser::start().await;
    let folder = TempDir::new().unwrap();
    let voice = folder.path().join("voice.wav");
    speak("This takes a while.", &voice);

    browser.open(&host.url).await;
    generate(&browser, &portrait_file(), &voice).await;
    browser.until_text("The renderer is at work").await;
    browser
        .until("document.querySelector('.connection').dataset.connected === 'true'")
        .await;
    host.watched_by("websocket").await;
    browser.look_over("under way").await;
    browser.photograph_everywhere("talking-video-running").await;
    browser.client.refresh().await.unwrap();
    browser.until_text("The renderer is at work").await;
    browser.click("[data-testid=task] > .actions button").await;
    until_state(&browser, "cancelled").await;
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test]
async fn where_neither_sockets_nor_streams_get_through_the_page_asks_and_climbs_back() {
    let held = Held::default();
    let host = Host::with(Host::tokens(), held.start().await, |settings| settings).await;
    let browser = Browser::start().await;
    let folder = TempDir::new().unwrap();
    let voice = folder.path().join("voice.wav");
    speak("By and by.", &voice);

    browser.open(&host.url).await;
    block(&browser, &["*/api/sse*"]).await;
    // What is blocked by its address is no socket: these go where there is none.
    let misled = "window.Whole = WebSocket;
        window.WebSocket = class extends Whole {
          constructor(url, protocols) { super(url.replace('/api/ws', '/nowhere'), protocols); }
        };";
    browser.client.execute(misled, Vec::new()).await.unwrap();
    generate(&browser, &portrait_file(), &voice).await;
    browser.until_text("The renderer is at work").await;
    browser
        .until("document.querySelector('.connection').dataset.connected === 'true'")
        .await;
    // No connection stays: it asks for the task.
    let asked =
        "performance.getEntriesByType('resource').some(({ name }) => name.includes('/api/tasks/'))";
    browser.until_drawn(asked).await;
    let operator = host.operator();
    host.until("/api/clients", operator.as_deref(), |page| {
        page["clients"] == json!([])
    })
    .await;

    block(&browser, &[]).await;
    // Else it looks for a better way now and then; another network has it look at once.
    let restored = "window.WebSocket = Whole;
        for (const type of ['offline', 'online']) window.dispatchEvent(new Event(type));";
    browser.client.execute(restored, Vec::new()).await.unwrap();
    host.watched_by("websocket").await;
    held.release();
    until_state(&browser, "failed").await;
    browser.until_text("RENDER_FAILED").await;
    browser.close().await;
}

async fn block(browser: &Browser, urls: &[&str]) {
    browser.devtools("Network.enable", json!({})).await;
    let blocked = json!({ "urls": urls });
    browser.devtools("Network.setBlockedURLs", blocked).await;
}

#[tokio::test]
async fn what_is_refused_is_told_beside_the_form() {
    let limits = talking_video::server::Limits {
        image: 1_000,
        ..Default::default()
    };
    let rendering = support::stand_in().await;
    let host = Host::with(Host::tokens(), rendering, |settings| {
        settings.limits(limits)
    })
    .await;
    let browser = Browser::start().await;
    let folder = TempDir::new().unwrap();
    let voice = folder.path().join("voice.wav");
    speak("Too much.", &voice);

    browser.open(&host.url).await;
    generate(&browser, &portrait_file(), &voice).await;
    browser.until_text("PAYLOAD_TOO_LARGE").await;
    browser
        .until("document.querySelector('[data-testid=task]') === null")
        .await;
    browser.look_over("refused").await;
    browser.close().await;
}
