//! Wall time for people, monotonic time for durations.

use std::{
    fmt,
    str::FromStr,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use crate::text::serde_as_text;

/// A moment of wall time in milliseconds since the Unix epoch; RFC 3339 in UTC on the wire, with
/// milliseconds and `Z`.
///
/// ```
/// use progress_core::Timestamp;
///
/// let moment = Timestamp::from_millis(1_795_355_773_123);
/// assert_eq!(moment.to_string(), "2026-11-22T13:56:13.123Z");
/// assert_eq!("2026-11-22T14:56:13.123+01:00".parse(), Ok(moment));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Makes the moment `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Reads the system's clock.
    #[must_use]
    pub fn now() -> Self {
        SystemTime::now().into()
    }
}

impl From<SystemTime> for Timestamp {
    /// What is before 1970 becomes its beginning.
    fn from(time: SystemTime) -> Self {
        let since = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(moment) => write!(f, "{moment:.3}"),
            // Outside the years -9999 to 9999 there is no RFC 3339 text; no clock says so.
            Err(_) => f.write_str("1970-01-01T00:00:00.000Z"),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({self})")
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        text.parse::<jiff::Timestamp>()
            .map(|moment| Self(moment.as_millisecond()))
            .map_err(|_| InvalidTimestamp)
    }
}

serde_as_text!(Timestamp);

/// A text is not an RFC 3339 timestamp with an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "carries nothing and never will")]
pub struct InvalidTimestamp;

impl fmt::Display for InvalidTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timestamp is not RFC 3339 with an offset, such as 2026-11-22T13:56:13.123Z")
    }
}

impl std::error::Error for InvalidTimestamp {}

/// Wall time derived from one monotonic reading, so that publishing reads one clock, not two.
#[derive(Debug)]
pub(crate) struct Clock {
    base: Instant,
    /// Wall milliseconds at `base`; moved by [`Clock::follow_steps`].
    wall_at_base: AtomicI64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            base: Instant::now(),
            wall_at_base: AtomicI64::new(Timestamp::now().as_millis()),
        }
    }

    pub(crate) fn at(&self, now: Instant) -> Timestamp {
        let elapsed = i64::try_from(self.since_base(now).as_millis()).unwrap_or(i64::MAX);
        // Relaxed: a plain value, nothing is published through it.
        Timestamp(
            self.wall_at_base
                .load(Ordering::Relaxed)
                .saturating_add(elapsed),
        )
    }

    /// Takes over a step of the system's clock (NTP, an administrator).
    pub(crate) fn follow_steps(&self, now: Instant) {
        let elapsed = i64::try_from(self.since_base(now).as_millis()).unwrap_or(i64::MAX);
        self.wall_at_base.store(
            Timestamp::now().as_millis().saturating_sub(elapsed),
            Ordering::Relaxed,
        );
    }

    fn since_base(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.base)
    }
}
