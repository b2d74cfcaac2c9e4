//! Items that were set aside within a stage, and how they end.

use std::time::Duration;

use pipeline_gpu::{Context, Pipeline, Run, RunError};
use progress_core::{Reporter, TaskError};
use tokio::time::Instant;

use crate::common::{Log, settle, soon};

/// A pipeline of one stage that looks whether it may begin.
fn looking(waiting: usize, log: &Log) -> Pipeline<u32, u32> {
    let looks = {
        let log = log.clone();
        move |cx: Context, n: u32| {
            let log = log.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                cx.ready().await?;
                log.note(n.to_string());
                Ok::<_, TaskError>(n)
            }
        }
    };
    Pipeline::builder("p")
        .waiting(waiting)
        .stage("looks", looks)
        .build()
        .unwrap()
}

/// Has an item of [`looking`] wait within the stage.
async fn set_aside(pipeline: &Pipeline<u32, u32>, n: u32) -> Run<u32> {
    let run = pipeline.item(n).run(&Reporter::noop());
    settle().await;
    assert_eq!(pipeline.waiting(), 0, "it is taken");
    run.pause(None);
    tokio::time::sleep(Duration::from_millis(2)).await;
    run
}

#[tokio::test(start_paused = true)]
async fn no_more_are_set_aside_than_may_wait() {
    let log = Log::default();
    let pipeline = looking(2, &log);
    let mut aside = Vec::new();
    for n in 0..2 {
        aside.push(set_aside(&pipeline, n).await);
    }
    let holds = set_aside(&pipeline, 2).await;
    let waits = pipeline.item(3).run(&Reporter::noop());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(log.all(), [""; 0]);
    assert_eq!(pipeline.waiting(), 1);
    // As soon as one goes on there is room for another.
    aside[0].resume();
    assert_eq!(soon(waits).await, Ok(3));
    assert_eq!(soon(aside.remove(0)).await, Ok(0));
    for run in [holds, aside.remove(0)] {
        run.resume();
        soon(run).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_was_set_aside_can_be_cancelled() {
    let log = Log::default();
    let pipeline = looking(1, &log);
    for n in 0..3 {
        let run = set_aside(&pipeline, n).await;
        run.cancel("enough");
        assert!(matches!(soon(run).await, Err(RunError::Cancelled { .. })));
    }
    // Also while it waits to come back.
    let long = |cx: Context, n: u32| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        cx.ready().await?;
        tokio::time::sleep(Duration::from_secs(10)).await;
        Ok::<_, TaskError>(n)
    };
    let pipeline = Pipeline::builder("p").stage("long", long).build().unwrap();
    let nobody = Reporter::noop();
    let [aside, works] = [0, 1].map(|n| pipeline.item(n).run(&nobody));
    settle().await;
    aside.pause(None);
    tokio::time::sleep(Duration::from_secs(2)).await;
    aside.resume();
    settle().await;
    let began = Instant::now();
    aside.cancel(None);
    assert!(soon(aside).await.is_err());
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(soon(works).await, Ok(1));
    assert_eq!(soon(pipeline.run(&nobody, 2)).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_closes_waits_for_one_that_was_set_aside() {
    let log = Log::default();
    let pipeline = looking(4, &log);
    let aside = set_aside(&pipeline, 1).await;
    let last = pipeline.item(2).run(&Reporter::noop());
    let closing = tokio::spawn({
        let pipeline = pipeline.clone();
        async move { pipeline.close().await }
    });
    assert_eq!(soon(last).await, Ok(2));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!closing.is_finished());
    aside.resume();
    assert_eq!(soon(aside).await, Ok(1));
    soon(closing).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_was_set_aside_outlives_the_handles_of_its_pipeline() {
    let log = Log::default();
    let pipeline = looking(4, &log);
    let [goes_on, is_cancelled] = [set_aside(&pipeline, 1).await, set_aside(&pipeline, 2).await];
    drop(pipeline);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(log.all(), [""; 0]);
    goes_on.resume();
    assert_eq!(soon(goes_on).await, Ok(1));
    is_cancelled.cancel(None);
    assert!(soon(is_cancelled).await.is_err());
}

#[test]
fn one_that_was_set_aside_ends_when_its_runtime_goes_away() {
    let log = Log::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let (pipeline, aside, waiting) = runtime.block_on(async {
        let pipeline = looking(4, &log);
        let aside = set_aside(&pipeline, 1).await;
        let waiting = pipeline.item(2).run(&Reporter::noop());
        (pipeline, aside, waiting)
    });
    drop(runtime);
    for run in [aside, waiting] {
        let Err(RunError::Failed(error)) = pollster::block_on(run) else {
            panic!("nobody works on it");
        };
        assert_eq!(error.code(), "ITEM_LOST");
    }
    assert_eq!(pipeline.live(), 0);
}
