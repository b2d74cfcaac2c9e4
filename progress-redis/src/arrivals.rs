//! What comes by itself, on its way to the node.

use std::{
    collections::HashSet,
    pin::Pin,
    str,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures_core::Stream;
use futures_util::task::AtomicWaker;
use progress_core::{
    Position, TaskId,
    transport::{Foreign, Topic, TransportEvent},
};
use tokio::sync::mpsc;

use crate::{
    keys::{Addressee, Keys},
    message::{Records, read},
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
    Foreign(Foreign),
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
            self.left.say(|left| {
                left.topics.insert(topic);
            });
        }
    }

    /// How many were dropped for want of room, and how many were none of ours.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (count(&self.left.dropped), count(&self.left.malformed))
    }

    /// Whether somebody reads what comes: who does not is to take nothing from other nodes.
    pub(crate) fn is_heard(&self) -> bool {
        self.left.is_heard.load(Ordering::Acquire) && !self.outlet.is_closed()
    }

    /// How many more find room.
    pub(crate) fn room(&self) -> usize {
        self.outlet.capacity()
    }

    /// Takes what others have told of a task, which this node has taken from all.
    pub(crate) fn untold(&self, task: TaskId, after: Position) {
        let event = Arrival::Event(TransportEvent::Untold(task, after));
        if let Err(error) = self.outlet.try_send(event)
            && let Arrival::Event(event) = error.into_inner()
        {
            self.left.say(|left| left.untold.push(event));
        }
    }

    /// Takes what somebody else has published on a task.
    pub(crate) fn foreign(&self, task: &str, payload: Vec<u8>) {
        let foreign = Foreign::message(task, payload);
        let bytes = bytes_of(&foreign);
        let waiting = &self.left.foreign_bytes;
        let room = waiting.fetch_add(bytes, Ordering::AcqRel) + bytes <= FOREIGN_UNDER_WAY;
        if !room || self.outlet.try_send(Arrival::Foreign(foreign)).is_err() {
            waiting.fetch_sub(bytes, Ordering::AcqRel);
            self.left.say(|left| left.foreign += 1);
        }
    }

    /// Has a topic looked at once more.
    pub(crate) fn resync(&self, topic: Topic) {
        let resync = Arrival::Event(TransportEvent::Resync(topic));
        if let Err(error) = self.outlet.try_send(resync)
            && let Arrival::Event(TransportEvent::Resync(topic)) = error.into_inner()
        {
            self.left.say(|left| {
                left.topics.insert(topic);
            });
        }
    }

    /// Takes what the connection has to say. It does not wait either: who connects again must not be
    /// held up by who reads. Of what finds no room the newest counts.
    pub(crate) fn event(&self, event: TransportEvent) {
        self.left.say(|left| {
            if left.link.is_some() {
                left.link = Some(event);
            } else if let Err(error) = self.outlet.try_send(Arrival::Event(event))
                && let Arrival::Event(event) = error.into_inner()
            {
                left.link = Some(event);
            }
        });
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
    /// Who may have found the messages at an end before something was left.
    reader: AtomicWaker,
    /// What waits in messages.
    bytes: AtomicUsize,
    dropped: AtomicU64,
    malformed: AtomicU64,
    /// What others have published, on its way.
    foreign_bytes: AtomicUsize,
    is_heard: AtomicBool,
}

#[derive(Debug, Default)]
struct Unsaid {
    link: Option<TransportEvent>,
    /// Of which something was lost.
    topics: HashSet<Topic>,
    /// Messages of others that were lost.
    foreign: u64,
    /// A few, that came when there was room a moment before.
    untold: Vec<TransportEvent>,
}

impl Left {
    fn lock(&self) -> MutexGuard<'_, Unsaid> {
        self.unsaid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, what: impl FnOnce(&mut Unsaid)) {
        what(&mut self.lock());
        self.reader.wake();
    }

    fn take(&self) -> Option<TransportEvent> {
        let mut left = self.lock();
        if let Some(event) = left.link.take() {
            return Some(event);
        }
        if let Some(event) = left.untold.pop() {
            return Some(event);
        }
        if left.foreign > 0 {
            let lost = std::mem::take(&mut left.foreign);
            return Some(TransportEvent::Foreign(Foreign::Overflow(lost)));
        }
        let topic = left.topics.iter().next().cloned()?;
        left.topics.remove(&topic);
        Some(TransportEvent::Resync(topic))
    }
}

impl Stream for Arriving {
    type Item = TransportEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<TransportEvent>> {
        self.left.is_heard.store(true, Ordering::Release);
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
                        Addressee::Topic(topic) if Records::are_in(&payload) => {
                            self.open = Some((topic, Records::new(payload)));
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
                Poll::Ready(Some(Arrival::Foreign(foreign))) => {
                    let waiting = &self.left.foreign_bytes;
                    waiting.fetch_sub(bytes_of(&foreign), Ordering::AcqRel);
                    Some(TransportEvent::Foreign(foreign))
                }
                Poll::Ready(None) => return Poll::Ready(None),
                // Tokio may have said so though something waits: that does no harm, for what was lost can
                // be read by now.
                Poll::Pending => {
                    self.left.reader.register(cx.waker());
                    match self.left.take() {
                        Some(event) => Some(event),
                        None => return Poll::Pending,
                    }
                }
            };
            if event.is_some() {
                return Poll::Ready(event);
            }
        }
    }
}

fn bytes_of(foreign: &Foreign) -> usize {
    match foreign {
        Foreign::Message { payload, .. } => payload.len(),
        _ => 0,
    }
}

/// Messages on their way to the node. Past these they are lost, and a resync says so.
const UNDER_WAY: usize = 65_536;
/// What they may hold together, but for one that holds more alone.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of what others have published among them. Past these it is lost, and counted.
const FOREIGN_UNDER_WAY: usize = 16 * 1024 * 1024;

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

    #[tokio::test]
    async fn what_others_publish_takes_no_more_room_than_it_may() {
        let (arrivals, arriving) = Arrivals::new(Keys::new("a"));
        let mut arriving = pin!(arriving);
        let mut count = async || {
            let (mut came, mut lost) = (0, 0);
            loop {
                let next = |cx: &mut Context<'_>| Poll::Ready(arriving.as_mut().poll_next(cx));
                match poll_fn(next).await {
                    Poll::Ready(Some(TransportEvent::Foreign(Foreign::Overflow(more)))) => {
                        lost += more;
                    }
                    Poll::Ready(Some(TransportEvent::Foreign(_))) => came += 1,
                    Poll::Pending => return (came, lost),
                    other => panic!("{other:?}"),
                }
            }
        };
        for _ in 0..2 {
            for _ in 0..20 {
                arrivals.foreign("t", vec![b'x'; 2 * Foreign::MOST_BYTES]);
            }
            // Each is cut to a byte more than may be.
            assert_eq!(count().await, (15, 5));
        }
    }
}
