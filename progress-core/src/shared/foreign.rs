//! Words of other systems, read as ours.
//!
//! They are read where ours are not said; `docs/protocol.md` has the table.

use crate::event::{Level, Status};

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

fn word<T: Copy>(words: &[(&str, T)], text: &str) -> Option<T> {
    let mut words = words.iter();
    let (_, meant) = words.find(|(word, _)| word.eq_ignore_ascii_case(text))?;
    Some(*meant)
}
