//! When will it be done: of tasks, of their stages, in updates and snapshots.

mod common;

use std::time::Duration;

use progress_core::{ProgressTracker, Reporter, Task};
use tokio::time::{Instant, sleep};

use crate::common::{a_tick, json, ready, updates};

/// Counts `units` on a stage, evenly over so many seconds.
async fn work(stage: &Reporter, units: u32, seconds: u64) {
    let step = Duration::from_secs(seconds) / units;
    let begin = Instant::now();
    for n in 1..=units {
        tokio::time::sleep_until(begin + step * n).await;
        stage.inc(1);
    }
    a_tick().await;
}

fn eta(task: &Task) -> Option<f64> {
    let eta = task.snapshot().eta_ms?;
    Some(eta as f64 / 1_000.0)
}

fn stage_eta(task: &Task, path: &str) -> Option<f64> {
    let eta = task.snapshot().stage(path)?.eta_ms?;
    Some(eta as f64 / 1_000.0)
}

#[track_caller]
fn assert_near(estimate: Option<f64>, truth: f64) {
    let estimate = estimate.expect("an estimate");
    assert!(
        (estimate - truth).abs() <= truth / 10.0 + 0.2,
        "{estimate} s, in truth {truth} s"
    );
}

#[tokio::test(start_paused = true)]
async fn stages_in_a_row_go_each_at_its_own_speed() {
    let tracker = ProgressTracker::new();
    let task = tracker
        .task("t")
        .stage("detect", 1.0)
        .stage("matte", 4.0)
        .stage("render", 5.0)
        .start()
        .unwrap();
    let detect = task.stage("detect").total(100);
    assert_eq!(eta(&task), None);
    work(&detect, 50, 5).await;
    // Half of the first in 5 s; the others by its pace, a tenth of the whole in 10 s.
    assert_near(stage_eta(&task, "detect"), 5.0);
    assert_near(eta(&task), 95.0);
    work(&detect, 50, 5).await;
    assert_eq!(stage_eta(&task, "detect"), None, "nothing is left of it");
    assert_near(eta(&task), 90.0);

    // The second takes 80 s and not the 40 of its weight.
    let matte = task.stage("matte").total(400);
    matte.inc(1);
    assert_eq!(stage_eta(&task, "matte"), None);
    assert_near(eta(&task), 90.0);
    work(&matte, 199, 40).await;
    assert_near(stage_eta(&task, "matte"), 40.0);
    // The third by the pace so far: 3 of 10 in 50 s.
    assert_near(eta(&task), 40.0 + 5.0 * 50.0 / 3.0);
    work(&matte, 200, 40).await;

    // The last is its own matter: all that remains is what remains of it.
    let render = task.stage("render").total(100);
    work(&render, 75, 75).await;
    assert_near(eta(&task), 25.0);
    assert_eq!(
        task.snapshot().eta_ms,
        task.snapshot().stage("render").unwrap().eta_ms
    );
    task.complete(()).unwrap();
    let ended = tracker.snapshot("t").await.unwrap();
    assert_eq!(ended.eta_ms, None);
    assert!(ended.stages.iter().all(|stage| stage.eta_ms.is_none()));
}

#[tokio::test(start_paused = true)]
async fn stages_side_by_side_are_estimated_as_a_whole() {
    let tracker = ProgressTracker::new();
    let task = tracker
        .task("t")
        .stage("left", 1.0)
        .stage("right", 1.0)
        .start()
        .unwrap();
    let (left, right) = (
        task.stage("left").total(100),
        task.stage("right").total(100),
    );
    // Done after 40 s and 80 s.
    tokio::join!(work(&left, 50, 20), work(&right, 25, 20));
    assert_near(stage_eta(&task, "left"), 20.0);
    assert_near(stage_eta(&task, "right"), 60.0);
    // 3 of 8 in 20 s.
    assert_near(eta(&task), 100.0 / 3.0);
    tokio::join!(work(&left, 50, 20), work(&right, 25, 20));
    // From now on the other is alone, whichever of them spoke last.
    work(&right, 5, 4).await;
    left.message("waiting for the other");
    a_tick().await;
    assert_near(eta(&task), 36.0);
}

