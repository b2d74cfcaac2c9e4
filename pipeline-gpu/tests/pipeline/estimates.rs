//! What is learned of how long stages take, and what is made of it.

use std::time::Duration;

use futures_util::future::join_all;
use pipeline_gpu::{Admission, Context, Pipeline, Prior, Stage};
use progress_core::{Data, ProgressTracker, Reporter, TaskError, batch::RetryPolicy};

use crate::common::{Takes, events, settle, snapshot, soon};

fn prior(millis: &[(&str, u64)]) -> Prior {
    let mut prior = Prior::new();
    for (stage, millis) in millis {
        for _ in 0..Prior::ENOUGH {
            prior.learn(stage, Duration::from_millis(*millis));
        }
    }
    prior
}

/// Percents of a stage as they were told, and whether it was estimated at the time.
async fn told(tracker: &ProgressTracker, id: &str, stage: &str) -> Vec<(f64, Option<bool>)> {
    let events = events(tracker, id).await;
    let told = events.iter().filter_map(|event| match event.data() {
        Data::ProgressUpdate(update) if update.stage.as_deref() == Some(stage) => {
            let estimated = update.metadata.get("estimated");
            let estimated = estimated.and_then(serde_json::Value::as_bool);
            Some((update.stage_progress?, estimated))
        }
        _ => None,
    });
    told.collect()
}

#[tokio::test(start_paused = true)]
async fn weights_are_those_that_were_learned() {
    let tracker = ProgressTracker::new();
    let pipeline = Pipeline::builder("p")
        .stage("quick", Takes::millis(100))
        .weight(5.0)
        .stage("slow", Takes::millis(900))
        .weight(5.0)
        .build()
        .unwrap();
    let weights = |pipeline: &Pipeline<u32, u32>| {
        let stages = pipeline.stages(None).into_iter();
        stages.map(|stage| stage.weight).collect::<Vec<_>>()
    };
    for n in 0..3 {
        assert_eq!(weights(&pipeline), [5.0, 5.0]);
        pipeline
            .submit(tracker.task(format!("t{n}")), n)
            .unwrap()
            .await
            .unwrap();
    }
    let learned = weights(&pipeline);
    assert!((learned[0] - 0.1).abs() < 0.01, "{learned:?}");
    assert!((learned[1] - 0.9).abs() < 0.01, "{learned:?}");

    // Another process goes on with it.
    let kept = serde_json::to_string(&pipeline.prior()).unwrap();
    let next = Pipeline::builder("p")
        .prior(serde_json::from_str(&kept).unwrap())
        .stage("quick", Takes::millis(100))
        .stage("slow", Takes::millis(900))
        .build()
        .unwrap();
    assert_eq!(weights(&next), learned);
    let run = next.submit(tracker.task("next"), 1).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let progress = snapshot(&tracker, "next").await.progress;
    assert!((progress - 10.0).abs() < 1.0, "{progress}");
    run.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_opaque_stage_is_estimated_and_says_so() {
    let tracker = ProgressTracker::new();
    let pipeline = Pipeline::builder("p")
        .prior(prior(&[("model", 10_000)]))
        .stage("model", Takes::millis(10_000).opaque())
        .build()
        .unwrap();
    let run = pipeline.submit(tracker.task("t"), 1).unwrap();
    tokio::time::sleep(Duration::from_millis(4_150)).await;
    let now = snapshot(&tracker, "t").await;
    assert!((now.progress - 40.0).abs() < 3.0, "{}", now.progress);
    assert_eq!(now.metadata.get("estimated"), Some(&true.into()));
    run.await.unwrap();
    let end = snapshot(&tracker, "t").await;
    assert_eq!(
        (end.progress, end.metadata.get("estimated")),
        (100.0, Some(&false.into()))
    );
}

#[tokio::test(start_paused = true)]
async fn an_estimate_stops_at_95_percent_and_never_falls() {
    let flaky = |cx: Context, n: u32| async move {
        let time = if cx.attempt() == 1 { 800 } else { 30_000 };
        tokio::time::sleep(Duration::from_millis(time)).await;
        match cx.attempt() {
            1 => Err(TaskError::new("BUSY", "Busy").retryable(true)),
            _ => Ok(n),
        }
    };
    let policy = RetryPolicy::new().first_delay(Duration::from_secs(5));
    stops_at_95_percent_and_never_falls(flaky.opaque().retry(policy)).await;
    stops_at_95_percent_and_never_falls(flaky.retry(policy).opaque()).await;
}

async fn stops_at_95_percent_and_never_falls(stage: impl Stage<u32, u32>) {
    let tracker = ProgressTracker::new();
    let pipeline = Pipeline::builder("p")
        .prior(prior(&[("model", 1_000)]))
        .stage("model", stage)
        .build()
        .unwrap();
    let run = pipeline.submit(tracker.task("t"), 1).unwrap();
    let mut seen = Vec::new();
    for _ in 0..300 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        seen.push(snapshot(&tracker, "t").await.progress);
    }
    assert!(seen.is_sorted(), "{seen:?}");
    assert!(
        (seen[15] - 80.0).abs() <= 10.0,
        "it stands still between attempts: {seen:?}"
    );
    assert_eq!(seen.last(), Some(&95.0));
    soon(run).await.unwrap();
    let told = told(&tracker, "t", "model").await;
    assert!(
        told.iter()
            .all(|(percent, _)| *percent <= 95.0 || *percent == 100.0)
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_not_opaque_or_not_known_is_not_estimated() {
    let tracker = ProgressTracker::new();
    let pipeline = Pipeline::builder("p")
        .prior(prior(&[("plain", 1_000)]))
        .stage("plain", Takes::millis(1_000))
        .stage("unknown", Takes::millis(1_000).opaque())
        .build()
        .unwrap();
    pipeline
        .submit(tracker.task("t"), 1)
        .unwrap()
        .await
        .unwrap();
    for stage in ["plain", "unknown"] {
        let told = told(&tracker, "t", stage).await;
        let between = told
            .iter()
            .filter(|(percent, _)| (0.1..99.9).contains(percent));
        assert_eq!(between.count(), 0, "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn waits_are_not_learned() {
    let device = Admission::new("gpu", 1);
    let flaky = |cx: Context, n: u32| async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        match cx.attempt() {
            1 => Err(TaskError::new("BUSY", "Busy").retryable(true)),
            _ => Ok(n),
        }
    };
    let pipeline = Pipeline::builder("p")
        .stage("flaky", flaky.on(&device).retry(RetryPolicy::new()))
        .concurrency(4)
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    join_all((0..4).map(|n| pipeline.run(&nobody, n))).await;
    let expected = pipeline.prior().expected("flaky").unwrap().as_millis();
    assert!((200..=205).contains(&expected), "{expected}");
    assert_eq!(pipeline.prior().runs("flaky"), 4);
}

#[tokio::test(start_paused = true)]
async fn what_failed_or_was_cancelled_is_not_learned() {
    let pipeline = Pipeline::builder("p")
        .stage("s", |_cx: Context, n: u32| async move {
            match n {
                0 => Err(TaskError::new("BAD", "Bad")),
                _ => std::future::pending::<Result<u32, TaskError>>().await,
            }
        })
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    assert!(pipeline.run(&nobody, 0).await.is_err());
    let run = pipeline.item(1).run(&nobody);
    settle().await;
    run.cancel(None);
    assert!(run.await.is_err());
    assert_eq!(pipeline.prior(), Prior::new());
}
