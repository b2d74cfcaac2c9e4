//! The page in a real browser: files in, true bars out, whatever happens to the tab or to the server.
//!
//! It needs ChromeDriver and Chromium, which `cargo xtask test` installs, and leaves pictures in
//! `target/screenshots`.
#![cfg(unix)]

#[path = "browser/axe.rs"]
mod axe;
#[path = "browser/driver.rs"]
mod driver;
#[path = "browser/files.rs"]
mod files;
#[expect(dead_code, reason = "the tests of the analysis use more of it")]
mod fixtures;
#[path = "browser/host.rs"]
mod host;
#[path = "browser/looks.rs"]
mod looks;
#[path = "browser/page.rs"]
mod page;

use std::{fs, path::PathBuf};

use demo::{multipart::UploadLimits, server::Settings};
use tempfile::TempDir;

use self::{
    driver::Browser,
    files::photo,
    host::{HeldUpload, Host},
};

#[tokio::test]
async fn drops_three_files_and_sees_the_bars_end() {
    let host = Host::start(Settings::default()).await;
    let browser = Browser::start().await;
    let folder = TempDir::new().unwrap();
    let files = [
        ("lake.jpg", photo(1)),
        ("torn.png", fixtures::png_header(640, 480)),
        ("notes.txt", b"what a day".to_vec()),
    ];
    let paths = files.map(|(name, bytes)| write(&folder, name, &bytes));

    browser.open(&host.page()).await;
    browser.drop_files(&paths).await;
    browser.until_final().await;

    let rows = browser.rows().await;
    let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["lake.jpg", "torn.png", "notes.txt"]);
    let [lake, torn, notes] = &rows[..] else {
        panic!("three rows: {rows:?}");
    };
    assert_eq!((lake.state.as_str(), lake.percent), ("completed", 100));
    assert!(lake.activity.contains("JPEG"), "{lake:?}");
    assert!(lake.outcome.contains("Acme Box 1"), "{lake:?}");
    assert!(lake.outcome.contains("Sharpness: "), "{lake:?}");
    assert_eq!(torn.state, "failed");
    assert!(torn.percent < 100, "{torn:?}");
    assert!(torn.outcome.contains("IMAGE_DECODE_FAILED"), "{torn:?}");
    assert!(torn.outcome.contains("PNG or JPEG"), "{torn:?}");
    assert_eq!((notes.state.as_str(), notes.percent), ("completed", 100));
    assert!(notes.outcome.contains("SHA-256"), "{notes:?}");
    let batch = browser.batch().await;
    assert_eq!((batch.state.as_str(), batch.percent), ("completed", 100));
    assert_eq!(batch.counts, "2 of 3 done, 1 failed");
    assert!(
        batch.verdict.contains("2 files are done, 1 failed"),
        "{batch:?}"
    );
    browser.photograph_everywhere("end").await;

    let dropped = browser.client.current_url().await.unwrap();
    browser.choose(&paths[2..]).await;
    browser.until_verdict("The file is done").await;
    assert_ne!(browser.client.current_url().await.unwrap(), dropped);
    assert_eq!(browser.rows().await.len(), 1);

    browser.client.back().await.unwrap();
    browser.until_verdict("2 files are done, 1 failed").await;
    browser.until_rows(2, "completed").await;
    assert_eq!(browser.rows().await, rows, "the way back shows the same");

    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test]
async fn reload_in_the_middle_sees_the_truth() {
    // A place for each, so that none of them is queued.
    let host = Host::start(Settings::default().at_once(NAMES.len())).await;
    let browser = Browser::start().await;
    let mut files: Vec<_> = NAMES
        .iter()
        .map(|name| (*name, photo(name.len())))
        .collect();
    files[2].1.truncate(2_000);
    let upload = HeldUpload::start(&host, &files).await;

    browser.open(&host.page_of(&upload.batch)).await;
    browser.until_rows(4, "completed").await;
    browser.until_rows(1, "failed").await;
    let held = "document.querySelectorAll('[data-testid=row]')[5]";
    let receiving = format!(
        "{held}?.dataset.state === 'running' && {held}.querySelector('.bar').ariaValueNow > 0"
    );
    browser.until(&receiving).await;
    let (rows, batch) = (browser.rows().await, browser.batch().await);
    assert_eq!(batch.counts, "4 of 6 done, 1 failed, 1 running");
    browser.photograph("middle").await;

    browser.client.refresh().await.unwrap();
    browser.until(&receiving).await;
    browser.until_rows(4, "completed").await;
    browser.until_rows(1, "failed").await;
    let rows_again = browser.rows().await;
    for (row, again) in rows.iter().zip(&rows_again) {
        assert_eq!((&row.task, &row.state), (&again.task, &again.state));
        assert!(row.percent <= again.percent, "{row:?}, then {again:?}");
        assert_eq!(row.outcome, again.outcome);
    }
    let batch_again = browser.batch().await;
    assert_eq!(batch.counts, batch_again.counts);
    assert!(batch.percent <= batch_again.percent);
    assert!(batch_again.percent < 100);

    upload.finish().await;
    browser.until_final().await;
    let batch = browser.batch().await;
    assert_eq!(batch.state, "completed");
    assert_eq!(batch.counts, "5 of 6 done, 1 failed");
    browser.close().await;
}