#[tokio::test(start_paused = true)]
async fn a_stage_of_unknown_size_goes_at_the_pace_of_those_before() {
    let tracker = ProgressTracker::new();
    let task = tracker
        .task("t")
        .stage("known", 1.0)
        .stage("unknown", 1.0)
        .start()
        .unwrap();
    // 20 s in all, whatever the speed of late.
    let known = task.stage("known").total(10);
    work(&known, 5, 16).await;
    work(&known, 5, 4).await;
    let unknown = task.stage("unknown");
    unknown.inc(1);
    assert_near(eta(&task), 20.0);
    work(&unknown, 10, 5).await;
    assert_eq!(stage_eta(&task, "unknown"), None);
    assert!(
        eta(&task).unwrap() > 20.0,
        "it says nothing, and takes its time"
    );
    // The total is learned late; what was counted before counts.
    unknown.set_total(21);
    a_tick().await;
    assert_near(stage_eta(&task, "unknown"), 5.0);
    assert_near(eta(&task), 5.0);
}

#[tokio::test(start_paused = true)]
async fn stages_above_have_estimates_of_their_own() {
    let tracker = ProgressTracker::new();
    let task = tracker
        .task("t")
        .stage("render/left", 1.0)
        .stage("render/right", 1.0)
        .start()
        .unwrap();
    let (left, right) = (
        task.stage("render/left").total(40),
        task.stage("render/right").total(40),
    );
    tokio::join!(work(&left, 20, 10), work(&right, 20, 10));
    for path in ["render", "render/left", "render/right"] {
        assert_near(stage_eta(&task, path), 10.0);
    }
    assert_near(eta(&task), 10.0);
}

#[tokio::test(start_paused = true)]
async fn a_task_without_stages_is_estimated_by_its_own_count() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    task.set_total(100);
    work(&task, 40, 40).await;
    assert_near(eta(&task), 60.0);
    // More turns up: the same speed, more to do.
    task.set_total(200);
    a_tick().await;
    assert_near(eta(&task), 160.0);
    // And so it does with each one that is done.
    for more in 1..=20 {
        task.set_total(200 + more);
        work(&task, 1, 1).await;
    }
    assert_near(eta(&task), 160.0);
}

#[tokio::test(start_paused = true)]
async fn a_reported_percent_is_estimated_as_such() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").stage("a", 1.0).start().unwrap();
    for percent in 1..=30 {
        sleep(Duration::from_secs(1)).await;
        task.progress(f64::from(percent));
        task.stage("a").inc(1);
    }
    assert_near(eta(&task), 70.0);
    // A queue's time is no work: the clock runs from the start.
    let task = tracker.task("queued").queue().unwrap();
    sleep(Duration::from_secs(1_000)).await;
    task.begin().unwrap();
    for percent in 1..=30 {
        sleep(Duration::from_secs(1)).await;
        task.progress(f64::from(percent));
    }
    assert_near(eta(&task), 70.0);
}

#[tokio::test(start_paused = true)]
async fn estimates_are_on_the_wire_where_there_are_any() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").stage("a", 1.0).start().unwrap();
    let stage = task.stage("a").total(20);
    let mut watcher = tracker.subscribe("t");
    work(&stage, 10, 10).await;
    let seen = updates(&ready(&mut watcher));
    let (first, last) = (seen.first().unwrap(), seen.last().unwrap());
    assert_eq!((first.eta_ms, first.stage_eta_ms), (None, None));
    assert!(last.stage_eta_ms.is_some() && last.stage_eta_ms == last.eta_ms);
    let text = |update| serde_json::to_string(update).unwrap();
    assert!(!text(first).contains("eta"));
    assert!(text(last).contains(r#","stage_eta_ms":"#));
    let snapshot = json(&serde_json::to_string(&task.snapshot()).unwrap());
    assert_eq!(snapshot["stages"][0]["eta_ms"], last.stage_eta_ms.unwrap());
    // The task's own updates are about no stage.
    task.message("half way");
    let own = updates(&ready(&mut watcher)).pop().unwrap();
    assert_eq!((own.stage, own.stage_eta_ms), (None, None));
    assert!(own.eta_ms.is_some());
}
