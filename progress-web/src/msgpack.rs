//! MessagePack: the same objects as in JSON, said in fewer bytes.
//!
//! Frames are transcoded from their JSON text, so that both always say the same. What goes to many
//! clients is transcoded once.

use bytes::Bytes;
use http::{HeaderMap, header};
use serde::Deserialize as _;
use serde_json::Value;

use crate::kept::Kept;

/// What a WebSocket's client can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Subprotocol {
    /// Frames as text; also spoken where no subprotocol is asked for.
    #[default]
    Json,
    /// Frames as binary messages.
    MessagePack,
}

impl Subprotocol {
    /// The one of the first subprotocol in the client's list that is spoken here.
    pub(crate) fn asked(headers: &HeaderMap) -> Option<Self> {
        let lists = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
        let mut names = lists
            .iter()
            .filter_map(|list| list.to_str().ok())
            .flat_map(|list| list.split(','))
            .map(str::trim);
        names.find_map(|name| {
            [Self::Json, Self::MessagePack]
                .into_iter()
                .find(|subprotocol| subprotocol.as_str() == name)
        })
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Json => "progress.v1.json",
            Self::MessagePack => "progress.v1.msgpack",
        }
    }
}

/// Transcodes frames, and keeps the newest that may be asked for again.
#[derive(Debug, Default)]
pub(crate) struct Transcoder(Kept);

impl Transcoder {
    /// Transcodes a frame.
    ///
    /// # Errors
    ///
    /// If the text is nested deeper than readers of JSON allow, 128 levels.
    pub(crate) fn transcode(&self, json: &Bytes) -> Result<Bytes, rmp_serde::encode::Error> {
        self.0.of(json, transcode)
    }
}

/// Reads a client's message; none if it is not MessagePack with keys of text, or nested deeper than
/// [`DEEPEST`]: the reader goes down a level of the stack for each.
pub(crate) fn read(message: &[u8]) -> Option<Value> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(message);
    reader.set_max_depth(DEEPEST);
    Value::deserialize(&mut reader).ok()
}

fn transcode(json: &[u8]) -> Result<Bytes, rmp_serde::encode::Error> {
    let mut binary = Vec::with_capacity(json.len());
    let mut reader = serde_json::Deserializer::from_slice(json);
    let mut writer = rmp_serde::Serializer::new(&mut binary);
    serde_transcode::transcode(&mut reader, &mut writer)?;
    Ok(binary.into())
}

/// Levels of a message: as many as readers of JSON allow.
const DEEPEST: usize = 128;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(value: &Value) -> Bytes {
        Bytes::from(value.to_string())
    }

    #[test]
    fn both_say_the_same() {
        let transcoder = Transcoder::default();
        for value in [
            json!({"a": [1, -1, 0.1, 1e300, u64::MAX, i64::MIN, true, null, "ü\u{0}\"", {}]}),
            json!([]),
            json!({"": {"nested": {"nested": []}}}),
        ] {
            let binary = transcoder.transcode(&text(&value)).unwrap();
            assert_eq!(read(&binary), Some(value));
        }
    }

    #[test]
    fn message_too_deep_is_none_and_takes_no_more_of_the_stack() {
        let nested = |depth: usize| [vec![0x91; depth], vec![0xc0]].concat();
        assert!(read(&nested(DEEPEST - 2)).is_some());
        assert_eq!(read(&nested(DEEPEST + 1)), None);
        assert_eq!(read(&nested(16 * 1024)), None);
    }

    #[test]
    fn text_too_deep_is_an_error() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(Transcoder::default().transcode(&deep.into()).is_err());
    }
}
