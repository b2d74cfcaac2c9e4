//! How a pipeline comes to its end.

use std::{sync::Arc, time::Duration};

use pipeline_gpu::{BatchContext, Batched, Context, Pipeline, Refusal, RunError};
use progress_core::{ProgressTracker, Reporter, TaskError, TaskState};
use serde::{Serialize, Serializer, ser::Error as _};

use crate::common::{Gate, Takes, settle, snapshot, soon};

/// Something that panics when it is dropped, if it is armed.
struct Bomb {
    armed: bool,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.armed || std::thread::panicking(), "meant");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_closes_brings_its_items_to_their_end_and_takes_no_more() {
    let tracker = ProgressTracker::new();
    let gate = Gate::new();
    let pipeline = Pipeline::builder("p")
        .stage("quick", Takes::millis(1))
        .stage("gate", gate.clone())
        .build()
        .unwrap();
    let runs: Vec<_> = (0..5)
        .map(|n| pipeline.submit(tracker.task(format!("t{n}")), n).unwrap())
        .collect();
    let closing = tokio::spawn({
        let pipeline = pipeline.clone();
        async move { pipeline.close().await }
    });
    settle().await;
    assert!(pipeline.is_closed() && !closing.is_finished());
    let refused = pipeline.submit(tracker.task("late"), 9).unwrap_err();
    assert_eq!(refused.refusal(), &Refusal::Closed);

    gate.let_through(5);
    soon(closing).await.unwrap();
    // Their tasks have ended by then, not only their work.
    for (n, run) in runs.into_iter().enumerate() {
        assert_eq!(
            snapshot(&tracker, &format!("t{n}")).await.state,
            TaskState::Completed
        );
        assert!(run.is_ended());
    }
    soon(pipeline.close()).await;
}

#[tokio::test(start_paused = true)]
async fn stages_are_dropped_when_the_pipeline_has_closed() {
    let alive = Arc::new(());
    let stage = {
        let alive = Arc::clone(&alive);
        move |_cx: Context, n: u32| {
            let _alive = &alive;
            std::future::ready(Ok::<_, TaskError>(n))
        }
    };
    let pipeline = Pipeline::builder("p")
        .stage("s", stage)
        .concurrency(3)
        .build()
        .unwrap();
    pipeline.run(&Reporter::noop(), 1).await.unwrap();
    pipeline.close().await;
    settle().await;
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[tokio::test(start_paused = true)]
async fn items_outlive_the_handles_of_their_pipeline() {
    let tracker = ProgressTracker::new();
    let alive = Arc::new(());
    let stage = {
        let alive = Arc::clone(&alive);
        move |_cx: Context, n: u32| {
            let alive = Arc::clone(&alive);
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                drop(alive);
                Ok::<_, TaskError>(n)
            }
        }
    };
    let pipeline = Pipeline::builder("p").stage("s", stage).build().unwrap();
    let run = pipeline.submit(tracker.task("t"), 1).unwrap();
    drop(pipeline);
    assert_eq!(soon(run).await, Ok(1));
    settle().await;
    assert_eq!(Arc::strong_count(&alive), 1, "its workers are gone");
}

#[test]
fn items_end_when_their_runtime_goes_away() {
    let tracker = ProgressTracker::new();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let gate = Gate::new();
    let (pipeline, worked_on, waiting) = runtime.block_on(async {
        let pipeline = Pipeline::builder("p")
            .stage("gate", gate.clone())
            .build()
            .unwrap();
        let worked_on = pipeline.submit(tracker.task("t1"), 1).unwrap();
        gate.begun().await;
        let waiting = pipeline.submit(tracker.task("t2"), 2).unwrap();
        (pipeline, worked_on, waiting)
    });
    drop(runtime);
    drop(pipeline);
    let other = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    other.block_on(async {
        for (id, run) in [("t1", worked_on), ("t2", waiting)] {
            let Err(RunError::Failed(error)) = soon(run).await else {
                panic!("nobody works on it");
            };
            assert_eq!(error.code(), "ITEM_LOST");
            assert_eq!(snapshot(&tracker, id).await.state, TaskState::Failed);
        }
    });
}

#[test]
fn items_end_when_their_runtime_goes_away_before_it_has_begun() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let entered = runtime.enter();
    let pipeline = Pipeline::builder("p")
        .stage("quick", Takes::millis(0))
        .build()
        .unwrap();
    let run = pipeline.item(1).run(&Reporter::noop());
    drop(entered);
    drop(runtime);
    let Err(RunError::Failed(error)) = pollster::block_on(run) else {
        panic!("nobody works on it");
    };
    assert_eq!(error.code(), "ITEM_LOST");
}

