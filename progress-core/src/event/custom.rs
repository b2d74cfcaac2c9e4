//! Events of the application's own.

use std::{borrow::Cow, fmt};

use serde::Serialize;

/// A type whose values are events of the application's own.
///
/// ```
/// use progress_core::{EventPayload, ProgressTracker};
/// use serde::Serialize;
///
/// #[derive(Serialize)]
/// struct PhotoApproved {
///     photo: u64,
/// }
///
/// impl EventPayload for PhotoApproved {
///     const EVENT_TYPE: &'static str = "photo_approved";
/// }
///
/// let tracker = ProgressTracker::new();
/// let task = tracker.task("album-7").start()?;
/// task.emit(PhotoApproved { photo: 9 })?;
/// task.complete(())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait EventPayload: Serialize {
    /// The event type: `[a-z][a-z0-9_.]{0,63}`, none of the built-in and control names.
    const EVENT_TYPE: &'static str;

    /// With a key (to 128 bytes), the event is State: it replaces the one before of the same
    /// type and key. Without, as by default, it is a milestone and kept.
    fn key(&self) -> Option<Cow<'_, str>> {
        None
    }
}

/// Checks that a name can be the type of a custom event.
///
/// # Errors
///
/// [`InvalidEventType`] if it is not of the form, or is taken by the protocol.
pub const fn check_event_type(name: &str) -> Result<(), InvalidEventType> {
    let name = name.as_bytes();
    let [b'a'..=b'z', rest @ ..] = name else {
        return Err(InvalidEventType::Malformed);
    };
    if rest.len() > 63 {
        return Err(InvalidEventType::Malformed);
    }
    // Loops by index: constant functions have no iterators.
    let mut index = 0;
    while index < rest.len() {
        if !matches!(rest[index], b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.') {
            return Err(InvalidEventType::Malformed);
        }
        index += 1;
    }
    let mut index = 0;
    while index < RESERVED.len() {
        if is_equal(name, RESERVED[index].as_bytes()) {
            return Err(InvalidEventType::Reserved);
        }
        index += 1;
    }
    Ok(())
}

const fn is_equal(one: &[u8], other: &[u8]) -> bool {
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}

/// The built-in event types and the names of control frames.
const RESERVED: [&str; 20] = [
    "queued",
    "started",
    "stage_change",
    "progress_update",
    "log",
    "error",
    "paused",
    "resumed",
    "stalled",
    "recovered",
    "cancel_requested",
    "complete",
    "connected",
    "subscribed",
    "heartbeat",
    "gap",
    "reset",
    "rejected",
    "draining",
    "pong",
];

/// A name cannot be the type of a custom event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidEventType {
    /// It is not of the form `[a-z][a-z0-9_.]{0,63}`.
    Malformed,
    /// It is a built-in event type or the name of a control frame.
    Reserved,
}

impl fmt::Display for InvalidEventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "event type is not of the form [a-z][a-z0-9_.]{0,63}",
            Self::Reserved => "event type is reserved by the protocol",
        })
    }
}

impl std::error::Error for InvalidEventType {}
