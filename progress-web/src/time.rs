//! Times, as they are told.

use std::time::Duration;

/// Whole milliseconds; what is longer than they can say is told as the longest.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
