//! Two nodes on one bus.

use std::time::Duration;

use progress_core::{
    Delivered, Frame, Limits, ProgressTracker, Resume, Snapshot, Subscription, Verdict,
    testing::{MemoryBus, MemoryTransport},
};

/// A node: its tracker, and its connection to break.
pub(crate) struct Node {
    pub(crate) tracker: ProgressTracker,
    pub(crate) wire: MemoryTransport,
}

pub(crate) fn node(bus: &MemoryBus) -> Node {
    node_with(bus, Limits::default())
}

pub(crate) fn node_with(bus: &MemoryBus, limits: Limits) -> Node {
    let wire = bus.connect();
    let tracker = ProgressTracker::builder()
        .limits(limits)
        .transport(wire.clone())
        .build();
    Node { tracker, wire }
}

/// The next frame, before anybody would give up.
pub(crate) async fn next(events: &mut Subscription) -> Frame {
    tokio::time::timeout(PATIENCE, events.next())
        .await
        .expect("nothing came")
        .expect("the stream has ended")
}

pub(crate) async fn verdict(events: &mut Subscription) -> Verdict {
    match next(events).await {
        Frame::Verdict(verdict) => *verdict,
        other => panic!("no verdict but {other:?}"),
    }
}

pub(crate) async fn fresh(events: &mut Subscription) -> Snapshot {
    let verdict = verdict(events).await;
    assert_eq!(verdict.resume, Resume::Fresh);
    (*verdict.snapshot.expect("a snapshot")).clone()
}

pub(crate) async fn event(events: &mut Subscription) -> Delivered {
    match next(events).await {
        Frame::Event(delivered) => delivered,
        other => panic!("no event but {other:?}"),
    }
}

/// All that is still to come.
pub(crate) async fn rest(events: &mut Subscription) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some(frame) = tokio::time::timeout(PATIENCE, events.next())
        .await
        .expect("no end came")
    {
        frames.push(frame);
    }
    frames
}

/// Waits for a condition that something in the background brings about.
pub(crate) async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("it never came to be");
}

/// Of the clock that tests pause.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);
