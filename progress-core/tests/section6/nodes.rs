//! Two trackers that share a broker: what one reports the other shows.

use std::time::Duration;

use futures_util::StreamExt;
use progress_core::{
    ChannelFrame, Data, Frame, Limits, ProgressTracker, ResetReason, Resume, StartError, Status,
    SubscribeOptions, TaskError, TaskFilter, TaskState,
    testing::{MemoryBus, MemoryTransport},
};
use tokio::time::{Instant, timeout};

use crate::{Outcome, PhotoApproved, rest, types, video};

const SECOND: Duration = Duration::from_secs(1);
/// Of the paused clock: past every lease.
const PATIENCE: Duration = Duration::from_secs(300);

fn node(wire: &MemoryTransport) -> ProgressTracker {
    ProgressTracker::builder()
        .transport(wire.clone())
        .lease(SECOND * 6)
        .tick(Duration::from_millis(50))
        .retention(SECOND * 600)
        .stall_after(SECOND * 3_600)
        .limits(Limits::default().tasks(100))
        .build()
}

#[tokio::test(start_paused = true)]
async fn work_here_is_watched_there() -> Outcome {
    let bus = MemoryBus::new();
    let (worker, web) = (node(&bus.connect()), node(&bus.connect()));
    assert_ne!(worker.node(), web.node());
    let mut there = web.subscribe("video-42");
    assert_eq!(there.ready().await?, Resume::Unknown);

    let task = video(&worker, "video-42")?;
    let here = worker.subscribe("video-42");
    task.stage("detect").total(10).inc(10);
    task.emit(PhotoApproved { photo: 9 })?;
    let mut stopped = Box::pin(task.cancelled());
    worker.flush(Instant::now() + SECOND).await?;
    assert_eq!(web.snapshot("video-42").await?.progress, 10.0);
    let listed = web.tasks(TaskFilter::new().label("user", "7")).await?;
    assert_eq!(listed.tasks.len(), 1);

    // Any watcher may ask, wherever the work is.
    web.cancel("video-42", "the user left").await?;
    timeout(PATIENCE, &mut stopped).await?;
    drop(stopped);
    task.cancel("the user left")?;
    let (here, there) = (rest(here).await, timeout(PATIENCE, rest(there)).await?);
    assert_eq!(types(&here).last(), Some(&"complete"));
    assert!(types(&here).contains(&"cancel_requested"));
    assert_eq!(here, there, "the same events under the same numbers");

    let page = web.history("video-42", None, 100).await?;
    assert_eq!(page.head, here.last().ok_or("no end")?.position());
    let drained = worker.drain(SECOND * 5).await;
    assert_eq!((drained.live, drained.flushed), (0, true));
    web.remove("video-42").await?;
    assert!(web.snapshot("video-42").await.is_err());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_id_is_one_nodes_and_its_next_run_may_be_anothers() -> Outcome {
    let bus = MemoryBus::new();
    let (one, two) = (node(&bus.connect()), node(&bus.connect()));
    let task = one.task("video-42").start_confirmed().await?;
    let id = task.id().clone();
    assert_eq!(
        two.task(&id).start_confirmed().await.unwrap_err(),
        StartError::AlreadyExists(id.clone())
    );
    task.fail(TaskError::new("BROKEN", "It broke"))?;
    one.flush(Instant::now() + SECOND).await?;
    let again = two.task(&id).restart_confirmed().await?;
    assert_eq!(again.snapshot().attempt, 2);
    again.complete(())?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn channels_are_of_all_nodes() -> Outcome {
    let bus = MemoryBus::new();
    let (one, two) = (node(&bus.connect()), node(&bus.connect()));
    let mut jobs = two.subscribe_channel("jobs", SubscribeOptions::new());
    one.channel("jobs").emit(PhotoApproved { photo: 1 })?;
    two.channel("jobs")
        .emit_confirmed(PhotoApproved { photo: 2 })
        .await?;
    let task = video(&one, "video-42")?;
    task.complete(())?;
    let mut seen = Vec::new();
    while seen.len() < 4 {
        if let Some(ChannelFrame::Event(event)) = timeout(PATIENCE, jobs.next()).await? {
            seen.push(event.event.event_type().to_owned());
        }
    }
    seen.sort();
    assert_eq!(
        seen,
        ["complete", "photo_approved", "photo_approved", "started"]
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn work_goes_on_while_the_broker_is_away() -> Outcome {
    let bus = MemoryBus::new();
    let wire = bus.connect();
    let (worker, web) = (node(&wire), node(&bus.connect()));
    wire.disconnect();
    let task = worker.task("video-42").start()?;
    task.emit(PhotoApproved { photo: 1 })?;
    let late = worker.flush(Instant::now() + SECOND).await;
    assert!(late.is_err() && !worker.is_connected());
    let watched = worker.subscribe("video-42");
    wire.reconnect();
    task.complete(())?;
    let there = web.subscribe("video-42");
    let expected = ["started", "photo_approved", "complete"];
    assert_eq!(types(&timeout(PATIENCE, rest(watched)).await?), expected);
    assert_eq!(types(&timeout(PATIENCE, rest(there)).await?), expected);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_gone_leaves_no_task_without_an_end() -> Outcome {
    let bus = MemoryBus::new();
    let wire = bus.connect();
    let (worker, web) = (node(&wire), node(&bus.connect()));
    let task = worker.task("video-42").start_confirmed().await?;
    let mut events = web.subscribe("video-42");
    assert_eq!(events.ready().await?, Resume::Fresh);
    wire.disconnect();
    let frames: Vec<Frame> = timeout(PATIENCE, events.by_ref().collect()).await?;
    let reset = frames.iter().find_map(|frame| match frame {
        Frame::Reset(reset) => Some(reset),
        _ => None,
    });
    let reset = reset.ok_or("no reset")?;
    assert_eq!(reset.reason, ResetReason::Superseded);
    assert_eq!(reset.snapshot.state, TaskState::Abandoned);
    match frames.last().and_then(Frame::event).map(|it| it.data()) {
        Some(Data::Complete(end)) => {
            assert_eq!(end.status, Status::Abandoned);
            assert_eq!(end.cause.as_deref(), Some("lease_expired"));
        }
        other => panic!("{other:?}"),
    }
    drop(task);
    Ok(())
}
