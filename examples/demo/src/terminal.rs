//! The same progress in the terminal.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use progress_core::{
    Complete, Data, Event, ProgressTracker, ProgressUpdate, Status, Subscription, TaskError, TaskId,
};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    analysis::{Kind, Source},
    batch::{file_task, run_all},
};

/// Processes files, shows how it goes, and prints what was found in each; successful if the batch
/// completed, which it does if any of its files did.
///
/// # Errors
///
/// If the batch cannot be started.
///
/// # Cancel safety
///
/// Dropping the future stops the work on the files, but for what a thread has in hand.
pub async fn run(files: &[PathBuf], at_once: usize) -> anyhow::Result<ExitCode> {
    let tracker = ProgressTracker::new();
    let batch = tracker
        .task(TaskId::random())
        .name("Files")
        .kind("batch")
        .start()?;
    let screen = MultiProgress::new();
    let whole = tracker.subscribe(batch.id());
    let mut watchers = JoinSet::new();
    let mut all = Vec::new();
    for path in files {
        let name = path.file_name().unwrap_or(path.as_os_str());
        let name = name.to_string_lossy().into_owned();
        let source = Source::new(path, name.as_str());
        // A file that cannot be read says so when its turn comes.
        let kind = source.kind().unwrap_or(Kind::Other);
        let id = TaskId::random();
        all.push((file_task(&batch, id.clone(), &name, kind, false), source));
        // It waits for the task to come.
        let events = tracker.subscribe(&id);
        watchers.spawn(watch_file(events, name, screen.clone()));
    }
    let ((), end) = tokio::join!(
        run_all(batch, all, at_once),
        watch_batch(whole, files.len(), &screen)
    );
    while watchers.join_next().await.is_some() {}
    Ok(match end {
        Some(Status::Completed) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

async fn watch_file(mut events: Subscription, name: String, screen: MultiProgress) {
    // A bar for each file at work: those in the queue and those done need none.
    let mut bar = None;
    while let Some(frame) = events.next().await {
        let Some(event) = frame.event() else { continue };
        match event.data() {
            Data::Started(_) => bar = Some(new_bar(&screen, &name, FILE)),
            Data::ProgressUpdate(update) => {
                if let Some(bar) = &bar {
                    show(bar, update);
                }
            }
            Data::Error(error) if error.retry_after_ms().is_some() => {
                print(&screen, &format!("… {name}: {}, once more", why(error)));
            }
            Data::Complete(end) => {
                if let Some(bar) = bar.take() {
                    bar.finish_and_clear();
                }
                print(&screen, &line(&name, end));
            }
            _ => {}
        }
    }
}

async fn watch_batch(
    mut events: Subscription,
    files: usize,
    screen: &MultiProgress,
) -> Option<Status> {
    let bar = new_bar(screen, &format!("{files} files"), WHOLE);
    let mut status = None;
    while let Some(frame) = events.next().await {
        match frame.event().map(|event: &Arc<Event>| event.data()) {
            Some(Data::ProgressUpdate(update)) => show(&bar, update),
            Some(Data::Complete(end)) => {
                bar.finish_and_clear();
                print(screen, &summary(end));
                status = Some(end.status);
            }
            _ => {}
        }
    }
    status
}

fn new_bar(screen: &MultiProgress, name: &str, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template)
        .expect("the templates below are well-formed")
        .progress_chars("━╸─");
    let bar = screen.add(ProgressBar::new(100).with_style(style));
    bar.set_prefix(name.to_owned());
    bar
}

fn show(bar: &ProgressBar, update: &ProgressUpdate) {
    bar.set_position(update.progress as u64);
    let stage = update.stage.as_deref().unwrap_or_default();
    let left = update.eta_ms.map(|eta| {
        let left = Duration::from_millis(eta).as_secs();
        format!(" {left} s left")
    });
    bar.set_message(format!("{stage}{}", left.unwrap_or_default()));
}

/// Also where the bars are not shown because nobody would see them.
fn print(screen: &MultiProgress, line: &str) {
    if screen.println(line).is_err() || screen.is_hidden() {
        println!("{line}");
    }
}

fn line(name: &str, end: &Complete) -> String {
    match (&end.result, &end.error) {
        (Some(result), _) => {
            let facts: Value = result.decode().unwrap_or_default();
            format!("✓ {name}: {}", describe(&facts))
        }
        (None, Some(error)) => format!("✗ {name}: {}", why(error)),
        (None, None) => format!("✗ {name}: not finished"),
    }
}

fn describe(facts: &Value) -> String {
    let hash = facts["sha256"].as_str().unwrap_or_default();
    let bytes = facts["size"].as_u64().unwrap_or_default();
    let file = format!("{bytes} bytes, sha256 {}", &hash[..hash.len().min(12)]);
    let image = &facts["image"];
    let Some(format) = image["format"].as_str() else {
        return file;
    };
    let colours: Vec<&str> = image["colours"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|colour| colour["hex"].as_str())
        .collect();
    format!(
        "{format} {}×{}, {}, {}, {file}",
        image["width"],
        image["height"],
        image["sharpness"]["verdict"].as_str().unwrap_or_default(),
        colours.join(" "),
    )
}

fn summary(end: &Complete) -> String {
    match (&end.result, &end.error) {
        (Some(result), None) => {
            let counts: Value = result.decode().unwrap_or_default();
            format!(
                "{} of {} files done, {} failed, in {:.1} s",
                counts["completed"],
                counts["total"],
                counts["failed"],
                Duration::from_millis(end.duration_ms).as_secs_f64(),
            )
        }
        (_, Some(error)) => why(error),
        (None, None) => "not finished".to_owned(),
    }
}

fn why(error: &TaskError) -> String {
    let mut text = format!("{} ({})", error.message(), error.code());
    for solution in error.solutions() {
        text.push_str(". ");
        text.push_str(solution);
    }
    text
}

const FILE: &str = "  {prefix:<28!} {bar:24} {pos:>3} % {msg}";
const WHOLE: &str = "{prefix:<30!} {bar:24} {pos:>3} % {msg}";
