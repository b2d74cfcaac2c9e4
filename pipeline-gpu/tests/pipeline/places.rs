//! Who waits, and what it is told.

use pipeline_gpu::{Pipeline, Refusal, RunError};
use progress_core::{ProgressTracker, Reporter, TaskError, TaskState};

use crate::common::{Gate, places, settle, snapshot, soon};

#[tokio::test(start_paused = true)]
async fn places_are_told_while_the_queue_moves() {
    let tracker = ProgressTracker::new();
    let gate = Gate::new();
    let pipeline = Pipeline::builder("p")
        .stage("gate", gate.clone())
        .build()
        .unwrap();
    let first = pipeline.submit(tracker.task("t0"), 0).unwrap();
    gate.begun().await;
    let runs: Vec<_> = (1..=4)
        .map(|n| pipeline.submit(tracker.task(format!("t{n}")), n).unwrap())
        .collect();
    assert_eq!(pipeline.waiting(), 4);
    for (n, place) in [("t1", 1), ("t2", 2), ("t3", 3), ("t4", 4)] {
        assert_eq!(places(&tracker, n).await, [place]);
        assert_eq!(snapshot(&tracker, n).await.state, TaskState::Queued);
    }

    // One leaves the middle: those behind move up at once.
    runs[1].cancel("changed my mind");
    assert_eq!(snapshot(&tracker, "t2").await.state, TaskState::Cancelled);
    assert_eq!(places(&tracker, "t1").await, [1]);
    assert_eq!(places(&tracker, "t3").await, [3, 2]);
    assert_eq!(places(&tracker, "t4").await, [4, 3]);

    gate.let_through(1);
    assert_eq!(first.await, Ok(0));
    gate.begun().await;
    assert_eq!(snapshot(&tracker, "t1").await.state, TaskState::Running);
    assert_eq!(places(&tracker, "t4").await, [4, 3, 2]);

    gate.let_through(4);
    for (n, run) in (1..).zip(runs) {
        let result = soon(run).await;
        assert_eq!(result.is_ok(), n != 2);
    }
    assert_eq!(gate.log.all(), ["0", "1", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn too_many_are_refused_and_keep_their_input() {
    let tracker = ProgressTracker::new();
    let gate = Gate::new();
    let pipeline = Pipeline::builder("p")
        .waiting(2)
        .stage("gate", gate.clone())
        .build()
        .unwrap();
    let worked_on = pipeline.submit(tracker.task("t0"), 0).unwrap();
    gate.begun().await;
    let waiting = [1, 2].map(|n| pipeline.submit(tracker.task(format!("t{n}")), n).unwrap());

    let refused = pipeline.submit(tracker.task("t3"), 3).unwrap_err();
    assert_eq!(refused.refusal(), &Refusal::Full { limit: 2 });
    assert_eq!(
        refused.to_string(),
        "the item was not taken: 2 items wait already"
    );
    let error = TaskError::from(refused.refusal().clone());
    assert_eq!(
        (error.code(), error.is_retryable()),
        ("PIPELINE_FULL", true)
    );
    assert!(tracker.snapshot("t3").await.is_err(), "no task was made");

    let made = tracker.task("t4").queue().unwrap();
    let (input, made) = pipeline.submit(made, 4).unwrap_err().into_parts();
    assert_eq!((input, made.unwrap().id().as_str()), (4, "t4"));
    assert_eq!(
        pipeline.run(&Reporter::noop(), 5).await,
        Err(RunError::Refused(Refusal::Full { limit: 2 })),
    );

    waiting[0].cancel(None);
    let last = pipeline.submit(tracker.task("t3"), 3).unwrap();
    gate.let_through(3);
    assert_eq!(worked_on.await, Ok(0));
    assert_eq!(last.await, Ok(3));
    settle().await;
    assert_eq!((pipeline.live(), pipeline.waiting()), (0, 0));
}
