//! Attempts, and the time they have.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use pipeline_gpu::{Cancel, Context, Pipeline, RunError, Stage};
use progress_core::{Data, ProgressTracker, Reporter, TaskError, TaskState, batch::RetryPolicy};
use tokio::time::Instant;

use crate::common::{events, snapshot, soon};

/// Fails so many times, each time half done.
fn flaky(
    failures: u32,
) -> impl Fn(Context, u32) -> std::future::Ready<Result<u32, TaskError>> + Send + Sync + Clone {
    move |cx, input| {
        let count = cx.reporter().clone().total(10);
        count.inc(5);
        std::future::ready(match cx.attempt() <= failures {
            true => Err(TaskError::new("BUSY", "Busy").retryable(true)),
            false => {
                count.inc(5);
                Ok(input)
            }
        })
    }
}

async fn retries_told(tracker: &ProgressTracker, id: &str) -> Vec<(u64, u64)> {
    let events = events(tracker, id).await;
    let told = events.iter().filter_map(|event| match event.data() {
        Data::Error(error) => {
            let error = serde_json::to_value(error).unwrap();
            assert_eq!(error["stage"], "flaky");
            Some((
                error["retry_count"].as_u64().unwrap(),
                error["max_retries"].as_u64().unwrap(),
            ))
        }
        _ => None,
    });
    told.collect()
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_seen_and_begins_at_zero() {
    let tracker = ProgressTracker::new();
    let pipeline = Pipeline::builder("p")
        .stage("flaky", flaky(2).retry(RetryPolicy::new().retries(3)))
        .build()
        .unwrap();
    let began = Instant::now();
    let run = pipeline.submit(tracker.task("t"), 1).unwrap();
    assert_eq!(run.await, Ok(1));
    assert_eq!(began.elapsed().as_secs(), 3, "after one second and two");
    assert_eq!(retries_told(&tracker, "t").await, [(1, 3), (2, 3)]);
    let task = snapshot(&tracker, "t").await;
    assert_eq!(task.stages[0].current, Some(10));
}

#[tokio::test(start_paused = true)]
async fn the_last_failure_says_how_often_it_was_tried() {
    let tracker = ProgressTracker::new();
    let pipeline = Pipeline::builder("p")
        .stage("flaky", flaky(9).retry(RetryPolicy::new().retries(2)))
        .build()
        .unwrap();
    assert!(
        pipeline
            .submit(tracker.task("t"), 1)
            .unwrap()
            .await
            .is_err()
    );
    let task = snapshot(&tracker, "t").await;
    assert_eq!(task.state, TaskState::Failed);
    let error = serde_json::to_value(task.error.unwrap()).unwrap();
    assert_eq!(error["code"], "BUSY");
    assert_eq!(
        (&error["retry_count"], &error["max_retries"]),
        (&2.into(), &2.into())
    );
    assert_eq!(error["stage"], "flaky");
}

#[tokio::test(start_paused = true)]
async fn what_no_attempt_would_mend_is_not_tried_again() {
    let calls = Arc::new(AtomicU32::new(0));
    let bad = {
        let calls = Arc::clone(&calls);
        move |_cx: Context, _: u32| {
            calls.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Err::<u32, _>(TaskError::new("BAD", "Bad input")))
        }
    };
    let pipeline = Pipeline::builder("p")
        .stage("bad", bad.retry(RetryPolicy::new()))
        .build()
        .unwrap();
    assert!(pipeline.run(&Reporter::noop(), 1).await.is_err());
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_of_each_attempt_or_of_all_as_it_is_put() {
    let slow = |cx: Context, n: u32| async move {
        let time = if cx.attempt() == 3 { 1 } else { 60 };
        tokio::time::sleep(Duration::from_secs(time)).await;
        Ok::<_, TaskError>(n)
    };
    let policy = RetryPolicy::new();
    let each = slow.timeout(Duration::from_secs(10)).retry(policy);
    let all = slow.retry(policy).timeout(Duration::from_secs(10));
    let nobody = Reporter::noop();

    let pipeline = Pipeline::builder("p").stage("slow", each).build().unwrap();
    let began = Instant::now();
    assert_eq!(pipeline.run(&nobody, 1).await, Ok(1));
    // 10 and 1 and 10 and 2 and 1.
    assert_eq!(began.elapsed().as_secs(), 24);

    let pipeline = Pipeline::builder("p").stage("slow", all).build().unwrap();
    let Err(RunError::Failed(error)) = pipeline.run(&nobody, 1).await else {
        panic!("it takes longer");
    };
    assert_eq!(
        (error.code(), error.is_retryable()),
        ("STAGE_TIMEOUT", true)
    );
    assert_eq!(error.details().get("limit_ms"), Some(&10_000.into()));
}

#[tokio::test(start_paused = true)]
async fn work_that_is_out_of_time_sees_its_flag_and_the_next_attempt_does_not() {
    let first: Mutex<Option<Cancel>> = Mutex::default();
    let stage = move |cx: Context, n: u32| {
        let before = first.lock().unwrap().replace(cx.cancel().clone());
        async move {
            match before {
                None => std::future::pending().await,
                Some(before) => {
                    assert!(before.is_cancelled() && !cx.is_cancelled());
                    Ok::<_, TaskError>(n)
                }
            }
        }
    };
    let stage = stage
        .timeout(Duration::from_secs(1))
        .retry(RetryPolicy::new());
    let pipeline = Pipeline::builder("p").stage("s", stage).build().unwrap();
    assert_eq!(soon(pipeline.run(&Reporter::noop(), 1)).await, Ok(1));
}
