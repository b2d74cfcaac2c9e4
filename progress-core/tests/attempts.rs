//! Several runs of one task.

mod common;

use std::{sync::Barrier, thread, time::Duration};

use progress_core::{
    ChildPolicy, Data, Limits, ProgressTracker, Replay, Resume, StartError, Status,
    SubscribeOptions, TaskError, TaskFilter, TaskState, TrackerStats,
};
use tokio::time::sleep;

use crate::common::{Mark, a_tick, events, marks, ready, to_end, types, verdict};

fn broken() -> TaskError {
    TaskError::new("BROKEN", "broken")
}

#[tokio::test]
async fn a_restart_is_a_new_epoch_with_the_next_attempt() {
    let tracker = ProgressTracker::new();
    let first = tracker
        .task("t")
        .name("Video")
        .kind("video")
        .label("user", "7")
        .stage("a", 1.0)
        .stage("b", 3.0)
        .start()
        .unwrap();
    let old = first.head().epoch();
    first.stage("a").finish();
    first.fail(broken()).unwrap();

    let second = tracker.task("t").restart().unwrap();
    let snapshot = second.snapshot();
    assert!(snapshot.epoch > old);
    assert_eq!((snapshot.attempt, snapshot.seq.get()), (2, 1));
    assert_eq!(
        (snapshot.state, snapshot.progress),
        (TaskState::Running, 0.0)
    );
    assert_eq!(snapshot.error, None);
    // What was not said again is as it was.
    assert_eq!(snapshot.name.as_deref(), Some("Video"));
    assert_eq!(snapshot.kind.as_deref(), Some("video"));
    assert_eq!(snapshot.labels["user"], "7");
    assert_eq!(snapshot.stage("b").unwrap().weight, 3.0);
    second.stage("b").progress(50.0);
    assert_eq!(second.snapshot().progress, 37.5);
    drop(second);

    // What is said counts.
    let third = tracker
        .task("t")
        .name("Again")
        .label("try", "3")
        .stage("c", 1.0)
        .restart()
        .unwrap()
        .snapshot();
    assert_eq!(third.attempt, 3);
    assert_eq!(third.name.as_deref(), Some("Again"));
    assert_eq!(third.labels.len(), 1);
    assert_eq!(third.stages.len(), 1);
}

#[test]
fn an_unknown_task_starts_its_first_attempt() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").restart().unwrap();
    assert_eq!(task.snapshot().attempt, 1);
    assert!(matches!(
        tracker.task("no spaces").restart(),
        Err(StartError::InvalidTaskId(_))
    ));
}

#[test]
fn only_a_task_that_has_ended_can_be_restarted() {
    let tracker = ProgressTracker::new();
    let parent = tracker.task("parent").start().unwrap();
    let child = parent.child("child", "part").start().unwrap();
    assert_eq!(
        tracker.task("child").restart().unwrap_err(),
        StartError::AlreadyExists(child.id().clone())
    );
    // A handle that lives on past the end does not matter, and does not disturb the new run.
    parent.complete(()).unwrap();
    let again = tracker.task("child").restart().unwrap();
    child.message("late");
    drop(child);
    assert_eq!(again.snapshot().state, TaskState::Running);
    assert_eq!(again.snapshot().parent, None);
    assert_eq!(tracker.stats().tasks, 2);
}

