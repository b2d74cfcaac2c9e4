//! `{"type":"execution_progress","step_results":[…]}`.

use std::collections::HashSet;

use progress_core::{Metadata, Payload, Snapshot, StageSnapshot, StageState, TaskError, Timestamp};
use serde::Serialize;
use serde_json::json;

use super::text;
use crate::encoders::{FrameEncoder, WireFrame};

/// The whole state with its steps: `{"type":"execution_progress","execution_id","status",
/// "progress","current_step","elapsed_ms","eta_ms","step_results":[{"step","status","progress",
/// "elapsed_ms","eta_ms"?,"metadata"?}],"metadata","result"?,"error"?,"timestamp"}`.
///
/// The steps are the task's stages without those that hold others; `status` is the task's state,
/// `progress` percent 0 to 100, `metadata` what the task reports beside (the resources it uses).
/// What is refused is `{"type":"error","execution_id"?,"error":{…}}`, a heartbeat
/// `{"type":"heartbeat","timestamp"}`.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct ExecutionProgress;

impl ExecutionProgress {
    /// The name of the format.
    pub const NAME: &str = "execution_progress";
}

#[derive(Serialize)]
struct Execution<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    execution_id: &'a str,
    status: &'a str,
    progress: f64,
    current_step: Option<&'a str>,
    elapsed_ms: u64,
    eta_ms: Option<u64>,
    step_results: Vec<Step<'a>>,
    metadata: &'a Metadata,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a TaskError>,
    timestamp: Timestamp,
}

#[derive(Serialize)]
struct Step<'a> {
    step: &'a str,
    status: StageState,
    progress: f64,
    elapsed_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    eta_ms: Option<u64>,
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    metadata: &'a Metadata,
}

impl FrameEncoder for ExecutionProgress {
    fn frame(&self, frame: &WireFrame) -> Option<String> {
        let message = match &*frame.event_type {
            "rejected" => json!({
                "type": "error",
                "execution_id": frame.task_id,
                "error": frame.data,
            }),
            "heartbeat" | "pong" => json!({
                "type": frame.event_type,
                "timestamp": frame.timestamp,
            }),
            _ => return None,
        };
        text(&message)
    }

    fn snapshot(&self, snapshot: &Snapshot) -> Option<String> {
        let paths = snapshot.stages.iter().map(|stage| &*stage.path);
        let holders: HashSet<&str> = paths
            .filter_map(|path| Some(path.rsplit_once('/')?.0))
            .collect();
        let steps = snapshot.stages.iter();
        let steps = steps.filter(|stage| !holders.contains(&*stage.path));
        text(&Execution {
            kind: Self::NAME,
            execution_id: snapshot.task_id.as_str(),
            status: snapshot.state.as_str(),
            progress: snapshot.progress,
            current_step: snapshot.stage.as_deref(),
            elapsed_ms: snapshot.elapsed_ms,
            eta_ms: snapshot.eta_ms,
            step_results: steps.map(Step::of).collect(),
            metadata: &snapshot.metadata,
            result: snapshot.result.as_ref(),
            error: snapshot.error.as_ref(),
            timestamp: snapshot.updated_at,
        })
    }

    fn takes_snapshots(&self) -> bool {
        true
    }
}

impl<'a> Step<'a> {
    fn of(stage: &'a StageSnapshot) -> Self {
        Self {
            step: &stage.path,
            status: stage.state,
            progress: stage.progress,
            elapsed_ms: stage.elapsed_ms,
            eta_ms: stage.eta_ms,
            metadata: &stage.metadata,
        }
    }
}