#[tokio::test]
async fn two_tabs_see_the_same() {
    // The only place is taken, so that the files wait until it is free.
    let host = Host::start(Settings::default().at_once(1)).await;
    let taker = HeldUpload::start(&host, &[("taker.jpg", photo(9))]).await;
    let browser = Browser::start().await;
    browser.open(&host.page_of(&taker.batch)).await;
    browser.until_rows(1, "running").await;

    // In percent of the batch: all that receiving weighs, and 9 % of the rest, as in the rows of its files.
    let arrived = 18;
    let folder = TempDir::new().unwrap();
    let paths = [("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 3)]
        .map(|(name, seed)| write(&folder, name, &photo(seed)));
    browser.choose(&paths).await;
    browser.until_rows(3, "queued").await;
    browser.until_verdict("All files have arrived").await;
    browser.until_percent(arrived).await;
    browser.photograph("queued").await;
    let queued = (browser.rows().await, browser.batch().await);
    assert_eq!(queued.1.counts, "0 of 3 done, 3 queued");

    let url = browser.client.current_url().await.unwrap();
    let first = browser.client.window().await.unwrap();
    let second = browser.client.new_window(true).await.unwrap().handle;
    browser.client.switch_to_window(second).await.unwrap();
    browser.open(url.as_str()).await;
    browser.until_rows(3, "queued").await;
    browser.until_verdict("All files have arrived").await;
    browser.until_percent(arrived).await;
    assert_eq!((browser.rows().await, browser.batch().await), queued);
    assert_eq!(host.connections().await, 1, "one for both tabs");

    taker.finish().await;
    browser.until_final().await;
    let ended = (browser.rows().await, browser.batch().await);
    assert_eq!(ended.1.counts, "3 of 3 done");
    browser.client.switch_to_window(first).await.unwrap();
    browser.until_final().await;
    browser.until_verdict("All 3 files are done").await;
    browser.until_rows(3, "completed").await;
    assert_eq!((browser.rows().await, browser.batch().await), ended);
    browser.close().await;
}

#[tokio::test]
async fn killed_tab_leaves_an_address_that_tells() {
    let host = Host::start(Settings::default()).await;
    let browser = Browser::start().await;
    let folder = TempDir::new().unwrap();
    // More than any buffer on its way takes.
    let long = vec![0; 32 * 1024 * 1024];
    let paths = [("a.jpg", photo(1)), ("b.jpg", photo(2)), ("long.bin", long)]
        .map(|(name, bytes)| write(&folder, name, &bytes));
    browser.open(&host.page()).await;
    browser.slow_down_uploads(8_000).await;
    browser.drop_files(&paths).await;
    browser.until_verdict("Keep this page open").await;
    let url = browser.client.current_url().await.unwrap();
    // Closed in good order, a tab is let go at full speed and may still get its files through.
    browser.kill();

    let browser = Browser::start().await;
    browser.open(url.as_str()).await;
    browser.until_final().await;
    let batch = browser.batch().await;
    assert_eq!(batch.state, "failed");
    assert!(batch.outcome.contains("UPLOAD_ABORTED"), "{batch:?}");
    assert!(batch.counts.contains("of 3 done"), "{batch:?}");
    assert!(batch.percent < 100, "{batch:?}");
    browser.photograph("upload-aborted").await;
    browser.close().await;
}

#[tokio::test]
async fn server_restart_shows_a_clear_message() {
    let mut host = Host::start(Settings::default()).await;
    let browser = Browser::start().await;
    let files = [("a.jpg", photo(1)), ("b.jpg", photo(2))];
    let upload = HeldUpload::start(&host, &files).await;
    browser.open(&host.page_of(&upload.batch)).await;
    browser.until_rows(1, "completed").await;
    browser.until_rows(1, "running").await;

    host.kill().await;
    browser
        .until("document.body.dataset.connection === 'reconnecting'")
        .await;
    browser.photograph("reconnecting").await;

    host.start_again().await;
    browser.until_verdict("The server was restarted").await;
    browser.until_rows(1, "completed").await;
    browser.until_rows(1, "lost").await;
    assert_eq!(browser.batch().await.state, "lost");
    browser.photograph("restarted").await;

    browser.client.refresh().await.unwrap();
    browser.until_verdict("Waiting for this batch").await;
    browser.until_verdict("No such batch").await;
    browser.photograph("no-such-batch").await;
    browser.close().await;
}

#[tokio::test]
async fn details_of_a_file_are_its_stages_and_go_when_they_are_closed() {
    let host = Host::start(Settings::default()).await;
    let browser = Browser::start().await;
    let upload = HeldUpload::start(&host, &[("lake.jpg", photo(1))]).await;
    browser.open(&host.page_of(&upload.batch)).await;
    browser.until_rows(1, "running").await;

    browser.click("[data-testid=details]").await;
    let receiving = |state: &str| {
        format!(
            "document.querySelector('progress-view').shadowRoot.querySelector('.stage.{state}')?.textContent.includes('receive')"
        )
    };
    browser.until_drawn(&receiving("running")).await;
    assert_eq!(host.connections().await, 1, "that of the page");
    browser.photograph("details").await;
    upload.finish().await;
    browser.until_final().await;
    browser.until_drawn(&receiving("completed")).await;

    browser.click("[data-testid=details]").await;
    browser
        .until("document.querySelector('progress-view') === null")
        .await;
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test]
async fn axe_finds_nothing_that_keeps_people_from_using_it() {
    let mut host = Host::start(Settings::default()).await;
    let browser = Browser::start().await;
    browser.open(&host.page()).await;
    browser.look_over("nothing yet").await;

    let folder = TempDir::new().unwrap();
    let files = [
        ("lake.jpg", photo(1)),
        ("torn.png", fixtures::png_header(640, 480)),
    ];
    let paths = files.map(|(name, bytes)| write(&folder, name, &bytes));
    browser.choose(&paths).await;
    browser.until_final().await;
    browser.until_rows(1, "failed").await;
    browser.open_details().await;
    browser.look_over("ended").await;
    browser.photograph("details-ended").await;

    let files = [("a.jpg", photo(1)), ("b.jpg", photo(2))];
    let upload = HeldUpload::start(&host, &files).await;
    browser.open(&host.page_of(&upload.batch)).await;
    browser.until_rows(1, "completed").await;
    browser.until_rows(1, "running").await;
    browser.open_details().await;
    browser.look_over("under way").await;

    host.kill().await;
    browser
        .until("document.body.dataset.connection === 'reconnecting'")
        .await;
    browser.look_over("the server is gone").await;
    host.start_again().await;
    browser.until_verdict("The server was restarted").await;
    browser.look_over("forgotten").await;
    browser.close().await;
}

#[tokio::test]
async fn refused_upload_says_why() {
    let limits = UploadLimits {
        files: 2,
        ..UploadLimits::default()
    };
    let host = Host::start(Settings::default().limits(limits)).await;
    let browser = Browser::start().await;
    let folder = TempDir::new().unwrap();
    let paths = ["a.txt", "b.txt", "c.txt"].map(|name| write(&folder, name, name.as_bytes()));
    browser.open(&host.page()).await;
    browser.choose(&paths).await;
    browser.until_text("TOO_MANY_FILES").await;
    browser.photograph("refused").await;
    browser.close().await;
}

impl Browser {
    /// Opens the details of every file, and waits until they are shown.
    async fn open_details(&self) {
        let script = "for (const button of document.querySelectorAll('[data-testid=details][aria-expanded=false]')) button.click()";
        self.client.execute(script, Vec::new()).await.unwrap();
        self.until_drawn(
            "[...document.querySelectorAll('[data-testid=row]')].every((row) =>
               row.querySelector('progress-view')?.shadowRoot.querySelector('.stage'))",
        )
        .await;
    }
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

const NAMES: [&str; 6] = [
    "harbour.jpg",
    "lake at dawn.jpg",
    "torn.jpg",
    "the market square on a rainy Sunday morning in late November.jpg",
    "bridge.jpg",
    "station.jpg",
];
