//! What comes by itself, on its way to the node.

use std::{
    collections::HashSet,
    pin::Pin,
    str,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
            return;
        };
        let message = Arrival::Message(addressee, payload);
        if let Err(error) = self.outlet.try_send(message) {
            // What a node is asked it is told again at its next renewal.
            if let Arrival::Message(Addressee::Topic(topic), _) = error.into_inner() {
                self.left.lock().topics.insert(topic);
            }
        }
    }

    /// Has a topic looked at once more.
    pub(crate) fn resync(&self, topic: Topic) {
        let resync = Arrival::Event(TransportEvent::Resync(topic));
        if let Err(error) = self.outlet.try_send(resync)
            && let Arrival::Event(TransportEvent::Resync(topic)) = error.into_inner()
        {
            self.left.lock().topics.insert(topic);
        }
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
    left: Arc<Left>,
}

/// What found no room, and is said when there is some.
#[derive(Debug, Default)]
struct Left(Mutex<Unsaid>);

#[derive(Debug, Default)]
struct Unsaid {
    link: Option<TransportEvent>,
    /// Of which something was lost.
    topics: HashSet<Topic>,
}

impl Left {
    fn lock(&self) -> MutexGuard<'_, Unsaid> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
            let event = match self.inlet.poll_recv(cx) {
                Poll::Ready(Some(Arrival::Event(event))) => Some(event),
                Poll::Ready(Some(Arrival::Message(addressee, payload))) => {
                    read(&addressee, &payload)
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

fn read(addressee: &Addressee, payload: &[u8]) -> Option<TransportEvent> {
    let event = match addressee {
        Addressee::Topic(topic) => of_topic(topic, payload),
        Addressee::Node => of_node(payload),
    };
    if event.is_none() {
        // Others may publish on these channels as well: it is not believed, and not fatal.
        tracing::warn!(
            ?addressee,
            bytes = payload.len(),
            "a message that is none of ours"
        );
    }
    event
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
            epoch(first.as_bytes())?,
        )),
        b'l' => Some(TransportEvent::Resync(Topic::Task(rest.parse().ok()?))),
        _ => None,
    }
}

fn epoch(text: &[u8]) -> Option<progress_core::Epoch> {
    let generation = str::from_utf8(text).ok()?.parse().ok()?;
    Some(progress_core::Epoch::new(generation))
}

/// Messages on their way to the node. Past these they are lost, and a resync says so.
const UNDER_WAY: usize = 65_536;

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
    }
}
