//! One job, from its start to its end.

use std::thread;

use progress_core::{
    Data, Frame, InvalidTaskId, Level, Limits, ProgressTracker, PublishError, Resume, StageState,
    StartError, TaskError, TaskId, TaskState,
};
use serde_json::json;

use crate::{Loudness, Outcome, PhotoApproved, events, types, video};

#[tokio::test]
async fn a_job_from_its_start_to_its_end() -> Outcome {
    let tracker = ProgressTracker::new();
    let task = video(&tracker, "video-42")?;
    let mut events = tracker.subscribe("video-42");
    let Some(Frame::Verdict(verdict)) = events.next().await else {
        return Err("no verdict".into());
    };
    assert_eq!(verdict.resume, Resume::Fresh);

    let detect = task.stage("detect").total(120).unit("frames");
    detect.inc(1);
    detect.set(40);
    detect.message("person 0 chosen");
    detect.metadata("confidence", 0.95);
    detect.finish();
    task.stage("render/left").progress(50.0);
    task.log(Level::INFO, "half of it is rendered");
    let error = TaskError::new("DID_API_ERROR", "The service is busy").retryable(true);
    task.retrying(error, 1, 3);
    task.emit(PhotoApproved { photo: 9 })?;
    task.complete(json!({"video_url": "/videos/42.mp4"}))?;

    let mut seen = Vec::new();
    while let Some(frame) = events.next().await {
        seen.extend(frame.event().cloned());
    }
    let types = types(&seen);
    for expected in [
        "started",
        "stage_change",
        "progress_update",
        "log",
        "error",
        "photo_approved",
    ] {
        assert!(types.contains(&expected), "{expected}");
    }
    assert_eq!(types.last(), Some(&"complete"));
    let error = seen.iter().find_map(|event| match event.data() {
        Data::Error(error) => Some(serde_json::to_value(error)),
        _ => None,
    });
    let error = error.ok_or("no error")??;
    assert_eq!(error["code"], "DID_API_ERROR");
    assert_eq!(
        (&error["retry_count"], &error["max_retries"]),
        (&json!(1), &json!(3))
    );

    let video = tracker.snapshot("video-42").await?;
    assert_eq!((video.state, video.progress), (TaskState::Completed, 100.0));
    assert_eq!(video.metadata.get("confidence"), Some(&json!(0.95)));
    let result: serde_json::Value = video.result.as_ref().ok_or("no result")?.decode()?;
    assert_eq!(result["video_url"], "/videos/42.mp4");
    let detect = video.stage("detect").ok_or("no stage")?;
    assert_eq!((detect.current, detect.total), (Some(40), Some(120)));
    assert_eq!(detect.unit.as_deref(), Some("frames"));
    assert_eq!(detect.message.as_deref(), Some("person 0 chosen"));
    assert_eq!(detect.state, StageState::Completed);
    let render = video.stage("render").ok_or("no stage above")?;
    assert_eq!((render.weight, render.progress), (5.0, 25.0));
    Ok(())
}

#[tokio::test]
async fn events_of_ones_own_with_a_key_or_without() -> Outcome {
    let tracker = ProgressTracker::new();
    let task = tracker.task("talk").start()?;
    let loud = |speaker, decibel| task.emit(Loudness { speaker, decibel });
    let first = loud("ann", -20)?;
    loud("bob", -30)?;
    let second = loud("ann", -12)?;
    assert!(second.seq() > first.seq(), "an event tells where it stands");
    task.emit(PhotoApproved { photo: 1 })?;
    task.emit(PhotoApproved { photo: 2 })?;

    let data = |decibel: i8| json!({ "decibel": decibel }).to_string();
    let talk = task.snapshot();
    let newest: Vec<_> = talk.custom.values().map(|value| value.json()).collect();
    assert_eq!(newest, [data(-12), data(-30)], "{:?}", talk.custom);
    task.complete(())?;
    let keys: Vec<_> = events(&tracker, "talk")
        .await
        .iter()
        .filter_map(|event| match event.data() {
            Data::Custom(custom) => Some((
                custom.event_type.to_string(),
                custom.key.as_deref().map(str::to_owned),
            )),
            _ => None,
        })
        .collect();
    let state = |speaker: &str| ("loudness".to_owned(), Some(speaker.to_owned()));
    let milestone = ("photo_approved".to_owned(), None);
    assert_eq!(
        keys,
        [
            state("ann"),
            state("bob"),
            state("ann"),
            milestone.clone(),
            milestone
        ]
    );
    Ok(())
}

#[tokio::test]
async fn every_way_to_end() -> Outcome {
    let tracker = ProgressTracker::new();
    let start = |id: &str| tracker.task(id).start();
    start("failed")?.fail(TaskError::new("BROKEN", "It broke"))?;
    start("cancelled")?.cancel("no longer needed")?;
    drop(start("dropped")?);
    let panicked = start("panicked")?;
    let worker = thread::spawn(move || {
        let _task = panicked;
        std::panic::resume_unwind(Box::new("worker"));
    });
    assert!(worker.join().is_err());
    for (id, state, cause) in [
        ("failed", TaskState::Failed, None),
        ("cancelled", TaskState::Cancelled, Some("no longer needed")),
        ("dropped", TaskState::Abandoned, Some("dropped")),
        ("panicked", TaskState::Abandoned, Some("panicked")),
    ] {
        let ended = tracker.snapshot(id).await?;
        assert_eq!((ended.state, ended.cause.as_deref()), (state, cause));
        assert_eq!(types(&events(&tracker, id).await), ["started", "complete"]);
    }
    Ok(())
}

#[test]
fn what_cannot_start_says_why() -> Outcome {
    let tracker = ProgressTracker::builder()
        .limits(Limits::default().tasks(1))
        .build();
    let id: TaskId = "video-42".parse()?;
    let task = tracker.task(&id).start()?;
    assert_eq!(
        tracker.task(&id).start().unwrap_err(),
        StartError::AlreadyExists(id)
    );
    assert_eq!(
        tracker.task("another").start().unwrap_err(),
        StartError::TooManyTasks { limit: 1 }
    );
    let space = InvalidTaskId::Character {
        index: 5,
        found: ' ',
    };
    assert_eq!(
        tracker.task("video 42").start().unwrap_err(),
        StartError::InvalidTaskId(space)
    );
    drop(task);
    // The one that has ended makes room.
    tracker.task(TaskId::random()).start()?.complete(())?;
    Ok(())
}

#[test]
fn an_end_that_is_refused_gives_the_task_back() -> Outcome {
    let tracker = ProgressTracker::builder()
        .limits(Limits::default().payload(1_024))
        .build();
    let task = tracker.task("video-42").start()?;
    let refused = task.complete("x".repeat(2_000)).unwrap_err();
    assert!(matches!(
        refused.reason(),
        PublishError::PayloadTooLarge { limit: 1_024, .. }
    ));
    let task = refused.into_task().ok_or("it is gone")?;
    assert_eq!(task.snapshot().state, TaskState::Running);
    task.complete("short")?;
    Ok(())
}
