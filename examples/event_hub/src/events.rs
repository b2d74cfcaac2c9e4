//! The 22 events: each a type with its name, its channel, and with a key where a newer one makes the
//! older ones worthless.
//!
//! No field has a name of an envelope: neither of the protocol's (`event_type`, `key`, `seq`…) nor of
//! the format `flat` (`type`, `timestamp`…). Times are [`Timestamp`]s, which end in `Z`.

use std::borrow::Cow;

use progress_core::{EventPayload, TaskError, Timestamp};
use serde::Serialize;

use crate::channel::Channel;

/// An event of the hub, which knows its channel.
pub trait HubEvent: EventPayload {
    /// Where it goes.
    const CHANNEL: Channel;
}

/// `Type => "name", Channel;` and, for State, what the newest of is kept: `, |event| key`.
macro_rules! events {
    ($($event:ident => $name:literal, $channel:ident $(, |$this:ident| $key:expr)?;)*) => {$(
        impl EventPayload for $event {
            const EVENT_TYPE: &'static str = $name;
            $(fn key(&self) -> Option<Cow<'_, str>> {
                let $this = self;
                Some($key.into())
            })?
        }

        impl HubEvent for $event {
            const CHANNEL: Channel = Channel::$channel;
        }
    )*};
}

events! {
    JobCreated => "job_created", Jobs;
    JobStarted => "job_started", Jobs;
    // By worker, not by job: there are as many keys as workers, however long the hub runs.
    JobProgress => "job_progress", Jobs, |event| format!("worker-{}", event.worker);
    JobCompleted => "job_completed", Jobs;
    JobFailed => "job_failed", Jobs;
    PhotoImported => "photo_imported", Photos;
    PhotoAnalyzed => "photo_analyzed", Photos;
    PhotoSelected => "photo_selected", Photos;
    PhotoApproved => "photo_approved", Photos;
    PhotoRejected => "photo_rejected", Photos;
    SessionCreated => "session_created", Sessions;
    SessionUpdated => "session_updated", Sessions;
    SessionCompleted => "session_completed", Sessions;
    SystemStatus => "system_status", System, |_event| "system";
    ResourceWarning => "resource_warning", System;
    ErrorOccurred => "error_occurred", System;
    QueueStatus => "queue_status", Queue, |_event| "queue";
    PriorityChanged => "priority_changed", Queue;
    ApprovalQueueUpdated => "approval_queue_updated", Approval, |_event| "approval";
    ExportStarted => "export_started", Export;
    ExportCompleted => "export_completed", Export;
    ExportFailed => "export_failed", Export;
}

/// A job was taken and waits for a worker.
#[derive(Debug, Clone, Serialize)]
pub struct JobCreated {
    /// Also the id of its task, whose progress can be watched.
    pub job_id: String,
    pub session_id: String,
    pub priority: u8,
    /// Pictures to import.
    pub total: usize,
}

/// A worker has begun.
#[derive(Debug, Clone, Serialize)]
pub struct JobStarted {
    pub job_id: String,
    pub worker: usize,
    pub waited_ms: u64,
}

/// How far a worker is.
#[derive(Debug, Clone, Serialize)]
pub struct JobProgress {
    pub job_id: String,
    pub worker: usize,
    pub current: usize,
    pub total: usize,
}

/// A job is done.
#[derive(Debug, Clone, Serialize)]
pub struct JobCompleted {
    pub job_id: String,
    pub session_id: String,
    pub imported: usize,
    /// Pictures that could not be; each was told of by [`ErrorOccurred`].
    pub failed: usize,
    pub duration_ms: u64,
}

/// Nothing came of a job, or it was cancelled: what it had imported by then stays.
#[derive(Debug, Clone, Serialize)]
pub struct JobFailed {
    pub job_id: String,
    pub session_id: String,
    pub error: TaskError,
}

/// A picture has arrived.
#[derive(Debug, Clone, Serialize)]
pub struct PhotoImported {
    pub photo_id: String,
    pub session_id: String,
    pub job_id: String,
    pub name: String,
    pub bytes: u64,
}

/// It is known what is in a picture, and it waits for a reviewer.
#[derive(Debug, Clone, Serialize)]
pub struct PhotoAnalyzed {
    pub photo_id: String,
    pub session_id: String,
    pub sha256: String,
    pub width: u32,
    pub height: u32,
    pub format: String,
    /// As `#rrggbb`, the most frequent first.
    pub colours: Vec<String>,
    pub blurhash: String,
    pub sharpness: f64,
}

