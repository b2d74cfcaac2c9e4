//! What is published, in one process.

use progress_core::{
    Data, EventInput, InvalidEventType, InvalidInput, Limits, ProgressTracker, PublishError,
    StartError, TaskState,
};
use serde_json::json;

use crate::{
    common::{assert_continuous, events, ready, to_end, types, updates},
    input, publish,
};

#[tokio::test(start_paused = true)]
async fn a_worker_elsewhere_reports_like_one_with_a_handle() {
    let tracker = ProgressTracker::new();
    let shared = tracker
        .task("t")
        .name("Talking video")
        .label("user", "7")
        .stage("detect", 1.0)
        .stage("render", 3.0)
        .share()
        .await
        .unwrap();
    assert_eq!(shared.id().as_ref(), "t");
    let mut watcher = tracker.subscribe("t");
    tokio::time::advance(std::time::Duration::from_secs(4)).await;
    let published = shared
        .publish(vec![
            input(
                "progress_update",
                json!({"stage": "detect", "current": 5, "total": 10}),
            ),
            input(
                "progress_update",
                json!({"stage": "detect", "message": "two people"}),
            ),
            input("log", json!({"message": "first"})),
            input(
                "log",
                json!({"message": "second", "level": "WARNING", "n": 70}),
            ),
            input(
                "stage_change",
                json!({"current_stage": "render", "previous_stage": "lie"}),
            ),
            input(
                "error",
                json!({"code": "BUSY", "message": "The GPU is busy"}),
            ),
            input("photo_approved", json!({"photo": 9})),
            input(
                "complete",
                json!({"status": "completed", "result": {"url": "/v/42"}, "progress": 3}),
            ),
        ])
        .await
        .unwrap();
    assert_eq!((published.accepted, published.errors.len()), (8, 0));
    assert_eq!(published.last, Some(shared.head()));
    let frames = to_end(&mut watcher).await;
    assert_continuous(&frames, 0);
    assert_eq!(
        types(&frames),
        [
            "started",
            "stage_change",
            "progress_update",
            "progress_update",
            "log",
            "log",
            "stage_change",
            "error",
            "photo_approved",
            "complete"
        ]
    );
    let updates = updates(&frames);
    assert_eq!(updates[1].current, Some(5));
    assert_eq!(updates[1].message.as_deref(), Some("two people"));
    assert_eq!((updates[1].progress, updates[1].elapsed_ms), (12.5, 4_000));
    let events = events(&frames);
    let lines: Vec<_> = events
        .iter()
        .filter_map(|event| match event.data() {
            Data::Log(line) => Some(line.n),
            _ => None,
        })
        .collect();
    assert_eq!(lines, [1, 2]);
    match events[6].data() {
        Data::StageChange(change) => {
            assert_eq!(change.previous_stage.as_deref(), Some("detect"));
            assert_eq!(change.progress, 12.5);
        }
        other => panic!("{other:?}"),
    }
    match events[9].data() {
        Data::Complete(end) => {
            assert_eq!((end.progress, end.duration_ms), (100.0, 4_000));
            assert_eq!(end.result.as_ref().unwrap().json(), r#"{"url":"/v/42"}"#);
        }
        other => panic!("{other:?}"),
    }
    let snapshot = tracker.snapshot("t").await.unwrap();
    assert_eq!(snapshot.state, TaskState::Completed);
    assert_eq!(snapshot.name.as_deref(), Some("Talking video"));
    assert_eq!(snapshot.last_error.unwrap().code(), "BUSY");
}

#[tokio::test]
async fn one_bad_event_does_not_keep_the_others_out() {
    let tracker = ProgressTracker::builder()
        .limits(Limits::default().stages(1))
        .build();
    let shared = tracker.task("t").share().await.unwrap();
    let published = shared
        .publish(vec![
            input("started", json!({})),
            input("log", json!({})),
            input("progress_update", json!({"stage": "a", "current": 1})),
            input("progress_update", json!({"stage": "b", "current": 1})),
            input("log", json!({"message": "still here"})),
        ])
        .await
        .unwrap();
    assert_eq!(published.accepted, 2);
    let (places, errors): (Vec<_>, Vec<_>) = published.errors.into_iter().unzip();
    assert_eq!(places, [0, 1, 3]);
    assert_eq!(
        errors[0],
        PublishError::InvalidEventType(InvalidEventType::Reserved)
    );
    assert_eq!(
        errors[1],
        PublishError::InvalidInput(InvalidInput::Missing { field: "message" })
    );
    assert!(matches!(
        errors[2],
        PublishError::InvalidInput(InvalidInput::Stage(_))
    ));
    // All of it refused is no error of the whole either.
    let published = shared.publish(vec![input("log", json!({}))]).await.unwrap();
    assert_eq!((published.accepted, published.errors.len()), (0, 1));
    assert_eq!(published.last, None);
}

#[tokio::test]
async fn g4_what_is_sent_again_is_answered_with_its_first_position() {
    let tracker = ProgressTracker::new();
    let shared = tracker.task("t").share().await.unwrap();
    let line = input("log", json!({"message": "m"})).id("w/1");
    let end = input("complete", json!({"status": "failed"})).id("w/2");
    let first = shared.publish(vec![line.clone()]).await.unwrap();
    publish(&tracker, "log", json!({"message": "other"})).await;
    let head = shared.head();
    let again = shared
        .publish(vec![line.clone(), line.clone()])
        .await
        .unwrap();
    assert_eq!((again.accepted, again.last), (2, first.last));
    assert_eq!(shared.head(), head);
    // Also the end, and after it; what is new is not.
    let ended = shared.publish(vec![end.clone()]).await.unwrap();
    let again = shared.publish(vec![end, line]).await.unwrap();
    assert_eq!((again.accepted, again.last), (2, ended.last));
    let new = input("log", json!({"message": "m"})).id("w/3");
    assert_eq!(
        shared.publish(vec![new]).await,
        Err(PublishError::AlreadyComplete)
    );
}

#[tokio::test]
async fn ids_are_remembered_within_a_bound() {
    let tracker = ProgressTracker::new();
    let shared = tracker.task("t").share().await.unwrap();
    let line = |n: usize| input("log", json!({"message": "m"})).id(format!("{n}"));
    let first = shared.publish(vec![line(0)]).await.unwrap();
    shared
        .publish((1..1_024).map(line).collect())
        .await
        .unwrap();
    let again = shared.publish(vec![line(0)]).await.unwrap();
    assert_eq!(again.last, first.last);
    shared.publish(vec![line(1_024)]).await.unwrap();
    let new = shared.publish(vec![line(0)]).await.unwrap();
    assert_eq!(new.last, Some(shared.head()));
    assert_ne!(new.last, first.last);
}

#[tokio::test]
async fn who_has_no_handle_cannot_publish_to_a_task_that_has_one() {
    let tracker = ProgressTracker::new();
    let line = || vec![input("log", json!({"message": "m"}))];
    let owned = tracker.task("owned").start().unwrap();
    assert_eq!(
        tracker.publish("owned", line()).await,
        Err(PublishError::Owned)
    );
    owned.complete(()).unwrap();
    assert_eq!(
        tracker.publish("owned", line()).await,
        Err(PublishError::AlreadyComplete)
    );
    assert_eq!(
        tracker.publish("nobody", line()).await,
        Err(PublishError::NotFound)
    );
    assert!(matches!(
        tracker.publish("no id", line()).await,
        Err(PublishError::InvalidTaskId(_))
    ));
}

#[tokio::test]
async fn an_id_is_taken_once_whoever_owns_it() {
    let tracker = ProgressTracker::new();
    let exists = |result: Result<(), StartError>| {
        assert_eq!(result, Err(StartError::AlreadyExists("t".parse().unwrap())));
    };
    let shared = tracker.task("t").share().await.unwrap();
    exists(tracker.task("t").share().await.map(drop));
    exists(tracker.task("t").start().map(drop));
    exists(tracker.task("t").restart().map(drop));
    publish(&tracker, "complete", json!({"status": "completed"})).await;
    exists(tracker.task("t").share().await.map(drop));
    // An ended one can be followed by a run with an owner, which the old handle is no part of.
    let task = tracker.task("t").restart().unwrap();
    assert_eq!(task.snapshot().attempt, 2);
    let line = input("log", json!({"message": "m"}));
    assert_eq!(
        shared.publish(vec![line.clone()]).await,
        Err(PublishError::AlreadyComplete)
    );
    assert_eq!(
        tracker.publish("t", vec![line]).await,
        Err(PublishError::Owned)
    );
}

#[tokio::test]
async fn a_queued_task_starts_with_the_first_event() {
    let tracker = ProgressTracker::new();
    tracker
        .task("t")
        .name("later")
        .stage("a", 2.0)
        .queued()
        .share()
        .await
        .unwrap();
    let mut watcher = tracker.subscribe("t");
    assert_eq!(
        tracker.snapshot("t").await.unwrap().state,
        TaskState::Queued
    );
    publish(
        &tracker,
        "progress_update",
        json!({"stage": "a", "stage_progress": 50}),
    )
    .await;
    let frames = ready(&mut watcher);
    assert_eq!(
        types(&frames),
        ["queued", "started", "stage_change", "progress_update"]
    );
    match events(&frames)[1].data() {
        Data::Started(started) => {
            assert_eq!(started.name.as_deref(), Some("later"));
            assert_eq!(started.stages[0].weight, 2.0);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(updates(&frames)[0].progress, 50.0);
}

#[test]
fn queued_means_the_same_to_a_task_with_an_owner() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").queued().start().unwrap();
    assert_eq!(task.snapshot().state, TaskState::Queued);
    task.complete(()).unwrap();
}

#[tokio::test]
async fn a_request_to_stop_is_told_with_every_publication() {
    let tracker = ProgressTracker::new();
    let shared = tracker.task("t").share().await.unwrap();
    let mut watcher = tracker.subscribe("t");
    let before = publish(&tracker, "log", json!({"message": "m"})).await;
    assert_eq!(before.cancel_requested, None);
    tracker.cancel("t", "the user left").await.unwrap();
    tracker.cancel("t", "again").await.unwrap();
    let after = publish(&tracker, "log", json!({"message": "m"})).await;
    assert_eq!(
        after.cancel_requested.unwrap().reason.as_deref(),
        Some("the user left")
    );
    let nothing = shared.publish(Vec::new()).await.unwrap();
    assert!(nothing.cancel_requested.is_some());
    publish(
        &tracker,
        "complete",
        json!({"status": "cancelled", "cause": "the user left"}),
    )
    .await;
    assert_eq!(
        types(&to_end(&mut watcher).await),
        ["started", "log", "cancel_requested", "log", "complete"]
    );
    assert!(tracker.cancel("t", None).await.is_err());
}

#[tokio::test]
async fn state_goes_by_key_and_what_does_not_fit_is_refused() {
    let limits = Limits::default().log(progress_core::log::LogLimits::default().keys(2));
    let tracker = ProgressTracker::builder().limits(limits).build();
    tracker.task("t").share().await.unwrap();
    let gauge = |key: &str, value: u64| input("gauge", json!({"value": value})).key(key);
    let published = tracker
        .publish(
            "t",
            vec![gauge("a", 1), gauge("b", 1), gauge("a", 2), gauge("c", 1)],
        )
        .await
        .unwrap();
    assert_eq!(
        published.errors,
        [(3, PublishError::TooManyKeys { limit: 2 })]
    );
    let snapshot = tracker.snapshot("t").await.unwrap();
    assert_eq!(snapshot.custom["a"].json(), r#"{"value":2}"#);
    let big = EventInput::new("note", &"x".repeat(64 * 1024)).unwrap();
    let published = tracker.publish("t", vec![big]).await.unwrap();
    assert!(matches!(
        published.errors[..],
        [(0, PublishError::PayloadTooLarge { field: "data", .. })]
    ));
}

#[tokio::test]
async fn a_child_names_its_parent_and_has_no_part_in_it() {
    let tracker = ProgressTracker::new();
    let parent = tracker.task("parent").start().unwrap();
    let shared = parent.child("t", "stage").share().await.unwrap();
    assert_eq!(
        tracker.snapshot("t").await.unwrap().parent.as_ref(),
        Some(parent.id())
    );
    let snapshot = parent.snapshot();
    assert_eq!((snapshot.children, snapshot.stages.len()), (None, 0));
    parent.complete(()).unwrap();
    let line = input("log", json!({"message": "m"}));
    assert_eq!(shared.publish(vec![line]).await.unwrap().accepted, 1);
}
