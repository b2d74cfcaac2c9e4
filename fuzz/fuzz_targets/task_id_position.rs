//! Any text as an id, an epoch, a position, a moment, an event type: nothing panics, and what the
//! library writes it reads back the same.

#![no_main]

use std::{fmt, str::FromStr};

use libfuzzer_sys::fuzz_target;
use progress_core::{Epoch, Position, TaskId, Timestamp, check_event_type};

fuzz_target!(|text: &str| {
    if let Some(id) = comes_back::<TaskId>(text) {
        assert_eq!(id.as_str(), text);
        assert_eq!(TaskId::try_from(text.to_owned()), Ok(id));
    }
    if let Some(epoch) = comes_back::<Epoch>(text) {
        assert!(epoch == Epoch::FOREIGN || epoch.to_string() == text);
    }
    if let Some(position) = comes_back::<Position>(text) {
        let parts = Position::new(position.epoch(), position.seq());
        assert_eq!(parts, position);
    }
    comes_back::<Timestamp>(text);
    if check_event_type(text).is_ok() {
        assert!((1..=64).contains(&text.len()) && text.is_ascii());
    }
});

fn comes_back<T>(text: &str) -> Option<T>
where
    T: FromStr<Err: fmt::Debug> + fmt::Display + fmt::Debug + PartialEq,
{
    let value: T = text.parse().ok()?;
    assert_eq!(value.to_string().parse::<T>().unwrap(), value);
    Some(value)
}
