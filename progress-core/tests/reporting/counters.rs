//! Counters: cheap to raise, sampled once a tick, never losing the last value.

use std::{thread, time::Duration};

use progress_core::{ProgressTracker, Replay, SubscribeOptions, Subscription, Task};
use tokio::time::{Instant, sleep};

use crate::common::{TICK, a_tick, ready, to_end, types, updates};

/// A task with a stage of a thousand, and a watcher of what comes.
fn counting() -> (ProgressTracker, Task, progress_core::Reporter, Subscription) {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let stage = task.stage("a").total(1_000);
    let from_now = SubscribeOptions::new().replay(Replay::None);
    let mut watcher = tracker.subscribe_with("t", from_now);
    assert_eq!(ready(&mut watcher).len(), 1);
    (tracker, task, stage, watcher)
}

/// The counts that have come since.
fn counts(watcher: &mut Subscription) -> Vec<u64> {
    updates(&ready(watcher))
        .iter()
        .filter_map(|update| update.current)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn the_first_change_is_published_at_once_and_the_others_with_the_tick() {
    let (_tracker, _task, stage, mut watcher) = counting();
    stage.inc(1);
    assert_eq!(
        types(&ready(&mut watcher)),
        ["stage_change", "progress_update"]
    );
    for _ in 0..9 {
        stage.inc(1);
    }
    assert!(ready(&mut watcher).is_empty());
    sleep(TICK - Duration::from_millis(1)).await;
    assert!(ready(&mut watcher).is_empty());
    sleep(Duration::from_millis(2)).await;
    assert_eq!(counts(&mut watcher), [10]);
}

#[tokio::test(start_paused = true)]
async fn a_counter_that_keeps_moving_makes_one_event_a_tick() {
    let (_tracker, _task, stage, mut watcher) = counting();
    // Every millisecond for two seconds.
    for _ in 0..2_000 {
        stage.inc(1);
        sleep(Duration::from_millis(1)).await;
    }
    let seen = counts(&mut watcher);
    assert_eq!(seen[0], 1);
    assert!((20..=21).contains(&seen.len()), "{} events", seen.len());
    assert!(seen.is_sorted_by(|a, b| b - a >= 99), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn the_tick_is_per_key_and_can_be_set() {
    let tracker = ProgressTracker::builder()
        .tick(Duration::from_secs(1))
        .build();
    let task = tracker.task("t").start().unwrap();
    let (a, b) = (task.stage("a"), task.stage("b"));
    let mut watcher = tracker.subscribe("t");
    ready(&mut watcher);
    for _ in 0..100 {
        a.inc(1);
        b.inc(2);
    }
    assert_eq!(counts(&mut watcher), [1, 2], "each its own first change");
    sleep(Duration::from_millis(1_001)).await;
    assert_eq!(counts(&mut watcher), [100, 200]);
}

#[tokio::test(start_paused = true)]
async fn after_a_quiet_tick_a_change_is_published_at_once_again() {
    let (_tracker, _task, stage, mut watcher) = counting();
    stage.inc(1);
    stage.inc(1);
    assert_eq!(counts(&mut watcher), [1]);
    a_tick().await;
    assert_eq!(counts(&mut watcher), [2]);
    // Nothing since the last tick.
    a_tick().await;
    assert!(counts(&mut watcher).is_empty());
    stage.inc(1);
    assert_eq!(counts(&mut watcher), [3]);
    stage.inc(1);
    assert!(counts(&mut watcher).is_empty());
    a_tick().await;
    assert_eq!(counts(&mut watcher), [4]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_tracker_sleeps() {
    let (_tracker, _task, stage, mut watcher) = counting();
    stage.inc(1);
    a_tick().await;
    a_tick().await;
    counts(&mut watcher);
    // With no timer left the paused clock stands, and only ours can be the next.
    let before = Instant::now();
    sleep(Duration::from_secs(1_000_000)).await;
    assert_eq!(before.elapsed().as_secs(), 1_000_000);
    assert!(counts(&mut watcher).is_empty());
    stage.inc(1);
    assert_eq!(counts(&mut watcher), [2]);
}

#[tokio::test(start_paused = true)]
async fn the_last_value_is_never_lost() {
    // A change at any time between two ticks, then silence.
    for at in (0..=350).step_by(10) {
        let (_tracker, _task, stage, mut watcher) = counting();
        stage.inc(1);
        sleep(Duration::from_millis(at)).await;
        stage.inc(1);
        a_tick().await;
        assert_eq!(counts(&mut watcher).last(), Some(&2), "at {at} ms");
    }
    // The end comes before the tick.
    let (_tracker, task, stage, mut watcher) = counting();
    stage.inc(1);
    stage.inc(998);
    task.complete(()).unwrap();
    let frames = to_end(&mut watcher).await;
    assert_eq!(updates(&frames).last().unwrap().current, Some(999));
    assert_eq!(types(&frames).last().unwrap(), "complete");
}

#[tokio::test(start_paused = true)]
async fn counters_can_be_set_also_backwards_and_to_nothing() {
    let (_tracker, task, stage, mut watcher) = counting();
    stage.set(0);
    assert_eq!(counts(&mut watcher), [0], "a sign of life");
    stage.set(500);
    a_tick().await;
    assert_eq!(counts(&mut watcher), [500]);
    stage.set(0);
    a_tick().await;
    assert_eq!(counts(&mut watcher), [0]);
    let shown = task.snapshot();
    assert_eq!(shown.stage("a").unwrap().current, Some(0));
    assert_eq!(shown.progress, 50.0, "what is displayed never falls");
}

#[tokio::test(start_paused = true)]
async fn a_counter_without_a_total_counts_all_the_same() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let (known, unknown) = (task.stage("known").total(10), task.stage("unknown"));
    unknown.inc(1_000_000);
    known.inc(5);
    a_tick().await;
    let snapshot = task.snapshot();
    let stage = snapshot.stage("unknown").unwrap();
    assert_eq!((stage.current, stage.total), (Some(1_000_000), None));
    assert_eq!(stage.progress, 0.0);
    assert_eq!(snapshot.progress, 25.0);
    // The total is learned late.
    unknown.set_total(2_000_000);
    a_tick().await;
    assert_eq!(task.snapshot().progress, 50.0);
}

#[tokio::test(start_paused = true)]
async fn a_task_without_stages_counts_by_itself() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    task.set_total(200);
    task.set_unit("files");
    task.inc(50);
    let snapshot = task.snapshot();
    assert_eq!(snapshot.progress, 25.0);
    assert!(snapshot.stages.is_empty() && snapshot.stage.is_none());
    let update = updates(&ready(&mut tracker.subscribe("t"))).pop().unwrap();
    assert_eq!((update.stage, update.stage_progress), (None, None));
    assert_eq!((update.current, update.total), (Some(50), Some(200)));
    assert_eq!(update.unit.as_deref(), Some("files"));
}

#[test]
fn concurrent_inc_adds_up_at_the_end() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let stage = task.stage("a").total(800_000);
    thread::scope(|scope| {
        for _ in 0..8 {
            let stage = stage.clone();
            scope.spawn(move || {
                for _ in 0..100_000 {
                    stage.inc(1);
                }
            });
        }
    });
    task.complete(()).unwrap();
    let frames = ready(&mut tracker.subscribe("t"));
    let seen: Vec<_> = updates(&frames).iter().filter_map(|u| u.current).collect();
    assert_eq!(seen.last(), Some(&800_000));
    assert!(seen.is_sorted(), "{seen:?}");
}

#[test]
fn counters_need_no_tokio_runtime() {
    let tracker = ProgressTracker::builder()
        .tick(Duration::from_millis(1))
        .build();
    let task = tracker.task("t").start().unwrap();
    let mut watcher = tracker.subscribe("t");
    let stage = task.stage("a").total(1_000);
    let worker = thread::spawn(move || {
        for _ in 0..1_000 {
            stage.inc(1);
        }
    });
    worker.join().unwrap();
    // Neither this nor the worker's thread has a runtime; reading brings one of its own.
    let last = tokio_test::block_on(async {
        loop {
            let frame = watcher.next().await.unwrap();
            if let Some(update) = updates(&[frame]).pop()
                && update.current == Some(1_000)
            {
                break update;
            }
        }
    });
    assert_eq!(last.stage_progress, Some(100.0));
    // Retention, too: the end is forgotten in time.
    task.complete(()).unwrap();
    let short = ProgressTracker::builder().retention(Duration::ZERO).build();
    drop(short.task("gone").start().unwrap());
    while short.stats().tasks > 0 {
        thread::yield_now();
    }
}

#[test]
fn counters_go_on_when_the_runtime_that_started_them_is_gone() {
    let tracker = ProgressTracker::builder()
        .tick(Duration::from_millis(1))
        .build();
    let (task, stage) = tokio_test::block_on(async {
        let task = tracker.task("t").start().unwrap();
        let stage = task.stage("a");
        // Left to a sampler that will not come.
        stage.inc(1);
        (task, stage)
    });
    let mut watcher = tracker.subscribe(task.id());
    for _ in 0..9 {
        stage.inc(1);
    }
    tokio_test::block_on(async {
        while let Some(frame) = watcher.next().await {
            if updates(&[frame])
                .pop()
                .is_some_and(|update| update.current == Some(10))
            {
                break;
            }
        }
    });
}
