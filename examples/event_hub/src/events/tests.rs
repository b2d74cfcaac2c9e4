//! The table of all events.

use progress_core::{
    ChannelEvent, ChannelFrame, ProgressTracker, Retention, SubscribeOptions, TaskError, TaskId,
    Timestamp,
};
use serde_json::{Map, Value};

use super::*;
use crate::{bounds::Bounds, hub::Hub};

/// Every envelope's names: the protocol's, a channel frame's, and those of the format `flat`.
const ENVELOPES: [&str; 16] = [
    "task_id",
    "epoch",
    "seq",
    "from",
    "dropped_logs",
    "event_type",
    "key",
    "timestamp",
    "data",
    "channel",
    "channel_epoch",
    "channel_seq",
    "channel_from",
    "event",
    "type",
    "position",
];

/// Name, channel, and whether it is State.
const TABLE: [(&str, &str, bool); 22] = [
    ("job_created", "jobs", false),
    ("job_started", "jobs", false),
    ("job_progress", "jobs", true),
    ("job_completed", "jobs", false),
    ("job_failed", "jobs", false),
    ("photo_imported", "photos", false),
    ("photo_analyzed", "photos", false),
    ("photo_selected", "photos", false),
    ("photo_approved", "photos", false),
    ("photo_rejected", "photos", false),
    ("session_created", "sessions", false),
    ("session_updated", "sessions", false),
    ("session_completed", "sessions", false),
    ("system_status", "system", true),
    ("resource_warning", "system", false),
    ("error_occurred", "system", false),
    ("queue_status", "queue", true),
    ("priority_changed", "queue", false),
    ("approval_queue_updated", "approval", true),
    ("export_started", "export", false),
    ("export_completed", "export", false),
    ("export_failed", "export", false),
];

fn id() -> String {
    TaskId::random().to_string()
}

fn error() -> TaskError {
    TaskError::new("EXAMPLE", "an example")
}

/// One of each, in the order of the table.
fn tell_each(hub: &Hub) {
    let now = Timestamp::now();
    let (job_id, session_id, photo_id, export_id) = (id(), id(), id(), id());
    let by = || "ada".to_owned();
    hub.tell(JobCreated {
        job_id: job_id.clone(),
        session_id: session_id.clone(),
        priority: 5,
        total: 3,
    });
    hub.tell(JobStarted {
        job_id: job_id.clone(),
        worker: 0,
        waited_ms: 7,
    });
    hub.tell(JobProgress {
        job_id: job_id.clone(),
        worker: 0,
        current: 1,
        total: 3,
    });
    hub.tell(JobCompleted {
        job_id: job_id.clone(),
        session_id: session_id.clone(),
        imported: 2,
        failed: 1,
        duration_ms: 80,
    });
    hub.tell(JobFailed {
        job_id: job_id.clone(),
        session_id: session_id.clone(),
        error: error(),
    });
    hub.tell(PhotoImported {
        photo_id: photo_id.clone(),
        session_id: session_id.clone(),
        job_id: job_id.clone(),
        name: "lake.jpg".into(),
        bytes: 4_096,
    });
    hub.tell(PhotoAnalyzed {
        photo_id: photo_id.clone(),
        session_id: session_id.clone(),
        sha256: "00".repeat(32),
        width: 640,
        height: 480,
        format: "JPEG".into(),
        colours: vec!["#102030".into()],
        blurhash: "LEHV6nWB2yk8".into(),
        sharpness: 12.5,
    });
    hub.tell(PhotoSelected {
        photo_id: photo_id.clone(),
        session_id: session_id.clone(),
        selected: true,
        by: by(),
    });
    hub.tell(PhotoApproved {
        photo_id: photo_id.clone(),
        session_id: session_id.clone(),
        by: by(),
        decided_at: now,
    });
    hub.tell(PhotoRejected {
        photo_id: photo_id.clone(),
        session_id: session_id.clone(),
        by: by(),
        decided_at: now,
        reason: Some("blurred".into()),
    });
    hub.tell(SessionCreated {
        session_id: session_id.clone(),
        name: "Lake".into(),
        created_at: now,
    });
    hub.tell(SessionUpdated {
        session_id: session_id.clone(),
        name: "Lake".into(),
        note: "at dawn".into(),
        updated_at: now,
    });
    hub.tell(SessionCompleted {
        session_id: session_id.clone(),
        photos: 3,
        approved: 2,
        rejected: 1,
        completed_at: now,
    });
    hub.tell(SystemStatus {
        cpu_percent: 12.5,
        memory_used: 1,
        memory_total: 2,
        memory_hub: 1,
        clients: 3,
        stored: 4,
    });
    hub.tell(ResourceWarning {
        resource: "memory",
        percent: 93.5,
        limit_percent: 90.0,
    });
    hub.tell(ErrorOccurred {
        subject: "torn.png".into(),
        error: error(),
    });
    let waiting = Waiting {
        job_id: job_id.clone(),
        priority: 5,
    };
    hub.tell(QueueStatus {
        waiting: 1,
        running: 2,
        next: vec![waiting],
    });
    hub.tell(PriorityChanged {
        job_id,
        old_priority: 5,
        new_priority: 9,
        place: 1,
    });
    hub.tell(ApprovalQueueUpdated {
        pending: 1,
        approved: 2,
        rejected: 3,
        next: vec![photo_id],
    });
    hub.tell(ExportStarted {
        export_id: export_id.clone(),
        session_id: session_id.clone(),
        photos: 2,
    });
    hub.tell(ExportCompleted {
        export_id: export_id.clone(),
        session_id: session_id.clone(),
        photos: 2,
        bytes: 10,
        sha256: "00".repeat(32),
        url: format!("/api/exports/{export_id}/file"),
    });
    hub.tell(ExportFailed {
        export_id,
        session_id,
        error: error(),
    });
}

