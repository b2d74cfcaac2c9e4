//! Why a log does not take an item.

use std::fmt;

/// An item was not appended; it is given back.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushError<T> {
    /// Why.
    pub kind: PushErrorKind,
    /// The item.
    pub item: T,
}

/// Why an item was not appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushErrorKind {
    /// The log has ended.
    Ended,
    /// The State key is past the limit.
    TooManyKeys {
        /// [`LogLimits::keys`](super::LogLimits::keys).
        limit: u32,
    },
    /// The State that nothing supersedes would alone exceed the budget.
    Full {
        /// [`LogLimits::bytes`](super::LogLimits::bytes).
        limit: usize,
    },
}

impl PushErrorKind {
    pub(super) fn with<T>(self, item: T) -> PushError<T> {
        PushError { kind: self, item }
    }
}

impl fmt::Display for PushErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the log has ended"),
            Self::TooManyKeys { limit } => {
                write!(f, "too many State keys, the limit is {limit}")
            }
            Self::Full { limit } => write!(
                f,
                "live State would exceed the log's budget of {limit} bytes"
            ),
        }
    }
}

impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushError")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.kind, f)
    }
}

impl<T> std::error::Error for PushError<T> {}
