//! Pauses, and the watch for work that hangs.

mod common;

use std::time::Duration;

use progress_core::{
    Data, Limits, ProgressTracker, PublishError, Subscription, Task, TaskBuilder, TaskState,
};
use tokio::time::{advance, sleep};

use crate::common::{Mark, events, json, ready, types, updates};

const SECOND: Duration = Duration::from_secs(1);

fn start(builder: TaskBuilder) -> Task {
    builder.start().unwrap()
}

/// The types of the events since the last call.
fn news(watcher: &mut Subscription) -> Vec<String> {
    types(&ready(watcher))
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_a_state_and_twice_is_once() {
    let tracker = ProgressTracker::new();
    let task = start(tracker.task("t"));
    let mut watcher = tracker.subscribe("t");
    ready(&mut watcher);
    task.resume();
    task.stage("a").pause("waiting for a GPU");
    task.pause("again");
    let frames = ready(&mut watcher);
    assert_eq!(types(&frames), ["paused"]);
    match events(&frames)[0].data() {
        Data::Paused(note) => assert_eq!(note.reason.as_deref(), Some("waiting for a GPU")),
        other => panic!("{other:?}"),
    }
    assert_eq!(task.snapshot().state, TaskState::Paused);
    // What is reported meanwhile does not end the pause.
    task.emit(Mark { n: 1 }).unwrap();
    task.message("still waiting");
    assert_eq!(task.snapshot().state, TaskState::Paused);
    ready(&mut watcher);
    task.resume();
    task.resume();
    assert_eq!(news(&mut watcher), ["resumed"]);
    assert_eq!(task.snapshot().state, TaskState::Running);
    task.pause(None);
    let frames = ready(&mut watcher);
    let event = json(std::str::from_utf8(&common::delivered(&frames)[0].to_json()).unwrap());
    assert_eq!(event["data"], serde_json::json!({}));
    task.complete(()).unwrap();
}

#[test]
fn a_task_that_is_queued_or_has_ended_cannot_pause() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").queue().unwrap();
    let reporter = task.reporter();
    task.pause("too early");
    task.resume();
    assert_eq!(task.snapshot().state, TaskState::Queued);
    task.complete(()).unwrap();
    reporter.pause("too late");
    reporter.resume();
    let frames = ready(&mut tracker.subscribe("t"));
    assert_eq!(types(&frames), ["queued", "complete"]);
    assert_eq!(tracker.stats().refused, 0);
}

