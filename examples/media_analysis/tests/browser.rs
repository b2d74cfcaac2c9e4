//! The page in a real browser: one stream for all, polling where there is none, chunks that go on after
//! a reload.
//!
//! It needs ChromeDriver and Chromium, which `cargo xtask test` installs, and leaves pictures in
//! `target/screenshots`.
#![cfg(unix)]

#[path = "../../demo/tests/browser/axe.rs"]
mod axe;
#[expect(dead_code, reason = "the demo's tests use all of it")]
#[path = "../../demo/tests/browser/driver.rs"]
mod driver;
#[expect(dead_code, reason = "the demo's tests use all of it")]
#[path = "../../demo/tests/browser/files.rs"]
mod files;
#[expect(dead_code, reason = "the tests of the analysis use more of it")]
#[path = "../../demo/tests/fixtures/mod.rs"]
mod fixtures;
#[path = "../../demo/tests/browser/looks.rs"]
mod looks;
#[expect(dead_code, reason = "the demo's tests use all of it")]
#[path = "../../demo/tests/browser/page.rs"]
mod page;
#[expect(dead_code, reason = "other tests use more of it")]
mod support;

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use demo::analysis::{Analysis, Observer, Source};
use media_analysis::{ChunkLimits, server::Settings, studio::see};
use progress_core::batch::RetryPolicy;
use serde_json::json;
use tempfile::TempDir;

use self::{
    driver::Browser,
    support::{Host, gated, unreadable, until},
};

#[tokio::test]
async fn twenty_files_are_watched_over_one_connection() {
    let gate = Arc::default();
    let host = Host::start(gated(&gate)).await;
    let browser = Browser::start().await;
    let folder = TempDir::new().unwrap();
    let mut paths: Vec<_> = (0..18)
        .map(|seed| write(&folder, &format!("photo {seed}.jpg"), &files::photo(seed)))
        .collect();
    paths.push(write(&folder, "torn.png", &fixtures::png_header(640, 480)));
    paths.push(write(&folder, "notes.txt", b"what a day"));

    browser.open(&host.url).await;
    browser.choose(&paths).await;
    browser.until_rows(20, "running").await;
    until("five are at work", async || gate.at() == 5).await;
    browser.until_verdict("All files have arrived").await;
    until("one connection is enough", async || {
        connections(&host).await == 1
    })
    .await;
    browser.photograph_everywhere("media-middle").await;
    browser.look_over("in the middle").await;

    gate.open();
    browser.until_final().await;
    browser.until_rows(19, "completed").await;
    let rows = browser.rows().await;
    let torn = rows.iter().find(|row| row.name == "torn.png").unwrap();
    assert!(torn.outcome.contains("IMAGE_DECODE_FAILED"), "{torn:?}");
    assert!(
        torn.percent >= 50,
        "the failure took the progress away: {torn:?}"
    );
    let batch = browser.batch().await;
    assert_eq!(batch.counts, "19 of 20 done, 1 failed");
    let drawn = "document.querySelectorAll('.row .thumb canvas:not([hidden])').length >= 18";
    browser.until(drawn).await;
    browser.photograph_everywhere("media-end").await;
    browser.look_over("at the end").await;

    // A reload finds it by its address.
    browser.client.refresh().await.unwrap();
    browser.until_final().await;
    browser.until_rows(19, "completed").await;
    let again = browser.rows().await;
    assert_eq!(again, rows);

    browser.choose(&paths[..1]).await;
    browser.until_rows(1, "completed").await;
    let row = browser.rows().await.remove(0);
    assert!(row.outcome.contains("Known already"), "{row:?}");
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test]
async fn where_no_stream_gets_through_the_page_polls_and_climbs_back() {
    let gate = Arc::default();
    let host = Host::start(gated(&gate)).await;
    let browser = Browser::start().await;
    let folder = TempDir::new().unwrap();
    let paths = [1, 2, 3].map(|seed| write(&folder, &format!("{seed}.jpg"), &files::photo(seed)));
    browser.open(&host.url).await;
    block(&browser, &["*/sse*"]).await;
    browser.choose(&paths).await;
    browser
        .until("document.body.dataset.connection === 'polling'")
        .await;
    browser.until_rows(3, "running").await;
    browser.photograph("media-polling").await;

    // It would try again by itself, in a minute.
    block(&browser, &[]).await;
    let back = "dispatchEvent(new Event('online'))";
    browser.client.execute(back, Vec::new()).await.unwrap();
    browser
        .until("document.body.dataset.connection === 'live'")
        .await;
    block(&browser, &["*/sse*"]).await;
    browser.client.refresh().await.unwrap();
    browser
        .until("document.body.dataset.connection === 'polling'")
        .await;
    gate.open();
    browser.until_final().await;
    browser.until_rows(3, "completed").await;
    browser.until_verdict("All 3 files are done").await;
    browser.close().await;
}

