//! MessagePack: the same objects as in JSON, said in fewer bytes.
//!
//! Frames are transcoded from their JSON text, so that both always say the same. What goes to many
//! clients is transcoded once.

use std::{
    fmt,
    sync::{Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, header};
use serde_json::Value;

/// How a WebSocket's frames are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Encoding {
    /// As text; also where no subprotocol is asked for.
    #[default]
    Json,
    /// As binary messages.
    MessagePack,
}

impl Encoding {
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
                .find(|encoding| encoding.subprotocol() == name)
        })
    }

    pub(crate) fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "progress.v1.json",
            Self::MessagePack => "progress.v1.msgpack",
        }
    }
}

/// Transcodes frames, and keeps the newest that may be asked for again.
#[derive(Default)]
pub(crate) struct Transcoder {
    /// Made with the first frame: most gateways never need it.
    slots: OnceLock<Box<[Slot]>>,
}

type Slot = Mutex<Option<Transcoded>>;

struct Transcoded {
    /// The text itself keeps its address from being used again.
    json: Bytes,
    binary: Bytes,
}

impl Transcoder {
    /// Transcodes a frame.
    ///
    /// Texts are told apart by their address: an event's is made once and shared by all who read
    /// it. One that nobody shares, of a control frame or a range, will not come again.
    ///
    /// # Errors
    ///
    /// If the text is nested deeper than readers of JSON allow, 128 levels.
    pub(crate) fn transcode(&self, json: &Bytes) -> Result<Bytes, rmp_serde::encode::Error> {
        if json.is_unique() || json.len() > LARGEST {
            return transcode(json);
        }
        let slots = self
            .slots
            .get_or_init(|| (0..SLOTS).map(|_| Slot::default()).collect());
        let slot = &slots[place(json)];
        let lock = || slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*lock()
            && known.json.as_ptr() == json.as_ptr()
            && known.json.len() == json.len()
        {
            return Ok(known.binary.clone());
        }
        // Not under the lock: it is better done twice than waited for.
        let binary = transcode(json)?;
        let known = Transcoded {
            json: json.clone(),
            binary: binary.clone(),
        };
        drop(lock().replace(known));
        Ok(binary)
    }
}

impl fmt::Debug for Transcoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transcoder")
            .field("used", &self.slots.get().is_some())
            .finish()
    }
}

/// Reads a client's message; none if it is not MessagePack with keys of text.
pub(crate) fn read(message: &[u8]) -> Option<Value> {
    rmp_serde::from_slice(message).ok()
}

fn transcode(json: &[u8]) -> Result<Bytes, rmp_serde::encode::Error> {
    let mut binary = Vec::with_capacity(json.len());
    let mut reader = serde_json::Deserializer::from_slice(json);
    let mut writer = rmp_serde::Serializer::new(&mut binary);
    serde_transcode::transcode(&mut reader, &mut writer)?;
    Ok(binary.into())
}

fn place(json: &Bytes) -> usize {
    // Allocations are aligned: the lowest bits tell nothing.
    let address = (json.as_ptr() as usize >> 4) as u64;
    (address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize % SLOTS
}

/// As many as a log's window has: readers of one task are rarely further apart.
const SLOTS: usize = 256;
/// Larger texts are not kept: with their transcoded form 16 MiB is the most that is.
const LARGEST: usize = 32 * 1_024;

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
    fn shared_text_is_transcoded_once_and_never_taken_for_another() {
        let transcoder = Transcoder::default();
        let shared = text(&json!({"n": 1}));
        let reader = shared.clone();
        let one = transcoder.transcode(&shared).unwrap();
        let other = transcoder.transcode(&reader).unwrap();
        assert_eq!(one.as_ptr(), other.as_ptr(), "the same bytes");
        drop((shared, reader));
        for n in 0..10_000 {
            let frame = text(&json!({"n": n}));
            let _reader = frame.clone();
            let binary = transcoder.transcode(&frame).unwrap();
            assert_eq!(read(&binary), Some(json!({"n": n})));
        }
    }

    #[test]
    fn text_too_deep_is_an_error() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(Transcoder::default().transcode(&deep.into()).is_err());
    }
}
