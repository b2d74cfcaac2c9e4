//! The API as another crate uses it: what the first page promises compiles, and does what it says.

mod adapters;
mod channels;
mod families;
mod figures;
mod handles;
mod job;
mod life;
#[cfg(feature = "testing")]
mod nodes;
mod readers;
#[cfg(feature = "tracing-layer")]
mod spans;
mod stopping;

use std::{borrow::Cow, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt};
use progress_core::{
    Data, Event, EventPayload, Frame, ProgressTracker, StartError, Subscription, Task,
};
use serde::Serialize;
use static_assertions::assert_impl_all;

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

assert_impl_all!(ProgressTracker: Clone, Send, Sync);
assert_impl_all!(Task: Send, Sync);
assert_impl_all!(Subscription: Stream<Item = Frame>, Send, Unpin);

/// A milestone of the application's own: every one counts.
#[derive(Serialize)]
pub(crate) struct PhotoApproved {
    pub(crate) photo: u64,
}

impl EventPayload for PhotoApproved {
    const EVENT_TYPE: &'static str = "photo_approved";
}

/// State of the application's own: only the newest of each speaker counts.
#[derive(Serialize)]
pub(crate) struct Loudness {
    #[serde(skip)]
    pub(crate) speaker: &'static str,
    pub(crate) decibel: i8,
}

impl EventPayload for Loudness {
    const EVENT_TYPE: &'static str = "loudness";

    fn key(&self) -> Option<Cow<'_, str>> {
        Some(self.speaker.into())
    }
}

/// A job as the first page has it.
pub(crate) fn video(tracker: &ProgressTracker, id: &str) -> Result<Task, StartError> {
    tracker
        .task(id)
        .name("Talking video")
        .kind("video")
        .channel("jobs")
        .label("user", "7")
        .stage("detect", 1.0)
        .stage("matte", 4.0)
        .stage("render/left", 2.5)
        .stage("render/right", 2.5)
        .start()
}

/// Sleeps past the next tick, when all that was reported is published; where the clock is paused.
pub(crate) async fn a_tick() {
    tokio::time::sleep(Duration::from_millis(101)).await;
}

/// All events of an ended task that are still kept, or of a live one up to its end.
pub(crate) async fn events(tracker: &ProgressTracker, id: &str) -> Vec<Arc<Event>> {
    rest(tracker.subscribe(id)).await
}

/// The events that a subscription still yields.
pub(crate) async fn rest(subscription: Subscription) -> Vec<Arc<Event>> {
    let frames: Vec<Frame> = subscription.collect().await;
    frames.iter().filter_map(Frame::event).cloned().collect()
}

pub(crate) fn types(events: &[Arc<Event>]) -> Vec<&str> {
    events.iter().map(|event| event.event_type()).collect()
}

/// The reasons that the events give which carry one.
pub(crate) fn reasons(events: &[Arc<Event>]) -> Vec<(&str, &str)> {
    events
        .iter()
        .filter_map(|event| match event.data() {
            Data::Paused(note) | Data::Stalled(note) | Data::CancelRequested(note) => {
                Some((event.event_type(), note.reason.as_deref()?))
            }
            _ => None,
        })
        .collect()
}
