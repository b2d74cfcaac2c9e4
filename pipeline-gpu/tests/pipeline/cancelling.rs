//! Items that are to stop, wherever they are.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use pipeline_gpu::{Context, Pipeline, RunError, Stage};
use progress_core::{ProgressTracker, Reporter, TaskError, TaskState, batch::RetryPolicy};
use tokio::time::Instant;

use crate::common::{Gate, Log, Takes, event_types, settle, snapshot, soon};

fn cancelled<T>(reason: &str) -> Result<T, RunError> {
    Err(RunError::Cancelled {
        reason: Some(reason.into()),
    })
}

#[tokio::test(start_paused = true)]
async fn a_watcher_cancels_what_is_worked_on() {
    let tracker = ProgressTracker::new();
    let log = Log::default();
    let pipeline = Pipeline::builder("p")
        .stage("long", Takes::millis(60_000).noting(&log))
        .stage("next", Takes::millis(1).noting(&log))
        .build()
        .unwrap();
    let began = Instant::now();
    let run = pipeline.submit(tracker.task("t"), 1).unwrap();
    settle().await;
    tracker.cancel("t", "no longer needed").await.unwrap();
    assert_eq!(soon(run).await, cancelled("no longer needed"));
    assert_eq!(began.elapsed(), Duration::ZERO, "it is dropped at once");
    assert_eq!(log.all(), ["long begins 1"]);
    let types = event_types(&tracker, "t").await;
    assert_eq!(types[types.len() - 2..], ["cancel_requested", "complete"]);
    assert_eq!(snapshot(&tracker, "t").await.state, TaskState::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_started_of_one_that_is_cancelled_between_stages() {
    let tracker = ProgressTracker::new();
    let gate = Gate::new();
    let log = Log::default();
    let pipeline = Pipeline::builder("p")
        .stage("quick", Takes::millis(1))
        .stage("gate", gate.clone())
        .stage("last", Takes::millis(1).noting(&log))
        .build()
        .unwrap();
    let first = pipeline.submit(tracker.task("t1"), 1).unwrap();
    let second = pipeline.submit(tracker.task("t2"), 2).unwrap();
    gate.begun().await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    // It waits between two stages.
    second.cancel("enough");
    assert_eq!(second.await, cancelled("enough"));
    gate.let_through(2);
    assert_eq!(first.await, Ok(1));
    assert_eq!(gate.log.all(), ["1"]);
    assert_eq!(log.all(), ["last begins 1", "last ends 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_stage_with_grace_comes_to_an_end_by_itself() {
    let cleaned = Arc::new(AtomicBool::new(false));
    let stage = {
        let cleaned = Arc::clone(&cleaned);
        move |cx: Context, _: u32| {
            let cleaned = Arc::clone(&cleaned);
            async move {
                cx.cancel().cancelled().await;
                tokio::time::sleep(Duration::from_secs(1)).await;
                cleaned.store(true, Ordering::Relaxed);
                Ok::<u32, TaskError>(0)
            }
        }
    };
    let build = |grace| {
        Pipeline::builder("p")
            .stage("remote", stage.clone())
            .grace(Duration::from_millis(grace))
            .build()
            .unwrap()
    };
    for (grace, is_cleaned) in [(500, false), (5_000, true)] {
        let pipeline = build(grace);
        let run = pipeline.item(1).run(&Reporter::noop());
        settle().await;
        run.cancel("enough");
        assert!(!run.is_ended(), "it ends when its work has stopped");
        let began = Instant::now();
        assert_eq!(soon(run).await, cancelled("enough"));
        assert_eq!(cleaned.load(Ordering::Relaxed), is_cleaned);
        let waited = began.elapsed().as_millis();
        assert!(
            u128::from(grace.min(1_000)).abs_diff(waited) < 10,
            "{waited}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_that_somebody_waits_for_goes_with_its_future() {
    let log = Log::default();
    let pipeline = Pipeline::builder("p")
        .stage("long", Takes::millis(60_000).noting(&log))
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let run = pipeline.run(&nobody, 1);
    let late = tokio::time::timeout(Duration::from_millis(50), run).await;
    assert!(late.is_err());
    settle().await;
    assert_eq!(pipeline.live(), 0);
    assert_eq!(log.all(), ["long begins 1"]);
}

#[tokio::test(start_paused = true)]
async fn an_item_that_was_submitted_goes_on_without_anybody() {
    let tracker = ProgressTracker::new();
    let pipeline = Pipeline::builder("p")
        .stage("long", Takes::millis(60_000))
        .build()
        .unwrap();
    drop(pipeline.submit(tracker.task("t"), 1).unwrap());
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(snapshot(&tracker, "t").await.state, TaskState::Completed);
}

#[tokio::test(start_paused = true)]
async fn an_item_past_its_deadline_fails_wherever_it_is() {
    let tracker = ProgressTracker::new();
    let gate = Gate::new();
    let pipeline = Pipeline::builder("p")
        .deadline(Duration::from_secs(10))
        .stage("gate", gate.clone())
        .build()
        .unwrap();
    let began = Instant::now();
    let worked_on = pipeline.submit(tracker.task("t1"), 1).unwrap();
    let waiting = pipeline.submit(tracker.task("t2"), 2).unwrap();
    let patient = pipeline
        .item(3)
        .deadline(Duration::from_secs(3_600))
        .submit(tracker.task("t3"))
        .unwrap();
    for run in [worked_on, waiting] {
        let Err(RunError::Failed(error)) = run.await else {
            panic!("it is late");
        };
        assert_eq!(error.code(), "DEADLINE_EXCEEDED");
    }
    assert_eq!(began.elapsed().as_secs(), 10);
    let error = snapshot(&tracker, "t1").await.error.unwrap();
    assert_eq!(serde_json::to_value(error).unwrap()["stage"], "gate");
    assert_eq!(snapshot(&tracker, "t2").await.state, TaskState::Failed);
    gate.let_through(1);
    assert_eq!(patient.await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn a_stage_knows_how_long_it_has() {
    let pipeline = Pipeline::builder("p")
        .stage("look", |cx: Context, _: u32| async move {
            Ok::<_, TaskError>(cx.remaining())
        })
        .build()
        .unwrap();
    let time = Duration::from_secs(5);
    let run = pipeline.item(1).deadline(time).run(&Reporter::noop());
    assert_eq!(run.await, Ok(Some(time)));
    assert_eq!(pipeline.run(&Reporter::noop(), 1).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_another_attempt_is_broken_off() {
    let pipeline = Pipeline::builder("p")
        .stage(
            "flaky",
            (|_cx: Context, _: u32| async move {
                Err::<u32, _>(TaskError::new("BUSY", "Busy").retryable(true))
            })
            .retry(RetryPolicy::new().first_delay(Duration::from_secs(60))),
        )
        .grace(Duration::from_secs(20))
        .build()
        .unwrap();
    let run = pipeline.item(1).run(&Reporter::noop());
    settle().await;
    run.cancel("enough");
    let began = Instant::now();
    assert_eq!(soon(run).await, cancelled("enough"));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn no_attempt_follows_one_that_ends_after_it_is_to_stop() {
    let log = Log::default();
    let stage = {
        let log = log.clone();
        move |cx: Context, _: u32| {
            log.note(cx.attempt().to_string());
            async move {
                cx.cancel().cancelled().await;
                tokio::time::sleep(Duration::from_secs(1)).await;
                Err::<u32, _>(TaskError::new("BUSY", "Busy").retryable(true))
            }
        }
    };
    let pipeline = Pipeline::builder("p")
        .stage("s", stage.retry(RetryPolicy::new()))
        .grace(Duration::from_secs(20))
        .build()
        .unwrap();
    let run = pipeline.item(1).run(&Reporter::noop());
    settle().await;
    run.cancel("enough");
    let began = Instant::now();
    assert_eq!(soon(run).await, cancelled("enough"));
    assert_eq!(began.elapsed().as_secs(), 1);
    assert_eq!(log.all(), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn all_are_cancelled_at_once() {
    let tracker = ProgressTracker::new();
    let gate = Gate::new();
    let pipeline = Pipeline::builder("p")
        .stage("quick", Takes::millis(0))
        .stage("gate", gate.clone())
        .build()
        .unwrap();
    let runs: Vec<_> = (0..10)
        .map(|n| pipeline.submit(tracker.task(format!("t{n}")), n).unwrap())
        .collect();
    gate.begun().await;
    pipeline.cancel_all("maintenance");
    for run in runs {
        assert_eq!(soon(run).await, cancelled("maintenance"));
    }
    assert_eq!((pipeline.live(), pipeline.waiting()), (0, 0));
}

/// On one thread who was woken last comes first: the attempts, before whoever sets the flag.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_whose_task_is_cancelled_between_attempts_does_not_fail() {
    let tracker = ProgressTracker::new();
    let pipeline = Pipeline::builder("p")
        .stage(
            "flaky",
            (|_cx: Context, _: u32| async move {
                Err::<u32, _>(TaskError::new("BUSY", "Busy").retryable(true))
            })
            .retry(RetryPolicy::new().first_delay(Duration::from_secs(60))),
        )
        .build()
        .unwrap();
    for n in 0..20 {
        let id = format!("t{n}");
        let run = pipeline.submit(tracker.task(id.clone()), n).unwrap();
        soon(async {
            while !event_types(&tracker, &id).await.contains(&"error".into()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        let cancel = {
            let (tracker, id) = (tracker.clone(), id.clone());
            async move { tracker.cancel(id, "enough").await }
        };
        tokio::spawn(cancel).await.unwrap().unwrap();
        assert_eq!(soon(run).await, cancelled("enough"), "{id}");
        assert_eq!(snapshot(&tracker, &id).await.state, TaskState::Cancelled);
    }
}
