#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(
    missing_docs,
    missing_debug_implementations,
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used
)]

mod error;
mod estimator;
mod event;
mod id;
mod limits;
pub mod log;
mod position;
mod snapshot;
mod stage_index;
mod subscription;
mod sync;
mod task;
mod text;
mod time;
mod tracker;

pub use self::{
    error::{LookupError, PublishError, RemoveError, StageError, StartError},
    event::{
        Children, Complete, Custom, Data, DecodeError, Event, EventPayload, InvalidEventType,
        Level, LogLine, Metadata, Note, Payload, ProgressUpdate, Queued, StageChange, StageDecl,
        Started, Status, TaskError, TaskState, check_event_type,
    },
    id::{IntoTaskId, InvalidTaskId, TaskId},
    limits::Limits,
    log::{GapReason, Lagged, OnLag},
    position::{Epoch, InvalidPosition, Position, Seq},
    snapshot::{Snapshot, StageSnapshot, StageState},
    subscription::{
        Delivered, Frame, GapFrame, Replay, ResetFrame, ResetReason, Resume, SubscribeError,
        SubscribeOptions, Subscription, Verdict,
    },
    task::{ChildPolicy, EndError, Reporter, Task, TaskBuilder},
    time::{InvalidTimestamp, Timestamp},
    tracker::{
        HistoryPage, InvalidTaskCursor, ProgressTracker, TaskCursor, TaskFilter, TaskPage,
        TrackerBuilder, TrackerStats,
    },
};
