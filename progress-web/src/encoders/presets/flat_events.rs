//! `{"type","timestamp",…}`.

use serde_json::{Map, Value};

use super::text;
use crate::encoders::{FrameEncoder, WireFrame};

/// Each event flat: `{"type","timestamp","task_id"?,"channel"?,"position"?,…}`, with the fields of its data
/// beside them.
///
/// A field of the data that has one of these names, or the name `data`, is not lost and replaces
/// nothing: it is in the object `data`. So is data that is no object, as it is. Control frames
/// are told in the same way.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct FlatEvents;

impl FlatEvents {
    /// The name of the format.
    pub const NAME: &str = "flat";
}

const ENVELOPE: [&str; 6] = [
    "type",
    "timestamp",
    "task_id",
    "channel",
    "position",
    "data",
];

impl FrameEncoder for FlatEvents {
    fn frame(&self, frame: &WireFrame) -> Option<String> {
        let mut flat = Map::new();
        flat.insert("type".into(), frame.event_type.clone().into());
        flat.insert("timestamp".into(), frame.timestamp.clone().into());
        for (name, value) in [
            ("task_id", frame.task_id.clone()),
            ("channel", frame.channel.clone()),
            ("position", frame.position()),
        ] {
            if let Some(value) = value {
                flat.insert(name.into(), value.into());
            }
        }
        match &frame.data {
            Value::Null => {}
            Value::Object(fields) => {
                let mut nested = Map::new();
                for (name, value) in fields {
                    let place = match ENVELOPE.contains(&&**name) {
                        true => &mut nested,
                        false => &mut flat,
                    };
                    place.insert(name.clone(), value.clone());
                }
                if !nested.is_empty() {
                    flat.insert("data".into(), nested.into());
                }
            }
            other => {
                flat.insert("data".into(), other.clone());
            }
        }
        text(&flat)
    }
}
