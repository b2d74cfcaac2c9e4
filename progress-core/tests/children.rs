//! Parents and children: what shows, how a parent ends, what becomes of children.

mod common;

#[path = "children/deep.rs"]
mod deep;
#[path = "children/races.rs"]
mod races;

use progress_core::{
    ChildPolicy, Children, Data, Position, ProgressTracker, PublishError, Snapshot, StartError,
    Status, Task, TaskError, TaskFilter, TaskState,
};

use crate::common::{TICK, a_tick, events, json, ready, updates};

async fn snapshot(tracker: &ProgressTracker, id: &str) -> Snapshot {
    tracker.snapshot(id).await.unwrap()
}

fn broken() -> TaskError {
    TaskError::new("BROKEN", "broken")
}

fn counts(children: Option<&Children>) -> (u64, Vec<(TaskState, u64)>) {
    let children = children.unwrap();
    (
        children.total,
        children.by_state.clone().into_iter().collect(),
    )
}

#[tokio::test(start_paused = true)]
async fn snapshots_tell_parent_and_children() {
    let tracker = ProgressTracker::new();
    let parent = tracker.task("parent").stage("files", 1.0).start().unwrap();
    assert_eq!(parent.snapshot().children, None);
    let a = parent.child("a", "files").name("A").start().unwrap();
    let _b = parent.child("b", "files").queue().unwrap();
    let c = parent.child("c", "files").start().unwrap();
    c.fail(broken()).unwrap();
    a_tick().await;

    assert_eq!(a.snapshot().parent.as_ref(), Some(parent.id()));
    assert_eq!(parent.snapshot().parent, None);
    let (total, by_state) = counts(parent.snapshot().children.as_ref());
    assert_eq!(total, 3);
    use TaskState::{Failed, Queued, Running};
    assert_eq!(by_state, [(Queued, 1), (Running, 1), (Failed, 1)]);
    let text = serde_json::to_string(&parent.snapshot()).unwrap();
    assert_eq!(
        json(&text)["children"],
        json(r#"{"total":3,"by_state":{"queued":1,"running":1,"failed":1}}"#)
    );

    // `started` of the child names its parent; a child is a task of its own.
    let started = events(&ready(&mut tracker.subscribe("a"))).remove(0);
    let Data::Started(about) = started.data() else {
        panic!("{started:?}");
    };
    assert_eq!(about.parent.as_ref(), Some(parent.id()));
    assert_eq!(about.name.as_deref(), Some("A"));
    let filter = TaskFilter::new().parent(parent.id().clone());
    let page = tracker.tasks(filter).await.unwrap();
    let ids: Vec<_> = page
        .tasks
        .iter()
        .map(|task| task.task_id.as_str())
        .collect();
    assert_eq!(ids, ["c", "b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_children_feed_is_at_their_mean() {
    let tracker = ProgressTracker::new();
    let parent = tracker
        .task("parent")
        .stage("files", 1.0)
        .stage("pack", 1.0)
        .start()
        .unwrap();
    let a = parent.child("a", "files").start().unwrap();
    let b = parent.child("b", "files").start().unwrap();
    a.progress(50.0);
    a_tick().await;
    let files = |task: &Task| task.snapshot().stage("files").unwrap().clone();
    assert_eq!(files(&parent).progress, 25.0);
    assert_eq!(parent.snapshot().progress, 12.5);

    // Two more are known to come.
    parent.stage("files").set_total(4);
    a_tick().await;
    assert_eq!(files(&parent).progress, 12.5);
    assert_eq!(
        (files(&parent).current, files(&parent).total),
        (Some(0), Some(4))
    );
    assert_eq!(
        parent.snapshot().progress,
        12.5,
        "what is displayed never falls"
    );

    // One that has ended is done with, whatever its end.
    a.complete(()).unwrap();
    b.fail(broken()).unwrap();
    a_tick().await;
    assert_eq!(files(&parent).progress, 50.0);
    assert_eq!(files(&parent).current, Some(2));
    assert_eq!(files(&parent).unit.as_deref(), Some("tasks"));
    assert_eq!(parent.snapshot().progress, 25.0);
}

#[tokio::test(start_paused = true)]
async fn a_parents_updates_count_its_children_once_a_tick() {
    let tracker = ProgressTracker::new();
    let parent = tracker.task("parent").stage("files", 1.0).start().unwrap();
    let mut watcher = tracker.subscribe("parent");
    assert_eq!(ready(&mut watcher).len(), 2);
    let mut children: Vec<_> = (0..50)
        .map(|n| parent.child(format!("c{n}"), "files").start().unwrap())
        .collect();
    // The first change at once, the other 49 with the tick.
    let at_once = updates(&ready(&mut watcher));
    assert_eq!(at_once.len(), 1);
    assert_eq!(
        at_once[0].children.as_ref().unwrap().by_state[&TaskState::Running],
        1
    );
    a_tick().await;
    let at_the_tick = updates(&ready(&mut watcher));
    assert_eq!(at_the_tick.len(), 1);
    assert_eq!(
        counts(at_the_tick[0].children.as_ref()),
        (50, vec![(TaskState::Running, 50)])
    );

    for child in children.drain(..20) {
        child.complete(()).unwrap();
    }
    a_tick().await;
    let update = updates(&ready(&mut watcher)).pop().unwrap();
    let expected = vec![(TaskState::Running, 30), (TaskState::Completed, 20)];
    assert_eq!(counts(update.children.as_ref()), (50, expected));
    assert_eq!(update.stage_progress, Some(40.0));
    // Quiet children make a quiet parent.
    tokio::time::sleep(TICK * 5).await;
    ready(&mut watcher);
    tokio::time::sleep(TICK * 5).await;
    assert!(ready(&mut watcher).is_empty());
}

/// Ends a parent by its policy, with so many children that complete and so many that fail.
async fn finish(policy: ChildPolicy, well: u64, badly: u64) -> Snapshot {
    let tracker = ProgressTracker::new();
    let parent = tracker.task("parent").children(policy).start().unwrap();
    for n in 0..well + badly {
        let child = parent.child(format!("c{n}"), "files").start().unwrap();
        if n < well {
            child.complete(()).unwrap();
        } else {
            child.fail(broken()).unwrap();
        }
    }
    parent.finish().unwrap();
    let ended = snapshot(&tracker, "parent").await;
    let result = json(ended.result.as_ref().unwrap().json());
    assert_eq!(result["total"], well + badly);
    assert_eq!(result["completed"], well);
    assert_eq!(result["failed"], badly);
    if ended.state == TaskState::Failed {
        assert_eq!(ended.error.as_ref().unwrap().code(), "CHILDREN_FAILED");
    } else {
        assert_eq!(ended.error, None);
        assert_eq!(ended.progress, 100.0);
    }
    ended
}

#[tokio::test(start_paused = true)]
async fn finish_by_policy_all_any_partial() {
    use ChildPolicy::{All, Any, Partial};
    use TaskState::{Completed, Failed};
    for (policy, well, badly, expected) in [
        (All, 3, 0, Completed),
        (All, 2, 1, Failed),
        (All, 0, 3, Failed),
        (Any, 3, 0, Completed),
        (Any, 1, 2, Completed),
        (Any, 0, 3, Failed),
        (Partial, 3, 0, Completed),
        (Partial, 1, 2, Completed),
        (Partial, 0, 3, Failed),
        // Nothing to do is done well.
        (All, 0, 0, Completed),
        (Any, 0, 0, Completed),
        (Partial, 0, 0, Completed),
    ] {
        let ended = finish(policy, well, badly).await;
        assert_eq!(
            ended.state, expected,
            "{policy:?}, {well} well, {badly} badly"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn children_never_end_their_parent_by_themselves() {
    let tracker = ProgressTracker::new();
    let parent = tracker.task("parent").start().unwrap();
    parent
        .child("a", "files")
        .start()
        .unwrap()
        .complete(())
        .unwrap();
    parent
        .child("b", "files")
        .start()
        .unwrap()
        .fail(broken())
        .unwrap();
    drop(parent.child("c", "files").start().unwrap());
    a_tick().await;
    assert_eq!(parent.snapshot().state, TaskState::Running);
    assert_eq!(parent.snapshot().stage("files").unwrap().progress, 100.0);
    assert_eq!(parent.snapshot().progress, 99.9);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_parent_cancels_its_live_children() {
    type End = fn(Task) -> Option<Position>;
    let ends: [(&str, End); 5] = [
        ("completed", |task| task.complete(()).ok()),
        ("failed", |task| task.fail(broken()).ok()),
        ("cancelled", |task| task.cancel("enough").ok()),
        ("finished", |task| task.finish().ok()),
        ("dropped", |task| {
            drop(task);
            None
        }),
    ];
    for (name, end) in ends {
        let tracker = ProgressTracker::new();
        let parent = tracker.task("parent").start().unwrap();
        let running = parent.child("running", "files").start().unwrap();
        let queued = parent.child("queued", "files").queue().unwrap();
        let grandchild = running.child("grandchild", "part").start().unwrap();
        parent
            .child("done", "files")
            .start()
            .unwrap()
            .complete(1)
            .unwrap();
        running.progress(30.0);
        end(parent);

        for id in ["running", "queued", "grandchild"] {
            let child = snapshot(&tracker, id).await;
            assert_eq!(child.state, TaskState::Cancelled, "{id}, parent {name}");
            assert_eq!(child.cause.as_deref(), Some("parent_ended"));
        }
        assert_eq!(snapshot(&tracker, "running").await.progress, 30.0);
        assert_eq!(snapshot(&tracker, "done").await.state, TaskState::Completed);
        assert!(snapshot(&tracker, "parent").await.state.is_ended());
        assert_eq!(queued.begin(), Err(PublishError::AlreadyComplete));
        assert!(queued.complete(()).unwrap_err().into_task().is_none());
        let refused = grandchild.cancel("late").unwrap_err();
        assert_eq!(refused.reason(), &PublishError::AlreadyComplete);
    }
}

#[tokio::test(start_paused = true)]
async fn finish_counts_the_children_that_it_ends() {
    let tracker = ProgressTracker::new();
    let parent = tracker
        .task("parent")
        .children(ChildPolicy::Partial)
        .start()
        .unwrap();
    parent
        .child("a", "files")
        .start()
        .unwrap()
        .complete(())
        .unwrap();
    let _live = parent.child("b", "files").start().unwrap();
    parent.finish().unwrap();
    let ended = snapshot(&tracker, "parent").await;
    assert_eq!(ended.state, TaskState::Completed);
    assert_eq!(json(ended.result.as_ref().unwrap().json())["failed"], 1);
    let expected = vec![(TaskState::Completed, 1), (TaskState::Cancelled, 1)];
    assert_eq!(counts(ended.children.as_ref()), (2, expected));
}

#[tokio::test(start_paused = true)]
async fn a_child_of_an_ended_parent_is_refused() {
    let tracker = ProgressTracker::new();
    let parent = tracker.task("parent").start().unwrap();
    let (late, reporter) = (parent.child("late", "files"), parent.reporter());
    let id = parent.id().clone();
    parent.complete(()).unwrap();
    assert_eq!(
        late.start().unwrap_err(),
        StartError::ParentEnded(id.clone())
    );
    let again = reporter.child("late", "files").queue();
    assert_eq!(again.unwrap_err(), StartError::ParentEnded(id));
    assert!(tracker.snapshot("late").await.is_err());
    // The id is free.
    drop(tracker.task("late").start().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_refused_leaves_no_stage_behind() {
    let tracker = ProgressTracker::new();
    let _taken = tracker.task("taken").start().unwrap();
    let parent = tracker.task("parent").start().unwrap();
    let refused = parent.child("taken", "files").start().unwrap_err();
    assert!(matches!(refused, StartError::AlreadyExists(_)));
    // It would weigh on the whole and never move.
    parent.stage("pack").progress(50.0);
    assert_eq!(parent.snapshot().progress, 50.0);
}

#[tokio::test(start_paused = true)]
async fn handles_can_go_in_any_order() {
    for child_first in [true, false] {
        let tracker = ProgressTracker::new();
        let parent = tracker.task("parent").start().unwrap();
        let child = parent.child("child", "files").start().unwrap();
        if child_first {
            drop(child);
            a_tick().await;
            assert_eq!(parent.snapshot().state, TaskState::Running);
            drop(parent);
        } else {
            drop(parent);
            drop(child);
        }
        let child = snapshot(&tracker, "child").await;
        let (state, cause) = match child_first {
            true => (TaskState::Abandoned, "dropped"),
            false => (TaskState::Cancelled, "parent_ended"),
        };
        assert_eq!((child.state, child.cause.as_deref()), (state, Some(cause)));
        assert_eq!(
            snapshot(&tracker, "parent").await.state,
            TaskState::Abandoned
        );
    }
    // The tracker's own handle first: tasks keep what they need.
    let tracker = ProgressTracker::new();
    let parent = tracker.task("parent").start().unwrap();
    let child = parent.child("child", "files").start().unwrap();
    let mut watcher = tracker.subscribe("child");
    drop(tracker);
    child.complete(()).unwrap();
    parent.finish().unwrap();
    let end = events(&common::to_end(&mut watcher).await).pop().unwrap();
    let Data::Complete(end) = end.data() else {
        panic!("{end:?}");
    };
    assert_eq!(end.status, Status::Completed);
}
