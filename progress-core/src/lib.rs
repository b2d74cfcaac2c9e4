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

mod background;
#[cfg(feature = "batch")]
pub mod batch;
mod channel;
mod error;
mod estimator;
mod event;
mod id;
mod limits;
mod link;
pub mod log;
#[cfg(all(test, loom))]
mod loom_support;
mod position;
#[cfg(feature = "schema")]
mod schema;
mod shared;
mod snapshot;
mod stage_index;
mod subscription;
mod sync;
mod task;
#[cfg(feature = "testing")]
pub mod testing;
mod text;
mod time;
#[cfg(feature = "tracing-layer")]
pub mod tracing_layer;
mod track;
mod tracker;
pub mod transport;

pub use self::{
    channel::{
        Channel, ChannelBody, ChannelEvent, ChannelName, IntoChannelName, InvalidChannelName,
    },
    error::{
        CancelError, ChannelError, LookupError, PublishError, RemoveError, StageError, StartError,
    },
    event::{
        Children, Complete, Custom, Data, DecodeError, Event, EventPayload, InvalidEventType,
        Level, LogLine, Metadata, Note, Payload, ProgressUpdate, Queued, Retention, StageChange,
        StageDecl, Started, Status, TaskError, TaskState, check_event_type,
    },
    id::{IntoTaskId, InvalidTaskId, TaskId},
    limits::Limits,
    log::{GapReason, Lagged, OnLag},
    position::{Epoch, InvalidPosition, Position, Seq},
    shared::{EventInput, InvalidInput, InvalidMessage, Published, SharedTask},
    snapshot::{Snapshot, StageSnapshot, StageState},
    subscription::{
        ChannelDelivered, ChannelFrame, ChannelSubscription, ChannelVerdict, Delivered, Frame,
        GapFrame, Replay, ResetFrame, ResetReason, Resume, SubscribeError, SubscribeOptions,
        Subscription, Verdict,
    },
    task::{ChildPolicy, EndError, Reporter, Task, TaskBuilder, WeakReporter},
    time::{InvalidTimestamp, Timestamp},
    track::{Track, Tracked},
    tracker::{
        Drained, HistoryPage, InvalidTaskCursor, OnceError, ProgressTracker, TaskCursor,
        TaskFilter, TaskPage, TrackerBuilder, TrackerStats,
    },
};
