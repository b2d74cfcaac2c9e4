//! Any bytes as an event's JSON: what is understood comes back the same after it was written.

#![no_main]

use libfuzzer_sys::fuzz_target;
use progress_core::{Event, Seq};

fuzz_target!(|bytes: &[u8]| {
    let Ok(event) = Event::from_json(bytes) else {
        return;
    };
    let text = event.to_json(event.seq(), 0);
    let again = read(&text);
    assert_eq!(again, event);
    assert_eq!(again.to_json(again.seq(), 0), text);

    // A reader's own fields are put in without harm to the event's.
    let spliced = event.to_json(Seq::ZERO, u32::MAX);
    assert_eq!(read(&spliced), event);
});

fn read(text: &[u8]) -> Event {
    Event::from_json(text).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(text));
    })
}
