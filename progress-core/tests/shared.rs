//! Tasks without an owner: published to by whoever may, in one process and over a broker.

#[cfg(feature = "testing")]
#[path = "shared/bus.rs"]
mod bus;
mod common;

#[path = "shared/kept.rs"]
mod kept;
#[cfg(feature = "testing")]
#[path = "shared/nodes.rs"]
mod nodes;
#[path = "shared/publishing.rs"]
mod publishing;
#[cfg(feature = "testing")]
#[path = "shared/races.rs"]
mod races;
#[cfg(feature = "testing")]
#[path = "shared/rough.rs"]
mod rough;
#[path = "shared/silence.rs"]
mod silence;
#[cfg(feature = "testing")]
#[allow(dead_code, reason = "every test file uses its part of it")]
#[path = "nodes/support.rs"]
mod support;

use progress_core::{EventInput, ProgressTracker, Published};
use serde_json::{Value, json};

/// An input as it comes from the wire.
#[expect(clippy::needless_pass_by_value, reason = "data is written in place")]
fn input(event_type: &str, data: Value) -> EventInput {
    serde_json::from_value(json!({"event_type": event_type, "data": data})).unwrap()
}

/// Publishes one event to the task `t`.
async fn publish(tracker: &ProgressTracker, event_type: &str, data: Value) -> Published {
    let published = tracker.publish("t", vec![input(event_type, data)]).await;
    let published = published.unwrap();
    assert_eq!(published.errors, []);
    published
}
