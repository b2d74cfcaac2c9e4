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
    /// Topics of which something was lost for want of room.
    overflown: Arc<Overflown>,
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
        let overflown = Arc::<Overflown>::default();
        let arriving = Arriving {
            inlet,
            overflown: Arc::clone(&overflown),
        };
        let arrivals = Self {
            keys,
            outlet,
            overflown,
        };
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
                self.overflown.lock().insert(topic);
            }
        }
    }

    /// Takes what the connection has to say. Waits for room: it must not be lost, and comes seldom.
    pub(crate) async fn event(&self, event: TransportEvent) {
        let _nobody_listens = self.outlet.send(Arrival::Event(event)).await;
    }
}

/// What has come.
#[derive(Debug)]
pub(crate) struct Arriving {
    inlet: mpsc::Receiver<Arrival>,
    overflown: Arc<Overflown>,
}

#[derive(Debug, Default)]
struct Overflown(Mutex<HashSet<Topic>>);

impl Overflown {
    fn lock(&self) -> MutexGuard<'_, HashSet<Topic>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Topic> {
        let mut topics = self.lock();
        let topic = topics.iter().next().cloned()?;
        topics.take(&topic)
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
                // There was no room before, so that whoever is here now comes again.
                Poll::Pending => match self.overflown.take() {
                    Some(topic) => Some(TransportEvent::Resync(topic)),
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
