//! Stages, weights and the percent of the whole.

use progress_core::{ProgressTracker, StageState, Task};

use crate::common::{a_tick, events, ready, types, updates};

/// The stages of the video generator.
fn video(tracker: &ProgressTracker) -> Task {
    tracker
        .task("t")
        .stage("detect", 1.0)
        .stage("matte", 4.0)
        .stage("render", 5.0)
        .start()
        .unwrap()
}

async fn shown(task: &Task) -> f64 {
    a_tick().await;
    task.snapshot().progress
}

#[tokio::test(start_paused = true)]
async fn the_percent_is_the_weighted_mean_of_the_stages_fractions() {
    let tracker = ProgressTracker::new();
    let task = video(&tracker);
    let detect = task.stage("detect").total(120).unit("frames");
    detect.inc(60);
    assert_eq!(shown(&task).await, 5.0);
    detect.inc(60);
    assert_eq!(shown(&task).await, 10.0);
    task.stage("matte").progress(62.5);
    assert_eq!(shown(&task).await, 35.0);
    // In whatever order they come.
    task.stage("render").finish();
    assert_eq!(shown(&task).await, 85.0);
    task.stage("matte").total(8).inc(100);
    assert_eq!(
        shown(&task).await,
        85.0,
        "a reported fraction beats the count"
    );
    task.stage("matte").finish();
    assert_eq!(shown(&task).await, 99.9);

    let snapshot = task.snapshot();
    let states: Vec<_> = snapshot.stages.iter().map(|stage| stage.state).collect();
    assert_eq!(states, [StageState::Completed; 3]);
    let labels: Vec<_> = snapshot
        .stages
        .iter()
        .map(|s| (&*s.label, s.weight))
        .collect();
    assert_eq!(labels, [("detect", 1.0), ("matte", 4.0), ("render", 5.0)]);
    assert_eq!(
        snapshot.stage("detect").unwrap().unit.as_deref(),
        Some("frames")
    );
}

#[tokio::test(start_paused = true)]
async fn an_undeclared_stage_weighs_nothing_beside_declared_ones() {
    let tracker = ProgressTracker::new();
    let task = video(&tracker);
    task.stage("detect").finish();
    task.stage("extra").progress(50.0);
    assert_eq!(shown(&task).await, 10.0);
    let extra = task.snapshot().stage("extra").unwrap().clone();
    assert_eq!((extra.weight, extra.progress), (0.0, 50.0));
    assert_eq!(extra.state, StageState::Running);
}

#[tokio::test(start_paused = true)]
async fn undeclared_stages_alone_weigh_1_each() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    task.stage("a").progress(50.0);
    assert_eq!(shown(&task).await, 50.0);
    let b = task.stage("b/c");
    assert_eq!(shown(&task).await, 50.0, "what is displayed never falls");
    b.progress(70.0);
    assert_eq!(shown(&task).await, 60.0);
    let stage = task.snapshot().stage("b/c").unwrap().clone();
    assert_eq!((stage.weight, &*stage.label), (1.0, "c"));
}

#[tokio::test(start_paused = true)]
async fn stages_without_weight_and_totals_of_nothing_do_no_harm() {
    let tracker = ProgressTracker::new();
    let task = tracker
        .task("t")
        .stage("a", 0.0)
        .stage("b", 0.0)
        .start()
        .unwrap();
    task.stage("a").finish();
    assert_eq!(shown(&task).await, 0.0);
    let task = tracker
        .task("u")
        .stage("a", 1.0)
        .stage("b", 1.0)
        .start()
        .unwrap();
    // Nothing to do is done.
    task.stage("a").total(0).set(0);
    assert_eq!(shown(&task).await, 50.0);
    task.stage("b").progress(f64::NAN);
    task.stage("b").progress(-5.0);
    assert_eq!(shown(&task).await, 50.0);
    assert_eq!(task.snapshot().stage("b").unwrap().progress, 0.0);
}

