//! Watching and looking up.

use futures_util::{FutureExt, StreamExt};
use progress_core::{
    Frame, LookupError, OnLag, ProgressTracker, RemoveError, Replay, ResetReason, Resume,
    SubscribeError, SubscribeOptions, TaskFilter, TaskId, TaskState,
};

use crate::{Outcome, PhotoApproved, a_tick, rest, types};

/// The types of the events that are there without waiting.
fn ready(subscription: &mut progress_core::Subscription) -> Vec<String> {
    std::iter::from_fn(|| subscription.next().now_or_never().flatten())
        .filter_map(|frame| Some(frame.event()?.event_type().to_owned()))
        .collect()
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
    let missed = rest(tracker.subscribe_with(&id, options)).await;
    assert_eq!(types(&missed), ["photo_approved", "complete"]);

    let page = tracker.history(&id, Some(position), 1).await?;
    assert_eq!(page.events.len(), 1);
    assert!(page.next.is_some());
    let imports = tracker.tasks(TaskFilter::new().kind("import")).await?;
    assert_eq!(imports.tasks[0].task_id, id);
    tracker.remove(&id).await?;
    assert_eq!(tracker.snapshot(&id).await, Err(LookupError::NotFound(id)));
    Ok(())
}

#[tokio::test]
async fn where_a_reader_begins_is_its_choice() -> Outcome {
    let tracker = ProgressTracker::new();
    let task = tracker.task("album").start()?;
    for photo in 1..=3 {
        task.emit(PhotoApproved { photo })?;
    }
    let with = |options| tracker.subscribe_with("album", options);
    let mut all = with(SubscribeOptions::new().replay(Replay::All));
    let mut latest = with(SubscribeOptions::new().replay(Replay::Latest));
    let mut none = with(SubscribeOptions::new().replay(Replay::None));
    assert_eq!(ready(&mut all).len(), 4);
    assert_eq!(ready(&mut latest), ["photo_approved"]);
    assert!(ready(&mut none).is_empty());
    // A position goes before: here is who has read all of it.
    let mut back = with(
        SubscribeOptions::new()
            .replay(Replay::All)
            .after(all.position()),
    );
    assert_eq!(back.ready().await?, Resume::Resumed);
    assert!(ready(&mut back).is_empty());
    task.complete(())?;
    for subscription in [all, latest, none, back] {
        assert_eq!(types(&rest(subscription).await), ["complete"]);
    }
    let options = SubscribeOptions::new().after(tracker.snapshot("album").await?.position());
    assert_eq!(with(options).ready().await?, Resume::Ended);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_falls_behind_is_told_and_comes_back() -> Outcome {
    let tracker = ProgressTracker::new();
    let task = tracker.task("album").start()?;
    let options = SubscribeOptions::new().buffer(2).on_lag(OnLag::Close);
    let mut tail = tracker.subscribe_with("album", options);
    assert_eq!(ready(&mut tail), ["started"]);
    for photo in 1..=5 {
        task.emit(PhotoApproved { photo })?;
    }
    match tail.next().await {
        Some(Frame::Lagged(lagged)) => assert_eq!(lagged.behind, 5),
        other => panic!("{other:?}"),
    }
    assert!(tail.next().await.is_none());
    let options = SubscribeOptions::new().after(tail.position());
    let mut tail = tracker.subscribe_with("album", options);
    assert_eq!(tail.ready().await?, Resume::Resumed);
    assert_eq!(ready(&mut tail).len(), 5);

    // The default is to skip what later events supersede, and no milestone.
    let options = SubscribeOptions::new().buffer(2).on_lag(OnLag::Conflate);
    let mut tail = tracker.subscribe_with("album", options);
    ready(&mut tail);
    let before = task.head().seq().get();
    for percent in 1..=50 {
        task.progress(f64::from(percent));
        a_tick().await;
    }
    task.emit(PhotoApproved { photo: 6 })?;
    task.complete(())?;
    let album = tracker.snapshot("album").await?;
    assert_eq!(album.seq.get() - before, 52);
    assert_eq!(
        ready(&mut tail),
        ["progress_update", "photo_approved", "complete"]
    );
    Ok(())
}

#[tokio::test]
async fn a_reader_may_come_first_and_what_it_names_may_be_no_task() -> Outcome {
    let tracker = ProgressTracker::new();
    let mut early = tracker.subscribe("video-42");
    assert_eq!(early.ready().await?, Resume::Unknown);
    let mut frames = Vec::new();
    early.next_batch(&mut frames).await;
    tracker.task("video-42").start()?.complete(())?;
    frames.extend(early.collect::<Vec<_>>().await);
    match &frames[..] {
        [
            Frame::Verdict(verdict),
            Frame::Reset(reset),
            Frame::Event(started),
            Frame::Event(end),
        ] => {
            assert!(verdict.snapshot.is_none());
            assert_eq!(reset.reason, ResetReason::Created);
            assert_eq!(started.event.event_type(), "started");
            assert_eq!(end.event.event_type(), "complete");
        }
        other => panic!("{other:?}"),
    }
    let mut nowhere = tracker.subscribe("no spaces");
    assert!(matches!(
        nowhere.next().await,
        Some(Frame::Rejected(SubscribeError::InvalidTaskId(_)))
    ));
    assert!(nowhere.next().await.is_none());
    Ok(())
}

#[tokio::test]
async fn history_is_read_by_the_page() -> Outcome {
    let tracker = ProgressTracker::new();
    let task = tracker.task("album").start()?;
    let id = task.id().clone();
    for photo in 1..=6 {
        task.emit(PhotoApproved { photo })?;
    }
    let (mut seqs, mut after) = (Vec::new(), None);
    loop {
        let page = tracker.history(&id, after, 3).await?;
        assert!(page.events.len() <= 3);
        assert_eq!(page.head, task.head());
        seqs.extend(page.events.iter().map(|it| it.event.seq().get()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6, 7]);
    Ok(())
}

#[tokio::test]
async fn tasks_are_found_by_what_they_are() -> Outcome {
    let tracker = ProgressTracker::new();
    let start = |id: &str, user: &str| tracker.task(id).kind("video").label("user", user).start();
    let (a, b) = (start("a", "7")?, start("b", "7")?);
    start("c", "8")?.complete(())?;
    let part = a.child("a.1", "parts").start()?;
    let found = async |filter| -> Result<Vec<String>, LookupError> {
        let page = tracker.tasks(filter).await?;
        Ok(page.tasks.iter().map(|it| it.task_id.to_string()).collect())
    };
    let all = TaskFilter::new;
    assert_eq!(found(all()).await?, ["a.1", "c", "b", "a"]);
    assert_eq!(found(all().kind("video").active()).await?, ["b", "a"]);
    assert_eq!(found(all().label("user", "8")).await?, ["c"]);
    assert_eq!(found(all().state(TaskState::Completed)).await?, ["c"]);
    assert_eq!(found(all().parent(a.id().clone())).await?, ["a.1"]);
    let page = tracker.tasks(all().limit(3)).await?;
    assert_eq!(page.tasks.len(), 3);
    assert_eq!(found(all().after(page.next)).await?, ["a"]);

    let refused = tracker.remove(b.id()).await.unwrap_err();
    assert_eq!(refused, RemoveError::StillRunning(b.id().clone()));
    drop(part);
    Ok(())
}
