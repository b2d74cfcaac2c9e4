//! What may happen to a task between its start and its end.

use std::time::Duration;

use progress_core::{
    Data, ProgressTracker, Resume, StartError, SubscribeOptions, TaskError, TaskState,
};
use tokio::time::sleep;

use crate::{Outcome, events, reasons, types};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_queued_task_begins_when_its_turn_comes() -> Outcome {
    let tracker = ProgressTracker::new();
    let queued = tracker.task("later").stall_after(SECOND * 5).queue()?;
    queued.position(3);
    sleep(SECOND * 60).await;
    queued.position(1);
    let waiting = tracker.snapshot("later").await?;
    assert_eq!(waiting.state, TaskState::Queued);
    assert_eq!((waiting.started_at, waiting.elapsed_ms), (None, 0));

    queued.begin()?;
    assert_eq!(tracker.snapshot("later").await?.state, TaskState::Running);
    sleep(SECOND * 2).await;
    queued.complete(())?;

    let events = events(&tracker, "later").await;
    // A minute in the queue is no stall.
    assert_eq!(
        types(&events),
        ["queued", "queued", "queued", "started", "complete"]
    );
    let places: Vec<_> = events
        .iter()
        .filter_map(|event| match event.data() {
            Data::Queued(queued) => Some(queued.position),
            _ => None,
        })
        .collect();
    assert_eq!(places, [None, Some(3), Some(1)]);
    let later = tracker.snapshot("later").await?;
    assert_eq!(later.elapsed_ms, 2_000, "it counts from its beginning");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_pause_stops_the_clocks_of_estimate_and_stall() -> Outcome {
    let tracker = ProgressTracker::new();
    let task = tracker.task("video-42").stall_after(SECOND * 30).start()?;
    let frames = task.stage("frames").total(10);
    for _ in 0..5 {
        sleep(SECOND).await;
        frames.inc(1);
    }
    task.pause("waiting for GPU");
    assert_eq!(task.snapshot().state, TaskState::Paused);
    sleep(SECOND * 600).await;
    task.resume();
    assert_eq!(task.snapshot().state, TaskState::Running);
    for _ in 0..2 {
        sleep(SECOND).await;
        frames.inc(1);
    }
    sleep(Duration::from_millis(150)).await;
    let video = tracker.snapshot("video-42").await?;
    let eta = video.eta_ms.ok_or("no estimate")?;
    assert!((2_000..=4_000).contains(&eta), "{eta}");
    task.complete(())?;

    let events = events(&tracker, "video-42").await;
    let milestones: Vec<_> = types(&events)
        .into_iter()
        .filter(|name| *name != "progress_update")
        .collect();
    assert_eq!(
        milestones,
        ["started", "stage_change", "paused", "resumed", "complete"]
    );
    assert_eq!(reasons(&events), [("paused", "waiting for GPU")]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn silence_is_told_and_so_is_its_end() -> Outcome {
    let tracker = ProgressTracker::builder().stall_after(SECOND * 5).build();
    let task = tracker.task("video-42").start()?;
    sleep(SECOND * 6).await;
    assert_eq!(task.snapshot().state, TaskState::Stalled);
    task.message("the service has answered");
    assert_eq!(task.snapshot().state, TaskState::Running);
    task.complete(())?;
    assert_eq!(
        types(&events(&tracker, "video-42").await),
        [
            "started",
            "stalled",
            "recovered",
            "progress_update",
            "complete"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_task_that_has_ended_may_run_again() -> Outcome {
    let tracker = ProgressTracker::new();
    let task = tracker.task("video-42").name("Talking video").start()?;
    let id = task.id().clone();
    assert_eq!(
        tracker.task(&id).restart().unwrap_err(),
        StartError::AlreadyExists(id.clone())
    );
    task.fail(TaskError::new(
        "OUT_OF_MEMORY",
        "There was not enough memory",
    ))?;
    let first = tracker.snapshot(&id).await?;
    assert_eq!(
        tracker.task(&id).start().unwrap_err(),
        StartError::AlreadyExists(id.clone()),
        "that it is another run is to be said"
    );

    let again = tracker.task(&id).restart()?;
    let second = again.snapshot();
    assert_eq!((first.attempt, second.attempt), (1, 2));
    assert!(second.epoch > first.epoch);
    assert_eq!(second.name.as_deref(), Some("Talking video"));
    // Who comes back from the run before is told.
    let options = SubscribeOptions::new().after(first.position());
    let mut events = tracker.subscribe_with(&id, options);
    assert_eq!(events.ready().await?, Resume::Reset);
    again.complete(())?;
    let events = crate::rest(events).await;
    assert_eq!(types(&events), ["started", "complete"]);
    match events[0].data() {
        Data::Started(started) => assert_eq!(started.attempt, 2),
        other => panic!("{other:?}"),
    }
    assert!(events.iter().all(|event| event.epoch() == second.epoch));
    Ok(())
}

#[cfg(feature = "batch")]
#[tokio::test(start_paused = true)]
async fn three_retries_are_at_most_four_calls() -> Outcome {
    use progress_core::batch::{RetryPolicy, retry};

    let tracker = ProgressTracker::new();
    let task = tracker.task("upload").start()?;
    let policy = RetryPolicy::new().retries(3).first_delay(SECOND);
    let mut calls = 0;
    let sent: Result<(), TaskError> = retry(&task.stage("send"), policy, || {
        calls += 1;
        async { Err(TaskError::new("BUSY", "The service is busy").retryable(true)) }
    })
    .await;
    assert_eq!(calls, 4);
    assert_eq!(task.snapshot().attempt, 1, "it is one run all the same");
    task.fail(sent.unwrap_err())?;

    let events = events(&tracker, "upload").await;
    let retries: Vec<_> = events
        .iter()
        .filter_map(|event| match event.data() {
            Data::Error(error) => Some(serde_json::to_value(error)),
            _ => None,
        })
        .collect::<Result<_, _>>()?;
    let numbers: Vec<_> = retries
        .iter()
        .map(|error| {
            assert_eq!(
                (&error["max_retries"], &error["stage"]),
                (&3.into(), &"send".into())
            );
            error["retry_count"].as_u64()
        })
        .collect();
    // The last one is no retry to come, but how many there were.
    assert_eq!(numbers, [Some(1), Some(2), Some(3), Some(3)]);
    assert_eq!(types(&events).last(), Some(&"complete"));
    Ok(())
}
