//! Words of other systems, read as ours.
//!
//! They are read where ours are not said; `docs/protocol.md` has the table.

use std::time::Duration;

use crate::event::{Level, Status, TaskError};

/// What other systems call fields of ours: theirs, ours.
pub(super) type Names = &'static [(&'static str, &'static str)];

pub(super) const OF_UPDATES: Names = &[("current_stage", "stage")];

pub(super) const OF_ERRORS: Names = &[
    ("error_code", "code"),
    ("error_message", "message"),
    ("retryable", "is_retryable"),
];

/// A level in any case, and Python's words for it.
pub(super) fn level(text: &str) -> Option<Level> {
    let words = [
        ("TRACE", Level::Trace),
        ("DEBUG", Level::Debug),
        ("INFO", Level::Info),
        ("WARN", Level::Warn),
        ("WARNING", Level::Warn),
        ("ERROR", Level::Error),
        ("CRITICAL", Level::Error),
        ("FATAL", Level::Error),
    ];
    word(&words, text)
}

/// A status in any case.
pub(super) fn status(text: &str) -> Option<Status> {
    let words = [
        ("completed", Status::Completed),
        ("failed", Status::Failed),
        ("cancelled", Status::Cancelled),
        ("canceled", Status::Cancelled),
        ("abandoned", Status::Abandoned),
    ];
    word(&words, text)
}

/// Seconds as milliseconds; none if it is no time, as in other systems' -1.
pub(super) fn seconds(json: &str) -> Option<u64> {
    let seconds: f64 = serde_json::from_str(json).ok()?;
    let time = Duration::try_from_secs_f64(seconds).ok()?;
    u64::try_from(time.as_millis()).ok()
}

/// The error that stands beside a status; none without a code.
pub(super) fn error<'a>(field: impl Fn(&str) -> Option<&'a str>) -> Option<TaskError> {
    let text = |name| {
        let text: String = serde_json::from_str(field(name)?).ok()?;
        (!text.is_empty()).then_some(text)
    };
    let code = text("error_code")?;
    let message = text("error_message").or_else(|| text("message"));
    let retryable = ["retryable", "is_retryable"];
    let retryable = retryable.iter().any(|name| field(name) == Some("true"));
    Some(TaskError::new(&code, message.unwrap_or_else(|| code.clone())).retryable(retryable))
}

fn word<T: Copy>(words: &[(&str, T)], text: &str) -> Option<T> {
    let mut words = words.iter();
    let (_, meant) = words.find(|(word, _)| word.eq_ignore_ascii_case(text))?;
    Some(*meant)
}
