//! Records as text: `<generation>-<seq> <prev> <lines> <kind><JSON>`.
//!
//! What the broker decides stands before the JSON, so that a function of its can put it there without
//! reading that. The kind is `e` for an event, of a task or of the channel itself, and `c` for a copy
//! of a task's event in a channel.

use std::{fmt, io::Write, str};

use progress_core::{
    Data, Epoch, Event, Position, Seq,
    transport::{Draft, DraftBody, Record, Topic},
};

/// Writes an event that its owner has numbered.
pub(crate) fn encode(event: &Event) -> Vec<u8> {
    let lines = match event.data() {
        Data::Log(line) => line.n,
        _ => 0,
    };
    let json = event.to_json(event.seq(), 0);
    let mut text = Vec::with_capacity(json.len() + 48);
    let _a_vec_takes_all = write!(
        text,
        "{}-{} {} {lines} e",
        event.epoch().generation(),
        event.seq(),
        event.prev()
    );
    text.extend_from_slice(&json);
    text
}

/// Writes what follows the numbers of a draft; none of a sort that this version does not know.
pub(crate) fn encode_body(draft: &Draft) -> Option<Vec<u8>> {
    Some(match &draft.body {
        DraftBody::Event(event) => [b"c", &event.to_json(event.seq(), 0)[..]].concat(),
        DraftBody::Data(data) => {
            // The task and the position are not read again: the topic and the numbers say them.
            let task = "-".parse().expect("a task id by its form");
            let position = Position::new(Epoch::FOREIGN, Seq::ZERO);
            let event = Event::numbered(task, position, Seq::ZERO, draft.timestamp, data.clone());
            [b"e", &event.to_json(Seq::ZERO, 0)[..]].concat()
        }
        _ => return None,
    })
}

/// Reads a record of a topic.
pub(crate) fn decode(topic: &Topic, text: &[u8]) -> Result<Record, Malformed> {
    let (head, kind, json) = split(text).ok_or(Malformed("its numbers"))?;
    let event = Event::from_json(json).map_err(|_| Malformed("its JSON"))?;
    let draft = match kind {
        b'e' => Draft::new(event.data().clone(), event.timestamp()),
        b'c' => Draft::copy_of(event.into()),
        _ => return Err(Malformed("its kind")),
    };
    let Head {
        generation,
        seq,
        prev,
        lines,
    } = head;
    draft
        .number(
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

    use progress_core::Note;

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
        let text = encode(&event);
        assert!(text.starts_with(b"7-3 2 0 e{"));
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
