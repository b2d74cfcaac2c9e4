//! G7, how many: every limit has a typed error that names it, and nothing else is lost.

use progress_core::{
    Frame, InvalidTaskId, Limits, LookupError, ProgressTracker, PublishError, StageError,
    StartError, SubscribeError, TaskId,
};

use crate::common::{Mark, a_tick, delivered, marks, ready};

fn tracker(limits: Limits) -> ProgressTracker {
    ProgressTracker::builder().limits(limits).build()
}

fn exists(tracker: &ProgressTracker, id: &str) -> bool {
    match tokio_test::block_on(tracker.snapshot(id)) {
        Ok(_) => true,
        Err(LookupError::NotFound(found)) => {
            assert_eq!(found.as_str(), id);
            false
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn g7_tasks_the_oldest_ended_makes_room() {
    let tracker = tracker(Limits::default().tasks(3));
    let [a, b, c] = ["a", "b", "c"].map(|id| tracker.task(id).start().unwrap());
    let error = tracker.task("d").start().unwrap_err();
    assert_eq!(error, StartError::TooManyTasks { limit: 3 });
    assert_eq!(tracker.stats().tasks, 3);
    assert!(!exists(&tracker, "d"));

    b.complete(()).unwrap();
    a.complete(()).unwrap();
    let d = tracker.task("d").start().unwrap();
    assert!(!exists(&tracker, "b"), "b ended first");
    assert!(exists(&tracker, "a"));
    let e = tracker.task("e").start().unwrap();
    assert!(!exists(&tracker, "a"));
    assert_eq!(
        tracker.task("f").start().unwrap_err(),
        StartError::TooManyTasks { limit: 3 }
    );
    for task in [c, d, e] {
        task.complete(()).unwrap();
    }
    assert_eq!((tracker.stats().tasks, tracker.stats().ended), (3, 3));
}

#[test]
fn g7_tasks_an_ended_one_that_is_held_does_not_make_room() {
    let tracker = tracker(Limits::default().tasks(2));
    let parent = tracker.task("parent").start().unwrap();
    let child = parent.child("child", "part").start().unwrap();
    parent.complete(()).unwrap();
    // Both have ended; one is still held.
    let _next = tracker.task("next").start().unwrap();
    assert!(exists(&tracker, "child") && !exists(&tracker, "parent"));
    assert!(tracker.task("more").start().is_err());
    drop(child);
    let _more = tracker.task("more").start().unwrap();
    assert!(!exists(&tracker, "child"));
}

#[test]
fn g7_a_start_that_is_refused_evicts_nothing() {
    let tracker = tracker(Limits::default().tasks(3).children(1));
    let parent = tracker.task("parent").start().unwrap();
    parent
        .child("a", "part")
        .start()
        .unwrap()
        .complete(())
        .unwrap();
    tracker.task("ended").start().unwrap().complete(()).unwrap();
    let error = parent.child("b", "part").start().unwrap_err();
    assert_eq!(error, StartError::TooManyChildren { limit: 1 });
    assert_eq!(tracker.stats().tasks, 3);
}

#[test]
fn g7_stages_count() {
    let tracker = tracker(Limits::default().stages(3));
    let too_many = (0..4).fold(tracker.task("t"), |task, n| {
        task.stage(format!("s{n}"), 1.0)
    });
    let error = too_many.start().unwrap_err();
    assert_eq!(error, StartError::Stage(StageError::TooMany { limit: 3 }));
    assert!(!exists(&tracker, "t"));

    let task = tracker
        .task("t")
        .stage("a", 1.0)
        .stage("b", 1.0)
        .start()
        .unwrap();
    task.stage("c").inc(1);
    let beyond = task.stage("d").total(5).unit("units");
    beyond.inc(1);
    beyond.message("unheard");
    assert_eq!(beyond.task_id(), None);
    assert_eq!(beyond.emit(Mark { n: 1 }), Err(PublishError::Detached));
    assert_eq!(beyond.try_metadata("a", 1), Err(PublishError::Detached));
    let error = task.child("child", "e").start().unwrap_err();
    assert_eq!(error, StartError::Stage(StageError::TooMany { limit: 3 }));

    // The others go on, and those that are there are found again.
    task.stage("a").progress(50.0);
    let paths: Vec<_> = task
        .snapshot()
        .stages
        .iter()
        .map(|s| s.path.clone())
        .collect();
    assert_eq!(
        paths.iter().map(|path| &**path).collect::<Vec<_>>(),
        ["a", "b", "c"]
    );
    assert_eq!(task.snapshot().stage("a").unwrap().progress, 50.0);
}

#[test]
fn g7_stages_as_many_as_the_default_allows_can_be_declared() {
    let tracker = ProgressTracker::new();
    let all = (0..1_024).fold(tracker.task("t"), |task, n| {
        task.stage(format!("s{n}"), 1.0)
    });
    let task = all.start().unwrap();
    assert_eq!(task.snapshot().stages.len(), 1_024);
    assert_eq!(task.stage("one-more").task_id(), None);
    let started = delivered(&ready(&mut tracker.subscribe("t")))[0].to_json();
    assert!(started.len() < 64 * 1024, "{} bytes", started.len());
}

#[test]
fn g7_stage_paths_and_weights() {
    let tracker = ProgressTracker::new();
    let refused = |path: &str, weight| match tracker.task("t").stage(path, weight).start() {
        Err(StartError::Stage(error)) => error,
        other => panic!("{path:?}: {other:?}"),
    };
    assert_eq!(
        refused("1/2/3/4/5/6/7/8/9", 1.0),
        StageError::TooDeep { depth: 9 }
    );
    assert_eq!(
        refused(&"x".repeat(129), 1.0),
        StageError::TooLong { len: 129 }
    );
    for path in ["", "/", "a/", "/a", "a//b"] {
        assert_eq!(refused(path, 1.0), StageError::Empty, "{path:?}");
    }
    assert_eq!(refused("a\nb", 1.0), StageError::Character);
    for weight in [-1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(refused("a", weight), StageError::Weight);
    }

    let task = tracker
        .task("t")
        .stage("1/2/3/4/5/6/7/8", 1.0)
        .stage("x".repeat(128), 0.0);
    let task = task.start().unwrap();
    assert_eq!(task.stage("1/2/3/4/5/6/7/8/9").task_id(), None);
    assert_eq!(task.stage(&"y".repeat(129)).task_id(), None);
    // The eight of the deepest path, and the longest.
    assert_eq!(task.snapshot().stages.len(), 9);
}

#[test]
fn g7_a_stage_is_declared_once() {
    let tracker = ProgressTracker::new();
    let task = tracker
        .task("t")
        .stage("a", 1.0)
        .stage("b", 1.0)
        .stage("a", 3.0)
        .start();
    let Err(error) = task else {
        panic!("one of the two would never move");
    };
    assert_eq!(error, StartError::Stage(StageError::Duplicate));
}

#[test]
fn g7_labels_name_and_kind() {
    let tracker = tracker(Limits::default().labels(2));
    let task = || tracker.task("t").label("a", "1").label("b", "2");
    let error = task().label("c", "3").start().unwrap_err();
    assert_eq!(error, StartError::TooManyLabels { limit: 2 });
    // The same label again replaces it.
    drop(task().label("b", "3").start().unwrap());

    let long = "x".repeat(129);
    let too_long = |field, len, limit| StartError::TooLong { field, len, limit };
    let task = || tracker.task("u");
    let error = task().label(&long, "1").start().unwrap_err();
    assert_eq!(error, too_long("label name", 129, Limits::NAME_LEN));
    let error = task().label("a", &long).start().unwrap_err();
    assert_eq!(error, too_long("label value", 129, Limits::NAME_LEN));
    let error = task().kind(&long).start().unwrap_err();
    assert_eq!(error, too_long("kind", 129, Limits::NAME_LEN));
    let error = task().name("x".repeat(32 * 1024 + 1)).start().unwrap_err();
    assert_eq!(error, too_long("name", 32 * 1024 + 1, 32 * 1024));
    assert!(!exists(&tracker, "u"));
}

#[test]
fn g7_task_ids() {
    let tracker = ProgressTracker::new();
    let refused = |id: &str| match tracker.task(id).start() {
        Err(StartError::InvalidTaskId(error)) => error,
        other => panic!("{id:?}: {other:?}"),
    };
    assert_eq!(refused(""), InvalidTaskId::Empty);
    assert_eq!(
        refused(&"x".repeat(129)),
        InvalidTaskId::TooLong { len: 129 }
    );
    assert_eq!(
        refused("a/b"),
        InvalidTaskId::Character {
            index: 1,
            found: '/'
        }
    );
    let longest: TaskId = "x".repeat(TaskId::MAX_LEN).parse().unwrap();
    drop(tracker.task(&longest).start().unwrap());
    let again = tracker.task(&longest).start().unwrap_err();
    assert_eq!(
        again,
        StartError::AlreadyExists(longest),
        "its end is retained"
    );
}

#[test]
fn g7_subscriptions() {
    let tracker = tracker(Limits::default().subscriptions(2));
    let task = tracker.task("t").start().unwrap();
    let first = tracker.subscribe("t");
    let _second = tracker.subscribe("unknown");
    let frames = ready(&mut tracker.subscribe("t"));
    assert!(matches!(
        frames[..],
        [Frame::Rejected(SubscribeError::TooMany { limit: 2 })]
    ));
    assert_eq!(tracker.stats().subscriptions, 2);
    drop(first);
    task.emit(Mark { n: 1 }).unwrap();
    assert_eq!(marks(&ready(&mut tracker.subscribe("t"))), [1]);
}

#[test]
fn g7_waiting() {
    let tracker = tracker(Limits::default().waiting(2));
    let mut first = tracker.subscribe("unknown");
    let mut second = tracker.subscribe("other");
    // Waiting from the start, not only once somebody has looked.
    assert_eq!(tracker.stats().waiting, 2);
    let refused = |id: &str| {
        let frames = ready(&mut tracker.subscribe(id));
        matches!(
            frames[..],
            [Frame::Rejected(SubscribeError::TooManyWaiting { limit: 2 })]
        )
    };
    assert!(refused("unknown") && refused("third"));
    assert_eq!((ready(&mut first).len(), ready(&mut second).len()), (1, 1));
    assert!(refused("third"));

    // A task that exists is watched all the same, and one that comes into being makes room.
    let _task = tracker.task("unknown").start().unwrap();
    assert_eq!(ready(&mut tracker.subscribe("unknown")).len(), 2);
    assert_eq!(ready(&mut first).len(), 2);
    assert_eq!(tracker.stats().waiting, 1);
    assert!(!refused("third"));
    drop(second);
    assert_eq!(tracker.stats().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn g7_children() {
    let tracker = tracker(Limits::default().children(2));
    let parent = tracker.task("parent").start().unwrap();
    let first = parent.child("a", "part").start().unwrap();
    first.complete(()).unwrap();
    let _second = parent.child("b", "part").start().unwrap();
    let error = parent.child("c", "part").start().unwrap_err();
    assert_eq!(error, StartError::TooManyChildren { limit: 2 });
    assert!(tracker.snapshot("c").await.is_err());
    a_tick().await;
    assert_eq!(parent.snapshot().children.unwrap().total, 2);
    drop(tracker.task("c").start().unwrap());
}