/// All that was told, channel by channel: the event, and its frame.
async fn told() -> Vec<(std::sync::Arc<ChannelEvent>, Value)> {
    let tracker = ProgressTracker::new();
    let hub = Hub::new(tracker.clone(), Bounds::default()).unwrap();
    tell_each(&hub);
    let mut told = Vec::new();
    for channel in Channel::ALL {
        let mut events = tracker.subscribe_channel(channel.as_str(), SubscribeOptions::new());
        let head = events.head().unwrap();
        while events.position() != Some(head) {
            if let Some(ChannelFrame::Event(event)) = events.next().await {
                let frame = serde_json::from_slice(&event.to_json()).unwrap();
                told.push((event.event, frame));
            }
        }
    }
    told
}

#[tokio::test]
async fn each_of_the_22_goes_out_on_its_channel_with_its_name_and_class() {
    let told = told().await;
    let is_state = |event: &ChannelEvent| matches!(event.retention(), Retention::State(_));
    let mut seen: Vec<_> = told
        .iter()
        .map(|(event, _)| {
            (
                event.event_type(),
                event.channel().as_str(),
                is_state(event),
            )
        })
        .collect();
    let place = |row: &(&str, &str, bool)| TABLE.iter().position(|known| known == row);
    seen.sort_by_key(place);
    assert_eq!(seen, TABLE);
}

#[tokio::test]
async fn timestamps_have_a_zone() {
    fn check(value: &Value, name: &str) -> usize {
        match value {
            Value::Object(fields) => fields.iter().map(|(name, value)| check(value, name)).sum(),
            Value::Array(items) => items.iter().map(|item| check(item, name)).sum(),
            Value::String(text) if name == "timestamp" || name.ends_with("_at") => {
                assert!(text.ends_with('Z'), "{name}: {text}");
                text.parse::<Timestamp>().unwrap();
                1
            }
            _ => 0,
        }
    }
    let told = told().await;
    let times: usize = told.iter().map(|(_, frame)| check(frame, "")).sum();
    // Each event's own, and what five of them say.
    assert_eq!(times, 22 + 5);
}

#[tokio::test]
async fn payload_fields_do_not_collide_with_the_envelopes() {
    let told = told().await;
    assert_eq!(told.len(), 22);
    for (event, frame) in told {
        let data: &Map<String, Value> = frame["event"]["data"].as_object().unwrap();
        let taken: Vec<_> = ENVELOPES
            .iter()
            .filter(|name| data.contains_key(**name))
            .collect();
        assert!(taken.is_empty(), "{}: {taken:?}", event.event_type());
    }
}

#[tokio::test]
async fn progress_has_as_many_keys_as_workers_however_many_jobs_there_are() {
    let tracker = ProgressTracker::new();
    let hub = Hub::new(tracker.clone(), Bounds::default()).unwrap();
    // More than a channel can have keys.
    for job in 0..5_000 {
        hub.tell(JobProgress {
            job_id: id(),
            worker: job % 2,
            current: 1,
            total: 1,
        });
    }
    let events = tracker.subscribe_channel("jobs", SubscribeOptions::new());
    assert_eq!(events.head().unwrap().seq().get(), 5_000);
}
