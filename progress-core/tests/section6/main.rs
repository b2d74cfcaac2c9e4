//! The API as another crate uses it: what the first page promises compiles, and does what it says.

use std::{
    io::{BufRead, Read, Seek, Write},
    thread,
    time::Duration,
};

use futures_util::{Stream, StreamExt, stream};
use progress_core::{
    ChildPolicy, EventPayload, Frame, Level, OnLag, ProgressTracker, Replay, Reporter, Resume,
    StageState, StartError, SubscribeOptions, Subscription, Task, TaskError, TaskFilter, TaskId,
    TaskState, Track, Tracked,
};
use serde::Serialize;
use serde_json::json;
use static_assertions::assert_impl_all;
use tokio::io::AsyncReadExt;

type Outcome = Result<(), Box<dyn std::error::Error>>;

assert_impl_all!(ProgressTracker: Clone, Send, Sync);
assert_impl_all!(Reporter: Clone, Send, Sync);
assert_impl_all!(Task: Send, Sync);
assert_impl_all!(Subscription: Stream<Item = Frame>, Send, Unpin);
assert_impl_all!(Tracked<std::vec::IntoIter<u8>>: ExactSizeIterator, DoubleEndedIterator, Send);
assert_impl_all!(Tracked<std::fs::File>: Read, Write, Seek);
assert_impl_all!(Tracked<tokio::io::DuplexStream>: tokio::io::AsyncRead, tokio::io::AsyncWrite);
assert_impl_all!(Tracked<&'static [u8]>: BufRead, tokio::io::AsyncBufRead);

#[derive(Serialize)]
struct PhotoApproved {
    photo: u64,
}

impl EventPayload for PhotoApproved {
    const EVENT_TYPE: &'static str = "photo_approved";
}

fn video(tracker: &ProgressTracker, id: &str) -> Result<Task, StartError> {
    tracker
        .task(id)
        .name("Talking video")
        .kind("video")
        .label("user", "7")
        .stage("detect", 1.0)
        .stage("matte", 4.0)
        .stage("render/left", 2.5)
        .stage("render/right", 2.5)
        .start()
}

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

    let mut types = Vec::new();
    while let Some(frame) = events.next().await {
        types.extend(frame.event().map(|event| event.event_type().to_owned()));
    }
    for expected in [
        "started",
        "stage_change",
        "progress_update",
        "log",
        "error",
        "photo_approved",
    ] {
        assert!(types.iter().any(|seen| seen == expected), "{expected}");
    }
    assert_eq!(types.last().map(String::as_str), Some("complete"));

    let video = tracker.snapshot("video-42").await?;
    assert_eq!((video.state, video.progress), (TaskState::Completed, 100.0));
    let detect = video.stage("detect").ok_or("no stage")?;
    assert_eq!((detect.current, detect.total), (Some(40), Some(120)));
    assert_eq!(detect.state, StageState::Completed);
    let render = video.stage("render").ok_or("no stage above")?;
    assert_eq!((render.weight, render.progress), (5.0, 25.0));
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
    }
    Ok(())
}

#[tokio::test]
async fn watchers_come_back_and_look_around() -> Outcome {
    let tracker = ProgressTracker::new();
    let id = TaskId::random();
    let task = tracker.task(id.clone()).kind("import").start()?;
    task.progress(41.7);
    let position = task.head();
    task.emit(PhotoApproved { photo: 1 })?;
    task.complete(())?;

    let options = SubscribeOptions::new()
        .after(position)
        .replay(Replay::All)
        .buffer(64)
        .on_lag(OnLag::Close);
    let missed: Vec<Frame> = tracker.subscribe_with(id.clone(), options).collect().await;
    let types: Vec<_> = missed
        .iter()
        .filter_map(|frame| Some(frame.event()?.event_type()))
        .collect();
    assert_eq!(types, ["photo_approved", "complete"]);

    let page = tracker.history(id.clone(), Some(position), 1).await?;
    assert_eq!(page.events.len(), 1);
    assert!(page.next.is_some());
    let imports = tracker.tasks(TaskFilter::new().kind("import")).await?;
    assert_eq!(imports.tasks[0].task_id, id);
    tracker.remove(id.clone()).await?;
    assert!(tracker.snapshot(id).await.is_err());
    Ok(())
}

