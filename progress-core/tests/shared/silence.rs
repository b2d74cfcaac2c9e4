//! Tasks that nobody publishes to any more, in one process.

use std::time::Duration;

use progress_core::{Data, ProgressTracker, Status, TaskState};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    common::{events, ready, to_end, types},
    input, publish,
};

const MINUTE: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn g5_silence_stalls_and_then_ends_a_task() {
    let tracker = ProgressTracker::new();
    let begin = Instant::now();
    tracker.task("t").share().await.unwrap();
    let mut watcher = tracker.subscribe("t");
    sleep_until(begin + 10 * MINUTE - MOMENT).await;
    assert_eq!(types(&ready(&mut watcher)), ["started"]);
    sleep_until(begin + 10 * MINUTE + MOMENT).await;
    let stalled = ready(&mut watcher);
    assert_eq!(types(&stalled), ["stalled"]);
    match events(&stalled)[0].data() {
        Data::Stalled(note) => assert_eq!(note.reason.as_deref(), Some("silent")),
        other => panic!("{other:?}"),
    }
    sleep_until(begin + 60 * MINUTE - MOMENT).await;
    assert_eq!(types(&ready(&mut watcher)), [""; 0]);
    sleep_until(begin + 60 * MINUTE + MOMENT).await;
    let ended = to_end(&mut watcher).await;
    assert_eq!(types(&ended), ["complete"]);
    match events(&ended)[0].data() {
        Data::Complete(end) => {
            assert_eq!(end.status, Status::Abandoned);
            assert_eq!(end.cause.as_deref(), Some("silent"));
            assert_eq!(end.duration_ms, 60 * 60 * 1_000);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn g5_the_next_publication_ends_a_stall_and_the_count_begins_anew() {
    let tracker = ProgressTracker::new();
    let begin = Instant::now();
    tracker.task("t").share().await.unwrap();
    let mut watcher = tracker.subscribe("t");
    sleep_until(begin + 50 * MINUTE).await;
    assert_eq!(types(&ready(&mut watcher)), ["started", "stalled"]);
    publish(&tracker, "log", json!({"message": "m"})).await;
    assert_eq!(types(&ready(&mut watcher)), ["recovered", "log"]);
    assert_eq!(
        tracker.snapshot("t").await.unwrap().state,
        TaskState::Running
    );
    sleep(9 * MINUTE).await;
    publish(&tracker, "log", json!({"message": "m"})).await;
    assert_eq!(types(&ready(&mut watcher)), ["log"]);
    // Requests are no sign of life of the work.
    sleep(9 * MINUTE).await;
    tracker.cancel("t", None).await.unwrap();
    assert_eq!(types(&ready(&mut watcher)), ["cancel_requested"]);
    sleep(MINUTE + MOMENT).await;
    assert_eq!(types(&ready(&mut watcher)), ["stalled"]);
    sleep(50 * MINUTE).await;
    assert_eq!(types(&to_end(&mut watcher).await), ["complete"]);
}

#[tokio::test(start_paused = true)]
async fn a_repetition_changes_nothing_not_even_a_stall() {
    let tracker = ProgressTracker::new();
    let shared = tracker.task("t").share().await.unwrap();
    let line = input("log", json!({"message": "m"})).id("1");
    shared.publish(vec![line.clone()]).await.unwrap();
    sleep(10 * MINUTE + MOMENT).await;
    let head = shared.head();
    shared.publish(vec![line]).await.unwrap();
    assert_eq!(shared.head(), head);
    assert_eq!(
        tracker.snapshot("t").await.unwrap().state,
        TaskState::Stalled
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_has_its_own_silence_and_its_tracker_another() {
    let tracker = ProgressTracker::builder()
        .shared_silence(2 * MINUTE)
        .shared_abandon_after(3 * MINUTE)
        .build();
    let silence = tracker.task("long").silence(10 * MINUTE);
    silence.queued().share().await.unwrap();
    tracker.task("short").silence(MINUTE).share().await.unwrap();
    tracker.task("t").share().await.unwrap();
    let state = async |id: &str| tracker.snapshot(id).await.unwrap().state;
    sleep(MINUTE + MOMENT).await;
    assert_eq!(state("short").await, TaskState::Stalled);
    assert_eq!(state("t").await, TaskState::Running);
    sleep(MINUTE).await;
    assert_eq!(state("t").await, TaskState::Stalled);
    assert_eq!(state("long").await, TaskState::Queued);
    sleep(MINUTE).await;
    for id in ["long", "short", "t"] {
        assert_eq!(state(id).await, TaskState::Abandoned);
    }
    // Nothing is left to look at: they are forgotten in their time.
    sleep(61 * MINUTE).await;
    assert_eq!(tracker.stats().tasks, 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_with_an_owner_may_be_silent() {
    let tracker = ProgressTracker::builder().shared_silence(MINUTE).build();
    let task = tracker.task("t").silence(MINUTE).start().unwrap();
    sleep(120 * MINUTE).await;
    assert_eq!(task.snapshot().state, TaskState::Running);
    task.complete(()).unwrap();
}
