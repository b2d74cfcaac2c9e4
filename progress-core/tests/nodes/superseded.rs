//! Runs in whose place another counts.

use std::time::Duration;

use progress_core::{EventInput, Frame, testing::MemoryBus};
use serde_json::json;

use super::support::{event, next, node, rest, verdict};

#[tokio::test(start_paused = true)]
async fn a_reader_that_looked_away_goes_on_with_the_run_that_counts() {
    let bus = MemoryBus::new();
    let (first, second) = (node(&bus), node(&bus));
    let shared = first.tracker.task("video").share().await.unwrap();
    let refused = second.tracker.task("video").start().unwrap();
    let mut events = second.tracker.subscribe("video");
    verdict(&mut events).await;
    assert_eq!(event(&mut events).await.event.event_type(), "started");
    // Another reader goes on with it, and leaves; the run is watched by nobody then.
    let mut other = second.tracker.subscribe("video");
    verdict(&mut other).await;
    event(&mut other).await;
    assert!(matches!(next(&mut other).await, Frame::Reset(_)));
    drop(other);
    tokio::time::sleep(Duration::from_secs(60)).await;
    match next(&mut events).await {
        Frame::Reset(reset) => assert_eq!(reset.epoch, shared.head().epoch()),
        other => panic!("{other:?}"),
    }
    let end = EventInput::new("complete", &json!({"status": "completed"})).unwrap();
    shared.publish(vec![end]).await.unwrap();
    assert_eq!(rest(&mut events).await.len(), 2);
    drop(refused);
}
