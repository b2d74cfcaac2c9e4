//! `{"id","status","progress","error_message"}`.

use progress_core::{Snapshot, TaskState};
use serde::Serialize;

use super::text;
use crate::encoders::{FrameEncoder, WireFrame};

/// The whole state in four fields: `{"id","status","progress","error_message"}`.
///
/// `status` is `pending`, while it runs the path of the current stage (`processing` without one),
/// `paused` or `stalled`, and at the end `completed` or `failed`, which is said of whatever did
/// not complete. `progress` is 0 to 1 and keeps its last value on a failure. `error_message` is
/// null while all is well. A task that cannot be watched is `failed` without a `progress`.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct StatusUpdates;

impl StatusUpdates {
    /// The name of the format.
    pub const NAME: &str = "status";
}

#[derive(Serialize)]
struct Status<'a> {
    id: Option<&'a str>,
    status: &'a str,
    progress: Option<f64>,
    error_message: Option<&'a str>,
}

impl FrameEncoder for StatusUpdates {
    fn frame(&self, frame: &WireFrame) -> Option<String> {
        if frame.event_type != "rejected" {
            return None;
        }
        text(&Status {
            id: frame.task_id.as_deref(),
            status: "failed",
            progress: None,
            error_message: frame.text("message"),
        })
    }

    fn snapshot(&self, snapshot: &Snapshot) -> Option<String> {
        let (status, error_message) = match snapshot.state {
            TaskState::Queued => ("pending", None),
            TaskState::Running => (snapshot.stage.as_deref().unwrap_or("processing"), None),
            TaskState::Paused => ("paused", None),
            TaskState::Stalled => ("stalled", None),
            TaskState::Completed => ("completed", None),
            ended => {
                let error = snapshot.error.as_ref().map(|error| error.message());
                let cause = snapshot.cause.as_deref();
                ("failed", error.or(cause).or(Some(ended.as_str())))
            }
        };
        text(&Status {
            id: Some(snapshot.task_id.as_str()),
            status,
            // Cut at four digits, so that it is 1 only at the end.
            progress: Some((snapshot.progress * 100.0).floor() / 10_000.0),
            error_message,
        })
    }

    fn takes_snapshots(&self) -> bool {
        true
    }
}
