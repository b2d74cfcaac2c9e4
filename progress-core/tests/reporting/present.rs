//! State is the whole present value; the other events, the clocks.

use std::{collections::BTreeMap, time::Duration};

use progress_core::{Data, Level, ProgressTracker, PublishError, TaskError, TaskState};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::common::{Gauge, Mark, a_tick, events, ready, to_end, types, updates, verdict};

#[tokio::test(start_paused = true)]
async fn an_update_is_the_whole_present_value_of_its_key() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let stage = task.stage("a").total(10).unit("frames");
    stage.message("first");
    a_tick().await;
    stage.metadata("confidence", 0.95);
    a_tick().await;
    stage.metadata("person", json!({"id": 0}));
    a_tick().await;
    stage.inc(3);
    a_tick().await;
    stage.metadata("confidence", 0.5);
    a_tick().await;
    task.message("of the task");
    let all = updates(&ready(&mut tracker.subscribe("t")));
    let names = |n: usize| {
        all[n]
            .metadata
            .iter()
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    };
    assert_eq!(all.len(), 6);
    assert!(
        all[..5]
            .iter()
            .all(|u| u.message.as_deref() == Some("first"))
    );
    assert_eq!(names(0), [""; 0]);
    assert_eq!(names(1), ["confidence"]);
    assert_eq!(names(2), ["confidence", "person"]);
    let last = &all[4];
    assert_eq!((last.current, last.total), (Some(3), Some(10)));
    assert_eq!(last.unit.as_deref(), Some("frames"));
    assert_eq!(last.stage_progress, Some(30.0));
    assert_eq!(last.metadata.get("confidence"), Some(&json!(0.5)));
    assert_eq!(last.metadata.get("person"), Some(&json!({"id": 0})));
    // The task's own value is another key.
    assert_eq!(all[5].stage, None);
    assert_eq!(all[5].message.as_deref(), Some("of the task"));
    assert!(all[5].metadata.is_empty());
    // The snapshot has what is newest, of the task and its stages together.
    let snapshot = task.snapshot();
    assert_eq!(snapshot.message.as_deref(), Some("of the task"));
    assert_eq!(snapshot.metadata.get("confidence"), Some(&json!(0.5)));
    assert_eq!(
        snapshot.stage("a").unwrap().message.as_deref(),
        Some("first")
    );
}

#[tokio::test(start_paused = true)]
async fn messages_and_metadata_are_coalesced_within_a_tick() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let mut watcher = tracker.subscribe("t");
    ready(&mut watcher);
    for n in 0..100 {
        task.message(format!("message {n}"));
        task.metadata(&format!("name{}", n % 5), n);
        task.progress(f64::from(n) / 2.0);
    }
    assert_eq!(
        updates(&ready(&mut watcher))[0].message.as_deref(),
        Some("message 0")
    );
    a_tick().await;
    let [update] = &updates(&ready(&mut watcher))[..] else {
        panic!("not one update a tick");
    };
    assert_eq!(update.message.as_deref(), Some("message 99"));
    assert_eq!(update.progress, 49.5);
    let values: Vec<_> = update
        .metadata
        .iter()
        .map(|(_, value)| value.clone())
        .collect();
    assert_eq!(values, [95, 96, 97, 98, 99].map(Value::from));
}

#[tokio::test(start_paused = true)]
async fn milestones_do_not_wait_for_the_tick() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let mut watcher = tracker.subscribe("t");
    task.message("at once");
    task.message("with the tick");
    task.log(Level::INFO, "line");
    task.error(TaskError::new("ONE_OF_MANY", "one failed"))
        .unwrap();
    task.emit(Mark { n: 1 }).unwrap();
    task.emit(Gauge::new("a", 1)).unwrap();
    let expected = [
        "started",
        "progress_update",
        "log",
        "error",
        "mark",
        "gauge",
    ];
    assert_eq!(types(&ready(&mut watcher)), expected);
}

#[tokio::test(start_paused = true)]
async fn log_lines_are_numbered_in_order() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let levels = [
        Level::TRACE,
        Level::DEBUG,
        Level::INFO,
        Level::WARN,
        Level::ERROR,
    ];
    for (n, level) in levels.into_iter().enumerate() {
        task.log(level, format!("line {}", n + 1));
        task.stage("a").inc(1);
    }
    task.stage("a").log(Level::INFO, "of a stage");
    task.log(Level::INFO, "é".repeat(100_000));
    let lines: Vec<_> = events(&ready(&mut tracker.subscribe("t")))
        .iter()
        .filter_map(|event| match event.data() {
            Data::Log(line) => Some((**line).clone()),
            _ => None,
        })
        .collect();
    let numbers: Vec<_> = lines.iter().map(|line| line.n).collect();
    assert_eq!(numbers, (1..=7).collect::<Vec<_>>());
    assert_eq!(
        lines.iter().map(|line| line.level).collect::<Vec<_>>()[..5],
        levels
    );
    assert!(
        lines[..5]
            .iter()
            .all(|line| *line.message == *format!("line {}", line.n))
    );
    assert_eq!(
        (lines[5].stage.as_deref(), &*lines[5].message),
        (Some("a"), "of a stage")
    );
    assert_eq!(lines[6].message.len(), 32 * 1024, "cut, at a character");
}

