//! Items that are worked on together.

use std::time::Duration;

use futures_util::future::join_all;
use pipeline_gpu::{BatchContext, BatchStage, Batched, Pipeline, RunError, Stage};
use progress_core::{ProgressTracker, Reporter, TaskError, TaskState, batch::RetryPolicy};
use tokio::time::Instant;

use crate::common::{Log, settle, snapshot, soon};

/// Takes 100 ms for a batch, and notes it. 13 fails alone, 66 fails all, 77 panics, 88 loses one.
struct Model(Log);

impl BatchStage<u32, u32> for Model {
    async fn run(
        &self,
        cx: BatchContext,
        inputs: Vec<u32>,
    ) -> Result<Vec<Result<u32, TaskError>>, TaskError> {
        assert_eq!(cx.items().len(), inputs.len());
        self.0.note(format!("{inputs:?}"));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!inputs.contains(&77), "meant");
        if inputs.contains(&66) {
            return Err(TaskError::new("MODEL", "It broke").retryable(true));
        }
        let kept = inputs.into_iter().filter(|input| *input != 88);
        Ok(kept
            .map(|input| match input {
                13 => Err(TaskError::new("UNLUCKY", "It is 13")),
                input => Ok(input * 10),
            })
            .collect())
    }
}

fn pipeline(size: usize, log: &Log) -> Pipeline<u32, u32> {
    Pipeline::builder("p")
        .stage("model", Batched::new(Model(log.clone())).max_size(size))
        .build()
        .unwrap()
}