#[tokio::test(start_paused = true)]
async fn an_output_may_panic_when_it_is_dropped() {
    struct Output {
        _bomb: Bomb,
        refused: bool,
    }

    impl Serialize for Output {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self.refused {
                true => Err(S::Error::custom("meant")),
                false => serializer.serialize_unit(),
            }
        }
    }

    let tracker = ProgressTracker::new();
    let gate = Gate::new();
    let arm = |_cx: Context, n: u32| async move {
        Ok::<_, TaskError>(Output {
            _bomb: Bomb { armed: n < 2 },
            refused: n == 1,
        })
    };
    let pipeline = Pipeline::builder("p")
        .stage("gate", gate.clone())
        .stage("arm", arm)
        .build()
        .unwrap();
    let [unwanted, refused, sound] =
        [0, 1, 2].map(|n| pipeline.submit(tracker.task(format!("t{n}")), n).unwrap());
    drop(unwanted);
    gate.let_through(3);
    let Err(RunError::Failed(error)) = soon(refused).await else {
        panic!("it has no JSON form");
    };
    assert_eq!(error.code(), "RESULT_REFUSED");
    assert!(soon(sound).await.is_ok());
    assert_eq!(snapshot(&tracker, "t0").await.state, TaskState::Completed);
    soon(pipeline.close()).await;
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_goes_on_when_nobody_is_left_to_have_it_go_on() {
    let tracker = ProgressTracker::new();
    let pipeline = Pipeline::builder("p")
        .stage("quick", Takes::millis(1))
        .build()
        .unwrap();
    pipeline.pause(None);
    let run = pipeline.submit(tracker.task("t"), 1).unwrap();
    settle().await;
    drop(pipeline);
    assert_eq!(soon(run).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn an_item_goes_on_when_nobody_is_left_to_have_it_go_on() {
    let tracker = ProgressTracker::new();
    let pipeline = Pipeline::builder("p")
        .stage("quick", Takes::millis(1))
        .build()
        .unwrap();
    let run = pipeline.submit(tracker.task("t"), 1).unwrap();
    run.pause(None);
    drop(run);
    soon(pipeline.close()).await;
    assert_eq!(snapshot(&tracker, "t").await.state, TaskState::Completed);
}

#[tokio::test(start_paused = true)]
async fn what_an_item_is_made_of_may_panic_when_it_is_dropped() {
    let pipeline = Pipeline::builder("p")
        .stage("arm", |_cx: Context, armed: bool| async move {
            Ok::<_, TaskError>(Bomb { armed })
        })
        .stage("hold", |_cx: Context, bomb: Bomb| async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Ok::<_, TaskError>(bomb.armed)
        })
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let armed = pipeline.item(true).run(&nobody);
    tokio::time::sleep(Duration::from_secs(1)).await;
    armed.cancel(None);
    assert!(soon(armed).await.is_err());
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(100), pipeline.run(&nobody, false))
            .await
            .unwrap(),
        Ok(false),
    );
}

#[tokio::test(start_paused = true)]
async fn what_one_of_a_batch_gets_may_panic_when_it_is_dropped() {
    let batched = Batched::new(|_cx: BatchContext, inputs: Vec<bool>| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(inputs.into_iter().map(|armed| Ok(Bomb { armed })).collect())
    });
    let pipeline = Pipeline::builder("p")
        .stage("batch", batched)
        .stage("disarm", |_cx: Context, bomb: Bomb| async move {
            Ok::<_, TaskError>(bomb.armed)
        })
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let [armed, sound] = [true, false].map(|armed| pipeline.item(armed).run(&nobody));
    settle().await;
    armed.cancel(None);
    assert!(soon(armed).await.is_err());
    assert_eq!(soon(sound).await, Ok(false));
}

#[tokio::test(start_paused = true)]
async fn what_one_gives_to_a_batch_may_panic_when_it_is_dropped() {
    let batched = Batched::new(|_cx: BatchContext, inputs: Vec<Bomb>| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(inputs.iter().map(|bomb| Ok(bomb.armed)).collect())
    });
    let pipeline = Pipeline::builder("p")
        .stage("batch", batched)
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let run = |armed| pipeline.item(Bomb { armed }).run(&nobody);
    let works = run(false);
    settle().await;
    let gathered = run(true);
    settle().await;
    gathered.cancel(None);
    assert!(soon(gathered).await.is_err());
    let comes_later = run(false);
    assert_eq!(soon(works).await, Ok(false));
    assert_eq!(soon(comes_later).await, Ok(false));
}
