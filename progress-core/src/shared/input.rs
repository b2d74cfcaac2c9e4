//! What a publisher without the task's handle sends.

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::Value;

use crate::{
    error::{PublishError, StageError},
    event::Payload,
};

/// An event as a publisher without the task's handle sends it: a worker over HTTP or in another
/// language. On the wire `{"event_type","data","key"?,"id"?}`.
///
/// Its data may be partial: a `progress_update` says what has changed, and what was said before
/// stays. What only the tracker knows (`n` of a log line, `previous_stage`, the percent of the
/// whole, times) is filled in by it and ignored if it is given.
///
/// | `event_type` | `data` |
/// | --- | --- |
/// | `progress_update` | any of `progress`, `message`, `metadata`, `current`, `total`, `unit`, `eta_ms`; with `stage` also `stage_progress`, `stage_eta_ms` |
/// | `stage_change` | `current_stage` |
/// | `log` | `message`, `level?` (default `INFO`), `stage?`, `fields?` |
/// | `error` | the error object; `code` and `message` are required |
/// | `paused`, `resumed` | `reason?` |
/// | `complete` | `status`, `result?`, `error?`, `cause?` |
/// | any other | whatever the application likes; with a `key` it is State |
///
/// Words that other systems have for the same are read too, where ours are not said: `event` for
/// `event_type`; in a `progress_update` `current_stage` and `estimated_remaining` in seconds; in an
/// error `error_code`, `error_message` and `retryable`, also beside the status of a `complete`;
/// levels and statuses in any case.
///
/// It is checked when it is published.
///
/// ```
/// use progress_core::EventInput;
///
/// let event: EventInput = serde_json::from_str(
///     r#"{"event_type":"progress_update","data":{"stage":"matte","current":75,"total":120},"id":"7f3a-12"}"#,
/// )?;
/// assert_eq!(event.event_type(), "progress_update");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Sent")]
pub struct EventInput {
    pub(crate) event_type: String,
    pub(crate) data: Payload,
    pub(crate) key: Option<Arc<str>>,
    pub(crate) id: Option<Arc<str>>,
}

/// As it was sent, by us or by others.
#[derive(Deserialize)]
struct Sent {
    event_type: Option<String>,
    event: Option<Value>,
    #[serde(default = "nothing")]
    data: Payload,
    key: Option<Arc<str>>,
    id: Option<Arc<str>>,
}

impl TryFrom<Sent> for EventInput {
    type Error = &'static str;

    fn try_from(sent: Sent) -> Result<Self, Self::Error> {
        let theirs = sent.event.and_then(|event| match event {
            Value::String(name) => Some(name),
            _ => None,
        });
        Ok(Self {
            event_type: sent.event_type.or(theirs).ok_or("there is no event_type")?,
            data: sent.data,
            key: sent.key,
            id: sent.id,
        })
    }
}

impl EventInput {
    /// The longest id, in bytes.
    pub const ID_LEN: usize = 128;

    /// Makes an event without key and id.
    ///
    /// # Errors
    ///
    /// [`PublishError::NotJson`] if the data has no JSON form.
    pub fn new<T: Serialize + ?Sized>(
        event_type: impl Into<String>,
        data: &T,
    ) -> Result<Self, PublishError> {
        let data = Payload::new(data).map_err(|error| PublishError::NotJson {
            reason: error.to_string(),
        })?;
        Ok(Self {
            event_type: event_type.into(),
            data,
            key: None,
            id: None,
        })
    }

    /// Makes a custom event State (default: it is a milestone): it replaces the one before of the
    /// same type and key. To [`Limits::NAME_LEN`](crate::Limits::NAME_LEN) bytes.
    #[must_use]
    pub fn key(mut self, key: impl AsRef<str>) -> Self {
        self.key = Some(Arc::from(key.as_ref()));
        self
    }

    /// Sets what tells a repetition (default none): an event of the same id is published once, and
    /// a repetition is answered with the first one's position. Of 1 to [`Self::ID_LEN`] bytes;
    /// the newest 1 024 of each task are remembered.
    #[must_use]
    pub fn id(mut self, id: impl AsRef<str>) -> Self {
        self.id = Some(Arc::from(id.as_ref()));
        self
    }

