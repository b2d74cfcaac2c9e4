//! Where an event stands: sequence number, epoch, position.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::text::serde_as_text;

/// The number of an event within one epoch of its task: 1, 2, 3… without holes.
///
/// [`Seq::ZERO`] stands before the first event.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Seq(u64);

impl Seq {
    /// Before the first event.
    pub const ZERO: Self = Self(0);

    /// Makes a sequence number.
    #[must_use]
    pub const fn new(seq: u64) -> Self {
        Self(seq)
    }

    /// Returns the bare number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One run of a task: a generation number minted when the run starts, from the clock in
/// milliseconds, and always above that of the run before.
///
/// On the wire it is lower-case hex, opaque to readers. Epochs that this family never mints, but
/// that are well formed (`[A-Za-z0-9]{1,32}`), all parse to [`Epoch::FOREIGN`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(u64);

impl Epoch {
    /// A well-formed epoch that no task here can have; it displays as `0`.
    pub const FOREIGN: Self = Self(0);

    /// Makes the epoch of a generation.
    #[must_use]
    pub const fn new(generation: u64) -> Self {
        Self(generation)
    }

    /// Returns the generation.
    #[must_use]
    pub const fn generation(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({:x})", self.0)
    }
}

impl FromStr for Epoch {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        if text.is_empty() || text.len() > 32 || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(InvalidPosition);
        }
        // Only the form that Display writes is ours: `0A` and `a` must not be the same epoch.
        let canonical = !text.starts_with('0')
            && text.len() <= 16
            && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        Ok(if canonical {
            u64::from_str_radix(text, 16).map_or(Self::FOREIGN, Self)
        } else {
            Self::FOREIGN
        })
    }
}

/// A place in a task's log, `epoch:seq`: everything up to and including that event has been seen.
///
/// ```
/// use progress_core::Position;
///
/// let position: Position = "18f2c1a7b3d:57".parse()?;
/// assert_eq!(position.seq().get(), 57);
/// assert_eq!(position.to_string(), "18f2c1a7b3d:57");
/// # Ok::<(), progress_core::InvalidPosition>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    epoch: Epoch,
    seq: Seq,
}

impl Position {
    /// Makes a position.
    #[must_use]
    pub const fn new(epoch: Epoch, seq: Seq) -> Self {
        Self { epoch, seq }
    }

    /// Returns the run.
    #[must_use]
    pub const fn epoch(self) -> Epoch {
        self.epoch
    }

    /// Returns the event's number within the run.
    #[must_use]
    pub const fn seq(self) -> Seq {
        self.seq
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.seq)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Position({self})")
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (epoch, seq) = text.split_once(':').ok_or(InvalidPosition)?;
        if seq.is_empty() || seq.len() > 19 || !seq.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidPosition);
        }
        // Nineteen digits always fit.
        let seq = seq.parse().map_err(|_| InvalidPosition)?;
        Ok(Self::new(epoch.parse()?, Seq(seq)))
    }
}

serde_as_text!(Epoch, Position);

/// A text is not a position of the form `[A-Za-z0-9]{1,32}:[0-9]{1,19}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "carries nothing and never will")]
pub struct InvalidPosition;

impl fmt::Display for InvalidPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("position is not of the form epoch:seq, such as 18f2c1a7b3d:57")
    }
}

impl std::error::Error for InvalidPosition {}
