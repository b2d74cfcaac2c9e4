//! What the hub knows: sessions, pictures, jobs, exports, as its lists show them.

use std::sync::Arc;

use demo::analysis::ImageFacts;
use progress_core::{TaskError, Timestamp};
use serde::Serialize;

use crate::store::Stored;

/// A shoot.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Session {
    pub(crate) session_id: String,
    pub(crate) name: String,
    pub(crate) note: String,
    pub(crate) state: SessionState,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// Whether a session takes pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SessionState {
    Open,
    Completed,
}

/// A picture.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Photo {
    pub(crate) photo_id: String,
    pub(crate) session_id: String,
    pub(crate) job_id: String,
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) state: PhotoState,
    pub(crate) selected: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) facts: Option<Arc<ImageFacts>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) decided_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    pub(crate) imported_at: Timestamp,
    #[serde(skip)]
    pub(crate) file: Arc<Stored>,
    #[serde(skip)]
    pub(crate) thumbnail: Option<Arc<Stored>>,
}

/// What a picture waits for, or what was said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PhotoState {
    /// Its analysis is still to come.
    Imported,
    /// It waits for a reviewer.
    Pending,
    Approved,
    Rejected,
}

/// An import of pictures.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Job {
    pub(crate) job_id: String,
    pub(crate) session_id: String,
    pub(crate) state: JobState,
    pub(crate) priority: u8,
    pub(crate) total: usize,
    pub(crate) current: usize,
    pub(crate) failed: usize,
    pub(crate) created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<TaskError>,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum JobState {
    Waiting,
    Running,
    Completed,
    Failed,
}

impl JobState {
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

/// An archive of a session's approved pictures.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Export {
    pub(crate) export_id: String,
    pub(crate) session_id: String,
    pub(crate) state: ExportState,
    pub(crate) photos: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<TaskError>,
    pub(crate) created_at: Timestamp,
    #[serde(skip)]
    pub(crate) file: Option<Arc<Stored>>,
}

/// How far an export is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ExportState {
    Running,
    Completed,
    Failed,
}