#[tokio::test(start_paused = true)]
async fn errors_do_not_end_the_task() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let error = TaskError::new("DID_API_ERROR", "The service is busy")
        .retryable(true)
        .retry_after(Duration::from_secs(2))
        .detail("status", 503)
        .solution("Wait");
    task.retrying(error.clone(), 1, 3);
    task.error(TaskError::new("ODD", "odd")).unwrap();
    task.stage("a").retrying(error.clone(), 2, 3);
    let errors: Vec<_> = events(&ready(&mut tracker.subscribe("t")))
        .iter()
        .filter_map(|event| match event.data() {
            Data::Error(error) => Some(error.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(errors[0], error.clone().retry(1, 3));
    assert_eq!(errors[1].code(), "ODD");
    // A stage's reporter knows the stage.
    assert_eq!(errors[2], error.clone().retry(2, 3).stage("a"));
    let snapshot = task.snapshot();
    assert_eq!(snapshot.state, TaskState::Running);
    assert_eq!(snapshot.last_error, errors.last().cloned());
    assert_eq!(snapshot.error, None);
    task.fail(error).unwrap();
    let snapshot = tracker.snapshot("t").await.unwrap();
    assert_eq!(snapshot.error.unwrap().retry_after_ms(), Some(2_000));
}

#[tokio::test(start_paused = true)]
async fn a_queued_task_starts_when_it_begins() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").name("T").stage("a", 1.0).queue().unwrap();
    let mut watcher = tracker.subscribe("t");
    for place in [3, 1] {
        task.position(place);
    }
    sleep(Duration::from_secs(100)).await;
    let waiting = task.snapshot();
    assert_eq!(waiting.state, TaskState::Queued);
    assert_eq!((waiting.elapsed_ms, waiting.started_at), (0, None));
    assert_eq!(
        (waiting.name.as_deref(), waiting.stages.len()),
        (Some("T"), 1)
    );
    let places: Vec<_> = events(&ready(&mut watcher))
        .iter()
        .map(|event| match event.data() {
            Data::Queued(queued) => queued.position,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(places, [None, Some(3), Some(1)]);

    task.begin().unwrap();
    assert_eq!(task.snapshot().state, TaskState::Running);
    // Beginning again and places in a queue that it has left say nothing.
    task.begin().unwrap();
    task.position(2);
    assert_eq!(task.snapshot().state, TaskState::Running);
    assert_eq!(types(&ready(&mut watcher)), ["started"]);
    sleep(Duration::from_secs(2)).await;
    let running = task.snapshot();
    assert_eq!(running.elapsed_ms, 2_000);
    assert_eq!(running.started_at, Some(running.updated_at));
    task.complete(()).unwrap();
    let end = events(&to_end(&mut watcher).await).pop().unwrap();
    assert!(matches!(end.data(), Data::Complete(end) if end.duration_ms == 2_000));
}

#[tokio::test(start_paused = true)]
async fn elapsed_and_eta_appear() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").stage("a", 1.0).start().unwrap();
    let stage = task.stage("a").total(100);
    let begin = Instant::now();
    let mut etas = Vec::new();
    for _ in 0..40 {
        stage.inc(1);
        sleep(Duration::from_millis(250)).await;
        etas.push(task.snapshot().eta_ms);
    }
    assert_eq!(etas[0], None, "absent until it means something");
    // 40 of 100 in 10 s: 15 s remain.
    let left = etas.last().unwrap().unwrap();
    assert!((13_500..=16_500).contains(&left), "{left} ms");
    let elapsed = task.snapshot().elapsed_ms;
    assert_eq!(u128::from(elapsed), begin.elapsed().as_millis());
    let update = updates(&ready(&mut tracker.subscribe("t"))).pop().unwrap();
    assert!(update.elapsed_ms >= 9_700 && update.elapsed_ms <= elapsed);
    task.complete(()).unwrap();
    let ended = tracker.snapshot("t").await.unwrap();
    assert_eq!((ended.eta_ms, ended.elapsed_ms), (None, 10_000));
    sleep(Duration::from_secs(5)).await;
    let ended = tracker.snapshot("t").await.unwrap();
    assert_eq!(ended.elapsed_ms, 10_000, "up to its end");
}

#[tokio::test(start_paused = true)]
async fn timestamps_never_go_back() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    for n in 0..50 {
        task.emit(Mark { n }).unwrap();
        task.inc(1);
        // The paused clock runs away from the system's, which each tick follows: that is a step
        // backwards of wall time every time.
        sleep(Duration::from_secs(n % 7)).await;
    }
    let events = events(&ready(&mut tracker.subscribe("t")));
    assert!(events.is_sorted_by_key(|event| event.timestamp()));
    assert!(events.last().unwrap().timestamp() > events[0].timestamp());
    assert_eq!(
        task.snapshot().updated_at,
        events.last().unwrap().timestamp()
    );
}

#[tokio::test(start_paused = true)]
async fn values_without_a_json_form_are_refused() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start().unwrap();
    let bad = BTreeMap::from([((1, 2), 3)]);
    let refused = task.try_metadata("bad", &bad).unwrap_err();
    assert!(matches!(refused, PublishError::NotJson { .. }));
    task.metadata("bad", &bad);
    assert_eq!(tracker.stats().refused, 1);
    let refused = task.complete(&bad).unwrap_err();
    assert!(matches!(refused.reason(), PublishError::NotJson { .. }));
    refused.into_task().unwrap().complete(()).unwrap();
    let frames = ready(&mut tracker.subscribe("t"));
    assert_eq!(types(&frames), ["started", "complete"]);
    assert_eq!(verdict(&frames).1.unwrap().result, None);
}
