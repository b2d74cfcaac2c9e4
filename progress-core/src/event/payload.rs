//! Values that the library carries without reading them.

use std::{cell::RefCell, fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, ser::Error as _,
};
use serde_json::{Map, Value, value::RawValue};

/// A JSON value, encoded once and carried as text: a result, the data of a custom event.
///
/// A cheap clone of shared text. Two payloads are equal if their text is.
#[derive(Clone)]
pub struct Payload(Arc<str>);

impl Payload {
    /// Encodes a value.
    ///
    /// # Errors
    ///
    /// What serde_json says of a value that has no JSON form, such as a map with keys that are no
    /// strings.
    pub fn new<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        // Taken, not borrowed: serialising runs the caller's code, which may make a payload itself.
        let mut text = BUFFER.try_with(RefCell::take).unwrap_or_default();
        text.clear();
        let json = serde_json::to_writer(&mut text, value).and_then(|()| {
            let json = str::from_utf8(&text).map_err(serde_json::Error::custom)?;
            Ok(Self(Arc::from(json)))
        });
        if text.capacity() <= KEPT {
            // A thread that is going down keeps none.
            let _kept = BUFFER.try_with(|buffer| buffer.replace(text));
        }
        json
    }

    /// Takes text that is JSON.
    pub(crate) fn verbatim(json: String) -> Self {
        Self(json.into())
    }

    /// Returns the JSON text.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.0
    }

    /// Decodes the value.
    ///
    /// # Errors
    ///
    /// What serde_json says if the value is not a `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.json())
    }

    pub(crate) fn len(&self) -> usize {
        self.json().len()
    }
}

impl From<Value> for Payload {
    fn from(value: Value) -> Self {
        Self(Arc::from(value.to_string()))
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.json() == other.json()
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({})", self.json())
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.json())
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Verbatim, as only a raw value is.
        serde_json::from_str::<&RawValue>(&self.0)
            .map_err(S::Error::custom)?
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self(Arc::from(raw.get())))
    }
}

thread_local! {
    /// Where payloads are encoded before their length is known: one allocation each, of the right size.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The most of a buffer that a thread keeps.
const KEPT: usize = 16 * 1024;

/// Values by name that describe the present of a task or stage: merged, never removed.
///
/// A cheap clone of a shared map.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata {
    /// None while it is empty.
    map: Option<Arc<Map<String, Value>>>,
    /// Bytes of its JSON text, about: kept so that publishing need not walk the values.
    size: usize,
}

impl Metadata {
    /// Returns the value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.map.as_ref()?.get(name)
    }

    /// Tells whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_none()
    }

    /// Iterates over names and values, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        let pairs = self.map.iter().flat_map(|map| map.iter());
        pairs.map(|(name, value)| (name.as_str(), value))
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The size after [`Metadata::insert`] of the same, at most.
    pub(crate) fn size_with(&self, name: &str, value: &Value) -> usize {
        self.size + entry_size(name, value) - self.get(name).map_or(0, |old| entry_size(name, old))
    }

    pub(crate) fn insert(&mut self, name: &str, value: Value) {
        self.size = self.size_with(name, &value);
        let map = self.map.get_or_insert_default();
        Arc::make_mut(map).insert(name.to_owned(), value);
    }

    pub(crate) fn merge(&mut self, newer: &Self) {
        let Some(map) = &newer.map else { return };
        match &self.map {
            None => self.clone_from(newer),
            Some(known) if Arc::ptr_eq(known, map) => {}
            Some(_) => {
                for (name, value) in map.iter() {
                    if self.get(name) != Some(value) {
                        self.insert(name, value.clone());
                    }
                }
            }
        }
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = Map::deserialize(deserializer)?;
        let size = map
            .iter()
            .map(|(name, value)| entry_size(name, value))
            .sum();
        Ok(Self {
            map: (!map.is_empty()).then(|| Arc::new(map)),
            size,
        })
    }
}

fn entry_size(name: &str, value: &Value) -> usize {
    name.len() + 4 + value_size(value)
}

fn value_size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 12,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| value_size(item) + 1).sum::<usize>(),
        Value::Object(map) => {
            2 + map
                .iter()
                .map(|(name, value)| entry_size(name, value))
                .sum::<usize>()
        }
    }
}