#[tokio::test]
async fn queues_and_children() -> Outcome {
    let tracker = ProgressTracker::new();
    let queued = tracker.task("later").queue()?;
    queued.position(3);
    assert_eq!(tracker.snapshot("later").await?.state, TaskState::Queued);
    queued.begin()?;
    assert_eq!(tracker.snapshot("later").await?.state, TaskState::Running);

    let batch = tracker
        .task("batch")
        .children(ChildPolicy::Partial)
        .start()?;
    for n in 0..3 {
        let part = batch.child(format!("part-{n}"), "files").start()?;
        match n {
            0 => part.fail(TaskError::new("BROKEN", "It broke"))?,
            _ => part.complete(())?,
        };
    }
    batch.finish()?;
    let ended = tracker.snapshot("batch").await?;
    assert_eq!(ended.state, TaskState::Completed);
    let result: serde_json::Value = ended.result.as_ref().ok_or("no result")?.decode()?;
    assert_eq!(result["failed"], 1);
    assert_eq!(ended.stage("files").ok_or("no stage")?.progress, 100.0);
    Ok(())
}

#[tokio::test]
async fn what_people_have_reports_itself() -> Outcome {
    let tracker = ProgressTracker::new();
    let task = tracker.task("t").start()?;
    let squares: Vec<u64> = (0..10).map(|n| n * n).track(&task.stage("items")).collect();
    let streamed: Vec<u64> = stream::iter(squares)
        .track(&task.stage("stream"))
        .collect()
        .await;
    let bytes = vec![0_u8; 100];
    let mut copy = Vec::new();
    let reader = task.stage("read").total(100);
    Read::read_to_end(&mut bytes.as_slice().track(&reader), &mut copy)?;
    let mut copy = Vec::new();
    let reader = task.stage("async_read").total(100);
    AsyncReadExt::read_to_end(&mut bytes.as_slice().track(&reader), &mut copy).await?;
    let mut writer = tokio::io::sink().track(&task.stage("write"));
    tokio::io::copy(&mut copy.as_slice(), &mut writer).await?;
    task.complete(streamed.len())?;

    let counts: Vec<_> = tracker
        .snapshot("t")
        .await?
        .stages
        .iter()
        .map(|stage| {
            (
                stage.path.to_string(),
                stage.current,
                stage.unit.as_deref() == Some("bytes"),
            )
        })
        .collect();
    let expected = [
        ("items", 10, false),
        ("stream", 10, false),
        ("read", 100, true),
        ("async_read", 100, true),
        ("write", 100, true),
    ];
    assert_eq!(
        counts,
        expected.map(|(path, count, bytes)| (path.to_owned(), Some(count), bytes))
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn it_says_when_it_will_be_done() -> Outcome {
    let tracker = ProgressTracker::new();
    let task = video(&tracker, "video-42")?;
    let detect = task.stage("detect").total(10);
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        detect.inc(1);
    }
    tokio::time::sleep(Duration::from_millis(150)).await;
    let video = tracker.snapshot("video-42").await?;
    let detect = video
        .stage("detect")
        .ok_or("no stage")?
        .eta_ms
        .ok_or("no estimate")?;
    let whole = video.eta_ms.ok_or("no estimate")?;
    assert!((4_500..=5_500).contains(&detect), "{detect}");
    assert!((85_000..=105_000).contains(&whole), "{whole}");
    Ok(())
}

#[cfg(feature = "tracing-layer")]
#[tokio::test]
async fn what_is_instrumented_reports_itself() -> Outcome {
    use progress_core::tracing_layer::ProgressLayer;
    use tracing_subscriber::layer::SubscriberExt;

    let tracker = ProgressTracker::new();
    let subscriber = tracing_subscriber::registry().with(ProgressLayer::new(&tracker));
    tracing::subscriber::with_default(subscriber, || {
        let _task = tracing::info_span!("import", progress.task = "import-7").entered();
        let _stage = tracing::info_span!("parse", progress.stage = true).entered();
        tracing::info!(progress.inc = 3, "three lines");
    });
    let import = tracker.snapshot("import-7").await?;
    assert_eq!(
        (import.state, import.progress),
        (TaskState::Completed, 100.0)
    );
    assert_eq!(import.stage("parse").ok_or("no stage")?.current, Some(3));
    Ok(())
}
