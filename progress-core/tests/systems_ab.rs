//! What a talking-video generator (system A) and a parallel media analyser (system B) ask of a
//! tracker, as far as the library without a server can show it; their known weaknesses by name.

mod common;

use std::time::Duration;

use progress_core::{
    Data, Event, Frame, Level, LookupError, Position, ProgressTracker, Replay, Resume, Status,
    SubscribeOptions, Task, TaskError, TaskFilter, TaskState,
};
use serde_json::json;

use crate::common::{
    a_tick, assert_continuous, delivered, events, json, ready, seqs, to_end, types, updates,
    verdict,
};

/// The video generator's task: detection, matting, prosody, rendering.
fn video(tracker: &ProgressTracker, id: &str) -> Task {
    tracker
        .task(id)
        .kind("video")
        .stage("detect", 1.0)
        .stage("matte", 4.0)
        .stage("prosody", 1.0)
        .stage("render", 4.0)
        .start()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn publish_event() {
    let tracker = ProgressTracker::new();
    let task = video(&tracker, "v");
    let detect = task.stage("detect");
    detect.metadata(
        "result",
        json!({"detected_persons": 2, "selected_person": {"person_id": 0, "confidence": 0.95}}),
    );
    detect.message("Person 0 chosen");
    detect.finish();
    a_tick().await;
    let snapshot = tracker.snapshot("v").await.unwrap();
    assert_eq!(snapshot.stage.as_deref(), Some("detect"));
    assert_eq!(snapshot.progress, 10.0);
    assert_eq!(snapshot.message.as_deref(), Some("Person 0 chosen"));
    let result = snapshot.metadata.get("result").unwrap();
    assert_eq!(result["selected_person"]["confidence"], 0.95);
}

#[tokio::test(start_paused = true)]
async fn publish_many() {
    let tracker = ProgressTracker::new();
    let task = video(&tracker, "v");
    for (stage, total) in [
        ("detect", 10),
        ("matte", 100),
        ("prosody", 10),
        ("render", 1_000),
    ] {
        let stage = task.stage(stage).total(total);
        for _ in 0..total {
            stage.inc(1);
        }
        a_tick().await;
    }
    task.complete(json!({"video_url": "/v.mp4"})).unwrap();
    let frames = ready(&mut tracker.subscribe("v"));
    assert_continuous(&frames, 0);
    let shown: Vec<_> = updates(&frames)
        .iter()
        .map(|update| update.progress)
        .collect();
    assert!(shown.is_sorted(), "{shown:?}");
    for percent in [10.0, 50.0, 60.0, 99.9] {
        assert!(shown.contains(&percent), "{percent} in {shown:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn get_latest() {
    let tracker = ProgressTracker::new();
    let task = video(&tracker, "v");
    for percent in [10.0, 20.0, 30.0] {
        task.progress(percent);
        a_tick().await;
    }
    assert_eq!(tracker.snapshot("v").await.unwrap().progress, 30.0);
    let latest = SubscribeOptions::new().replay(Replay::Latest);
    let frames = ready(&mut tracker.subscribe_with("v", latest));
    assert_eq!(updates(&frames).len(), 1);
    assert_eq!(updates(&frames)[0].progress, 30.0);
    // Pollers page through the history, or read on from where they were.
    let page = tracker.history("v", None, 2).await.unwrap();
    assert_eq!((page.events.len(), page.head), (2, task.head()));
    let rest = tracker.history("v", page.next, 100).await.unwrap();
    assert_eq!((rest.events.len(), rest.next), (2, None));
    let nothing = tracker.history("v", Some(page.head), 100).await.unwrap();
    assert!(nothing.events.is_empty());
}

#[tokio::test(start_paused = true)]
async fn single_subscriber() {
    let tracker = ProgressTracker::new();
    let task = video(&tracker, "v");
    let mut watcher = tracker.subscribe("v");
    let watching = tokio::spawn(async move { to_end(&mut watcher).await });
    task.stage("detect").finish();
    task.stage("matte").progress(50.0);
    task.complete(()).unwrap();
    let frames = watching.await.unwrap();
    let expected = [
        "started",
        "stage_change",
        "progress_update",
        "stage_change",
        "progress_update",
        "complete",
    ];
    assert_eq!(types(&frames), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_subscribers() {
    let tracker = ProgressTracker::new();
    let task = video(&tracker, "v");
    let watching: Vec<_> = (0..100)
        .map(|_| {
            let mut watcher = tracker.subscribe("v");
            tokio::spawn(async move { to_end(&mut watcher).await })
        })
        .collect();
    for n in 0..50 {
        task.log(Level::INFO, format!("step {n}"));
        tokio::task::yield_now().await;
    }
    task.complete(()).unwrap();
    for watcher in watching {
        let frames = watcher.await.unwrap();
        assert_eq!(seqs(&frames), (1..=52).collect::<Vec<_>>());
    }
    assert_eq!(
        tracker.stats().subscriptions,
        0,
        "watchers that are gone are removed"
    );
}

#[tokio::test(start_paused = true)]
async fn late_subscriber_receives_history() {
    let tracker = ProgressTracker::new();
    let task = video(&tracker, "v");
    let mut early = tracker.subscribe("v");
    for stage in ["detect", "matte", "prosody", "render"] {
        task.stage(stage).finish();
        task.log(Level::INFO, format!("{stage} done"));
    }
    let middle = ready(&mut tracker.subscribe("v"));
    assert_eq!(events(&middle), events(&ready(&mut early)));
    task.complete(()).unwrap();
    // Also when all is over.
    let late = to_end(&mut tracker.subscribe("v")).await;
    assert_eq!(events(&late)[..events(&middle).len()], events(&middle));
    assert_eq!(types(&late).last().unwrap(), "complete");
}

#[tokio::test(start_paused = true)]
async fn active_task_tracking() {
    let tracker = ProgressTracker::new();
    let [a, b, c] = ["a", "b", "c"].map(|id| video(&tracker, id));
    let waiting = tracker.task("q").kind("other").queue().unwrap();
    let active = |filter: TaskFilter| async {
        let page = tracker.tasks(filter.active()).await.unwrap();
        assert_eq!(page.next, None);
        page.tasks
            .iter()
            .map(|task| task.task_id.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(active(TaskFilter::new()).await, ["q", "c", "b", "a"]);
    assert_eq!(
        active(TaskFilter::new().kind("video")).await,
        ["c", "b", "a"]
    );
    // A page at a time, the newest first.
    let first = tracker.tasks(TaskFilter::new().limit(3)).await.unwrap();
    let rest = TaskFilter::new().limit(3).after(first.next);
    let rest = tracker.tasks(rest).await.unwrap();
    assert_eq!(
        (first.tasks.len(), rest.tasks.len(), rest.next),
        (3, 1, None)
    );
    assert_eq!(rest.tasks[0].task_id.as_str(), "a");
    a.complete(()).unwrap();
    b.fail(TaskError::new("BROKEN", "broken")).unwrap();
    drop(waiting);
    assert_eq!(active(TaskFilter::new()).await, ["c"]);
    c.cancel("enough").unwrap();
    assert!(active(TaskFilter::new()).await.is_empty());
    assert_eq!(
        tracker.tasks(TaskFilter::new()).await.unwrap().tasks.len(),
        4
    );
}

#[tokio::test(start_paused = true)]
async fn nonexistent_task() {
    let tracker = ProgressTracker::new();
    let missing = || LookupError::NotFound("nope".parse().unwrap());
    assert_eq!(tracker.snapshot("nope").await, Err(missing()));
    assert_eq!(
        tracker.history("nope", None, 10).await.unwrap_err(),
        missing()
    );
    let invalid = tracker.snapshot("no spaces").await.unwrap_err();
    assert!(matches!(invalid, LookupError::InvalidTaskId(_)));
    // A connection may come before its task: it waits.
    let mut watcher = tracker.subscribe("nope");
    assert_eq!(verdict(&ready(&mut watcher)).0, Resume::Unknown);
    assert_eq!(tracker.stats().tasks, 0, "asking makes no task");
}

#[tokio::test(start_paused = true)]
async fn event_to_json() {
    let tracker = ProgressTracker::new();
    let task = video(&tracker, "v");
    let matte = task.stage("matte").total(120).unit("frames");
    matte.inc(75);
    let frames = ready(&mut tracker.subscribe("v"));
    let text = delivered(&frames).last().unwrap().to_json();
    let value = json(std::str::from_utf8(&text).unwrap());
    assert_eq!(value["task_id"], "v");
    assert_eq!(value["event_type"], "progress_update");
    assert_eq!(value["seq"], 3);
    assert_eq!(value["data"]["stage"], "matte");
    assert_eq!(value["data"]["progress"], 25.0);
    assert_eq!(value["data"]["stage_progress"], 62.5);
    assert_eq!(value["data"]["current"], 75);
    assert_eq!(value["data"]["total"], 120);
    assert_eq!(value["data"]["unit"], "frames");
    assert_eq!(Event::from_json(&text).unwrap(), *events(&frames)[2]);
}

#[tokio::test(start_paused = true)]
async fn events_have_an_id_so_a_reconnect_repeats_nothing() {
    let tracker = ProgressTracker::new();
    let task = video(&tracker, "v");
    task.stage("detect").finish();
    let frames = ready(&mut tracker.subscribe("v"));
    // What a browser sends back as its last event id is text.
    let last_event_id = events(&frames).last().unwrap().position().to_string();
    task.stage("matte").finish();
    let position: Position = last_event_id.parse().unwrap();
    let again = SubscribeOptions::new().after(position);
    let frames = ready(&mut tracker.subscribe_with("v", again));
    assert_eq!(verdict(&frames).0, Resume::Resumed);
    assert_eq!(seqs(&frames), [4, 5]);
    assert_eq!(assert_continuous(&frames, position.seq().get()), 5);
}

#[tokio::test(start_paused = true)]
async fn a_failure_keeps_progress() {
    let tracker = ProgressTracker::new();
    let task = tracker
        .task("m")
        .stage("upload", 1.0)
        .stage("analyze", 1.0)
        .start()
        .unwrap();
    task.stage("upload").finish();
    let analyze = task.stage("analyze");
    analyze.progress(40.0);
    a_tick().await;
    for attempt in 1..=3 {
        let error = TaskError::new("MODEL_BUSY", "The model is busy").retryable(true);
        analyze.retrying(error, attempt, 3);
        // Each attempt begins anew, and the bar stays.
        analyze.progress(0.0);
        a_tick().await;
        assert_eq!(task.snapshot().progress, 70.0);
        assert_eq!(task.snapshot().last_error.unwrap().code(), "MODEL_BUSY");
    }
    task.fail(TaskError::new("MODEL_BUSY", "The model is busy"))
        .unwrap();
    let failed = tracker.snapshot("m").await.unwrap();
    assert_eq!((failed.state, failed.progress), (TaskState::Failed, 70.0));
    assert_eq!(failed.error.unwrap().message(), "The model is busy");
    let frames = ready(&mut tracker.subscribe("m"));
    let retries = types(&frames)
        .iter()
        .filter(|name| *name == "error")
        .count();
    assert_eq!(retries, 3);
}

#[tokio::test(start_paused = true)]
async fn a_died_worker_does_not_leave_uploading_for_ever() {
    let tracker = ProgressTracker::new();
    let task = tracker.task("m").stage("upload", 1.0).start().unwrap();
    let mut watcher = tracker.subscribe("m");
    let worker = tokio::spawn(async move {
        let upload = task.stage("upload").total(100);
        upload.inc(30);
        std::future::pending::<()>().await;
        task.complete(()).unwrap();
    });
    a_tick().await;
    worker.abort();
    let frames = to_end(&mut watcher).await;
    let Some(Frame::Event(last)) = frames.last() else {
        panic!("no end: {frames:?}");
    };
    let Data::Complete(end) = last.event.data() else {
        panic!("not the end: {last:?}");
    };
    assert_eq!((end.status, end.progress), (Status::Abandoned, 30.0));
    let snapshot = tracker.snapshot("m").await.unwrap();
    let upload = snapshot.stage("upload").unwrap();
    assert_eq!(upload.state, progress_core::StageState::Abandoned);
}

/// System B polled its database every two seconds for each connection.
#[tokio::test(start_paused = true)]
async fn a_watcher_is_woken_by_events_and_polls_nothing() {
    let tracker = ProgressTracker::new();
    let task = video(&tracker, "video-42");
    let mut events = tracker.subscribe("video-42");
    let mut waiting = tokio_test::task::spawn(async move {
        let mut frames = Vec::new();
        while events.next_batch(&mut frames).await > 0 {}
        frames.len()
    });
    assert!(waiting.poll().is_pending());
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!waiting.is_woken(), "an hour without an event");
    task.log(Level::INFO, "something happens");
    assert!(waiting.is_woken());
}
