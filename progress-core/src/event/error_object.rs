//! The error object that tasks, events and HTTP bodies share.

use std::{fmt, sync::LazyLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    error::PublishError,
    event::{Metadata, check_depth},
    time::Timestamp,
};

/// Says what went wrong, to people and to programs: the error object of the wire.
///
/// ```
/// use progress_core::TaskError;
///
/// let error = TaskError::new("DID_API_ERROR", "The render service is busy")
///     .retryable(true)
///     .solution("Try again in a minute");
/// assert_eq!(error.code(), "DID_API_ERROR");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct TaskError(Box<Object>);

/// Apart, because most places for an error are empty: two in each snapshot, one in each end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct Object {
    code: Box<str>,
    message: Box<str>,
    #[serde(default)]
    is_retryable: bool,
    #[serde(flatten)]
    more: Extra,
}

/// [`More`], if there is any.
#[derive(Debug, Clone, PartialEq, Default)]
struct Extra(Option<Box<More>>);

impl Extra {
    fn get(&self) -> Option<&More> {
        self.0.as_deref()
    }

    fn get_mut(&mut self) -> &mut More {
        self.0.get_or_insert_default()
    }
}

impl Serialize for Extra {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.get() {
            Some(more) => more.serialize(serializer),
            None => More::default().serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Extra {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let more = More::deserialize(deserializer)?;
        Ok(Self((more != More::default()).then(|| Box::new(more))))
    }
}

/// What is known only of some errors, apart so that the others stay small.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct More {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stage: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_count: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_retries: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    details: Metadata,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    solutions: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timestamp: Option<Timestamp>,
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Extra {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        More::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        More::json_schema(generator)
    }
}

impl TaskError {
    /// Makes an error that is not retryable.
    ///
    /// `code` is a stable name in `UPPER_SNAKE`; `message` is shown to users, so it must be safe
    /// for them: no paths, no addresses, no secrets.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self(Box::new(Object {
            code: code.into(),
            message: message.into().into(),
            is_retryable: false,
            more: Extra::default(),
        }))
    }

    /// Sets whether the same thing may succeed if tried again (default no).
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.0.is_retryable = retryable;
        self
    }

    /// Sets the stage in which it happened.
    #[must_use]
    pub fn stage(mut self, path: impl Into<String>) -> Self {
        self.0.more.get_mut().stage = Some(path.into());
        self
    }

    /// Sets the stage in which it happened, unless it names one.
    #[must_use]
    pub fn in_stage(mut self, path: &str) -> Self {
        let stage = &mut self.0.more.get_mut().stage;
        stage.get_or_insert_with(|| path.to_owned());
        self
    }

    /// Sets which retry comes next, of how many.
    #[must_use]
    pub fn retry(mut self, retry_count: u32, max_retries: u32) -> Self {
        let more = self.0.more.get_mut();
        more.retry_count = Some(retry_count);
        more.max_retries = Some(max_retries);
        self
    }

    /// Sets how long to wait before trying again.
    #[must_use]
    pub fn retry_after(mut self, wait: std::time::Duration) -> Self {
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.0.more.get_mut().retry_after_ms = Some(wait);
        self
    }

    /// Adds a detail for programs.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.0.more.get_mut().details.insert(name, value.into());
        self
    }

    /// Adds something the user can do about it.
    #[must_use]
    pub fn solution(mut self, text: impl Into<String>) -> Self {
        self.0.more.get_mut().solutions.push(text.into());
        self
    }

    /// Sets the trace that explains it.
    #[must_use]
    pub fn trace_id(mut self, id: impl Into<String>) -> Self {
        self.0.more.get_mut().trace_id = Some(id.into());
        self
    }

    pub(crate) fn trace(&self) -> Option<&str> {
        self.0.more.get()?.trace_id.as_deref()
    }

    /// Returns the code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// Returns the message for users.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Tells whether the same thing may succeed if tried again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.is_retryable
    }

    /// Returns what the user can do about it.
    #[must_use]
    pub fn solutions(&self) -> &[String] {
        self.0.more.get().map_or(&[], |more| &more.solutions)
    }

    /// Returns the details for programs.
    #[must_use]
    pub fn details(&self) -> &Metadata {
        static NONE: LazyLock<Metadata> = LazyLock::new(Metadata::default);
        match self.0.more.get() {
            Some(more) => &more.details,
            None => &NONE,
        }
    }

    /// Returns how long to wait before trying again, in milliseconds.
    #[must_use]
    pub fn retry_after_ms(&self) -> Option<u64> {
        self.0.more.get()?.retry_after_ms
    }

    pub(crate) fn check_depth(&self) -> Result<(), PublishError> {
        let mut details = self.details().iter();
        details.try_for_each(|(_, value)| check_depth("details", value))
    }

    pub(crate) fn size(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let more = self.0.more.get().map_or(0, |more| {
            text(&more.stage)
                + text(&more.trace_id)
                + more.details.size()
                + more.solutions.iter().map(String::len).sum::<usize>()
        });
        self.0.code.len() + self.0.message.len() + more
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)
    }
}

impl std::error::Error for TaskError {}