#[tokio::test(start_paused = true)]
async fn what_is_displayed_never_falls() {
    let tracker = ProgressTracker::new();
    let task = video(&tracker);
    let matte = task.stage("matte");
    matte.progress(50.0);
    assert_eq!(shown(&task).await, 20.0);
    // The stage itself tells the truth.
    matte.progress(10.0);
    assert_eq!(shown(&task).await, 20.0);
    assert_eq!(task.snapshot().stage("matte").unwrap().progress, 10.0);
    let render = task.stage("render").total(10);
    render.inc(5);
    assert_eq!(shown(&task).await, 29.0);
    // More to do than was known.
    render.set_total(100);
    assert_eq!(shown(&task).await, 29.0);
    task.progress(5.0);
    assert_eq!(shown(&task).await, 29.0);

    let frames = ready(&mut tracker.subscribe("t"));
    let percents: Vec<_> = updates(&frames)
        .iter()
        .map(|update| update.progress)
        .collect();
    assert!(percents.is_sorted(), "{percents:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reported_percent_replaces_the_aggregate_from_then_on() {
    let tracker = ProgressTracker::new();
    let task = video(&tracker);
    task.stage("detect").finish();
    assert_eq!(shown(&task).await, 10.0);
    task.progress(41.7);
    assert_eq!(shown(&task).await, 41.7);
    task.stage("matte").finish();
    task.stage("render").finish();
    assert_eq!(shown(&task).await, 41.7);
    task.progress(60.0);
    assert_eq!(shown(&task).await, 60.0);
}

#[tokio::test(start_paused = true)]
async fn stage_change_tells_a_stages_first_sign_of_life() {
    let tracker = ProgressTracker::new();
    let task = video(&tracker);
    let mut watcher = tracker.subscribe("t");
    // Handles and totals are no sign of life.
    let (detect, matte) = (task.stage("detect").total(10), task.stage("matte"));
    task.stage("render").set_total(5);
    assert_eq!(types(&ready(&mut watcher)), ["started"]);
    assert!(
        task.snapshot()
            .stages
            .iter()
            .all(|s| s.state == StageState::Pending)
    );

    detect.inc(10);
    matte.message("cutting out");
    // Once each, whoever comes back to it.
    detect.message("again");
    task.stage("detect").inc(1);
    let frames = ready(&mut watcher);
    assert_eq!(
        types(&frames),
        [
            "stage_change",
            "progress_update",
            "stage_change",
            "progress_update"
        ]
    );
    let changes: Vec<_> = events(&frames)
        .iter()
        .filter_map(|event| match event.data() {
            progress_core::Data::StageChange(change) => Some((**change).clone()),
            _ => None,
        })
        .collect();
    assert_eq!(changes[0].previous_stage, None);
    assert_eq!(&*changes[0].current_stage, "detect");
    assert_eq!(changes[1].previous_stage.as_deref(), Some("detect"));
    assert_eq!(&*changes[1].current_stage, "matte");
    assert_eq!(changes[1].progress, 10.0);
    assert_eq!(task.snapshot().stage.as_deref(), Some("matte"));
    assert_eq!(
        task.snapshot().stage("render").unwrap().state,
        StageState::Pending
    );
}

#[tokio::test(start_paused = true)]
async fn declared_stages_take_totals_and_units_before_they_begin() {
    let tracker = ProgressTracker::new();
    let task = video(&tracker);
    let _detect = task.stage("detect").total(10).unit("frames");
    a_tick().await;
    assert_eq!(types(&ready(&mut tracker.subscribe("t"))), ["started"]);
    task.stage("detect").inc(5);
    let snapshot = task.snapshot();
    let stage = snapshot.stage("detect").unwrap();
    assert_eq!((stage.current, stage.total), (Some(5), Some(10)));
    assert_eq!(stage.unit.as_deref(), Some("frames"));
}