#[tokio::test]
async fn readers_of_the_old_run_read_it_to_its_end() {
    let tracker = ProgressTracker::new();
    let first = tracker.task("t").start().unwrap();
    let mut watcher = tracker.subscribe("t");
    for n in 0..10 {
        first.emit(Mark { n }).unwrap();
    }
    let seen = first.head();
    first.fail(broken()).unwrap();
    let second = tracker.task("t").restart().unwrap();
    second.emit(Mark { n: 100 }).unwrap();
    let frames = to_end(&mut watcher).await;
    assert_eq!(marks(&frames), (0..10).collect::<Vec<_>>());
    assert_eq!(types(&frames).last().unwrap(), "complete");

    // Who comes back with a position of the old run reads the new one.
    for replay in [Replay::All, Replay::Latest, Replay::None] {
        let options = SubscribeOptions::new().after(seen).replay(replay);
        let frames = ready(&mut tracker.subscribe_with("t", options));
        let (resume, snapshot) = verdict(&frames);
        assert_eq!(resume, Resume::Reset);
        assert_eq!(snapshot.unwrap().attempt, 2);
        let expected: &[u64] = if replay == Replay::None { &[] } else { &[100] };
        assert_eq!(marks(&frames), expected);
    }
    let page = tracker.history("t", Some(seen), 10).await.unwrap();
    assert_eq!(page.head.epoch(), second.head().epoch());
    let page = tracker.tasks(TaskFilter::new()).await.unwrap();
    assert_eq!(page.tasks.len(), 1);
    assert_eq!(page.tasks[0].attempt, 2);
}

#[test]
fn started_says_which_attempt_it_is() {
    let tracker = ProgressTracker::new();
    drop(tracker.task("t").start().unwrap());
    let task = tracker.task("t").restart().unwrap();
    match events(&ready(&mut tracker.subscribe("t")))[0].data() {
        Data::Started(started) => assert_eq!(started.attempt, 2),
        other => panic!("{other:?}"),
    }
    drop(task);
}

#[tokio::test(start_paused = true)]
async fn accounts_hold_over_many_runs() {
    let tracker = ProgressTracker::builder()
        .stall_after(Duration::from_secs(7))
        .build();
    drop(tracker.task("t").start().unwrap());
    let mut bytes = Vec::new();
    for n in 0..1_000 {
        let task = tracker.task("t").restart().unwrap();
        task.emit(Mark { n: 0 }).unwrap();
        task.stage("a").inc(1);
        assert_eq!(task.snapshot().attempt as u64, n + 2);
        task.complete(()).unwrap();
        bytes.push(tracker.stats().bytes);
        assert_eq!((tracker.stats().tasks, tracker.stats().ended), (1, 1));
    }
    // Only the newest run is kept.
    assert_eq!(bytes.first(), bytes.last());
    // Its retention counts from its own end.
    sleep(Duration::from_secs(3_500)).await;
    let task = tracker.task("t").restart().unwrap();
    sleep(Duration::from_secs(3_500)).await;
    assert_eq!(task.snapshot().attempt, 1_002);
    drop(task);
    sleep(Duration::from_secs(3_500)).await;
    assert!(tracker.snapshot("t").await.is_ok());
    sleep(Duration::from_secs(101)).await;
    assert_eq!(tracker.stats(), TrackerStats::default());
    // It begins anew: nothing is known of the runs that are forgotten.
    assert_eq!(tracker.task("t").restart().unwrap().snapshot().attempt, 1);
}

#[test]
fn a_restart_needs_no_free_place() {
    let limits = Limits::default().tasks(1);
    let tracker = ProgressTracker::builder().limits(limits).build();
    drop(tracker.task("t").start().unwrap());
    let again = tracker.task("t").restart().unwrap();
    assert_eq!(tracker.stats().tasks, 1);
    assert!(matches!(
        tracker.task("u").start(),
        Err(StartError::TooManyTasks { limit: 1 })
    ));
    drop(again);
}