fn code<T: std::fmt::Debug>(result: Result<T, RunError>) -> String {
    match result {
        Err(RunError::Failed(error)) => error.code().to_owned(),
        other => format!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn items_gather_while_the_stage_is_busy_and_run_as_it_is_free() {
    let log = Log::default();
    let pipeline = pipeline(4, &log);
    let nobody = Reporter::noop();
    let began = Instant::now();
    let first = pipeline.item(0).run(&nobody);
    settle().await;
    assert_eq!(log.all(), ["[0]"], "it found the stage idle");
    let results = join_all((1..=6).map(|n| pipeline.run(&nobody, n))).await;
    assert_eq!(results, (1..=6).map(|n| Ok(n * 10)).collect::<Vec<_>>());
    assert_eq!(log.all(), ["[0]", "[1, 2, 3, 4]", "[5, 6]"]);
    assert_eq!(first.await, Ok(0));
    let took = began.elapsed().as_millis();
    assert!((300..=310).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn those_that_come_together_are_a_batch_without_a_wait() {
    let log = Log::default();
    let pipeline = pipeline(8, &log);
    let nobody = Reporter::noop();
    let began = Instant::now();
    join_all((1..=5).map(|n| pipeline.run(&nobody, n))).await;
    assert_eq!(log.all(), ["[1, 2, 3, 4, 5]"]);
    assert_eq!(began.elapsed().as_millis(), 100);
}

#[tokio::test(start_paused = true)]
async fn under_load_a_batch_waits_for_more_but_not_longer_than_it_may() {
    let log = Log::default();
    let wait = Duration::from_millis(50);
    let pipeline = Pipeline::builder("p")
        .stage(
            "model",
            Batched::new(Model(log.clone())).max_size(4).max_wait(wait),
        )
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let began = Instant::now();
    join_all([0, 1].map(|n| pipeline.run(&nobody, n))).await;
    // The stage has just been at work for several: others may be on their way.
    let two = pipeline.item(2).run(&nobody);
    tokio::time::sleep(Duration::from_millis(30)).await;
    let three = pipeline.item(3).run(&nobody);
    two.await.unwrap();
    three.await.unwrap();
    assert_eq!(log.all(), ["[0, 1]", "[2, 3]"]);
    let took = began.elapsed().as_millis();
    assert!((250..=255).contains(&took), "{took}");
    // A while later it is idle: nobody else is expected.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    pipeline.run(&nobody, 4).await.unwrap();
    assert_eq!(began.elapsed().as_millis(), 100);
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_one_item_is_its_own() {
    let tracker = ProgressTracker::new();
    let log = Log::default();
    let pipeline = pipeline(8, &log);
    let runs = [1, 13, 2].map(|n| pipeline.submit(tracker.task(format!("t{n}")), n).unwrap());
    let [one, unlucky, two] = runs;
    assert_eq!(code(unlucky.await), "UNLUCKY");
    assert_eq!((one.await, two.await), (Ok(10), Ok(20)));
    assert_eq!(log.all(), ["[1, 13, 2]"]);
    assert_eq!(snapshot(&tracker, "t13").await.state, TaskState::Failed);
    assert_eq!(snapshot(&tracker, "t1").await.state, TaskState::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_panics_or_loses_an_item_fails_all_of_it_and_no_other() {
    let log = Log::default();
    let pipeline = pipeline(2, &log);
    let nobody = Reporter::noop();
    for (bad, expected) in [(66, "MODEL"), (77, "STAGE_PANICKED"), (88, "BATCH_RESULTS")] {
        let (one, other) = tokio::join!(pipeline.run(&nobody, 1), pipeline.run(&nobody, bad));
        assert_eq!(
            (code(one), code(other)),
            (expected.to_owned(), expected.to_owned())
        );
        assert_eq!(pipeline.run(&nobody, 2).await, Ok(20));
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_cancelled_leaves_a_batch_that_has_not_begun() {
    let log = Log::default();
    let pipeline = pipeline(4, &log);
    let nobody = Reporter::noop();
    let first = pipeline.item(0).run(&nobody);
    settle().await;
    let [one, two, three] = [1, 2, 3].map(|n| pipeline.item(n).run(&nobody));
    settle().await;
    two.cancel(None);
    assert!(matches!(soon(two).await, Err(RunError::Cancelled { .. })));
    for run in [first, one, three] {
        run.await.unwrap();
    }
    assert_eq!(log.all(), ["[0]", "[1, 3]"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_cancelled_in_a_batch_that_runs_leaves_the_others_alone() {
    let log = Log::default();
    let pipeline = pipeline(4, &log);
    let nobody = Reporter::noop();
    let [one, two] = [1, 2].map(|n| pipeline.item(n).run(&nobody));
    settle().await;
    assert_eq!(log.all(), ["[1, 2]"]);
    one.cancel(None);
    assert!(matches!(soon(one).await, Err(RunError::Cancelled { .. })));
    assert_eq!(two.await, Ok(20));
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_which_nobody_is_left_is_stopped() {
    let log = Log::default();
    let stage = {
        let log = log.clone();
        move |cx: BatchContext, inputs: Vec<u32>| {
            let log = log.clone();
            let cancel = cx.cancel().clone();
            async move {
                if inputs == [1, 2] {
                    // Its flag outlives it.
                    tokio::spawn(async move {
                        cancel.cancelled().await;
                        log.note("stopped");
                    });
                    tokio::time::sleep(Duration::from_secs(3_600)).await;
                }
                Ok(inputs.into_iter().map(Ok).collect())
            }
        }
    };
    let pipeline = Pipeline::builder("p")
        .stage("model", Batched::new(stage).max_size(4))
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let runs = [1, 2].map(|n| pipeline.item(n).run(&nobody));
    settle().await;
    drop(runs);
    settle().await;
    assert_eq!(log.all(), ["stopped"]);
    let began = Instant::now();
    assert_eq!(soon(pipeline.run(&nobody, 3)).await, Ok(3));
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_tried_again_is_in_another_batch() {
    let log = Log::default();
    let model = Batched::new(Model(log.clone())).max_size(2);
    let pipeline = Pipeline::builder("p")
        .stage("model", model.retry(RetryPolicy::new().retries(1)))
        .build()
        .unwrap();
    assert_eq!(code(pipeline.run(&Reporter::noop(), 66).await), "MODEL");
    assert_eq!(log.all(), ["[66]", "[66]"]);
}

#[tokio::test(start_paused = true)]
async fn pipelines_share_the_batches_of_a_clone() {
    let log = Log::default();
    let model = Batched::new(Model(log.clone())).max_size(4);
    let one = Pipeline::builder("p")
        .stage("m", model.clone())
        .build()
        .unwrap();
    let two = Pipeline::builder("q").stage("m", model).build().unwrap();
    let nobody = Reporter::noop();
    let results = tokio::join!(one.run(&nobody, 1), two.run(&nobody, 2));
    assert_eq!(results, (Ok(10), Ok(20)));
    assert_eq!(log.all(), ["[1, 2]"]);
}

#[tokio::test(start_paused = true)]
async fn many_batches_run_at_a_time_and_items_keep_their_order() {
    let log = Log::default();
    let model = Batched::new(Model(log.clone())).max_size(2).at_once(2);
    let pipeline = Pipeline::builder("p").stage("m", model).build().unwrap();
    let nobody = Reporter::noop();
    let began = Instant::now();
    let results = join_all((0..8).map(|n| pipeline.run(&nobody, n))).await;
    assert_eq!(results, (0..8).map(|n| Ok(n * 10)).collect::<Vec<_>>());
    let took = began.elapsed().as_millis();
    assert!((200..=215).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn who_is_alone_waits_for_nobody() {
    let log = Log::default();
    let pipeline = pipeline(4, &log);
    let nobody = Reporter::noop();
    let began = Instant::now();
    for n in 0..10 {
        pipeline.run(&nobody, n).await.unwrap();
    }
    assert_eq!(
        began.elapsed().as_millis(),
        1_000,
        "each as the last is done"
    );

    // One that comes while another alone is worked on waits for its end, and no longer.
    let began = Instant::now();
    let first = pipeline.item(10).run(&nobody);
    tokio::time::sleep(Duration::from_millis(99)).await;
    pipeline.run(&nobody, 11).await.unwrap();
    assert_eq!(began.elapsed().as_millis(), 200);
    assert_eq!(first.await, Ok(100));
}

#[tokio::test(start_paused = true)]
async fn a_batch_may_wait_for_ever() {
    let log = Log::default();
    let model = Batched::new(Model(log.clone()))
        .max_size(2)
        .max_wait(Duration::MAX);
    let pipeline = Pipeline::builder("p")
        .stage("model", model)
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    soon(join_all([1, 2].map(|n| pipeline.run(&nobody, n)))).await;
    let three = pipeline.item(3).run(&nobody);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert!(!three.is_ended(), "it waits for another");
    assert_eq!(soon(pipeline.run(&nobody, 4)).await, Ok(40));
    assert_eq!(soon(three).await, Ok(30));
    assert_eq!(log.all(), ["[1, 2]", "[3, 4]"]);
}

/// A batch goes on for a while once it is to stop, but only one that has begun.
struct Slow;

impl BatchStage<u32, u32> for Slow {
    async fn run(
        &self,
        _cx: BatchContext,
        inputs: Vec<u32>,
    ) -> Result<Vec<Result<u32, TaskError>>, TaskError> {
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok(inputs.into_iter().map(Ok).collect())
    }

    fn grace(&self) -> Duration {
        Duration::from_secs(10)
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_batch_ends_at_once_however_long_its_grace_is() {
    // More batches than there can be are as many as there can be.
    let stage = Batched::new(Slow).max_size(1);
    assert_eq!(stage.clone().at_once(usize::MAX).concurrency(), 257);
    let pipeline = Pipeline::builder("p")
        .stage("model", stage)
        .concurrency(4)
        .build()
        .unwrap();
    let runs: Vec<_> = (0..4)
        .map(|n| pipeline.item(n).run(&Reporter::noop()))
        .collect();
    settle().await;
    let began = Instant::now();
    // One is at work, one is in the batch that forms, two wait to get there.
    let mut runs = runs.into_iter();
    let works = runs.next().unwrap();
    for run in runs {
        run.cancel("enough");
        assert!(matches!(run.await, Err(RunError::Cancelled { .. })));
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    works.cancel("enough");
    assert!(matches!(works.await, Err(RunError::Cancelled { .. })));
    assert_eq!(began.elapsed(), Duration::from_secs(10));
}
