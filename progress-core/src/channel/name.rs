//! Names of channels.

use std::{convert::Infallible, fmt, str::FromStr, sync::Arc};

use crate::{id::TaskId, text::serde_as_text};

/// Names a channel: 1 to 128 characters of `[A-Za-z0-9._:-]`, as a [`TaskId`].
///
/// Names that begin with `_` are the library's own; of those there is one,
/// [`TASKS`](Self::TASKS), the live list of tasks. A cheap clone of shared text.
///
/// ```
/// use progress_core::ChannelName;
///
/// let jobs: ChannelName = "jobs".parse()?;
/// assert!("_mine".parse::<ChannelName>().is_err());
/// # drop(jobs);
/// # Ok::<(), progress_core::InvalidChannelName>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

impl ChannelName {
    /// The live list of tasks: every task's life and progress, without its log lines, errors and
    /// custom events.
    pub const TASKS: &'static str = "_tasks";

    /// Returns the name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether only the library itself publishes there.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('_')
    }

    pub(crate) fn tasks() -> Self {
        Self(Arc::from(Self::TASKS))
    }
}

impl FromStr for ChannelName {
    type Err = InvalidChannelName;

    fn from_str(text: &str) -> Result<Self, InvalidChannelName> {
        if text.starts_with('_') && text != Self::TASKS {
            return Err(InvalidChannelName::Reserved);
        }
        // The same alphabet and length, checked in one place.
        match text.parse::<TaskId>() {
            Ok(_) => Ok(Self(Arc::from(text))),
            Err(_) => Err(InvalidChannelName::Malformed { len: text.len() }),
        }
    }
}

impl TryFrom<&str> for ChannelName {
    type Error = InvalidChannelName;

    fn try_from(text: &str) -> Result<Self, InvalidChannelName> {
        text.parse()
    }
}

impl TryFrom<String> for ChannelName {
    type Error = InvalidChannelName;

    fn try_from(text: String) -> Result<Self, InvalidChannelName> {
        text.parse()
    }
}

impl From<&Self> for ChannelName {
    fn from(name: &Self) -> Self {
        name.clone()
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

serde_as_text!(ChannelName);

/// Whatever a channel can be named by. Sealed, as [`IntoTaskId`](crate::IntoTaskId).
pub trait IntoChannelName: sealed::Sealed {
    /// Converts to the name.
    ///
    /// # Errors
    ///
    /// [`InvalidChannelName`] if the text is no name.
    fn into_channel_name(self) -> Result<ChannelName, InvalidChannelName>;
}

impl<T> IntoChannelName for T
where
    T: TryInto<ChannelName>,
    T::Error: Into<InvalidChannelName>,
{
    fn into_channel_name(self) -> Result<ChannelName, InvalidChannelName> {
        self.try_into().map_err(Into::into)
    }
}

mod sealed {
    use super::{ChannelName, InvalidChannelName};

    #[expect(unnameable_types, reason = "that is what seals it")]
    pub trait Sealed {}

    impl<T> Sealed for T
    where
        T: TryInto<ChannelName>,
        T::Error: Into<InvalidChannelName>,
    {
    }
}

/// A text is no name of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidChannelName {
    /// It is empty, too long, or has characters outside `[A-Za-z0-9._:-]`.
    Malformed {
        /// Its length in bytes.
        len: usize,
    },
    /// It begins with `_`, as only the library's own do.
    Reserved,
}

impl fmt::Display for InvalidChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { len } => write!(
                f,
                "channel name of {len} bytes is not 1 to {} of letters, digits and . _ : -",
                TaskId::MAX_LEN
            ),
            Self::Reserved => f.write_str("channel names that begin with _ are reserved"),
        }
    }
}

impl std::error::Error for InvalidChannelName {}

impl From<Infallible> for InvalidChannelName {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
