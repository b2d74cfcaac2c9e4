//! What was made of texts that many readers share.

use std::{
    fmt,
    sync::{Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;

/// Keeps the newest that was made of texts, for who asks with the same text again.
///
/// Texts are told apart by their address: an event's is made once and shared by all who read it.
/// One that nobody shares, of a control frame or a range, will not come again.
#[derive(Default)]
pub(crate) struct Kept {
    /// Made with the first text: most are never needed.
    slots: OnceLock<Box<[Slot]>>,
}

type Slot = Mutex<Option<Entry>>;

struct Entry {
    /// The text itself keeps its address from being used again.
    text: Bytes,
    made: Bytes,
}

impl Kept {
    /// Returns what `make` makes, or has made, of a text.
    pub(crate) fn of<E>(
        &self,
        text: &Bytes,
        make: impl FnOnce(&[u8]) -> Result<Bytes, E>,
    ) -> Result<Bytes, E> {
        if text.is_unique() || text.len() > LARGEST {
            return make(text);
        }
        let slots = self
            .slots
            .get_or_init(|| (0..SLOTS).map(|_| Slot::default()).collect());
        let slot = &slots[place(text)];
        let lock = || slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*lock()
            && known.text.as_ptr() == text.as_ptr()
            && known.text.len() == text.len()
        {
            return Ok(known.made.clone());
        }
        // Not under the lock: it is better done twice than waited for.
        let made = make(text)?;
        if made.len() <= LARGEST {
            let known = Entry {
                text: text.clone(),
                made: made.clone(),
            };
            drop(lock().replace(known));
        }
        Ok(made)
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("used", &self.slots.get().is_some())
            .finish()
    }
}

fn place(text: &Bytes) -> usize {
    // Allocations are aligned: the lowest bits tell nothing.
    let address = (text.as_ptr() as usize >> 4) as u64;
    (address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize % SLOTS
}

/// As many as a log's window has: readers of one task are rarely further apart.
const SLOTS: usize = 256;
/// Larger texts are not kept: with what was made of them 4 MiB is the most that is.
const LARGEST: usize = 8 * 1_024;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn upper(text: &[u8]) -> Result<Bytes, Infallible> {
        Ok(text.to_ascii_uppercase().into())
    }

    #[test]
    fn of_shared_text_it_is_made_once_and_never_taken_for_another() {
        let kept = Kept::default();
        let shared = Bytes::from("shared".to_owned());
        let reader = shared.clone();
        let one = kept.of(&shared, upper).unwrap();
        let other = kept.of(&reader, upper).unwrap();
        assert_eq!(one.as_ptr(), other.as_ptr(), "the same bytes");
        drop((shared, reader));
        for n in 0..10_000 {
            let text = Bytes::from(format!("n{n}"));
            let _reader = text.clone();
            assert_eq!(kept.of(&text, upper).unwrap(), format!("N{n}"));
        }
    }

    #[test]
    fn what_is_large_is_not_kept() {
        let kept = Kept::default();
        let text = Bytes::from(vec![b'a'; LARGEST + 1]);
        let _reader = text.clone();
        let small = Bytes::from("small".to_owned());
        let _reader = small.clone();
        let grown = |_: &[u8]| Ok::<_, Infallible>(Bytes::from(vec![b'b'; LARGEST + 1]));
        for (text, made) in [
            (&text, upper(&text).unwrap()),
            (&small, grown(b"").unwrap()),
        ] {
            let make = |_: &[u8]| Ok::<_, Infallible>(Bytes::from(made.to_vec()));
            let one = kept.of(text, make).unwrap();
            let other = kept.of(text, make).unwrap();
            assert_eq!(one, other);
            assert_ne!(one.as_ptr(), other.as_ptr(), "made twice");
        }
    }
}
