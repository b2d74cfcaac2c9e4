//! Percents, estimates, ticks and times.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use progress_core::{
    Data, Event, Limits, ProgressTracker, ProgressUpdate, StartError, Subscription,
};
use tokio::time::sleep;

use crate::{Outcome, a_tick, events, video};

/// What there is without waiting.
fn ready(subscription: &mut Subscription) -> Vec<Arc<Event>> {
    std::iter::from_fn(|| subscription.next().now_or_never().flatten())
        .filter_map(|frame| frame.event().cloned())
        .collect()
}

fn updates(events: &[Arc<Event>]) -> Vec<&ProgressUpdate> {
    events
        .iter()
        .filter_map(|event| match event.data() {
            Data::ProgressUpdate(update) => Some(&**update),
            _ => None,
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn the_whole_is_the_weighted_mean_until_it_is_reported() -> Outcome {
    let tracker = ProgressTracker::new();
    let task = video(&tracker, "video-42")?;
    let whole = async || {
        a_tick().await;
        task.snapshot().progress
    };
    task.stage("detect").finish();
    assert_eq!(whole().await, 10.0);
    // Percent and counts both feed their stage.
    task.stage("matte").progress(50.0);
    assert_eq!(whole().await, 30.0);
    task.stage("render/left").total(4).set(2);
    assert_eq!(whole().await, 42.5);

    task.progress(60.0);
    assert_eq!(whole().await, 60.0);
    task.stage("matte").finish();
    assert_eq!(whole().await, 60.0, "from then on it is as reported");
    let video = task.snapshot();
    assert_eq!(video.stage("matte").ok_or("no stage")?.progress, 100.0);
    task.progress(41.7);
    assert_eq!(whole().await, 60.0, "it does not fall");
    task.reset();
    assert_eq!(whole().await, 0.0);
    task.progress(41.7);
    assert_eq!(whole().await, 41.7);
    task.complete(())?;
    // As its watchers saw it.
    let seen = events(&tracker, "video-42").await;
    let mut shown: Vec<_> = updates(&seen).iter().map(|it| it.progress).collect();
    shown.dedup();
    assert_eq!(shown, [10.0, 30.0, 42.5, 60.0, 0.0, 41.7]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn it_says_when_it_will_be_done() -> Outcome {
    let tracker = ProgressTracker::new();
    let task = video(&tracker, "video-42")?;
    let detect = task.stage("detect").total(10);
    assert_eq!(task.snapshot().eta_ms, None, "nothing is known yet");
    for _ in 0..5 {
        sleep(Duration::from_secs(1)).await;
        detect.inc(1);
    }
    sleep(Duration::from_millis(150)).await;
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

#[tokio::test(start_paused = true)]
async fn a_counter_makes_one_event_a_tick_at_most() -> Outcome {
    let tick = Duration::from_millis(50);
    let tracker = ProgressTracker::builder().tick(tick).build();
    let task = tracker.task("frames").start()?;
    let frames = task.stage("decode").total(2_000);
    let mut watcher = tracker.subscribe("frames");
    ready(&mut watcher);

    // After quiet the first change comes at once.
    frames.inc(1);
    let first = ready(&mut watcher);
    assert_eq!(updates(&first)[0].current, Some(1));
    for _ in 0..999 {
        sleep(Duration::from_millis(1)).await;
        frames.inc(1);
    }
    let seen = ready(&mut watcher);
    let count = updates(&seen).len();
    assert!((15..=21).contains(&count), "{count} in 20 ticks");
    // It stands still: within a tick all of it is seen.
    sleep(tick * 2).await;
    let last = ready(&mut watcher);
    let current = updates(&seen)
        .into_iter()
        .chain(updates(&last))
        .next_back()
        .and_then(|update| update.current);
    assert_eq!(current, Some(1_000));

    // All that was counted is told before the end, whenever the tick.
    frames.inc(500);
    frames.inc(250);
    task.complete(())?;
    let end = ready(&mut watcher);
    assert_eq!(
        updates(&end).last().and_then(|update| update.current),
        Some(1_750)
    );
    assert_eq!(end.last().ok_or("no end")?.event_type(), "complete");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn times_are_utc_and_never_go_back() -> Outcome {
    let tracker = ProgressTracker::new();
    let task = tracker.task("video-42").start()?;
    for percent in 0..10 {
        sleep(Duration::from_millis(7)).await;
        task.progress(f64::from(percent));
    }
    sleep(Duration::from_secs(90)).await;
    task.complete(())?;
    let seen = events(&tracker, "video-42").await;
    assert!(seen.is_sorted_by_key(|event| event.timestamp()));
    assert!(seen.is_sorted_by_key(|event| event.seq()));
    let text = seen[0].timestamp().to_string();
    // 2006-01-02T15:04:05.999Z
    assert_eq!(text.len(), 24, "{text}");
    assert!(text.ends_with('Z') && text.as_bytes()[19] == b'.', "{text}");
    match seen.last().ok_or("no end")?.data() {
        Data::Complete(end) => assert_eq!(end.duration_ms, 90_070),
        other => panic!("{other:?}"),
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_ended_task_stays_for_its_time_or_until_its_room_is_needed() -> Outcome {
    let tracker = ProgressTracker::builder()
        .retention(Duration::from_secs(60))
        .limits(Limits::default().tasks(2))
        .build();
    let (one, two) = (tracker.task("one").start()?, tracker.task("two").start()?);
    sleep(Duration::from_secs(600)).await;
    assert!(tracker.snapshot("one").await.is_ok(), "while it lives");
    assert_eq!(
        tracker.task("three").start().unwrap_err(),
        StartError::TooManyTasks { limit: 2 }
    );
    two.complete(())?;
    let three = tracker.task("three").start()?;
    assert!(tracker.snapshot("two").await.is_err(), "it made room");
    one.complete(())?;
    sleep(Duration::from_secs(55)).await;
    assert!(tracker.snapshot("one").await.is_ok());
    sleep(Duration::from_secs(15)).await;
    assert!(tracker.snapshot("one").await.is_err(), "its time is over");
    assert!(tracker.snapshot("three").await.is_ok());
    drop(three);
    Ok(())
}
