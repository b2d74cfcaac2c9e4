//! Task ids.

use std::{convert::Infallible, fmt, str::FromStr, sync::Arc};

use crate::text::serde_as_text;

/// Names one task, across every node and every run of it.
///
/// 1 to [`TaskId::MAX_LEN`] characters of `[A-Za-z0-9._:-]`. A cheap clone of shared text.
///
/// An id is no secret unless it is random: [`TaskId::random`] makes a UUIDv4, which the default
/// authorizer of the web adapters accepts as proof that its holder may watch that task.
///
/// ```
/// use progress_core::TaskId;
///
/// let id: TaskId = "video-42".parse()?;
/// assert!(!id.is_random());
/// assert!(TaskId::random().is_random());
/// assert!("no spaces".parse::<TaskId>().is_err());
/// # Ok::<(), progress_core::InvalidTaskId>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(Arc<str>);

impl TaskId {
    /// The longest id, in characters (all are ASCII, so also in bytes).
    pub const MAX_LEN: usize = 128;

    /// Makes a random id: a UUIDv4 in its hyphenated form.
    #[must_use]
    pub fn random() -> Self {
        let mut buffer = uuid::Uuid::encode_buffer();
        Self(Arc::from(
            &*uuid::Uuid::new_v4().hyphenated().encode_lower(&mut buffer),
        ))
    }

    /// Returns the id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, to share.
    pub(crate) fn text(&self) -> &Arc<str> {
        &self.0
    }

    /// Tells whether the id is a UUIDv4 in its hyphenated form, hence not to be guessed.
    #[must_use]
    pub fn is_random(&self) -> bool {
        self.0.len() == 36
            && uuid::Uuid::try_parse(&self.0)
                .is_ok_and(|id| id.get_version() == Some(uuid::Version::Random))
    }

    fn checked(text: &str) -> Result<(), InvalidTaskId> {
        if text.is_empty() {
            return Err(InvalidTaskId::Empty);
        }
        if text.len() > Self::MAX_LEN {
            return Err(InvalidTaskId::TooLong { len: text.len() });
        }
        match text
            .char_indices()
            .find(|(_, c)| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-')))
        {
            Some((index, found)) => Err(InvalidTaskId::Character { index, found }),
            None => Ok(()),
        }
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl AsRef<str> for TaskId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for TaskId {
    type Err = InvalidTaskId;

    fn from_str(text: &str) -> Result<Self, InvalidTaskId> {
        Self::checked(text)?;
        Ok(Self(Arc::from(text)))
    }
}

impl TryFrom<&str> for TaskId {
    type Error = InvalidTaskId;

    fn try_from(text: &str) -> Result<Self, InvalidTaskId> {
        text.parse()
    }
}

impl TryFrom<String> for TaskId {
    type Error = InvalidTaskId;

    fn try_from(text: String) -> Result<Self, InvalidTaskId> {
        Self::checked(&text)?;
        Ok(Self(Arc::from(text)))
    }
}

impl TryFrom<&String> for TaskId {
    type Error = InvalidTaskId;

    fn try_from(text: &String) -> Result<Self, InvalidTaskId> {
        text.parse()
    }
}

impl From<&Self> for TaskId {
    fn from(id: &Self) -> Self {
        id.clone()
    }
}

serde_as_text!(TaskId);

/// Whatever a task can be named by: a [`TaskId`], a reference to one, or text that is one.
///
/// Sealed: it stands for `TryInto<TaskId>` in signatures and nothing else implements it.
pub trait IntoTaskId: sealed::Sealed {
    /// Converts to the id.
    ///
    /// # Errors
    ///
    /// [`InvalidTaskId`] if the text is not an id.
    fn into_task_id(self) -> Result<TaskId, InvalidTaskId>;
}

impl<T> IntoTaskId for T
where
    T: TryInto<TaskId>,
    T::Error: Into<InvalidTaskId>,
{
    fn into_task_id(self) -> Result<TaskId, InvalidTaskId> {
        self.try_into().map_err(Into::into)
    }
}

mod sealed {
    use super::{InvalidTaskId, TaskId};

    #[expect(unnameable_types, reason = "that is what seals it")]
    pub trait Sealed {}

    impl<T> Sealed for T
    where
        T: TryInto<TaskId>,
        T::Error: Into<InvalidTaskId>,
    {
    }
}

/// A text is not a task id.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidTaskId {
    /// The text is empty.
    Empty,
    /// The text is longer than [`TaskId::MAX_LEN`].
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The text holds a character outside `[A-Za-z0-9._:-]`.
    Character {
        /// Where it stands, in bytes.
        index: usize,
        /// The character.
        found: char,
    },
}

impl fmt::Display for InvalidTaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("task id is empty"),
            Self::TooLong { len } => write!(
                f,
                "task id has {len} bytes, the limit is {}",
                TaskId::MAX_LEN
            ),
            Self::Character { index, found } => write!(
                f,
                "task id has {found:?} at byte {index}, allowed are letters, digits and . _ : -"
            ),
        }
    }
}

impl std::error::Error for InvalidTaskId {}

impl From<Infallible> for InvalidTaskId {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
