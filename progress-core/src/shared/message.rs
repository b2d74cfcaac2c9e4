//! An event in a message, as a worker sends it that speaks to a broker.

use std::{collections::BTreeMap, fmt};

use serde_json::value::RawValue;

use crate::{
    event::Payload,
    id::TaskId,
    shared::{foreign, input::EventInput},
};

impl EventInput {
    /// Reads a message that was sent to a task: an event as over HTTP, `{"event_type","data",…}` or
    /// `{"event","data"}`; or the data alone, which is that of a `progress_update`, and of a `complete` if it
    /// has a `status` that ends a task. A `task_id` in it has to be that of the task.
    ///
    /// ```
    /// use progress_core::{EventInput, TaskId};
    ///
    /// let task: TaskId = "video-42".parse()?;
    /// let event = EventInput::from_message(&task, br#"{"task_id":"video-42","current":3,"total":10}"#)?;
    /// assert_eq!(event.event_type(), "progress_update");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidMessage`] if it is none of these.
    pub fn from_message(task: &TaskId, payload: &[u8]) -> Result<Self, InvalidMessage> {
        let fields: BTreeMap<String, &RawValue> =
            serde_json::from_slice(payload).map_err(|_| InvalidMessage::NotJson)?;
        let text = |name| {
            let value: &RawValue = fields.get(name)?;
            serde_json::from_str::<String>(value.get()).ok()
        };
        if fields.get("task_id").is_some_and(|id| id.get() != "null")
            && text("task_id").as_deref() != Some(task.as_str())
        {
            return Err(InvalidMessage::OtherTask);
        }
        if text("event_type").is_some() || text("event").is_some() {
            let read = serde_json::from_slice(payload);
            return read.map_err(|error| InvalidMessage::NoEvent(error.to_string()));
        }
        let ends = text("status").is_some_and(|status| foreign::status(&status).is_some());
        let event_type = if ends { "complete" } else { "progress_update" };
        let data: Payload = serde_json::from_slice(payload)
            .map_err(|error| InvalidMessage::NoEvent(error.to_string()))?;
        Ok(Self {
            event_type: event_type.to_owned(),
            data,
            key: None,
            id: None,
        })
    }
}

/// A message is no event of its task.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidMessage {
    /// It is no JSON object.
    NotJson,
    /// It names another task.
    OtherTask,
    /// It is an object, but no event: what is wrong with it.
    NoEvent(String),
}

impl fmt::Display for InvalidMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson => f.write_str("the message is no JSON object"),
            Self::OtherTask => f.write_str("the message names another task"),
            Self::NoEvent(error) => write!(f, "the message is no event: {error}"),
        }
    }
}

impl std::error::Error for InvalidMessage {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(payload: &str) -> Result<(String, serde_json::Value), InvalidMessage> {
        let task = "t".parse().unwrap();
        let event = EventInput::from_message(&task, payload.as_bytes())?;
        Ok((
            event.event_type().to_owned(),
            event.data().decode().unwrap(),
        ))
    }

    #[test]
    fn an_event_is_read_in_every_form_that_workers_send() {
        for (payload, event_type, data) in [
            (
                r#"{"event_type":"log","data":{"message":"m"},"task_id":"t"}"#,
                "log",
                json!({"message": "m"}),
            ),
            (
                r#"{"event":"progress_update","data":{"progress":4},"task_id":null}"#,
                "progress_update",
                json!({"progress": 4}),
            ),
            (
                r#"{"task_id":"t","current":3,"total":10}"#,
                "progress_update",
                json!({"task_id": "t", "current": 3, "total": 10}),
            ),
            (
                r#"{"progress":5,"status":"PROCESSING"}"#,
                "progress_update",
                json!({"progress": 5, "status": "PROCESSING"}),
            ),
            (
                r#"{"status":"COMPLETED","result":1}"#,
                "complete",
                json!({"status": "COMPLETED", "result": 1}),
            ),
        ] {
            assert_eq!(
                read(payload),
                Ok((event_type.to_owned(), data)),
                "{payload}"
            );
        }
    }

    #[test]
    fn what_is_no_event_of_the_task_is_refused() {
        for payload in ["", "7", "[]", "{", "{}{}", "\u{0}"] {
            assert_eq!(read(payload), Err(InvalidMessage::NotJson), "{payload}");
        }
        for payload in [
            r#"{"task_id":"u","progress":1}"#,
            r#"{"task_id":7,"progress":1}"#,
        ] {
            assert_eq!(read(payload), Err(InvalidMessage::OtherTask), "{payload}");
        }
        for payload in [
            r#"{"event":"log","key":7}"#,
            r#"{"event_type":"a","event_type":"b"}"#,
        ] {
            assert!(
                matches!(read(payload), Err(InvalidMessage::NoEvent(_))),
                "{payload}"
            );
        }
    }
}
