//! Tasks of tasks.

use progress_core::{
    ChildPolicy, Data, ProgressTracker, Status, Task, TaskError, TaskId, TaskState,
};

use crate::{Outcome, a_tick, events, reasons};

fn batch(tracker: &ProgressTracker, id: &str, policy: ChildPolicy) -> Outcome {
    let batch = tracker.task(id).children(policy).start()?;
    for n in 0..3 {
        let part = batch.child(format!("{id}.{n}"), "files").start()?;
        match n {
            0 => part.fail(TaskError::new("BROKEN", "It broke"))?,
            _ => part.complete(())?,
        };
    }
    assert_eq!(
        batch.snapshot().state,
        TaskState::Running,
        "children end no parent"
    );
    batch.finish()?;
    Ok(())
}

#[tokio::test]
async fn the_policy_picks_the_end() -> Outcome {
    let tracker = ProgressTracker::new();
    for (id, policy, state) in [
        ("all", ChildPolicy::All, TaskState::Failed),
        ("any", ChildPolicy::Any, TaskState::Completed),
        ("partial", ChildPolicy::Partial, TaskState::Completed),
    ] {
        batch(&tracker, id, policy)?;
        let ended = tracker.snapshot(id).await?;
        assert_eq!(ended.state, state, "{id}");
        let result: serde_json::Value = ended.result.as_ref().ok_or("no result")?.decode()?;
        assert_eq!(
            (&result["failed"], &result["total"]),
            (&1.into(), &3.into())
        );
        assert_eq!(ended.stage("files").ok_or("no stage")?.progress, 100.0);
        let children = ended.children.ok_or("no children")?;
        assert_eq!(children.total, 3);
        let by_state: Vec<_> = children.by_state.into_iter().collect();
        assert_eq!(
            by_state,
            [(TaskState::Completed, 2), (TaskState::Failed, 1)]
        );
    }
    let code = tracker.snapshot("all").await?.error.ok_or("no error")?;
    assert_eq!(code.code(), "CHILDREN_FAILED");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn children_feed_a_stage_by_their_mean() -> Outcome {
    let tracker = ProgressTracker::new();
    let parent = tracker
        .task("film")
        .stage("scenes", 3.0)
        .stage("upload", 1.0)
        .start()?;
    let scene = |n: u8| parent.child(format!("film.{n}"), "scenes").start();
    let scenes = [scene(1)?, scene(2)?];
    scenes[0].progress(80.0);
    scenes[1].progress(40.0);
    a_tick().await;
    let film = parent.snapshot();
    assert_eq!(film.stage("scenes").ok_or("no stage")?.progress, 60.0);
    assert_eq!(film.progress, 45.0);

    // A child is a task of its own, which names its parent.
    let id: TaskId = "film".parse()?;
    assert_eq!(tracker.snapshot("film.1").await?.parent.as_ref(), Some(&id));
    for scene in scenes {
        scene.complete(())?;
    }
    match events(&tracker, "film.1").await[0].data() {
        Data::Started(started) => assert_eq!(started.parent.as_ref(), Some(&id)),
        other => panic!("{other:?}"),
    }
    a_tick().await;
    assert_eq!(parent.snapshot().progress, 75.0);
    parent.finish()?;
    Ok(())
}

#[tokio::test]
async fn asking_a_parent_asks_its_children_and_its_end_is_theirs() -> Outcome {
    let tracker = ProgressTracker::new();
    let parent = tracker.task("film").start()?;
    let child = parent.child("scene", "scenes").start()?;
    let deep = child.child("shot", "shots").start()?;
    tracker.cancel("film", "enough").await?;
    let asked = |task: &Task| task.is_cancelled() && task.snapshot().state == TaskState::Running;
    assert!(asked(&child) && asked(&deep));
    parent.cancel("enough")?;
    for id in ["scene", "shot"] {
        let seen = events(&tracker, id).await;
        assert_eq!(reasons(&seen), [("cancel_requested", "enough")]);
        match seen.last().ok_or("no end")?.data() {
            Data::Complete(end) => {
                assert_eq!(end.status, Status::Cancelled);
                assert_eq!(end.cause.as_deref(), Some("parent_ended"));
            }
            other => panic!("{other:?}"),
        }
    }
    // Who held a child learns of it, and has no task to end.
    let refused = child.complete(()).unwrap_err();
    assert!(refused.into_task().is_none());
    Ok(())
}

#[cfg(feature = "batch")]
#[tokio::test(start_paused = true)]
async fn a_batch_runs_so_many_at_once_and_repeats_what_may_succeed() -> Outcome {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use progress_core::batch::{ItemError, RetryPolicy, retry};

    static AT_WORK: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);

    async fn fetch(n: usize, call: usize) -> Result<usize, TaskError> {
        let at_work = AT_WORK.fetch_add(1, Ordering::Relaxed) + 1;
        MOST.fetch_max(at_work, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(300)).await;
        AT_WORK.fetch_sub(1, Ordering::Relaxed);
        match n {
            3 => Err(TaskError::new("NOT_FOUND", "There is no such file")),
            4 if call == 1 => Err(TaskError::new("BUSY", "Come again").retryable(true)),
            _ => Ok(n * 10),
        }
    }

    let tracker = ProgressTracker::new();
    let task = tracker.task("import").start()?;
    let items = (0..6).map(|n| (task.child(format!("import.{n}"), "files"), n));
    let work = |report, n| async move {
        let mut calls = 0;
        let policy = RetryPolicy::default();
        let attempt = || {
            calls += 1;
            fetch(n, calls)
        };
        retry(&report, policy, attempt).await
    };
    let batch = task
        .for_each_tracked(items, 2, ChildPolicy::Partial, work)
        .await;
    assert_eq!(MOST.load(Ordering::Relaxed), 2);
    assert_eq!((batch.completed(), batch.failed()), (5, 1));
    assert!(batch.is_success());
    assert_eq!(batch.results[5], Ok(50));
    assert!(
        matches!(&batch.results[3], Err(ItemError::Failed(error)) if error.code() == "NOT_FOUND")
    );
    task.finish()?;

    let import = tracker.snapshot("import").await?;
    assert_eq!(import.state, TaskState::Completed);
    assert_eq!(import.children.ok_or("no children")?.total, 6);
    let again = events(&tracker, "import.4").await;
    assert_eq!(
        crate::types(&again),
        ["queued", "started", "error", "complete"]
    );
    let results: Vec<u64> = match again[3].data() {
        Data::Complete(end) => end
            .result
            .iter()
            .map(|it| it.decode())
            .collect::<Result<_, _>>()?,
        other => panic!("{other:?}"),
    };
    assert_eq!(results, [40]);
    Ok(())
}
