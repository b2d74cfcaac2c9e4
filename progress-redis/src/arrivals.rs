//! What comes by itself, on its way to the node.

use std::{
    collections::HashSet,
    fmt,
    pin::Pin,
    str,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures_core::Stream;
use progress_core::transport::{Topic, TransportEvent};
use tokio::sync::mpsc;

use crate::{
    claims::request_of,
    keys::{Addressee, Keys},
    record,
};

/// Takes what comes, without waiting: what does not fit is declared lost.
#[derive(Debug)]
pub(crate) struct Arrivals {
    keys: Keys,
    outlet: mpsc::Sender<Arrival>,
    left: Arc<Left>,
}

#[derive(Debug)]
enum Arrival {
    /// Not read yet: that is done by who takes it, and not by who reads the socket.
    Message(Addressee, Vec<u8>),
    Event(TransportEvent),
}

impl Arrivals {
    pub(crate) fn new(keys: Keys) -> (Self, Arriving) {
        let (outlet, inlet) = mpsc::channel(UNDER_WAY);
        let left = Arc::<Left>::default();
        let arriving = Arriving {
            inlet,
            open: None,
            left: Arc::clone(&left),
        };
        let arrivals = Self { keys, outlet, left };
        (arrivals, arriving)
    }

    /// Takes what was published on a channel.
    pub(crate) fn message(&self, channel: &[u8], payload: Vec<u8>) {
        let addressee = str::from_utf8(channel)
            .ok()
            .and_then(|channel| self.keys.addressee(channel));
        let Some(addressee) = addressee else {
            self.left.malformed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let size = payload.len();
        let message = Arrival::Message(addressee, payload);
        let held = self.left.bytes.fetch_add(size, Ordering::AcqRel);
        let lost = match held + size > MOST_BYTES && held > 0 {
            true => message,
            false => match self.outlet.try_send(message) {
                Ok(()) => return,
                Err(error) => error.into_inner(),
            },
        };
        self.left.bytes.fetch_sub(size, Ordering::AcqRel);
        self.left.dropped.fetch_add(1, Ordering::Relaxed);
        // What a node is asked it is told again at its next renewal.
        if let Arrival::Message(Addressee::Topic(topic), _) = lost {
            self.left.lock().topics.insert(topic);
        }
    }

    /// How many were dropped for want of room, and how many were none of ours.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (count(&self.left.dropped), count(&self.left.malformed))
    }

    /// Takes what the connection has to say. It does not wait either: who connects again must not be
    /// held up by who reads. Of what finds no room the newest counts.
    pub(crate) fn event(&self, event: TransportEvent) {
        let mut left = self.left.lock();
        if left.link.is_some() {
            left.link = Some(event);
        } else if let Err(error) = self.outlet.try_send(Arrival::Event(event))
            && let Arrival::Event(event) = error.into_inner()
        {
            left.link = Some(event);
        }
    }
}

/// What has come.
#[derive(Debug)]
pub(crate) struct Arriving {
    inlet: mpsc::Receiver<Arrival>,
    /// The records of one message that have not been taken yet.
    open: Option<(Topic, Records)>,
    left: Arc<Left>,
}

/// What found no room, and is said when there is some; and what else was not handed on.
#[derive(Debug, Default)]
struct Left {
    unsaid: Mutex<Unsaid>,
    /// What waits in messages.
    bytes: AtomicUsize,
    dropped: AtomicU64,
    malformed: AtomicU64,
}

#[derive(Debug, Default)]
struct Unsaid {
    link: Option<TransportEvent>,
    /// Of which something was lost.
    topics: HashSet<Topic>,
}

impl Left {
    fn lock(&self) -> MutexGuard<'_, Unsaid> {
        self.unsaid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<TransportEvent> {
        let mut left = self.lock();
        if let Some(event) = left.link.take() {
            return Some(event);
        }
        let topic = left.topics.iter().next().cloned()?;
        left.topics.remove(&topic);
        Some(TransportEvent::Resync(topic))
    }
}

impl Stream for Arriving {
    type Item = TransportEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<TransportEvent>> {
        loop {
            let this = &mut *self;
            if let Some((topic, records)) = &mut this.open {
                match records.next(topic, &this.left.malformed) {
                    Some(event) => return Poll::Ready(Some(event)),
                    None => this.open = None,
                }
            }
            let event = match self.inlet.poll_recv(cx) {
                Poll::Ready(Some(Arrival::Event(event))) => Some(event),
                Poll::Ready(Some(Arrival::Message(addressee, payload))) => {
                    self.left.bytes.fetch_sub(payload.len(), Ordering::AcqRel);
                    match addressee {
                        Addressee::Topic(topic) if payload.first() == Some(&b'R') => {
                            self.open = Some((topic, Records::behind(payload, 1)));
                            continue;
                        }
                        addressee => {
                            let event = read(&addressee, &payload);
                            if event.is_none() {
                                self.left.malformed.fetch_add(1, Ordering::Relaxed);
                            }
                            event
                        }
                    }
                }
                Poll::Ready(None) => return Poll::Ready(None),
                // There was no room before, so that whoever is here now comes again. Tokio may have said
                // it though something waits: that does no harm, for what was lost can be read by now.
                Poll::Pending => match self.left.take() {
                    Some(event) => Some(event),
                    None => return Poll::Pending,
                },
            };
            if event.is_some() {
                return Poll::Ready(event);
            }
        }
    }
}

/// A message of several records.
#[derive(Debug)]
struct Records {
    text: Vec<u8>,
    at: usize,
}

impl Records {
    fn behind(text: Vec<u8>, at: usize) -> Self {
        Self { text, at }
    }

    /// The next one that can be read.
    fn next(&mut self, topic: &Topic, malformed: &AtomicU64) -> Option<TransportEvent> {
        loop {
            let mut rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
            let record = record::take_first(&mut rest);
            self.at = match record {
                Some(_) => self.text.len() - rest.len(),
                None => self.text.len(),
            };
            match record.map(|record| record::decode(topic, record)) {
                Some(Ok(record)) => return Some(TransportEvent::Record(record)),
                _ => {
                    malformed.fetch_add(1, Ordering::Relaxed);
                    not_ours(topic, self.text.len());
                }
            }
        }
    }
}

fn read(addressee: &Addressee, payload: &[u8]) -> Option<TransportEvent> {
    let event = match addressee {
        Addressee::Topic(topic) => of_topic(topic, payload),
        Addressee::Node => of_node(payload),
    };
    if event.is_none() {
        not_ours(addressee, payload.len());
    }
    event
}

/// Others may publish on these channels as well: it is not believed, and not fatal.
fn not_ours(on: &impl fmt::Debug, bytes: usize) {
    tracing::warn!(?on, bytes, "a message that is none of ours");
}

fn of_topic(topic: &Topic, payload: &[u8]) -> Option<TransportEvent> {
    match (payload.split_first()?, topic) {
        ((b'r', text), _) => match record::decode(topic, text) {
            Ok(record) => Some(TransportEvent::Record(record)),
            Err(_) => None,
        },
        ((b'x', run), Topic::Task(task)) => {
            Some(TransportEvent::Removed(task.clone(), epoch(run)?))
        }
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
            epoch(first.as_bytes())?,
        )),
        _ => None,
    }
}

