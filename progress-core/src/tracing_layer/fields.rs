//! What the fields of spans and events say.

use std::fmt::{self, Write};

use serde_json::Value;
use tracing::{
    Metadata,
    field::{Field, Visit},
};

use crate::{event::Metadata as Values, tracing_layer::scope::Stage};

const PREFIX: &str = "progress.";

/// Whether a span or event has fields for us; cheap, for every span of a program is asked.
pub(super) fn names_progress(metadata: &Metadata<'_>) -> bool {
    metadata
        .fields()
        .iter()
        .any(|field| field.name().starts_with(PREFIX))
}

/// What the fields of a span or event say.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) task: Option<String>,
    pub(super) stage: Option<Stage>,
    pub(super) total: Option<u64>,
    pub(super) inc: Option<u64>,
    pub(super) set: Option<u64>,
    pub(super) message: Option<String>,
    /// The code of a failure.
    pub(super) fail: Option<String>,
    pub(super) complete: bool,
    /// The event's own message.
    pub(super) text: Option<String>,
    /// All other fields.
    pub(super) fields: Values,
    pub(super) refused: Vec<Refusal>,
    longest: usize,
}

/// A field was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is none of ours.
    Unknown(&'static str),
    /// Its value is no number of units.
    NoCount(&'static str),
    /// All the fields together are too long, in bytes.
    TooLong { limit: usize },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(field) => write!(f, "there is no field {field}"),
            Self::NoCount(field) => write!(f, "{field} is no number of units"),
            Self::TooLong { limit } => write!(f, "fields have more than {limit} bytes"),
        }
    }
}

impl Seen {
    /// `longest` is where text is cut, and what all other fields may have together.
    pub(super) fn new(longest: usize) -> Self {
        Self {
            longest,
            ..Self::default()
        }
    }

    fn take(&mut self, field: &Field, value: Value) {
        let Some(name) = field.name().strip_prefix(PREFIX) else {
            self.take_other(field.name(), value);
            return;
        };
        let text = |value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        match name {
            "task" => self.task = Some(text(value)),
            "stage" => {
                self.stage = match value {
                    Value::Bool(named) => named.then_some(Stage::LikeItsSpan),
                    other => Some(Stage::Named(text(other))),
                };
            }
            "message" => self.message = Some(text(value)),
            "total" => self.total = self.count(field, &value),
            "inc" => self.inc = self.count(field, &value),
            "set" => self.set = self.count(field, &value),
            "complete" => self.complete = value != Value::Bool(false),
            "fail" => {
                self.fail = match value {
                    Value::Bool(false) => None,
                    Value::String(code) if is_code(&code) => Some(code),
                    _ => Some("TASK_FAILED".to_owned()),
                };
            }
            _ => self.refused.push(Refusal::Unknown(field.name())),
        }
    }

    fn take_other(&mut self, name: &'static str, value: Value) {
        match value {
            Value::String(text) if name == "message" => self.text = Some(text),
            // The bridge from `log` repeats an event's metadata in fields.
            _ if name.starts_with("log.") => {}
            value if self.fields.size_with(name, &value) > self.longest => {
                let limit = self.longest;
                self.refused.push(Refusal::TooLong { limit });
            }
            value => self.fields.insert(name, value),
        }
    }

    fn count(&mut self, field: &Field, value: &Value) -> Option<u64> {
        let count = match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        if count.is_none() {
            self.refused.push(Refusal::NoCount(field.name()));
        }
        count
    }
}

impl Visit for Seen {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, Value::from(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = Cut {
            text: String::new(),
            left: self.longest,
        };
        // An error means that it was cut, or that the value will not be shown: either way there is
        // what there is.
        let _cut = write!(text, "{value:?}");
        self.take(field, Value::String(text.text));
    }
}

/// Text up to a length: a value that is longer is not even formatted to its end.
struct Cut {
    text: String,
    left: usize,
}

impl Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut end = text.len().min(self.left);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.text.push_str(&text[..end]);
        self.left -= end;
        match end == text.len() {
            true => Ok(()),
            false => Err(fmt::Error),
        }
    }
}

fn is_code(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_uppercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}
