//! Bodies that hold events: one, an array of them, or one a line.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use http::{HeaderMap, header};
use progress_core::EventInput;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::{error::Category, value::RawValue};

use crate::{
    error::{ApiError, Code},
    refused::invalid,
};

/// The events of a body, not yet read one by one.
#[derive(Debug)]
pub(crate) enum Items<'a> {
    /// One, which answers with its own status.
    One(&'a [u8]),
    /// Several, of which each is refused by itself.
    Array(Vec<&'a RawValue>),
    /// Several, one a line that is not empty.
    Lines(&'a [u8]),
}

impl<'a> Items<'a> {
    /// Finds the events; refuses more than `limit`.
    pub(crate) fn find(
        headers: &HeaderMap,
        body: &'a [u8],
        limit: usize,
    ) -> Result<Self, ApiError> {
        if is_lines(headers) {
            // Before the first is published.
            return match lines(body).nth(limit) {
                Some(_) => Err(too_many(limit)),
                None => Ok(Self::Lines(body)),
            };
        }
        let body = body.trim_ascii();
        if body.first() != Some(&b'[') {
            return Ok(Self::One(body));
        }
        let mut reader = serde_json::Deserializer::from_slice(body);
        let array = Array { limit }
            .deserialize(&mut reader)
            .and_then(|array| reader.end().map(|()| array))
            .map_err(|error| not_json(&error))?;
        array.map(Self::Array).ok_or_else(|| too_many(limit))
    }

    /// The texts of several events.
    pub(crate) fn texts(&self) -> Box<dyn Iterator<Item = &'a [u8]> + Send + '_> {
        match self {
            Self::One(text) => Box::new(std::iter::once(*text)),
            Self::Array(items) => Box::new(items.iter().map(|item| item.get().as_bytes())),
            Self::Lines(body) => Box::new(lines(body)),
        }
    }
}

/// Reads one event.
pub(crate) fn read(text: &[u8]) -> Result<EventInput, ApiError> {
    serde_json::from_slice(text).map_err(|error| blame(text, &error))
}

/// What does not read as an event: says which field is at fault. Slow, as it is seldom needed.
#[cold]
fn blame(text: &[u8], error: &serde_json::Error) -> ApiError {
    if error.classify() != Category::Data {
        return not_json(error);
    }
    let refused = |field, message: String| ApiError::new(Code::InvalidEvent, message).field(field);
    let Ok(fields) = serde_json::from_slice::<BTreeMap<Cow<'_, str>, &RawValue>>(text) else {
        return refused("event", "an event is an object".to_owned());
    };
    let text = |field| {
        let value = fields.get(field)?.get();
        Some(serde_json::from_str::<Cow<'_, str>>(value))
    };
    match text("event_type") {
        None => return refused("event_type", "an event needs event_type".to_owned()),
        Some(Err(_)) => return refused("event_type", "event_type is no text".to_owned()),
        Some(Ok(_)) => {}
    }
    for field in ["key", "id"] {
        if let Some(Err(_)) = text(field)
            && fields.get(field).is_some_and(|value| value.get() != "null")
        {
            return refused(field, format!("{field} is no text"));
        }
    }
    // Such as a field that is given twice.
    refused("event", error.to_string())
}

pub(crate) fn not_json(error: &serde_json::Error) -> ApiError {
    invalid("body", format!("the body is no JSON: {error}"))
}

fn too_many(limit: usize) -> ApiError {
    ApiError::new(
        Code::PayloadTooLarge,
        format!("too many events in one request, the limit is {limit}"),
    )
    .field("events")
    .detail("limit", limit)
}

fn is_lines(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let media = value.split(';').next().unwrap_or("").trim();
    LINES.iter().any(|known| media.eq_ignore_ascii_case(known))
}

/// The first is registered nowhere and in use everywhere; the others are what else it is called.
const LINES: [&str; 3] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
];

fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> + Send {
    body.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
}

/// Reads an array without its items; none past the limit.
struct Array {
    limit: usize,
}

impl<'de> DeserializeSeed<'de> for Array {
    type Value = Option<Vec<&'de RawValue>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Array {
    type Value = Option<Vec<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            if items.len() == self.limit {
                while sequence.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(None);
            }
            items.push(item);
        }
        Ok(Some(items))
    }
}

/// A field of an object that is there, and is not null.
pub(crate) fn field<'a, T: Deserialize<'a>>(
    fields: &BTreeMap<Cow<'a, str>, &'a RawValue>,
    name: &str,
    what: &str,
) -> Result<Option<T>, ApiError> {
    match fields.get(name).map(|value| value.get()) {
        None | Some("null") => Ok(None),
        Some(value) => serde_json::from_str(value)
            .map(Some)
            .map_err(|error| invalid(name, format!("{name} is {what}: {error}"))),
    }
}

/// Reads a body that is an object; an empty one is as good as `{}`.
pub(crate) fn object(body: &[u8]) -> Result<BTreeMap<Cow<'_, str>, &RawValue>, ApiError> {
    if body.trim_ascii().is_empty() {
        return Ok(BTreeMap::new());
    }
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Data => invalid("body", "the body is no object"),
        _ => not_json(&error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_type(media: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, media.parse().unwrap());
        headers
    }

    fn texts(headers: &HeaderMap, body: &str) -> Vec<String> {
        let items = Items::find(headers, body.as_bytes(), 10).unwrap();
        let texts = items.texts().map(|text| String::from_utf8(text.to_vec()));
        texts.map(Result::unwrap).collect()
    }

    #[test]
    fn empty_lines_are_no_items() {
        let headers = of_type("application/x-ndjson; charset=utf-8");
        assert_eq!(texts(&headers, "\n{}\r\n  \n 1 \n"), ["{}", "1"]);
        assert!(texts(&headers, "").is_empty());
    }

    #[test]
    fn the_limit_is_met_before_the_first_item_is_read() {
        let lines = of_type("application/x-ndjson");
        for (headers, body) in [(lines, "1\n2\n3"), (HeaderMap::new(), "[1,2,3]")] {
            assert!(Items::find(&headers, body.as_bytes(), 3).is_ok());
            let refused = Items::find(&headers, body.as_bytes(), 2).unwrap_err();
            assert_eq!(refused.code(), Code::PayloadTooLarge);
        }
    }

    #[test]
    fn the_field_at_fault_is_named() {
        for (text, field) in [
            ("{", "body"),
            ("[]", "event"),
            ("{}", "event_type"),
            (r#"{"event_type":1}"#, "event_type"),
            (r#"{"event_type":"a","key":{}}"#, "key"),
            (r#"{"event_type":"a","id":7}"#, "id"),
            (r#"{"event_type":"a","event_type":"b"}"#, "event"),
        ] {
            let refused = read(text.as_bytes()).unwrap_err();
            let details = refused.object().details();
            assert_eq!(details.get("field").unwrap(), field, "{text}");
        }
        assert!(read(br#"{"event_type":"a","key":null,"id":null}"#).is_ok());
    }
}