/// A picture was marked, or no longer is.
#[derive(Debug, Clone, Serialize)]
pub struct PhotoSelected {
    pub photo_id: String,
    pub session_id: String,
    pub selected: bool,
    pub by: String,
}

/// A reviewer has said yes.
#[derive(Debug, Clone, Serialize)]
pub struct PhotoApproved {
    pub photo_id: String,
    pub session_id: String,
    pub by: String,
    pub decided_at: Timestamp,
}

/// A reviewer has said no.
#[derive(Debug, Clone, Serialize)]
pub struct PhotoRejected {
    pub photo_id: String,
    pub session_id: String,
    pub by: String,
    pub decided_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// There is a new session.
#[derive(Debug, Clone, Serialize)]
pub struct SessionCreated {
    pub session_id: String,
    pub name: String,
    pub created_at: Timestamp,
}

/// A session has another name or note.
#[derive(Debug, Clone, Serialize)]
pub struct SessionUpdated {
    pub session_id: String,
    pub name: String,
    pub note: String,
    pub updated_at: Timestamp,
}

/// A session takes no more pictures.
#[derive(Debug, Clone, Serialize)]
pub struct SessionCompleted {
    pub session_id: String,
    pub photos: usize,
    pub approved: usize,
    pub rejected: usize,
    pub completed_at: Timestamp,
}

/// How the machine and the hub are.
#[derive(Debug, Clone, Serialize)]
pub struct SystemStatus {
    /// Of all cores together, 0 to 100.
    pub cpu_percent: f32,
    pub memory_used: u64,
    pub memory_total: u64,
    /// Of this process.
    pub memory_hub: u64,
    pub clients: usize,
    /// Bytes of the pictures that are held.
    pub stored: u64,
}

/// Something is about to run out. Told once, and again only if it was better in between.
#[derive(Debug, Clone, Serialize)]
pub struct ResourceWarning {
    /// `memory` of the machine, or `store` of the hub.
    pub resource: &'static str,
    pub percent: f64,
    pub limit_percent: f64,
}

/// Something went wrong, and the hub goes on.
#[derive(Debug, Clone, Serialize)]
pub struct ErrorOccurred {
    /// What it happened to, such as a picture's name.
    pub subject: String,
    pub error: TaskError,
}

/// What waits and what runs.
#[derive(Debug, Clone, Serialize)]
pub struct QueueStatus {
    pub waiting: usize,
    pub running: usize,
    /// The jobs that come next, to [`QueueStatus::SHOWN`].
    pub next: Vec<Waiting>,
}

impl QueueStatus {
    /// How many jobs it names.
    pub const SHOWN: usize = 20;
}

/// A job that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    pub job_id: String,
    pub priority: u8,
}

/// A job that waits has another place.
#[derive(Debug, Clone, Serialize)]
pub struct PriorityChanged {
    pub job_id: String,
    pub old_priority: u8,
    pub new_priority: u8,
    /// Its place in the queue, from 1.
    pub place: usize,
}

/// What waits for a reviewer.
#[derive(Debug, Clone, Serialize)]
pub struct ApprovalQueueUpdated {
    pub pending: usize,
    pub approved: usize,
    pub rejected: usize,
    /// The pictures that have waited longest, to [`ApprovalQueueUpdated::SHOWN`].
    pub next: Vec<String>,
}

impl ApprovalQueueUpdated {
    /// How many pictures it names.
    pub const SHOWN: usize = 20;
}

/// An archive is being written.
#[derive(Debug, Clone, Serialize)]
pub struct ExportStarted {
    pub export_id: String,
    pub session_id: String,
    pub photos: usize,
}

/// An archive can be had.
#[derive(Debug, Clone, Serialize)]
pub struct ExportCompleted {
    pub export_id: String,
    pub session_id: String,
    pub photos: usize,
    pub bytes: u64,
    pub sha256: String,
    pub url: String,
}

/// There is no archive.
#[derive(Debug, Clone, Serialize)]
pub struct ExportFailed {
    pub export_id: String,
    pub session_id: String,
    pub error: TaskError,
}

#[cfg(test)]
mod tests;
