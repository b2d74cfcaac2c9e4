//! Asked to stop: one task by a watcher, all of them by a tracker that closes.

use std::time::Duration;

use futures_util::StreamExt;
use progress_core::{CancelError, Data, ProgressTracker, StartError, Status, TaskState};
use tokio::sync::oneshot;

use crate::{Outcome, PhotoApproved, events, reasons, types};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_watcher_asks_and_the_work_stops() -> Outcome {
    let tracker = ProgressTracker::new();
    let task = tracker.task("video-42").start()?;
    let id = task.id().clone();
    let mut watcher = tracker.subscribe(&id);
    watcher.next().await.ok_or("no verdict")?;
    let worker = tokio::spawn(async move {
        tokio::select! {
            () = task.cancelled() => {
                let reason = task.cancel_reason();
                task.cancel(reason.as_deref().unwrap_or("asked"))
            }
            () = std::future::pending() => task.complete(()),
        }
    });
    tracker.cancel(&id, "the user left").await?;
    worker.await??;

    let seen = crate::rest(watcher).await;
    assert_eq!(types(&seen), ["started", "cancel_requested", "complete"]);
    assert_eq!(reasons(&seen), [("cancel_requested", "the user left")]);
    match seen[2].data() {
        Data::Complete(end) => {
            assert_eq!(end.status, Status::Cancelled);
            assert_eq!(end.cause.as_deref(), Some("the user left"));
        }
        other => panic!("{other:?}"),
    }
    let late = tracker.cancel(&id, None).await;
    assert_eq!(late, Err(CancelError::AlreadyComplete(id)));
    Ok(())
}

#[tokio::test]
async fn a_loop_looks_for_itself_and_may_finish_all_the_same() -> Outcome {
    let tracker = ProgressTracker::new();
    let task = tracker.task("import").start()?;
    let rows = task.stage("rows").total(100);
    for n in 0..100 {
        if rows.is_cancelled() {
            break;
        }
        rows.inc(1);
        if n == 9 {
            tracker.cancel("import", None).await?;
        }
    }
    assert!(task.is_cancelled());
    let asked = tracker.snapshot("import").await?;
    assert_eq!(
        (asked.state, asked.cancel_requested),
        (TaskState::Running, true)
    );
    // What it has is enough, it decides.
    task.complete(10)?;
    let import = tracker.snapshot("import").await?;
    assert_eq!(import.state, TaskState::Completed);
    assert_eq!(import.stage("rows").ok_or("no stage")?.current, Some(10));
    Ok(())
}

#[tokio::test]
async fn the_handle_is_consumed_and_its_reporters_fall_silent() -> Outcome {
    let tracker = ProgressTracker::new();
    let task = tracker.task("video-42").start()?;
    let (reporter, stage) = (task.reporter(), task.stage("render"));
    task.cancel("enough")?;
    // An end is the end; what is reported after it is nothing, and work learns that it is over.
    stage.inc(1);
    stage.message("still rendering");
    assert!(reporter.emit(PhotoApproved { photo: 1 }).is_err());
    assert!(reporter.is_cancelled());
    reporter.cancelled().await;
    assert_eq!(
        types(&events(&tracker, "video-42").await),
        ["started", "complete"]
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_tracker_that_closes_waits_for_its_tasks() -> Outcome {
    let tracker = ProgressTracker::new();
    let task = tracker.task("video-42").start()?;
    let (done, mut at_the_end) = oneshot::channel();
    let worker = tokio::spawn(async move {
        tokio::time::sleep(SECOND * 3).await;
        let ended = task.complete(());
        done.send(()).ok();
        ended
    });
    // Too short a time: it says who is left.
    let left = tracker.drain(SECOND).await;
    assert_eq!((left.ended, left.live), (0, 1));
    assert!(at_the_end.try_recv().is_err());
    assert_eq!(
        tracker.task("new").start().unwrap_err(),
        StartError::Draining
    );
    let drained = tracker.drain(SECOND * 30).await;
    assert_eq!((drained.ended, drained.live), (1, 0));
    assert!(drained.flushed);
    worker.await??;
    // What is kept can still be read.
    let seen: Vec<_> = tracker.subscribe("video-42").collect().await;
    assert_eq!(seen.len(), 3, "the verdict and both events");
    Ok(())
}
