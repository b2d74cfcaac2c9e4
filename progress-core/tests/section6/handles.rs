//! Handles to report through, for code that does not own the task.

use std::thread;

use progress_core::{Level, ProgressTracker, Reporter, TaskError, TaskState, WeakReporter};
use static_assertions::assert_impl_all;

use crate::{Outcome, PhotoApproved, a_tick, events, types};

assert_impl_all!(Reporter: Clone, Send, Sync);
assert_impl_all!(WeakReporter: Clone, Send, Sync);

/// As a library has it that reports if somebody wants to know.
fn resize(pictures: &[&str], report: &Reporter) -> usize {
    let stage = report.stage("resize").total(pictures.len() as u64);
    for picture in pictures {
        if report.is_cancelled() {
            break;
        }
        stage.message(picture);
        stage.inc(1);
    }
    report.log(Level::DEBUG, "all pictures are small");
    stage.finish();
    pictures.len()
}

#[tokio::test(start_paused = true)]
async fn a_library_reports_to_whoever_listens() -> Outcome {
    assert_eq!(resize(&["a.png", "b.png"], &Reporter::noop()), 2);
    assert_eq!(Reporter::noop().task_id(), None);

    let tracker = ProgressTracker::new();
    let task = tracker.task("album").start()?;
    assert_eq!(resize(&["a.png", "b.png"], &task), 2);
    a_tick().await;
    let resized = task.snapshot();
    let stage = resized.stage("resize").ok_or("no stage")?;
    assert_eq!((stage.current, stage.progress), (Some(2), 100.0));
    assert_eq!(stage.message.as_deref(), Some("b.png"));
    Ok(())
}

#[test]
fn to_nobody_everything_is_accepted() -> Outcome {
    let nobody = Reporter::noop();
    nobody.progress(50.0);
    nobody.metadata("a", 1);
    nobody.retrying(TaskError::new("BUSY", "It is busy"), 1, 3);
    nobody.emit(PhotoApproved { photo: 1 })?;
    nobody.pause("waiting");
    nobody.resume();
    assert!(!nobody.is_cancelled());
    let child = nobody.child("part", "parts").start()?;
    assert_eq!(child.snapshot().state, TaskState::Running);
    child.complete(())?;
    Ok(())
}

#[tokio::test]
async fn many_threads_count_on_one_stage() -> Outcome {
    let tracker = ProgressTracker::new();
    let task = tracker.task("frames").start()?;
    let stage = task.stage("decode").total(4_000).unit("frames");
    thread::scope(|scope| {
        for _ in 0..4 {
            let stage = stage.clone();
            scope.spawn(move || (0..1_000).for_each(|_| stage.inc(1)));
        }
    });
    task.complete(())?;
    let frames = tracker.snapshot("frames").await?;
    assert_eq!(
        frames.stage("decode").ok_or("no stage")?.current,
        Some(4_000)
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn neither_clones_nor_weak_handles_keep_work_alive() -> Outcome {
    let tracker = ProgressTracker::new();
    let task = tracker.task("video-42").start()?;
    let clone = task.reporter();
    let weak: WeakReporter = task.stage("render").downgrade();
    weak.upgrade().ok_or("it lives")?.progress(50.0);
    drop(task);
    // A clone reports; the one owner ends it.
    let ended = tracker.snapshot("video-42").await?;
    assert_eq!(ended.state, TaskState::Abandoned);
    assert_eq!(ended.stage("render").ok_or("no stage")?.progress, 50.0);
    assert_eq!(
        types(&events(&tracker, "video-42").await).last(),
        Some(&"complete")
    );

    // A clone keeps the memory, a weak one not even that.
    tracker.remove("video-42").await?;
    a_tick().await;
    assert!(weak.upgrade().is_some());
    drop(clone);
    assert!(weak.upgrade().is_none());
    Ok(())
}