#[tokio::test]
async fn a_large_file_goes_on_after_a_reload() {
    let host = Host::start(Settings::default().chunks(ChunkLimits {
        chunk: 4_000_000,
        ..ChunkLimits::default()
    }))
    .await;
    let browser = Browser::start().await;
    let folder = TempDir::new().unwrap();
    let paths = [
        write(&folder, "film.bin", &vec![7; 120_000_000]),
        write(&folder, "photo.jpg", &files::photo(1)),
    ];
    browser.open(&host.url).await;
    // A minute for the whole of it: the page is reloaded long before.
    browser.slow_down_uploads(2_000_000).await;
    browser.choose(&paths).await;
    browser.until_rows(1, "completed").await;
    let film = "document.querySelector('[data-testid=row][data-state=running] .bar')";
    browser.until(&format!("{film}?.ariaValueNow > 5")).await;
    browser.client.refresh().await.unwrap();
    browser.until_text("choose the file again to go on").await;
    let rows = browser.rows().await;
    let row = rows.into_iter().find(|row| row.name == "film.bin").unwrap();
    assert!((5..45).contains(&row.percent), "{row:?}");
    let film_percent = row.percent;
    browser.photograph_everywhere("media-interrupted").await;

    browser.choose(&paths[..1]).await;
    let on = |percent: u8| format!("{film}?.ariaValueNow > {percent}");
    browser.until(&on(film_percent + 3)).await;
    // The chunks that are on their way fail, and are sent again.
    offline(&browser, true).await;
    let upload = format!("/api/uploads/{}", row.task);
    until("what was on its way is lost", async || {
        let standing = host.json(&upload).await;
        standing["received"].as_u64().unwrap() % 4_000_000 == 0
    })
    .await;
    assert_eq!(host.json(&upload).await["complete"], false);
    offline(&browser, false).await;
    browser.slow_down_uploads(-1).await;
    browser.until_final().await;
    browser.until_rows(2, "completed").await;
    let batch = browser.batch().await;
    assert_eq!(
        (batch.counts.as_str(), batch.state.as_str()),
        ("2 of 2 done", "completed")
    );
    host.nothing_is_left().await;
    browser.close().await;
}

#[tokio::test]
async fn retries_are_shown_and_an_item_and_the_batch_can_be_cancelled() {
    let fails = Arc::new(AtomicBool::new(true));
    let made = Arc::new(AtomicUsize::new(0));
    let (failing, count) = (Arc::clone(&fails), Arc::clone(&made));
    // It waits until it is cancelled, whatever time a browser takes to show it.
    let retries = RetryPolicy::default()
        .first_delay(Duration::from_secs(300))
        .longest_delay(Duration::from_secs(300));
    let settings = Settings::default().retries(retries).analyser(
        move |source: &Source, file: Analysis, observer: &mut dyn Observer| {
            count.fetch_add(1, Ordering::Relaxed);
            match failing.load(Ordering::Relaxed) {
                true => Err(unreadable(file)),
                false => see(source, file, observer),
            }
        },
    );
    let host = Host::start(settings).await;
    let browser = Browser::start().await;
    let folder = TempDir::new().unwrap();
    let paths = [1, 2, 3].map(|seed| write(&folder, &format!("{seed}.jpg"), &files::photo(seed)));
    browser.open(&host.url).await;
    browser.choose(&paths).await;
    browser.until_text("Attempt 2 of 4 in").await;
    browser.photograph_everywhere("media-retrying").await;
    browser.look_over("while it retries").await;

    let cancel = "document.querySelector('[data-testid=cancel]').click()";
    browser.client.execute(cancel, Vec::new()).await.unwrap();
    browser.until_rows(1, "cancelled").await;
    browser.until_text("You asked for it").await;
    let all = "document.querySelector('[data-testid=cancel-all]').click()";
    browser.client.execute(all, Vec::new()).await.unwrap();
    browser.until_rows(3, "cancelled").await;
    browser.until_final().await;
    assert_eq!(browser.batch().await.state, "cancelled");
    let tasks = host.tracker.stats();
    assert_eq!(tasks.tasks, tasks.ended);

    fails.store(false, Ordering::Relaxed);
    browser.choose(&paths).await;
    browser.until_verdict("All 3 files are done").await;
    assert!(made.load(Ordering::Relaxed) >= 6);
    browser.close().await;
}

#[tokio::test]
async fn before_the_first_state_there_is_a_skeleton_and_a_refusal_says_why() {
    let host = Host::start(Settings::default().chunks(ChunkLimits {
        file: 1_000_000,
        ..ChunkLimits::default()
    }))
    .await;
    let browser = Browser::start().await;
    let folder = TempDir::new().unwrap();
    let paths = [
        write(&folder, "film.bin", &vec![7; 101_000_000]),
        write(&folder, "photo.jpg", &files::photo(1)),
    ];
    browser.open(&host.url).await;
    browser.slow_down_uploads(2_000).await;
    browser.choose(&paths[1..]).await;
    browser.until_rows(1, "waiting").await;
    browser.photograph("media-skeleton").await;
    browser.slow_down_uploads(-1).await;
    browser.until_final().await;

    browser.choose(&paths).await;
    browser.until_rows(1, "failed").await;
    browser.until_text("PAYLOAD_TOO_LARGE").await;
    browser.until_rows(1, "completed").await;
    browser.photograph("media-refused").await;
    let stats = host.tracker.stats();
    assert_eq!(stats.tasks, 4, "the file that was refused has no task");
    browser.close().await;
}

/// How many connections the server has, by its own count.
async fn connections(host: &Host) -> u64 {
    host.json("/health").await["sessions"].as_u64().unwrap()
}

async fn offline(browser: &Browser, offline: bool) {
    let conditions = json!({
        "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1,
    });
    browser
        .devtools("Network.emulateNetworkConditions", conditions)
        .await;
}

async fn block(browser: &Browser, urls: &[&str]) {
    browser.devtools("Network.enable", json!({})).await;
    let blocked = json!({ "urls": urls });
    browser.devtools("Network.setBlockedURLs", blocked).await;
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}
