//! Events that are lost for good, and say so.

use std::time::Duration;

use progress_core::{EventPayload, Frame, Limits, log::LogLimits, testing::MemoryBus};
use serde::Serialize;

use super::support::{event, fresh, node_with, rest};

#[derive(Serialize)]
struct Approved {
    photo: u64,
}

impl EventPayload for Approved {
    const EVENT_TYPE: &'static str = "approved";
}

/// What a reader saw: numbers of events, of gaps up to where.
fn seen(frames: &[Frame]) -> (Vec<u64>, u64) {
    let seqs = frames.iter().filter_map(Frame::event);
    let gaps = frames.iter().map(|frame| match frame {
        Frame::Gap(gap) => gap.to.get(),
        _ => 0,
    });
    (
        seqs.map(|event| event.seq().get()).collect(),
        gaps.max().unwrap_or(0),
    )
}

#[tokio::test(start_paused = true)]
async fn g3_milestones_that_never_left_their_owner_are_declared_where_older_ones_are_kept() {
    let log = LogLimits::default().window(4).milestones(4);
    let limits = Limits::default().log(log);
    let bus = MemoryBus::new();
    let worker = node_with(&bus, limits.clone());
    let web = node_with(&bus, limits);
    let task = worker
        .tracker
        .task("video")
        .start_confirmed()
        .await
        .unwrap();
    let mut there = web.tracker.subscribe("video");
    fresh(&mut there).await;
    event(&mut there).await;
    worker.wire.disconnect();
    for photo in 0..12 {
        task.emit(Approved { photo }).unwrap();
    }
    worker.wire.reconnect();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut late = web.tracker.subscribe("video");
    task.complete(()).unwrap();
    for frames in [rest(&mut there).await, rest(&mut late).await] {
        let (seqs, declared) = seen(&frames);
        let first = seqs.into_iter().find(|seq| *seq > 1).unwrap();
        assert!(declared + 1 >= first, "{declared} told, {first} came");
    }
}