#[test]
fn a_pause_that_cannot_be_published_is_counted() {
    let limits = Limits::default().payload(0);
    let tracker = ProgressTracker::builder().limits(limits).build();
    let task = start(tracker.task("t"));
    task.pause("why");
    assert_eq!(task.snapshot().state, TaskState::Running);
    assert_eq!(tracker.stats().refused, 1);
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_no_part_of_the_estimate_and_of_no_less_time() {
    async fn run(tracker: &ProgressTracker, id: &str, pause: bool) -> (u64, u64) {
        let task = start(tracker.task(id).stage("a", 1.0));
        let stage = task.stage("a").total(100);
        for _ in 0..40 {
            sleep(SECOND).await;
            stage.inc(1);
        }
        if pause {
            stage.pause("waiting");
            sleep(SECOND * 3_600).await;
            stage.resume();
        }
        for _ in 0..2 {
            sleep(SECOND).await;
            stage.inc(1);
        }
        sleep(SECOND).await;
        let update = updates(&ready(&mut tracker.subscribe(id))).pop().unwrap();
        (update.eta_ms.unwrap(), update.elapsed_ms)
    }
    let tracker = ProgressTracker::new();
    let (straight, elapsed) = run(&tracker, "straight", false).await;
    let (paused, elapsed_with_pause) = run(&tracker, "paused", true).await;
    assert_eq!(paused, straight);
    assert!((50_000..70_000).contains(&straight), "{straight}");
    assert_eq!(elapsed_with_pause, elapsed + 3_600_000);
}

#[tokio::test(start_paused = true)]
async fn g5_a_hung_worker_shows_as_stalled_and_recovers_with_its_next_change() {
    let tracker = ProgressTracker::new();
    let task = start(tracker.task("t").stall_after(SECOND * 30));
    let mut watcher = tracker.subscribe("t");
    sleep(SECOND * 20).await;
    // The clock runs from the last change, not from the start.
    task.emit(Mark { n: 1 }).unwrap();
    sleep(SECOND * 29).await;
    assert_eq!(news(&mut watcher), ["started", "mark"]);
    sleep(SECOND * 2).await;
    let frames = ready(&mut watcher);
    assert_eq!(types(&frames), ["stalled"]);
    assert_eq!(task.snapshot().state, TaskState::Stalled);
    // It stays so, and is not told again.
    sleep(SECOND * 500).await;
    assert_eq!(news(&mut watcher), [""; 0]);

    task.stage("a").inc(1);
    assert_eq!(
        news(&mut watcher),
        ["recovered", "stage_change", "progress_update"]
    );
    assert_eq!(task.snapshot().state, TaskState::Running);
    sleep(SECOND * 29).await;
    assert_eq!(news(&mut watcher), [""; 0]);
    sleep(SECOND * 2).await;
    assert_eq!(news(&mut watcher), ["stalled"]);
    // The end of a stalled task is its end.
    task.complete(()).unwrap();
    assert_eq!(news(&mut watcher), ["complete"]);
    sleep(SECOND * 500).await;
    assert_eq!(
        tracker.snapshot("t").await.unwrap().state,
        TaskState::Completed
    );
}

#[tokio::test(start_paused = true)]
async fn a_stall_is_noticed_at_its_time_to_the_tick() {
    let tracker = ProgressTracker::builder()
        .stall_after(Duration::from_millis(700))
        .build();
    let task = start(tracker.task("t"));
    let start = tokio::time::Instant::now();
    let mut watcher = tracker.subscribe("t");
    ready(&mut watcher);
    let frame = watcher.next().await.unwrap();
    assert_eq!(frame.event().unwrap().event_type(), "stalled");
    let waited = start.elapsed().as_millis();
    assert!((700..=702).contains(&waited), "{waited}");
    drop(task);
}

#[tokio::test(start_paused = true)]
async fn a_counter_that_moves_is_a_change() {
    let tracker = ProgressTracker::builder().stall_after(SECOND).build();
    let task = start(tracker.task("t"));
    let stage = task.stage("a").total(1_000);
    for _ in 0..100 {
        stage.inc(1);
        sleep(SECOND * 9 / 10).await;
    }
    let types = types(&ready(&mut tracker.subscribe("t")));
    assert!(!types.contains(&"stalled".to_owned()), "{types:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_or_paused_does_not_stall() {
    let tracker = ProgressTracker::builder().stall_after(SECOND * 10).build();
    let task = tracker.task("t").queue().unwrap();
    let mut watcher = tracker.subscribe("t");
    sleep(SECOND * 100).await;
    task.begin().unwrap();
    sleep(SECOND * 5).await;
    task.pause("waiting");
    sleep(SECOND * 1_003).await;
    task.resume();
    assert_eq!(
        news(&mut watcher),
        ["queued", "started", "paused", "resumed"]
    );
    // The whole time again, from when it goes on.
    sleep(SECOND * 9).await;
    assert_eq!(news(&mut watcher), [""; 0]);
    sleep(SECOND * 2).await;
    assert_eq!(news(&mut watcher), ["stalled"]);
    // A pause is a change too.
    task.pause("now I say so");
    assert_eq!(news(&mut watcher), ["recovered", "paused"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_to_stop_is_no_sign_of_life() {
    let tracker = ProgressTracker::builder().stall_after(SECOND * 10).build();
    let task = start(tracker.task("t"));
    let mut watcher = tracker.subscribe("t");
    sleep(SECOND * 9).await;
    tracker.cancel("t", None).await.unwrap();
    sleep(SECOND * 2).await;
    assert_eq!(
        news(&mut watcher),
        ["started", "cancel_requested", "stalled"]
    );
    let other = start(tracker.task("u"));
    let mut watcher = tracker.subscribe("u");
    sleep(SECOND * 11).await;
    tracker.cancel("u", None).await.unwrap();
    assert_eq!(
        news(&mut watcher),
        ["started", "stalled", "cancel_requested"]
    );
    assert_eq!(other.snapshot().state, TaskState::Stalled);
    // A report that is refused is one.
    let refused = other.emit(Big("x".repeat(100_000)));
    assert!(matches!(refused, Err(PublishError::PayloadTooLarge { .. })));
    assert_eq!(news(&mut watcher), ["recovered"]);
    drop(task);
}

#[derive(serde::Serialize)]
struct Big(String);

impl progress_core::EventPayload for Big {
    const EVENT_TYPE: &'static str = "big";
}

#[tokio::test(start_paused = true)]
async fn off_by_default_and_can_be_turned_off_for_one_task() {
    let tracker = ProgressTracker::new();
    let never = start(tracker.task("never"));
    let once = start(tracker.task("once").stall_after(SECOND));
    sleep(SECOND * 100_000).await;
    assert_eq!(never.snapshot().state, TaskState::Running);
    assert_eq!(once.snapshot().state, TaskState::Stalled);

    let tracker = ProgressTracker::builder().stall_after(SECOND).build();
    let never = start(tracker.task("never").stall_after(None));
    let longer = start(tracker.task("longer").stall_after(SECOND * 5));
    sleep(SECOND * 4).await;
    assert_eq!(longer.snapshot().state, TaskState::Running);
    sleep(SECOND * 4).await;
    assert_eq!(longer.snapshot().state, TaskState::Stalled);
    assert_eq!(never.snapshot().state, TaskState::Running);
    // Out of bounds is brought within them.
    let for_ever = start(tracker.task("for-ever").stall_after(Duration::MAX));
    let at_once = start(tracker.task("at-once").stall_after(Duration::ZERO));
    sleep(SECOND).await;
    assert_eq!(for_ever.snapshot().state, TaskState::Running);
    assert_eq!(at_once.snapshot().state, TaskState::Stalled);
}

#[tokio::test(start_paused = true)]
async fn a_parent_counts_its_stalled_and_paused_children() {
    let tracker = ProgressTracker::builder().stall_after(SECOND).build();
    let parent = start(tracker.task("parent").stall_after(None));
    let hung = start(parent.child("hung", "part"));
    let paused = start(parent.child("paused", "part"));
    paused.pause("waiting");
    sleep(SECOND * 2).await;
    let children = parent.snapshot().children.unwrap();
    assert_eq!(children.by_state[&TaskState::Stalled], 1);
    assert_eq!(children.by_state[&TaskState::Paused], 1);
    drop((hung, paused));
}

#[tokio::test(start_paused = true)]
async fn many_hung_tasks_are_noticed_in_turns() {
    let tracker = ProgressTracker::builder().stall_after(SECOND).build();
    let tasks: Vec<_> = (0..5_000)
        .map(|n| start(tracker.task(format!("t{n}"))))
        .collect();
    advance(SECOND * 2).await;
    let stalled = || {
        let is_stalled = |task: &&Task| task.snapshot().state == TaskState::Stalled;
        tasks.iter().filter(is_stalled).count()
    };
    let mut seen = vec![stalled()];
    while stalled() < tasks.len() {
        tokio::task::yield_now().await;
        seen.push(stalled());
    }
    seen.dedup();
    assert!(seen.len() > 3, "{seen:?}");
}
