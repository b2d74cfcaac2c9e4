//! What the tests share: custom events, reading without waiting, checking ranges.
#![allow(dead_code, reason = "every test file uses its part of it")]

use std::{
    borrow::Cow,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use progress_core::{
    Data, Delivered, Event, EventPayload, Frame, GapFrame, Limits, ProgressTracker, ProgressUpdate,
    Resume, Seq, Snapshot, Subscription, log::LogLimits,
};
use serde::Serialize;

/// A milestone of the application's own.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Mark {
    pub(crate) n: u64,
}

impl EventPayload for Mark {
    const EVENT_TYPE: &'static str = "mark";
}

/// State of the application's own.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Gauge {
    #[serde(skip)]
    pub(crate) key: String,
    pub(crate) value: u64,
}

impl Gauge {
    pub(crate) fn new(key: impl Into<String>, value: u64) -> Self {
        Self {
            key: key.into(),
            value,
        }
    }
}

impl EventPayload for Gauge {
    const EVENT_TYPE: &'static str = "gauge";

    fn key(&self) -> Option<Cow<'_, str>> {
        Some(self.key.as_str().into())
    }
}

/// A tracker whose tasks have logs with these bounds.
pub(crate) fn tracker_with(limits: LogLimits) -> ProgressTracker {
    ProgressTracker::builder()
        .limits(Limits::default().log(limits))
        .build()
}

/// All frames that are there without waiting.
pub(crate) fn ready(subscription: &mut Subscription) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(1..) = subscription.poll_batch(&mut cx, &mut frames) {}
    frames
}

/// All frames to the end of the subscription.
pub(crate) async fn to_end(subscription: &mut Subscription) -> Vec<Frame> {
    let mut frames = Vec::new();
    while subscription.next_batch(&mut frames).await > 0 {}
    frames
}

pub(crate) fn delivered(frames: &[Frame]) -> Vec<&Delivered> {
    frames
        .iter()
        .filter_map(|frame| match frame {
            Frame::Event(delivered) => Some(delivered),
            _ => None,
        })
        .collect()
}

pub(crate) fn events(frames: &[Frame]) -> Vec<Arc<Event>> {
    frames.iter().filter_map(Frame::event).cloned().collect()
}

pub(crate) fn seqs(frames: &[Frame]) -> Vec<u64> {
    events(frames)
        .iter()
        .map(|event| event.seq().get())
        .collect()
}

pub(crate) fn types(frames: &[Frame]) -> Vec<String> {
    events(frames)
        .iter()
        .map(|event| event.event_type().to_owned())
        .collect()
}

pub(crate) fn updates(frames: &[Frame]) -> Vec<ProgressUpdate> {
    events(frames)
        .iter()
        .filter_map(|event| match event.data() {
            Data::ProgressUpdate(update) => Some((**update).clone()),
            _ => None,
        })
        .collect()
}

pub(crate) fn gaps(frames: &[Frame]) -> Vec<&GapFrame> {
    frames
        .iter()
        .filter_map(|frame| match frame {
            Frame::Gap(gap) => Some(&**gap),
            _ => None,
        })
        .collect()
}

/// The numbers in the `mark` events.
pub(crate) fn marks(frames: &[Frame]) -> Vec<u64> {
    events(frames)
        .iter()
        .filter_map(|event| match event.data() {
            Data::Custom(custom) if &*custom.event_type == Mark::EVENT_TYPE => {
                Some(json(custom.data.json())["n"].as_u64().unwrap())
            }
            _ => None,
        })
        .collect()
}

/// The verdict and the snapshot that every subscription begins with.
pub(crate) fn verdict(frames: &[Frame]) -> (Resume, Option<&Arc<Snapshot>>) {
    match frames.first() {
        Some(Frame::Verdict(verdict)) => (verdict.resume, verdict.snapshot.as_ref()),
        other => panic!("not a verdict first: {other:?}"),
    }
}

/// Checks that each event's range begins just behind the one before; gives the last number.
pub(crate) fn assert_continuous(frames: &[Frame], after: u64) -> u64 {
    let mut last = after;
    for delivered in delivered(frames) {
        assert_eq!(delivered.from, Seq::new(last + 1), "{delivered:?}");
        assert!(delivered.event.seq() >= delivered.from, "{delivered:?}");
        last = delivered.event.seq().get();
    }
    last
}

pub(crate) fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

/// Sleeps past the next tick; for tests with a paused clock.
pub(crate) async fn a_tick() {
    tokio::time::sleep(TICK + Duration::from_millis(1)).await;
}

/// The default of [`progress_core::TrackerBuilder::tick`].
pub(crate) const TICK: Duration = Duration::from_millis(100);