    /// Names the trace that explains an `error` event, if it names none itself; nothing is done to
    /// any other event.
    #[must_use]
    pub fn trace_id(mut self, id: &str) -> Self {
        if self.event_type == "error"
            && let Some(fields) = self.data.json().trim_start().strip_prefix('{')
            && let Ok(known) =
                serde_json::from_str::<BTreeMap<Cow<'_, str>, IgnoredAny>>(self.data.json())
            && !known.contains_key("trace_id")
        {
            let comma = if known.is_empty() { "" } else { "," };
            let id = Value::from(id);
            // The rest stays as it was sent, to the byte.
            self.data = Payload::verbatim(format!("{{\"trace_id\":{id}{comma}{fields}"));
        }
        self
    }

    /// Tells whether it has an [`id`](Self::id).
    #[must_use]
    pub fn has_id(&self) -> bool {
        self.id.is_some()
    }

    /// Returns the event type.
    #[must_use]
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// Returns the data as it was sent.
    #[must_use]
    pub fn data(&self) -> &Payload {
        &self.data
    }
}

fn nothing() -> Payload {
    Payload::from(Value::Null)
}

/// An event from outside does not say what it has to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidInput {
    /// The data of a built-in event type is no object.
    NotAnObject,
    /// A field is missing that the event type needs.
    Missing {
        /// Which.
        field: &'static str,
    },
    /// A `progress_update` says nothing that could have changed.
    NothingToSay,
    /// A field holds something else than it should.
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A field is longer than it may be, or empty.
    Length {
        /// Which.
        field: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes; the least is 1.
        limit: usize,
    },
    /// A stage's path is not one, or there are too many stages.
    Stage(StageError),
}

impl fmt::Display for InvalidInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject => f.write_str("data is no object"),
            Self::Missing { field } => write!(f, "data needs {field}"),
            Self::NothingToSay => {
                f.write_str("data holds none of the fields that a progress_update can change")
            }
            Self::Field { field, reason } => write!(f, "{field} is invalid: {reason}"),
            Self::Length { field, len, limit } => {
                write!(f, "{field} has {len} bytes, it may have 1 to {limit}")
            }
            Self::Stage(_) => f.write_str("the stage is invalid"),
        }
    }
}

impl std::error::Error for InvalidInput {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Stage(error) => Some(error),
            _ => None,
        }
    }
}

impl From<InvalidInput> for PublishError {
    fn from(error: InvalidInput) -> Self {
        Self::InvalidInput(error)
    }
}

impl From<StageError> for InvalidInput {
    fn from(error: StageError) -> Self {
        Self::Stage(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traced(event_type: &str, data: &str) -> String {
        let text = format!("{{\"event_type\":\"{event_type}\",\"data\":{data}}}");
        let event: EventInput = serde_json::from_str(&text).unwrap();
        event.trace_id("t\"1").data().json().to_owned()
    }

    #[test]
    fn error_without_a_trace_gets_one_and_stays_as_it_was_else() {
        assert_eq!(
            traced("error", r#" {"code" : "A", "details":{"n":1.10}} "#).trim_end(),
            r#"{"trace_id":"t\"1","code" : "A", "details":{"n":1.10}}"#
        );
        assert_eq!(traced("error", "{}"), r#"{"trace_id":"t\"1"}"#);
        // Below the top it is something else.
        let nested = r#"{"details":{"trace_id":"a"}}"#;
        assert!(traced("error", nested).starts_with(r#"{"trace_id":"t\"1","details""#));
    }

    #[test]
    fn what_has_a_trace_or_is_no_error_stays_as_it_was() {
        for data in [
            r#"{"trace_id":"its own"}"#,
            r#"{"code":"A","trace\u005fid":"its own"}"#,
            r#"{"trace_id":null}"#,
            "[]",
            "null",
            r#""{""#,
        ] {
            assert_eq!(traced("error", data), data);
        }
        assert_eq!(traced("note", "{}"), "{}");
    }
}
