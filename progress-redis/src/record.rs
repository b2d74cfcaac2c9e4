//! Records as text: `<generation>-<seq> <prev> <lines> <kind><JSON>`.
//!
//! What the broker decides stands before the JSON, so that a function of its can put it there without
//! reading that; so the JSON says neither the topic nor the numbers. The kind is `e` for an event, of
//! a task or of the channel itself, and `c` for a copy of a task's event in a channel, which says
//! where it stands in its task.

use std::{fmt, io::Write, str};

use progress_core::{
    Data, Epoch, Event, Seq,
    transport::{Draft, DraftBody, Record, Topic},
};

/// Writes an event that its owner has numbered.
pub(crate) fn encode(event: &Event, text: &mut Vec<u8>) {
    let lines = match event.data() {
        Data::Log(line) => line.n,
        _ => 0,
    };
    let _a_vec_takes_all = write!(
        text,
        "{}-{} {} {lines} e",
        event.epoch().generation(),
        event.seq(),
        event.prev()
    );
    event.write_body(text);
}

/// Writes what follows the numbers of a draft; none of a sort that this version does not know.
pub(crate) fn encode_body(draft: &Draft) -> Option<Vec<u8>> {
    let mut text = vec![match &draft.body {
        DraftBody::Event(_) => b'c',
        DraftBody::Data(_) => b'e',
        _ => return None,
    }];
    draft.write_json(&mut text);
    Some(text)
}

/// Adds a record to a message of several.
pub(crate) fn gather(message: &mut Vec<u8>, record: &[u8]) {
    let _a_vec_takes_all = write!(message, "{} ", record.len());
    message.extend_from_slice(record);
}

/// Takes the first record of a message of several.
pub(crate) fn take_first<'a>(message: &mut &'a [u8]) -> Option<&'a [u8]> {
    let space = message.iter().position(|byte| *byte == b' ')?;
    let length = str::from_utf8(&message[..space]).ok()?.parse().ok()?;
    let (record, rest) = message[space + 1..].split_at_checked(length)?;
    *message = rest;
    Some(record)
}

/// Reads a record of a topic.
pub(crate) fn decode(topic: &Topic, text: &[u8]) -> Result<Record, Malformed> {
    let (head, kind, json) = split(text).ok_or(Malformed("its numbers"))?;
    let draft = match kind {
        b'e' => Draft::from_json(json).ok(),
        b'c' => Event::from_json(json)
            .ok()
            .map(|event| Draft::copy_of(event.into())),
        _ => return Err(Malformed("its kind")),
    };
    let draft = draft.ok_or(Malformed("its JSON"))?;
    let Head {
        generation,
        seq,
        prev,
        lines,
    } = head;
    draft
        .into_record(
            topic,
            Epoch::new(generation),
            Seq::new(seq),
            Seq::new(prev),
            lines,
        )
        .map_err(|_| Malformed("its topic"))
}

/// Reads the number of a record alone; 0 of none.
pub(crate) fn seq_of(text: &[u8]) -> u64 {
    split(text).map_or(0, |(head, ..)| head.seq)
}

/// Reads the number of the milestone before a record; 0 if there is none.
pub(crate) fn prev_of(text: &[u8]) -> u64 {
    split(text).map_or(0, |(head, ..)| head.prev)
}

struct Head {
    generation: u64,
    seq: u64,
    prev: u64,
    lines: u64,
}

fn split(text: &[u8]) -> Option<(Head, u8, &[u8])> {
    let mut parts = text.splitn(4, |byte| *byte == b' ');
    let id = str::from_utf8(parts.next()?).ok()?;
    let (generation, seq) = id.split_once('-')?;
    let mut number = || str::from_utf8(parts.next()?).ok()?.parse().ok();
    let (prev, lines) = (number()?, number()?);
    let (kind, json) = parts.next()?.split_first()?;
    let head = Head {
        generation: generation.parse().ok()?,
        seq: seq.parse().ok()?,
        prev,
        lines,
    };
    Some((head, *kind, json))
}

/// A text is no record of its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a record: {} cannot be read", self.0)
    }
}

impl std::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use progress_core::{Note, Position};

    use super::*;

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let task = Topic::Task("a".parse().expect("a task id"));
        let event = Event::numbered(
            "a".parse().expect("a task id"),
            Position::new(Epoch::new(7), Seq::new(3)),
            Seq::new(2),
            progress_core::Timestamp::now(),
            Data::Stalled(Note::default()),
        );
        let mut text = Vec::new();
        encode(&event, &mut text);
        assert!(text.starts_with(br#"7-3 2 0 e{"event_type":"stalled","#));
        let Ok(Record::Task(read)) = decode(&task, &text) else {
            panic!("it was written above");
        };
        assert_eq!((&*read, read.prev()), (&event, event.prev()));
        assert_eq!((seq_of(&text), prev_of(&text)), (3, 2));

        let channel = Topic::Channel("jobs".parse().expect("a name"));
        let copy = Draft::copy_of(Arc::new(event));
        let text = [b"9-4 1 0 ", &encode_body(&copy).expect("a copy")[..]].concat();
        let Ok(Record::Channel(copied)) = decode(&channel, &text) else {
            panic!("it was written above");
        };
        assert_eq!(copied.event(), Some(&read));
        assert_eq!(copied.position(), Position::new(Epoch::new(9), Seq::new(4)));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let topic = Topic::Task("a".parse().expect("a task id"));
        for text in [
            "",
            "1-2",
            "1-2 0 0 ",
            "1-2 0 0 e",
            "1-2 0 0 e{}",
            "1 0 0 e{}",
            "-1-2 0 0 e{}",
        ] {
            assert!(decode(&topic, text.as_bytes()).is_err(), "{text}");
        }
    }
}
