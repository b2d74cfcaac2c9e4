//! Channels: the events of many tasks in one log, and events of none.

use futures_util::FutureExt;
use progress_core::{
    ChannelError, ChannelFrame, ChannelName, ChannelSubscription, Level, ProgressTracker,
    PublishError, Resume, SubscribeError, SubscribeOptions,
};

use crate::{Loudness, Outcome, PhotoApproved, video};

/// What there is without waiting: of which task, and its type.
fn ready(subscription: &mut ChannelSubscription) -> Vec<(String, String)> {
    std::iter::from_fn(|| subscription.next().now_or_never().flatten())
        .filter_map(|frame| match frame {
            ChannelFrame::Event(delivered) => {
                let task = delivered.event.event().map(|event| event.task_id());
                Some((
                    task.map(ToString::to_string).unwrap_or_default(),
                    delivered.event.event_type().to_owned(),
                ))
            }
            _ => None,
        })
        .collect()
}

fn expected<const N: usize>(pairs: [(&str, &str); N]) -> [(String, String); N] {
    pairs.map(|(task, name)| (task.to_owned(), name.to_owned()))
}

#[test]
fn a_channel_carries_many_tasks_and_what_is_of_none() -> Outcome {
    let tracker = ProgressTracker::new();
    let mut jobs = tracker.subscribe_channel("jobs", SubscribeOptions::new());
    match jobs.next().now_or_never().flatten() {
        Some(ChannelFrame::Verdict(verdict)) => {
            assert_eq!(verdict.channel, "jobs".parse::<ChannelName>()?);
            assert_eq!(verdict.resume, Resume::Fresh);
        }
        other => panic!("{other:?}"),
    }
    let (one, two) = (video(&tracker, "one")?, video(&tracker, "two")?);
    let aside = tracker.task("aside").start()?;
    one.log(Level::INFO, "a line");
    tracker.channel("jobs").emit(PhotoApproved { photo: 9 })?;
    two.complete(())?;
    aside.complete(())?;
    one.emit(PhotoApproved { photo: 1 })?;
    one.complete(())?;
    assert_eq!(
        ready(&mut jobs),
        expected([
            ("one", "started"),
            ("two", "started"),
            ("one", "log"),
            ("", "photo_approved"),
            ("two", "complete"),
            ("one", "photo_approved"),
            ("one", "complete"),
        ])
    );
    Ok(())
}

#[tokio::test]
async fn a_reader_of_a_channel_comes_back_where_it_was() -> Outcome {
    let tracker = ProgressTracker::new();
    let studio = tracker.channel("studio");
    let mut first = studio.subscribe(SubscribeOptions::new());
    studio.emit(PhotoApproved { photo: 1 })?;
    let position = studio
        .emit_confirmed(Loudness {
            speaker: "ann",
            decibel: -20,
        })
        .await?;
    assert_eq!(ready(&mut first).len(), 2);
    assert_eq!(first.position(), Some(position));
    drop(first);
    studio.emit(PhotoApproved { photo: 2 })?;
    let mut again = studio.subscribe(SubscribeOptions::new().after(position));
    assert_eq!(ready(&mut again), expected([("", "photo_approved")]));
    Ok(())
}

#[test]
fn the_live_list_of_tasks_is_a_channel() -> Outcome {
    let tracker = ProgressTracker::new();
    let mut list = tracker.subscribe_channel(ChannelName::TASKS, SubscribeOptions::new());
    let task = tracker.task("video-42").start()?;
    task.log(Level::INFO, "not for the list");
    task.emit(PhotoApproved { photo: 1 })?;
    task.progress(50.0);
    task.complete(())?;
    assert_eq!(
        ready(&mut list),
        expected([
            ("video-42", "started"),
            ("video-42", "progress_update"),
            ("video-42", "complete"),
        ])
    );
    // To read only.
    let refused = tracker.channel("_tasks").emit(PhotoApproved { photo: 1 });
    assert!(matches!(
        refused,
        Err(PublishError::Channel(ChannelError::Invalid(_)))
    ));
    let mut nowhere = tracker.subscribe_channel("no spaces", SubscribeOptions::new());
    assert!(matches!(
        nowhere.next().now_or_never().flatten(),
        Some(ChannelFrame::Rejected(SubscribeError::Channel(_)))
    ));
    Ok(())
}
