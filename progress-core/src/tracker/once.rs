//! Names that can be used once.

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{limits::Limits, tracker::ProgressTracker, transport::TransportError};

impl ProgressTracker {
    /// Uses a name up, for a time: true for the first who asks, on whichever node, and false for
    /// all others until the time is over. For what is to happen once, such as taking a ticket.
    ///
    /// Without a transport this tracker alone remembers, in memory and up to
    /// [`Limits::ONCE`] names at a time.
    ///
    /// # Errors
    ///
    /// [`OnceError`] if it cannot be told: then it may have been used up or not, and nobody is to
    /// go on as if it were theirs.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it open whether the name is used up.
    ///
    /// ```
    /// use std::time::Duration;
    /// use progress_core::ProgressTracker;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let tracker = ProgressTracker::new();
    /// let minute = Duration::from_secs(60);
    /// assert!(tracker.once("ticket:7f3a", minute).await?);
    /// assert!(!tracker.once("ticket:7f3a", minute).await?);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn once(&self, name: &str, ttl: Duration) -> Result<bool, OnceError> {
        if name.len() > Limits::NAME_LEN {
            return Err(OnceError::TooLong {
                length: name.len(),
                limit: Limits::NAME_LEN,
            });
        }
        match &self.shared.link {
            Some(link) => Ok(link.transport.once(name, ttl).await?),
            None => self.shared.once.take(name, ttl),
        }
    }
}

/// The names that are used up here.
#[derive(Debug, Default)]
pub(crate) struct Once(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    until: HashMap<Box<str>, Instant>,
    /// How many names there may be before the next look for those whose time is over: twice of
    /// what the last one left, so that a look costs each name little.
    look_at: usize,
}

impl Once {
    fn take(&self, name: &str, ttl: Duration) -> Result<bool, OnceError> {
        let now = Instant::now();
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.until.len() >= taken.look_at {
            taken.until.retain(|_, until| *until > now);
            taken.look_at = (taken.until.len() * 2).clamp(FEW, Limits::ONCE);
        }
        if taken.until.get(name).is_some_and(|until| *until > now) {
            return Ok(false);
        }
        if taken.until.len() >= Limits::ONCE {
            return Err(OnceError::TooMany {
                limit: Limits::ONCE,
            });
        }
        // Past what a clock can count to it is for as long as can be told.
        let until = now.checked_add(ttl.min(Limits::LONGEST_RETENTION));
        taken.until.insert(name.into(), until.unwrap_or(now));
        Ok(true)
    }
}

/// Why it cannot be told whether a name was [used up](ProgressTracker::once).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnceError {
    /// The name is longer than it may be.
    TooLong {
        /// Its bytes.
        length: usize,
        /// The most.
        limit: usize,
    },
    /// So many names are used up at this time.
    TooMany {
        /// The most.
        limit: usize,
    },
    /// The broker cannot be asked.
    Unavailable(TransportError),
}

impl fmt::Display for OnceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { length, limit } => {
                write!(f, "a name has {length} bytes, the limit is {limit}")
            }
            Self::TooMany { limit } => {
                write!(f, "too many names are used up, the limit is {limit}")
            }
            Self::Unavailable(_) => f.write_str("the broker cannot be asked"),
        }
    }
}

impl Error for OnceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable(error) => Some(error),
            Self::TooLong { .. } | Self::TooMany { .. } => None,
        }
    }
}

impl From<TransportError> for OnceError {
    fn from(error: TransportError) -> Self {
        Self::Unavailable(error)
    }
}

/// Names of which those that are over may stay.
const FEW: usize = 1_024;

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_name_is_used_up_until_its_time_is_over() {
        let tracker = ProgressTracker::new();
        let minute = Duration::from_secs(60);
        assert_eq!(tracker.once("a", minute).await, Ok(true));
        assert_eq!(tracker.once("a", minute).await, Ok(false));
        assert_eq!(tracker.once("b", minute).await, Ok(true));
        advance(minute).await;
        assert_eq!(tracker.once("a", minute).await, Ok(true));
        assert_eq!(tracker.once("a", Duration::MAX).await, Ok(false));
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_a_limit_and_what_is_over_makes_room() {
        let tracker = ProgressTracker::new();
        let (short, long) = (Duration::from_secs(1), Duration::from_secs(60));
        for n in 0..Limits::ONCE {
            let ttl = if n % 2 == 0 { short } else { long };
            assert_eq!(tracker.once(&n.to_string(), ttl).await, Ok(true));
        }
        let limit = Limits::ONCE;
        let full = tracker.once("one more", short).await;
        assert_eq!(full, Err(OnceError::TooMany { limit }));
        advance(short).await;
        assert_eq!(tracker.once("one more", short).await, Ok(true));
        assert_eq!(tracker.once("1", short).await, Ok(false));
        let long = "n".repeat(Limits::NAME_LEN + 1);
        let refused = tracker.once(&long, short).await;
        assert!(matches!(
            refused,
            Err(OnceError::TooLong { length: 129, .. })
        ));
    }
}
