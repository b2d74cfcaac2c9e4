//! What is published between nodes, as it is read.
//!
//! Its first byte says what it is: `r` a record of a topic and `R` several, each behind its length and a
//! space; `x` that the topic was removed; `l` that some of it was lost;
//! `q` a request.

use std::{
    fmt, str,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use progress_core::{
    Epoch,
    transport::{Topic, TransportEvent},
};

use crate::{claims::request_of, keys::Addressee, record};

/// Reads a message of one thing; none of what is none of ours.
pub(crate) fn read(addressee: &Addressee, payload: &[u8]) -> Option<TransportEvent> {
    let event = match addressee {
        Addressee::Topic(topic) => of_topic(topic, payload),
        Addressee::Node => of_node(payload),
    };
    if event.is_none() {
        not_ours(addressee, payload.len());
    }
    event
}

/// A message of several records.
#[derive(Debug)]
pub(crate) struct Records {
    text: Vec<u8>,
    at: usize,
}

impl Records {
    pub(crate) fn are_in(payload: &[u8]) -> bool {
        payload.first() == Some(&b'R')
    }

    pub(crate) fn new(payload: Vec<u8>) -> Self {
        Self {
            text: payload,
            at: 1,
        }
    }

    /// The next one that says something; counts those that do not.
    pub(crate) fn next(&mut self, topic: &Topic, malformed: &AtomicU64) -> Option<TransportEvent> {
        loop {
            let mut rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
            let record = record::take_first(&mut rest);
            self.at = match record {
                Some(_) => self.text.len() - rest.len(),
                None => self.text.len(),
            };
            if let Some(event) = record.and_then(|record| of_record(topic, record)) {
                return Some(event);
            }
            malformed.fetch_add(1, Ordering::Relaxed);
            not_ours(topic, self.text.len());
        }
    }
}

fn of_record(topic: &Topic, text: &[u8]) -> Option<TransportEvent> {
    match record::decode(topic, text) {
        Ok(record) => {
            let epoch = record.position().epoch();
            may_be(epoch, topic).then_some(TransportEvent::Record(record))
        }
        // Numbered, and so written: who reads the topic is told that it is lost.
        Err(_) if record::seq_of(text) > 0 => Some(TransportEvent::Resync(topic.clone())),
        Err(_) => None,
    }
}

fn of_topic(topic: &Topic, payload: &[u8]) -> Option<TransportEvent> {
    match (payload.split_first()?, topic) {
        ((b'r', text), _) => of_record(topic, text),
        ((b'x', run), Topic::Task(task)) => {
            Some(TransportEvent::Removed(task.clone(), epoch_of_task(run)?))
        }
        ((b'l', []), topic) => Some(TransportEvent::Resync(topic.clone())),
        _ => None,
    }
}

fn of_node(payload: &[u8]) -> Option<TransportEvent> {
    let (kind, rest) = payload.split_first()?;
    let (first, rest) = str::from_utf8(rest).ok()?.split_once(' ')?;
    match kind {
        b'q' => Some(TransportEvent::Request(
            first.parse().ok()?,
            request_of(rest)?,
        )),
        b'x' => Some(TransportEvent::Removed(
            rest.parse().ok()?,
            epoch_of_task(first.as_bytes())?,
        )),
        b'l' => Some(TransportEvent::Resync(Topic::Task(rest.parse().ok()?))),
        _ => None,
    }
}

fn epoch_of_task(text: &[u8]) -> Option<Epoch> {
    let generation = str::from_utf8(text).ok()?.parse().ok()?;
    let epoch = Epoch::new(generation);
    is_within(epoch, MILLIS).then_some(epoch)
}

/// Whether a generation can be one: they begin with the clock and count on. A node goes on above
/// whatever it has seen, so one that somebody made up, near the end of the numbers, would leave it none.
fn may_be(epoch: Epoch, topic: &Topic) -> bool {
    is_within(
        epoch,
        match topic {
            Topic::Task(_) => MILLIS,
            Topic::Channel(_) => MICROS,
        },
    )
}

fn is_within(epoch: Epoch, a_second: u64) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs().max(LONG_AGO);
    epoch.generation() <= now * a_second * 2
}

const MILLIS: u64 = 1_000;
const MICROS: u64 = 1_000_000;
/// 2020, in seconds: a clock that says less has not been set yet.
const LONG_AGO: u64 = 1_577_836_800;

/// Others may publish on these channels as well: it is not believed, and not fatal.
fn not_ours(on: &impl fmt::Debug, bytes: usize) {
    tracing::warn!(?on, bytes, "a message that is none of ours");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_message_of_several_what_cannot_be_read_is_passed_over() {
        let topic = Topic::Task("t".parse().expect("a task id"));
        let record = |seq: u64| {
            let json =
                r#"{"event_type":"stalled","timestamp":"2026-01-01T00:00:00.000Z","data":{}}"#;
            format!("7-{seq} 0 0 e{json}")
        };
        let mut payload = b"R".to_vec();
        for text in [
            record(1),
            "nonsense".to_owned(),
            record(2),
            "7-3 0 0 e{}".to_owned(),
        ] {
            record::gather(&mut payload, text.as_bytes());
        }
        // Cut off, as no node sends it.
        payload.extend_from_slice(b"900 7-4");
        assert!(Records::are_in(&payload));
        let (mut records, malformed) = (Records::new(payload), AtomicU64::new(0));
        let mut seen = Vec::new();
        while let Some(event) = records.next(&topic, &malformed) {
            seen.push(match event {
                TransportEvent::Record(record) => record.position().seq().get(),
                // Numbered, and not to be read.
                TransportEvent::Resync(_) => 0,
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(seen, [1, 2, 0]);
        assert_eq!(malformed.into_inner(), 2);
    }
}
