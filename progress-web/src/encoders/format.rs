//! The formats that a gateway has, by name.

use std::{
    collections::{BTreeMap, hash_map::RandomState},
    fmt,
    hash::BuildHasher,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;
use progress_core::{Position, Snapshot};

use super::{FrameEncoder, WireFrame};
use crate::{
    error::{ApiError, Code},
    kept::Kept,
    wire::PROTOCOL,
};

/// An application's shape, and what was made in it.
#[derive(Debug)]
pub(crate) struct Format {
    encoder: Box<dyn FrameEncoder>,
    live: Kept,
    history: Kept,
    states: States,
}

impl Format {
    fn new(encoder: impl FrameEncoder) -> Self {
        Self {
            encoder: Box::new(encoder),
            live: Kept::default(),
            history: Kept::default(),
            states: States::default(),
        }
    }

    /// Makes a message of a frame; an empty one is none.
    ///
    /// # Errors
    ///
    /// If the text is nested deeper than readers of JSON allow, 128 levels.
    pub(crate) fn frame(&self, json: &Bytes, is_history: bool) -> serde_json::Result<Bytes> {
        let kept = match is_history {
            false => &self.live,
            true => &self.history,
        };
        kept.of(json, |json| {
            let mut frame = WireFrame::parse(json)?;
            frame.is_history = is_history;
            Ok(self.encoder.frame(&frame).unwrap_or_default().into())
        })
    }

    pub(crate) fn takes_snapshots(&self) -> bool {
        self.encoder.takes_snapshots()
    }

    /// Makes a message of a task as it stands at its head; an empty one is none.
    pub(crate) fn state(
        &self,
        task: &str,
        head: Position,
        snapshot: impl FnOnce() -> Option<Snapshot>,
    ) -> Bytes {
        self.states.of(task, head, || {
            let snapshot = snapshot()?;
            let text = self.encoder.snapshot(&snapshot).unwrap_or_default();
            Some((snapshot.position(), text.into()))
        })
    }
}

/// The formats of a gateway.
#[derive(Debug, Default, Clone)]
pub(crate) struct Formats {
    by_name: BTreeMap<String, Arc<Format>>,
    default: Option<String>,
}

impl Formats {
    pub(crate) fn insert(&mut self, name: String, encoder: impl FrameEncoder) {
        self.by_name.insert(name, Arc::new(Format::new(encoder)));
    }

    /// What the application has under the name goes before.
    pub(crate) fn insert_preset(&mut self, name: &str, encoder: impl FrameEncoder) {
        if !self.by_name.contains_key(name) {
            self.insert(name.to_owned(), encoder);
        }
    }

    /// The names that can be asked for, beside the protocol's own.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.by_name.keys().map(String::as_str);
        names.filter(|name| *name != PROTOCOL)
    }

    pub(crate) fn set_default(&mut self, name: String) {
        self.default = Some(name);
    }

    /// The format of a client that asks for this one, or for none; `None` is the protocol's own.
    pub(crate) fn find(&self, asked: Option<&str>) -> Result<Option<Arc<Format>>, ApiError> {
        let Some(name) = asked.or(self.default.as_deref()) else {
            return Ok(None);
        };
        if name == PROTOCOL {
            return Ok(None);
        }
        self.by_name.get(name).cloned().map(Some).ok_or_else(|| {
            let mut names = PROTOCOL.to_owned();
            for name in self.by_name.keys() {
                names.push_str(", ");
                names.push_str(name);
            }
            let message = format!("format is one of {names}");
            ApiError::new(Code::InvalidQuery, message).field("format")
        })
    }
}

/// The newest state of tasks, by where the task stood.
#[derive(Default)]
struct States {
    slots: OnceLock<Box<[Mutex<Option<State>>]>>,
    hasher: RandomState,
}

struct State {
    task: Box<str>,
    head: Position,
    text: Bytes,
}

impl States {
    fn of(
        &self,
        task: &str,
        head: Position,
        make: impl FnOnce() -> Option<(Position, Bytes)>,
    ) -> Bytes {
        let slots = self
            .slots
            .get_or_init(|| (0..STATES).map(|_| Mutex::default()).collect());
        let place = self.hasher.hash_one(task) as usize % STATES;
        let lock = || slots[place].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = &*lock()
            && state.head == head
            && &*state.task == task
        {
            return state.text.clone();
        }
        // Not under the lock, which others may want for other tasks.
        let Some((head, text)) = make() else {
            return Bytes::new();
        };
        if text.len() <= LARGEST {
            let state = State {
                task: task.into(),
                head,
                text: text.clone(),
            };
            drop(lock().replace(state));
        }
        text
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("States").finish_non_exhaustive()
    }
}

/// Of so many tasks the newest state is kept, if it is no larger than that: 4 MiB at most.
const STATES: usize = 256;
const LARGEST: usize = 16 * 1_024;
