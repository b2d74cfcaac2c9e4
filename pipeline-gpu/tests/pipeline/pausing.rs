//! Nothing is started while it is paused.

use std::time::Duration;

use pipeline_gpu::{Admission, BatchContext, Batched, Context, Pipeline, RunError, Stage};
use progress_core::{Data, ProgressTracker, Reporter, TaskError, TaskState, batch::RetryPolicy};
use tokio::time::Instant;

use crate::common::{Gate, Log, Takes, event_types, events, settle, snapshot, soon};

#[tokio::test(start_paused = true)]
async fn an_item_that_is_paused_lets_others_pass() {
    let tracker = ProgressTracker::new();
    let gate = Gate::new();
    let log = Log::default();
    let pipeline = Pipeline::builder("p")
        .stage("gate", gate.clone())
        .stage("next", Takes::millis(10).noting(&log))
        .build()
        .unwrap();
    let first = pipeline.submit(tracker.task("t1"), 1).unwrap();
    let second = pipeline.submit(tracker.task("t2"), 2).unwrap();
    gate.begun().await;
    first.pause("to think about it");
    assert_eq!(snapshot(&tracker, "t1").await.state, TaskState::Paused);
    let reasons = events(&tracker, "t1").await;
    let reasons = reasons.iter().filter_map(|event| match event.data() {
        Data::Paused(note) => note.reason.as_deref(),
        _ => None,
    });
    assert_eq!(reasons.collect::<Vec<_>>(), ["to think about it"]);

    // The stage that works on it comes to its end; the next one is not begun.
    gate.let_through(2);
    assert_eq!(second.await, Ok(2));
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(log.all(), ["next begins 2", "next ends 2"]);
    assert!(!first.is_ended());

    first.resume();
    assert_eq!(soon(first).await, Ok(1));
    let types = event_types(&tracker, "t1").await;
    assert!(types.contains(&"resumed".to_owned()), "{types:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_keeps_its_place_while_it_is_paused() {
    let gate = Gate::new();
    let pipeline = Pipeline::builder("p")
        .stage("gate", gate.clone())
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let runs: Vec<_> = (0..4).map(|n| pipeline.item(n).run(&nobody)).collect();
    gate.begun().await;
    runs[1].pause(None);
    gate.let_through(1);
    gate.begun().await;
    runs[1].resume();
    gate.let_through(3);
    for run in runs {
        soon(run).await.unwrap();
    }
    assert_eq!(gate.log.all(), ["0", "2", "1", "3"]);
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_is_paused_starts_nothing_and_takes_items() {
    let tracker = ProgressTracker::new();
    let gate = Gate::new();
    let log = Log::default();
    let pipeline = Pipeline::builder("p")
        .stage("gate", gate.clone())
        .stage("next", Takes::millis(10).noting(&log))
        .build()
        .unwrap();
    let worked_on = pipeline.submit(tracker.task("t1"), 1).unwrap();
    gate.begun().await;
    pipeline.pause("new drivers");
    assert!(pipeline.is_paused());
    let later = pipeline.submit(tracker.task("t2"), 2).unwrap();
    let also_paused = pipeline.submit(tracker.task("t3"), 3).unwrap();
    also_paused.pause(None);
    gate.let_through(9);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(log.all(), [""; 0]);
    assert_eq!(snapshot(&tracker, "t1").await.state, TaskState::Paused);
    assert_eq!(snapshot(&tracker, "t2").await.state, TaskState::Queued);

    pipeline.resume();
    assert_eq!(soon(worked_on).await, Ok(1));
    assert_eq!(soon(later).await, Ok(2));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!also_paused.is_ended(), "it is still paused by itself");
    also_paused.resume();
    assert_eq!(soon(also_paused).await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn an_item_is_paused_until_nobody_pauses_it() {
    let tracker = ProgressTracker::new();
    let gate = Gate::new();
    let pipeline = Pipeline::builder("p")
        .stage("gate", gate.clone())
        .build()
        .unwrap();
    let run = pipeline.submit(tracker.task("t"), 1).unwrap();
    gate.begun().await;
    let state = async || snapshot(&tracker, "t").await.state;
    run.pause("by somebody");
    pipeline.pause("by the service");
    run.resume();
    assert_eq!(state().await, TaskState::Paused);
    run.pause("by somebody");
    pipeline.resume();
    assert_eq!(state().await, TaskState::Paused);
    run.resume();
    assert_eq!(state().await, TaskState::Running);
    gate.let_through(1);
    assert_eq!(soon(run).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn an_item_that_comes_while_all_is_paused_is_paused_too() {
    let log = Log::default();
    let looks = {
        let log = log.clone();
        move |cx: Context, n: u32| {
            let log = log.clone();
            async move {
                log.note("taken");
                cx.ready().await?;
                log.note("ready");
                Ok::<_, TaskError>(n)
            }
        }
    };
    let pipeline = Pipeline::builder("p")
        .stage("looks", looks)
        .build()
        .unwrap();
    let tracker = ProgressTracker::new();
    pipeline.pause(None);
    // Its owner has begun it already.
    let task = tracker.task("t").start().unwrap();
    let run = pipeline.submit(task, 1).unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(log.all(), [""; 0]);
    assert_eq!(snapshot(&tracker, "t").await.state, TaskState::Paused);
    pipeline.resume();
    assert_eq!(soon(run).await, Ok(1));
    assert_eq!(log.all(), ["taken", "ready"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_paused_can_be_cancelled() {
    let gate = Gate::new();
    let pipeline = Pipeline::builder("p")
        .stage("quick", Takes::millis(0))
        .stage("gate", gate.clone())
        .build()
        .unwrap();
    let run = pipeline.item(1).run(&Reporter::noop());
    run.pause(None);
    settle().await;
    run.cancel("enough");
    assert!(matches!(soon(run).await, Err(RunError::Cancelled { .. })));
}

#[tokio::test(start_paused = true)]
async fn no_attempt_is_begun_while_it_is_paused() {
    let log = Log::default();
    let flaky = {
        let log = log.clone();
        move |cx: Context, n: u32| {
            log.note(cx.attempt().to_string());
            std::future::ready(match cx.attempt() {
                1 => Err(TaskError::new("BUSY", "Busy").retryable(true)),
                _ => Ok(n),
            })
        }
    };
    let pipeline = Pipeline::builder("p")
        .stage("flaky", flaky.retry(RetryPolicy::new()))
        .build()
        .unwrap();
    let run = pipeline.item(1).run(&Reporter::noop());
    settle().await;
    run.pause(None);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(log.all(), ["1"]);
    run.resume();
    assert_eq!(soon(run).await, Ok(1));
    assert_eq!(log.all(), ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_cancelled_while_an_attempt_is_paused_has_no_error_of_it() {
    let tracker = ProgressTracker::new();
    let flaky = |_cx: Context, _: u32| async move {
        Err::<u32, _>(TaskError::new("BUSY", "Busy").retryable(true))
    };
    let pipeline = Pipeline::builder("p")
        .stage("flaky", flaky.retry(RetryPolicy::new()))
        .grace(Duration::from_secs(9))
        .build()
        .unwrap();
    let run = pipeline.submit(tracker.task("t"), 1).unwrap();
    settle().await;
    run.pause(None);
    tokio::time::sleep(Duration::from_secs(60)).await;
    run.cancel(None);
    assert!(matches!(soon(run).await, Err(RunError::Cancelled { .. })));
    let events = events(&tracker, "t").await;
    let errors = events.iter().filter_map(|event| match event.data() {
        Data::Error(error) => Some(error.code()),
        _ => None,
    });
    assert_eq!(errors.collect::<Vec<_>>(), ["BUSY"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_paused_is_not_admitted_and_holds_up_nobody() {
    let device = Admission::new("gpu", 1);
    let gate = Gate::new();
    let pipeline = Pipeline::builder("p")
        .stage("gate", gate.clone().on(&device))
        .concurrency(3)
        .unordered()
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let runs: Vec<_> = (0..3).map(|n| pipeline.item(n).run(&nobody)).collect();
    gate.begun().await;
    settle().await;
    assert_eq!(device.waiting(), 2);
    runs[1].pause(None);
    gate.let_through(2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(gate.log.all(), ["0", "2"]);
    runs[1].resume();
    gate.let_through(1);
    for run in runs {
        soon(run).await.unwrap();
    }
    assert_eq!(gate.log.all(), ["0", "2", "1"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_paused_leaves_a_batch_that_has_not_begun() {
    let log = Log::default();
    let batched = {
        let log = log.clone();
        Batched::new(move |_cx: BatchContext, inputs: Vec<u32>| {
            log.note(format!("{inputs:?}"));
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(inputs.into_iter().map(Ok).collect())
            }
        })
    };
    let pipeline = Pipeline::builder("p")
        .stage("batch", batched)
        .unordered()
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let first = pipeline.item(0).run(&nobody);
    settle().await;
    let [one, two] = [1, 2].map(|n| pipeline.item(n).run(&nobody));
    settle().await;
    one.pause(None);
    settle().await;
    assert_eq!(soon(first).await, Ok(0));
    assert_eq!(soon(two).await, Ok(2));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(log.all(), ["[0]", "[2]"]);
    one.resume();
    assert_eq!(soon(one).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_paused_leaves_a_batch_and_the_order() {
    let log = Log::default();
    let batched = {
        let log = log.clone();
        Batched::new(move |_cx: BatchContext, inputs: Vec<u32>| {
            log.note(format!("{inputs:?}"));
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(inputs.into_iter().map(Ok).collect())
            }
        })
        .max_size(2)
    };
    let pipeline = Pipeline::builder("p")
        .stage("batch", batched)
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let running = pipeline.item(0).run(&nobody);
    settle().await;
    let paused = pipeline.item(1).run(&nobody);
    settle().await;
    paused.pause(None);
    // More than the stage works on at a time.
    let others: Vec<_> = (2..12).map(|n| pipeline.item(n).run(&nobody)).collect();
    assert_eq!(soon(running).await, Ok(0));
    for (n, other) in (2..).zip(others) {
        assert_eq!(soon(other).await, Ok(n));
    }
    assert!(!log.all().contains(&"[1]".to_owned()));
    paused.resume();
    assert_eq!(soon(paused).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_runs_comes_to_its_end_though_an_item_of_it_is_paused() {
    let batched = Batched::new(|_cx: BatchContext, inputs: Vec<u32>| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(inputs.into_iter().map(Ok).collect())
    });
    let pipeline = Pipeline::builder("p")
        .stage("batch", batched)
        .build()
        .unwrap();
    let run = pipeline.item(1).run(&Reporter::noop());
    settle().await;
    run.pause(None);
    assert_eq!(
        soon(run).await,
        Ok(1),
        "there is no other stage to be kept from"
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_stage_is_paused_where_it_looks() {
    let log = Log::default();
    let parts = {
        let log = log.clone();
        move |cx: Context, n: u32| {
            let log = log.clone();
            async move {
                for part in 0..n {
                    cx.ready().await?;
                    log.note(part.to_string());
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Ok::<_, TaskError>(n)
            }
        }
    };
    let pipeline = Pipeline::builder("p")
        .stage("parts", parts)
        .build()
        .unwrap();
    let run = pipeline.item(3).run(&Reporter::noop());
    settle().await;
    run.pause(None);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(log.all(), ["0"]);
    run.resume();
    assert_eq!(soon(run).await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_stage_stands_still_while_it_is_paused() {
    let gate = Gate::new();
    let stage = gate.clone().timeout(Duration::from_secs(10));
    let pipeline = Pipeline::builder("p").stage("gate", stage).build().unwrap();
    let run = pipeline.item(1).run(&Reporter::noop());
    gate.begun().await;
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(4)).await;
        run.pause(None);
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert!(!run.is_ended());
        run.resume();
    }
    let began = Instant::now();
    let Err(RunError::Failed(error)) = soon(run).await else {
        panic!("its time is up");
    };
    assert_eq!(error.code(), "STAGE_TIMEOUT");
    let left = began.elapsed().as_millis();
    assert!((1_990..=2_010).contains(&left), "{left}");
}