fn epoch(text: &[u8]) -> Option<progress_core::Epoch> {
    let generation = str::from_utf8(text).ok()?.parse().ok()?;
    Some(progress_core::Epoch::new(generation))
}

/// Messages on their way to the node. Past these they are lost, and a resync says so.
const UNDER_WAY: usize = 65_536;
/// What they may hold together, but for one that holds more alone.
const MOST_BYTES: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin};

    use super::*;

    #[tokio::test]
    async fn what_finds_no_room_is_declared_lost() {
        let (arrivals, arriving) = Arrivals::new(Keys::new("a"));
        for _ in 0..UNDER_WAY + 2 {
            arrivals.message(b"a:t:{t}", b"x7".to_vec());
        }
        for event in [TransportEvent::Down, TransportEvent::Up] {
            arrivals.event(event);
        }
        let mut arriving = pin!(arriving);
        // When among the others does not matter: what was lost can be read since.
        let (mut removed, mut up, mut resync) = (0, 0, 0);
        for _ in 0..UNDER_WAY + 2 {
            match poll_fn(|cx| arriving.as_mut().poll_next(cx)).await {
                Some(TransportEvent::Removed(..)) => removed += 1,
                Some(TransportEvent::Up) => up += 1,
                Some(TransportEvent::Resync(Topic::Task(_))) => resync += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((removed, up, resync), (UNDER_WAY, 1, 1));
        assert_eq!(arrivals.counts(), (2, 0));
    }
}
