//! Shapes that are in use elsewhere, for clients that are to stay as they are.
//!
//! | Name | Shape | Tells |
//! | --- | --- | --- |
//! | `stage_update` | [`StageUpdates`] `{"type":"stage_update","task_id","data":{"stage","progress","message","metadata"},"timestamp"}` | each event |
//! | `status` | [`StatusUpdates`] `{"id","status","progress":0..1,"error_message"}` | the whole state |
//! | `flat` | [`FlatEvents`] `{"type","timestamp",…}` | each event |
//! | `event_data` | [`EventData`] `{"event","data"}` | each event |
//! | `execution_progress` | [`ExecutionProgress`] `{"type":"execution_progress","execution_id","status","step_results":[…]}` | the whole state |
//!
//! Every message is one JSON object. Percents are cut, not rounded: nothing looks done before it
//! is.

mod event_data;
mod execution_progress;
mod flat_events;
mod stage_updates;
mod status_updates;

use serde::Serialize;

pub use self::{
    event_data::EventData, execution_progress::ExecutionProgress, flat_events::FlatEvents,
    stage_updates::StageUpdates, status_updates::StatusUpdates,
};
use crate::GatewayBuilder;

/// The names of all presets.
pub const NAMES: [&str; 5] = [
    StageUpdates::NAME,
    StatusUpdates::NAME,
    FlatEvents::NAME,
    EventData::NAME,
    ExecutionProgress::NAME,
];

pub(crate) fn all(gateway: GatewayBuilder) -> GatewayBuilder {
    gateway
        .format(StageUpdates::NAME, StageUpdates)
        .format(StatusUpdates::NAME, StatusUpdates)
        .format(FlatEvents::NAME, FlatEvents)
        .format(EventData::NAME, EventData)
        .format(ExecutionProgress::NAME, ExecutionProgress)
}

fn text(message: &impl Serialize) -> Option<String> {
    // Values with string keys always have a text.
    serde_json::to_string(message).ok()
}
