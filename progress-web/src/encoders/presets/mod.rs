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
//! is. Those of events have `position`, for a WebSocket's client to come back with as `?after=`.

mod event_data;
mod execution_progress;
mod flat_events;
mod stage_updates;
mod status_updates;

use progress_core::TaskState;
use serde::{Deserialize as _, Serialize};
use serde_json::Value;

pub use self::{
    event_data::EventData, execution_progress::ExecutionProgress, flat_events::FlatEvents,
    stage_updates::StageUpdates, status_updates::StatusUpdates,
};
use super::{Formats, WireFrame};

/// The names of all presets.
pub const NAMES: [&str; 5] = [
    StageUpdates::NAME,
    StatusUpdates::NAME,
    FlatEvents::NAME,
    EventData::NAME,
    ExecutionProgress::NAME,
];

pub(crate) fn insert_all(formats: &mut Formats) {
    formats.insert_preset(StageUpdates::NAME, StageUpdates);
    formats.insert_preset(StatusUpdates::NAME, StatusUpdates);
    formats.insert_preset(FlatEvents::NAME, FlatEvents);
    formats.insert_preset(EventData::NAME, EventData);
    formats.insert_preset(ExecutionProgress::NAME, ExecutionProgress);
}

/// Whether an event moves its task, and does not end it: a state tells all that it led to.
fn moves(frame: &WireFrame) -> bool {
    matches!(
        &*frame.event_type,
        "queued"
            | "started"
            | "stage_change"
            | "progress_update"
            | "error"
            | "paused"
            | "resumed"
            | "stalled"
            | "recovered"
            | "cancel_requested"
    )
}

/// Whether a snapshot is that of a task that has ended.
fn has_ended(snapshot: &Value) -> bool {
    let state = TaskState::deserialize(&snapshot["state"]);
    state.is_ok_and(TaskState::is_ended)
}

fn text(message: &impl Serialize) -> Option<String> {
    // Values with string keys always have a text.
    serde_json::to_string(message).ok()
}
