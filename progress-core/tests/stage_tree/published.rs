//! What watchers see of a tree.

use progress_core::{Data, ProgressTracker, StageState};
use tokio::time::sleep;

use crate::common::{TICK, a_tick, events, ready, types, updates};

/// The stages of the updates, and their percents.
fn moves(frames: &[progress_core::Frame]) -> Vec<(String, f64)> {
    updates(frames)
        .iter()
        .map(|update| {
            let stage = update.stage.as_deref().unwrap_or_default().to_owned();
            (stage, update.stage_progress.unwrap_or(-1.0))
        })
        .collect()
}

fn as_moves<const N: usize>(moves: [(&str, f64); N]) -> Vec<(String, f64)> {
    moves.map(|(path, at)| (path.to_owned(), at)).into()
}

#[tokio::test(start_paused = true)]
async fn stages_above_move_in_the_same_tick_with_an_update_of_their_own() {
    let tracker = ProgressTracker::new();
    let task = tracker
        .task("t")
        .stage("a/b/x", 1.0)
        .stage("a/b/y", 1.0)
        .stage("a/c", 2.0)
        .start()
        .unwrap();
    let mut watcher = tracker.subscribe("t");
    ready(&mut watcher);
    let x = task.stage("a/b/x").total(100);
    x.inc(50);
    // At once, the first time; the milestone is that of the stage that has begun.
    let frames = ready(&mut watcher);
    let expected = [
        "stage_change",
        "progress_update",
        "progress_update",
        "progress_update",
    ];
    assert_eq!(types(&frames), expected);
    assert_eq!(
        moves(&frames),
        as_moves([("a/b/x", 50.0), ("a/b", 25.0), ("a", 12.5)])
    );
    assert_eq!(task.snapshot().stage.as_deref(), Some("a/b/x"));

    // Then once a tick each, whichever of the stages below have moved.
    let y = task.stage("a/b/y").total(100);
    for _ in 0..10 {
        x.inc(1);
        y.inc(1);
    }
    task.stage("a/c").progress(5.0);
    task.stage("a/c").progress(10.0);
    let at_once = ready(&mut watcher);
    assert_eq!(moves(&at_once), as_moves([("a/b/y", 1.0), ("a/c", 5.0)]));
    a_tick().await;
    let mut at_the_tick = moves(&ready(&mut watcher));
    // Each before those above it.
    assert_eq!(at_the_tick.pop(), Some(("a".to_owned(), 22.5)));
    let place = |path: &str| at_the_tick.iter().position(|(at, _)| at == path).unwrap();
    assert!(place("a/b") > place("a/b/x") && place("a/b") > place("a/b/y"));
    at_the_tick.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [
        ("a/b", 35.0),
        ("a/b/x", 60.0),
        ("a/b/y", 10.0),
        ("a/c", 10.0),
    ];
    assert_eq!(at_the_tick, as_moves(expected));

    // A quiet tree sleeps.
    sleep(TICK * 5).await;
    ready(&mut watcher);
    sleep(TICK * 5).await;
    assert!(ready(&mut watcher).is_empty());
}

#[tokio::test(start_paused = true)]
async fn many_stages_below_one_make_it_one_event_a_tick() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").stage("render", 1.0).start().unwrap();
    let tiles: Vec<_> = (0..1_000)
        .map(|n| task.stage(&format!("render/tile-{n}")).total(10))
        .collect();
    for tile in &tiles {
        tile.inc(1);
    }
    a_tick().await;
    let mut watcher = tracker.subscribe_with(
        "t",
        progress_core::SubscribeOptions::new()
            .replay(progress_core::Replay::None)
            .buffer(10_000),
    );
    ready(&mut watcher);
    for round in 2..=10 {
        for tile in &tiles {
            tile.inc(1);
        }
        a_tick().await;
        let snapshot = task.snapshot();
        let render = snapshot.stage("render").unwrap();
        assert_eq!(render.progress, f64::from(round) * 10.0);
        assert_eq!(snapshot.progress, (f64::from(round) * 10.0).min(99.9));
        let of_render = moves(&ready(&mut watcher))
            .iter()
            .filter(|(path, _)| path == "render")
            .count();
        assert_eq!(of_render, 1);
    }
    assert_eq!(
        task.snapshot().stage("render").unwrap().state,
        StageState::Completed
    );
}

#[tokio::test(start_paused = true)]
async fn a_stage_above_begins_with_the_first_below_and_changes_when_it_lives_itself() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").stage("a/x", 1.0).start().unwrap();
    let mut watcher = tracker.subscribe("t");
    sleep(TICK * 10).await;
    task.stage("a/x").progress(10.0);
    sleep(TICK * 20).await;
    task.stage("a/x").progress(20.0);
    let parent = task.snapshot().stage("a").unwrap().clone();
    assert_eq!(
        (parent.state, parent.elapsed_ms),
        (StageState::Running, 2_000)
    );
    // A total is no sign of life.
    task.stage("a").set_total(4);
    let seen = ready(&mut watcher);
    let changes = |frames: &[progress_core::Frame]| -> Vec<String> {
        events(frames)
            .iter()
            .filter_map(|event| match event.data() {
                Data::StageChange(change) => Some(change.current_stage.to_string()),
                _ => None,
            })
            .collect()
    };
    assert_eq!(changes(&seen), ["a/x"]);
    a_tick().await;
    assert_eq!(task.snapshot().stage("a").unwrap().total, Some(4));
    // A count that the sampler finds is one, as is a message.
    task.stage("a").inc(1);
    a_tick().await;
    assert_eq!(changes(&ready(&mut watcher)), ["a"]);
    task.stage("b/y").progress(1.0);
    task.stage("b").message("both");
    a_tick().await;
    assert_eq!(changes(&ready(&mut watcher)), ["b/y", "b"]);
}

#[tokio::test(start_paused = true)]
async fn the_end_shows_the_tree_as_it_was() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").stage("a/b/x", 1.0).start().unwrap();
    let x = task.stage("a/b/x").total(10);
    x.inc(1);
    x.inc(6);
    task.cancel("enough").unwrap();
    let snapshot = tracker.snapshot("t").await.unwrap();
    for path in ["a", "a/b", "a/b/x"] {
        let stage = snapshot.stage(path).unwrap();
        assert_eq!(
            (stage.progress, stage.state),
            (70.0, StageState::Cancelled),
            "{path}"
        );
    }
    assert_eq!(snapshot.progress, 70.0);
}
