//! Items as tasks, and as parts of one.

use std::time::Duration;

use pipeline_gpu::{Context, Pipeline, Refusal, RunError, Stage};
use progress_core::{
    ChildPolicy, ProgressTracker, Reporter, StartError, Status, TaskError, TaskState,
};
use serde::{Serialize, Serializer};

use crate::common::{Gate, Takes, event_types, events, failing, settle, snapshot, soon};

#[tokio::test(start_paused = true)]
async fn an_item_is_a_task_from_queued_to_its_result() {
    let tracker = ProgressTracker::new();
    let pipeline = Pipeline::builder("numbers")
        .stage("halve", |_cx: Context, n: u32| async move {
            Ok::<_, TaskError>(f64::from(n) / 2.0)
        })
        .weight(1.0)
        .label("Halving")
        .stage("print", |_cx: Context, n: f64| async move {
            Ok::<_, TaskError>(n.to_string())
        })
        .weight(3.0)
        .build()
        .unwrap();
    let run = pipeline
        .submit(tracker.task("n-1").name("Number"), 5)
        .unwrap();
    assert_eq!(run.task_id().unwrap().as_str(), "n-1");
    assert_eq!(run.await, Ok("2.5".to_owned()));

    assert_eq!(
        event_types(&tracker, "n-1").await,
        [
            "queued",
            "queued",
            "started",
            "stage_change",
            "stage_change",
            "complete"
        ],
    );
    let task = snapshot(&tracker, "n-1").await;
    assert_eq!(task.state, TaskState::Completed);
    assert_eq!(task.result.unwrap().json(), r#""2.5""#);
    let stages = task
        .stages
        .iter()
        .map(|stage| (&*stage.path, stage.weight, stage.progress));
    assert_eq!(
        stages.collect::<Vec<_>>(),
        [("halve", 1.0, 100.0), ("print", 3.0, 100.0)]
    );
    assert_eq!(&*task.stages[0].label, "Halving");
}

#[tokio::test(start_paused = true)]
async fn what_a_stage_counts_moves_the_task_by_its_weight() {
    let tracker = ProgressTracker::new();
    let gate = Gate::new();
    let pipeline = Pipeline::builder("p")
        .stage("count", |cx: Context, n: u32| async move {
            let count = cx.reporter().clone().total(4);
            count.inc(4);
            Ok::<_, TaskError>(n)
        })
        .weight(3.0)
        .stage("wait", gate.clone())
        .build()
        .unwrap();
    let run = pipeline.submit(tracker.task("t"), 1).unwrap();
    gate.begun().await;
    assert_eq!(snapshot(&tracker, "t").await.progress, 75.0);
    gate.let_through(1);
    run.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_fails_fails_its_task_with_code_stage_and_solutions() {
    let tracker = ProgressTracker::new();
    let pipeline = Pipeline::builder("p")
        .stage("first", Takes::millis(1))
        .stage("check/parity", failing(|n| n % 2 == 1))
        .build()
        .unwrap();
    let odd = pipeline.submit(tracker.task("odd"), 1).unwrap();
    let even = pipeline.submit(tracker.task("even"), 2).unwrap();
    let Err(RunError::Failed(error)) = odd.await else {
        panic!("it is odd");
    };
    assert_eq!(error.code(), "ODD");
    assert_eq!(even.await, Ok(2));

    let task = snapshot(&tracker, "odd").await;
    assert_eq!(task.state, TaskState::Failed);
    let error = serde_json::to_value(task.error.unwrap()).unwrap();
    assert_eq!(error["stage"], "check/parity");
    assert_eq!(error["solutions"][0], "Give an even one");
    assert_eq!(error["details"]["input"], 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_names_a_part_of_a_stage_keeps_it() {
    let pipeline = Pipeline::builder("p")
        .stage("render", |_cx: Context, _: u32| async move {
            Err::<u32, _>(TaskError::new("BROKEN", "Broken").stage("render/upload"))
        })
        .build()
        .unwrap();
    let Err(RunError::Failed(error)) = pipeline.run(&Reporter::noop(), 1).await else {
        panic!("it is broken");
    };
    let error = serde_json::to_value(error).unwrap();
    assert_eq!(error["stage"], "render/upload");
}

#[tokio::test(start_paused = true)]
async fn a_queued_item_goes_with_its_parent() {
    let tracker = ProgressTracker::new();
    let gate = Gate::new();
    let pipeline = Pipeline::builder("p")
        .stage("gate", gate.clone())
        .build()
        .unwrap();
    let album = tracker.task("album").start().unwrap();
    let [worked_on, waiting] = [1, 2].map(|n| {
        pipeline
            .submit(album.child(format!("a.{n}"), "files"), n)
            .unwrap()
    });
    gate.begun().await;
    album.cancel("enough").unwrap();
    for run in [worked_on, waiting] {
        assert!(matches!(soon(run).await, Err(RunError::Cancelled { .. })));
    }
    assert_eq!(gate.log.all(), ["1"]);
    assert_eq!(pipeline.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_panics_fails_its_item_not_the_service() {
    let tracker = ProgressTracker::new();
    let pipeline = Pipeline::builder("p")
        .stage("fragile", |_cx: Context, n: u32| async move {
            assert_ne!(n, 1, "meant");
            Ok::<_, TaskError>(n)
        })
        .build()
        .unwrap();
    let runs: Vec<_> = (1..=3)
        .map(|n| pipeline.submit(tracker.task(format!("t{n}")), n).unwrap())
        .collect();
    let mut results = Vec::new();
    for run in runs {
        results.push(soon(run).await);
    }
    let Err(RunError::Failed(error)) = &results[0] else {
        panic!("it panicked");
    };
    assert_eq!(error.code(), "STAGE_PANICKED");
    assert!(!error.message().contains("meant"), "that is for the log");
    assert_eq!(results[1..], [Ok(2), Ok(3)]);
    let error = snapshot(&tracker, "t1").await.error.unwrap();
    assert_eq!(serde_json::to_value(error).unwrap()["stage"], "fragile");
}

#[tokio::test(start_paused = true)]
async fn an_item_runs_as_a_part_of_a_larger_task() {
    let tracker = ProgressTracker::new();
    let pipeline = Pipeline::builder("p")
        .stage("one", Takes::millis(10))
        .stage("two", failing(|n| n == 3))
        .build()
        .unwrap();
    let task = pipeline
        .stages("video")
        .into_iter()
        .fold(tracker.task("t"), |task, stage| task.declare(stage))
        .stage("upload", 2.0)
        .start()
        .unwrap();
    assert_eq!(pipeline.item(2).run_under(&task, "video").await, Ok(2));
    // A tick later everything shows.
    tokio::time::sleep(Duration::from_millis(150)).await;
    let now = task.snapshot();
    assert_eq!(now.state, TaskState::Running, "it ends nothing");
    assert_eq!(now.stage("video/two").unwrap().progress, 100.0);
    assert_eq!(now.progress, 50.0);

    let Err(RunError::Failed(error)) = pipeline.item(3).run_under(&task, "video").await else {
        panic!("three fails");
    };
    assert_eq!(serde_json::to_value(error).unwrap()["stage"], "video/two");
    task.complete(()).unwrap();
    assert_eq!(
        pipeline.run(&tracker.task("u").start().unwrap(), 4).await,
        Ok(4),
    );
}

#[tokio::test(start_paused = true)]
async fn an_item_runs_where_nobody_listens() {
    let pipeline = Pipeline::builder("p")
        .stage("one", Takes::millis(10).opaque())
        .build()
        .unwrap();
    let run = pipeline.item(7).run(&Reporter::noop());
    assert_eq!(run.task_id(), None);
    assert_eq!(run.await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn items_of_a_batch_are_children_of_a_task() {
    let tracker = ProgressTracker::new();
    let pipeline = Pipeline::builder("p")
        .stage("check", failing(|n| n == 2))
        .build()
        .unwrap();
    let album = tracker
        .task("album")
        .stage("files", 1.0)
        .children(ChildPolicy::Partial)
        .start()
        .unwrap();
    let runs: Vec<_> = (1..=3)
        .map(|n| {
            let child = album.child(format!("album.{n}"), "files");
            pipeline.submit(child, n).unwrap()
        })
        .collect();
    for run in runs {
        let _result = run.await;
    }
    album.finish().unwrap();
    let album = snapshot(&tracker, "album").await;
    assert_eq!(
        album.result.unwrap().json(),
        r#"{"completed":2,"failed":1,"total":3}"#,
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_that_was_queued_before_is_taken_over() {
    let tracker = ProgressTracker::new();
    let pipeline = Pipeline::builder("p")
        .stage("one", Takes::millis(10))
        .build()
        .unwrap();
    let task = pipeline.declare(tracker.task("t")).queue().unwrap();
    assert_eq!(pipeline.submit(task, 1).unwrap().await, Ok(1));
    assert_eq!(snapshot(&tracker, "t").await.state, TaskState::Completed);
}

#[tokio::test(start_paused = true)]
async fn the_result_is_what_is_made_of_the_output() {
    struct Picture(Vec<u8>);

    let tracker = ProgressTracker::new();
    let pipeline = Pipeline::builder("p")
        .stage("draw", |_cx: Context, n: usize| async move {
            Ok::<_, TaskError>(Picture(vec![7; n]))
        })
        .build()
        .unwrap();
    let run = pipeline
        .item(3)
        .submit_with(
            tracker.task("t"),
            |picture: &Picture| serde_json::json!({"bytes": picture.0.len()}),
        )
        .unwrap();
    assert_eq!(run.await.unwrap().0, [7, 7, 7]);
    let result = snapshot(&tracker, "t").await.result.unwrap();
    assert_eq!(result.json(), r#"{"bytes":3}"#);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_cannot_be_kept_fails_the_task() {
    struct Broken(&'static str);

    impl Serialize for Broken {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            match self.0 {
                "panic" => panic!("meant"),
                why => Err(serde::ser::Error::custom(why)),
            }
        }
    }

    let tracker = ProgressTracker::new();
    let pipeline = Pipeline::builder("p")
        .stage("spoil", |_cx: Context, why: &'static str| async move {
            Ok::<_, TaskError>(Broken(why))
        })
        .build()
        .unwrap();
    let run = pipeline.submit(tracker.task("t"), "no JSON form").unwrap();
    let Err(RunError::Failed(error)) = run.await else {
        panic!("it has no JSON form");
    };
    assert_eq!(error.code(), "RESULT_REFUSED");
    assert_eq!(snapshot(&tracker, "t").await.state, TaskState::Failed);

    let run = pipeline.submit(tracker.task("u"), "panic").unwrap();
    assert!(soon(run).await.is_err());
    assert_eq!(snapshot(&tracker, "u").await.state, TaskState::Abandoned);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_too_large_still_ends_the_task_by_its_code() {
    let tracker = ProgressTracker::new();
    let pipeline = Pipeline::builder("p")
        .stage("rave", |_cx: Context, _: u32| async move {
            Err::<u32, _>(TaskError::new("TALKATIVE", "x".repeat(10_000_000)))
        })
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
    assert_eq!(task.error.unwrap().code(), "TALKATIVE");
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_taken_is_refused_and_keeps_no_place() {
    let tracker = ProgressTracker::new();
    let gate = Gate::new();
    let pipeline = Pipeline::builder("p")
        .waiting(1)
        .stage("gate", gate.clone())
        .build()
        .unwrap();
    let other = tracker.task("t").start().unwrap();
    let refused = pipeline.submit(tracker.task("t"), 1).unwrap_err();
    assert!(matches!(
        refused.refusal(),
        Refusal::Task(StartError::AlreadyExists(_)),
    ));
    assert_eq!(refused.into_parts().0, 1);
    assert_eq!(pipeline.live(), 0);
    let run = pipeline.submit(tracker.task("u"), 2).unwrap();
    gate.let_through(1);
    assert_eq!(run.await, Ok(2));
    drop(other);
}

#[tokio::test(start_paused = true)]
async fn metadata_reach_every_stage_and_are_bounded() {
    let pipeline = Pipeline::builder("p")
        .stage("one", Takes::millis(1))
        .stage("two", |cx: Context, n: u32| async move {
            let by = cx.metadata("by").and_then(serde_json::Value::as_u64);
            assert_eq!(cx.metadata("other"), None);
            Ok::<_, TaskError>(u64::from(n) * by.unwrap())
        })
        .build()
        .unwrap();
    let run = pipeline.item(6).metadata("by", 7).run(&Reporter::noop());
    assert_eq!(run.await, Ok(42));
    let many = (0..65).fold(pipeline.item(6), |item, n| item.metadata(&n.to_string(), n));
    assert_eq!(
        many.run(&Reporter::noop()).await,
        Err(RunError::Refused(Refusal::TooMuchMetadata { limit: 64 })),
    );
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_larger_task_stops_the_item() {
    let tracker = ProgressTracker::new();
    let pipeline = Pipeline::builder("p")
        .stage("long", Takes::millis(60_000))
        .build()
        .unwrap();
    let task = tracker.task("t").start().unwrap();
    let run = pipeline.item(1).run(&task);
    settle().await;
    task.complete(()).unwrap();
    assert_eq!(soon(run).await, Err(RunError::Cancelled { reason: None }));
    assert_eq!(pipeline.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_has_one_end_whatever_comes_first() {
    let tracker = ProgressTracker::new();
    let pipeline = Pipeline::builder("p")
        .stage("one", Takes::millis(10))
        .build()
        .unwrap();
    let run = pipeline.submit(tracker.task("t"), 1).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    run.cancel("too late");
    assert_eq!(run.await, Ok(1));
    let ends = events(&tracker, "t").await;
    let ends = ends.iter().filter_map(|event| match event.data() {
        progress_core::Data::Complete(complete) => Some(complete.status),
        _ => None,
    });
    assert_eq!(ends.collect::<Vec<_>>(), [Status::Completed]);
}
