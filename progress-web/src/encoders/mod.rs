//! Frames in an application's own shape.
//!
//! A service that already has clients keeps them: a [`FrameEncoder`] makes, from the same events,
//! the messages that they know. Register it with [`GatewayBuilder::format`]; a client asks for it
//! with `?format=name`, or gets it without asking by [`GatewayBuilder::default_format`]. Positions,
//! replay, heartbeats and limits stay as they are: on event streams an event's id is still its
//! position, so that a client that comes back misses and repeats nothing.
//!
//! [`presets`] are shapes that are in use elsewhere.
//!
//! [`GatewayBuilder::format`]: crate::GatewayBuilder::format
//! [`GatewayBuilder::default_format`]: crate::GatewayBuilder::default_format

mod format;
pub mod presets;
mod wire_frame;

use std::fmt;

use progress_core::Snapshot;

pub(crate) use self::format::{Format, Formats};
pub use self::wire_frame::WireFrame;

/// Makes messages of an application's own shape.
///
/// It is asked once for what goes to many clients, so what it makes depends on nothing but its
/// arguments. It is called while a connection is served: it must not block.
///
/// ```
/// use progress_core::ProgressTracker;
/// use progress_web::{
///     Gateway,
///     encoders::{FrameEncoder, WireFrame},
/// };
/// use serde_json::json;
///
/// /// `{"job":"video-42","percent":41.7}`, and nothing else.
/// #[derive(Debug)]
/// struct Percent;
///
/// impl FrameEncoder for Percent {
///     fn frame(&self, frame: &WireFrame) -> Option<String> {
///         let percent = frame.number("progress")?;
///         Some(json!({"job": frame.task_id, "percent": percent}).to_string())
///     }
/// }
///
/// let gateway = Gateway::builder(ProgressTracker::new())
///     .format("percent", Percent)
///     .build();
/// # drop(gateway);
/// ```
pub trait FrameEncoder: fmt::Debug + Send + Sync + 'static {
    /// Makes a message of a frame of `progress.v1`: an event of a task or channel, or a control
    /// frame; none if the application's clients are not told of such.
    ///
    /// What was before a watcher came is told again, and says so
    /// ([`is_history`](WireFrame::is_history)): the watcher knows the state that it led to.
    ///
    /// `heartbeat` is one of them. On an event stream a comment goes out where it makes nothing,
    /// so that a client that is gone is still found.
    fn frame(&self, frame: &WireFrame) -> Option<String>;

    /// Makes a message of a task as it stands, for applications whose messages tell the whole
    /// state; none by default.
    ///
    /// It is asked where [`takes_snapshots`](Self::takes_snapshots): when a watcher comes, and
    /// then once for all the events that a connection has in a batch, before they are made frames
    /// of. What is replayed is no reason to ask again.
    fn snapshot(&self, snapshot: &Snapshot) -> Option<String> {
        let _ = snapshot;
        None
    }

    /// Whether [`snapshot`](Self::snapshot) makes anything (default no).
    fn takes_snapshots(&self) -> bool {
        false
    }
}