#[test]
fn of_many_who_restart_a_task_one_does() {
    for _ in 0..50 {
        let tracker = ProgressTracker::new();
        drop(tracker.task("t").start().unwrap());
        let barrier = Barrier::new(4);
        let started = thread::scope(|scope| {
            let racers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        tracker.task("t").restart()
                    })
                })
                .collect();
            let all: Vec<_> = racers.into_iter().map(|r| r.join().unwrap()).collect();
            all.into_iter().filter(Result::is_ok).count()
        });
        assert_eq!(started, 1);
        assert_eq!(tracker.stats().tasks, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_restarted_is_still_one_child() {
    let tracker = ProgressTracker::new();
    let limits = |parent: &progress_core::Task| parent.snapshot().children.unwrap();
    let parent = tracker
        .task("parent")
        .stage("parts", 1.0)
        .children(ChildPolicy::All)
        .start()
        .unwrap();
    let other = parent.child("other", "parts").start().unwrap();
    let child = parent.child("child", "parts").start().unwrap();
    child.fail(broken()).unwrap();
    a_tick().await;
    assert_eq!(parent.snapshot().progress, 50.0);
    assert_eq!(limits(&parent).by_state[&TaskState::Failed], 1);

    let child = parent.child("child", "parts").restart().unwrap();
    a_tick().await;
    let children = limits(&parent);
    assert_eq!(children.total, 2);
    assert_eq!(children.by_state.get(&TaskState::Failed), None);
    assert_eq!(children.by_state[&TaskState::Running], 2);
    child.progress(40.0);
    child.complete(()).unwrap();
    other.progress(50.0);
    a_tick().await;
    assert_eq!(limits(&parent).by_state[&TaskState::Completed], 1);
    other.complete(()).unwrap();
    a_tick().await;
    assert_eq!(parent.snapshot().progress, 99.9);
    let end = parent.finish().unwrap();
    let ended = tracker.snapshot("parent").await.unwrap();
    assert_eq!((ended.state, ended.seq), (TaskState::Completed, end.seq()));
    let parts = ended.stage("parts").unwrap();
    assert_eq!((parts.current, parts.total), (Some(2), Some(2)));
    assert_eq!(parts.progress, 100.0);
}

#[tokio::test(start_paused = true)]
async fn a_child_restarted_elsewhere_is_a_child_there() {
    let tracker = ProgressTracker::new();
    let one = tracker.task("one").start().unwrap();
    let two = tracker.task("two").start().unwrap();
    drop(one.child("child", "parts").start().unwrap());
    let child = two.child("child", "parts").restart().unwrap();
    assert_eq!(child.snapshot().attempt, 2);
    assert_eq!(child.snapshot().parent.as_ref(), Some(two.id()));
    a_tick().await;
    let count = |task: &progress_core::Task| task.snapshot().children.unwrap().total;
    assert_eq!((count(&one), count(&two)), (1, 1));
    child.complete(()).unwrap();
    // The parent of the run before keeps its account.
    let ended = one.snapshot().children.unwrap();
    assert_eq!(ended.by_state[&TaskState::Abandoned], 1);
    // A parent that is full has room for its own child's next run, and for no other.
    let limits = Limits::default().children(1);
    let tracker = ProgressTracker::builder().limits(limits).build();
    let parent = tracker.task("parent").start().unwrap();
    drop(parent.child("child", "parts").start().unwrap());
    drop(parent.child("child", "parts").restart().unwrap());
    drop(tracker.task("orphan").start().unwrap());
    assert!(matches!(
        parent.child("orphan", "parts").restart(),
        Err(StartError::TooManyChildren { limit: 1 })
    ));
    assert_eq!(
        tracker.snapshot("orphan").await.unwrap().attempt,
        1,
        "a restart that is refused leaves the run before"
    );
    parent.complete(()).unwrap();
}

#[test]
fn the_end_of_the_old_run_is_not_the_end_of_the_new_one() {
    let tracker = ProgressTracker::new();
    tracker.task("t").start().unwrap().complete("one").unwrap();
    let task = tracker.task("t").restart().unwrap();
    let mut watcher = tracker.subscribe("t");
    task.fail(broken()).unwrap();
    let frames = ready(&mut watcher);
    assert_eq!(types(&frames), ["started", "complete"]);
    match events(&frames)[1].data() {
        Data::Complete(end) => assert_eq!((end.status, &end.result), (Status::Failed, &None)),
        other => panic!("{other:?}"),
    }
}
