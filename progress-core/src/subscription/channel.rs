//! The stream over a channel.

use std::{
    collections::VecDeque,
    fmt, future,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;

use super::{
    begin::{cursor, verdict},
    sink::{BATCH, FirstAndRest, Sink},
};
use crate::{
    channel::{ChannelEvent, ChannelName, ChannelShared},
    link::{Located, WatchGuard},
    log::{Cursor, Delivery, Gap, GapReason, Lagged},
    position::{Epoch, Position, Seq},
    subscription::{Place, Resume, SubscribeError, SubscribeOptions},
    tracker::{SubscriptionPermit, TrackerShared},
};

/// Reads a channel: first the verdict, then what is to be replayed, then what happens, for ever.
///
/// It is a cursor into the channel's log, bounded as a [`Subscription`](crate::Subscription) is. It
/// ends only with the tracker, or if it is [rejected](ChannelFrame::Rejected) or
/// [lags](ChannelFrame::Lagged) where it asked for that.
///
/// # Cancel safety
///
/// Dropping the future of [`next`](Self::next) or [`next_batch`](Self::next_batch) loses nothing.
pub struct ChannelSubscription {
    source: Source,
    ready: VecDeque<ChannelFrame>,
    place: Option<Place>,
    position: Option<Position>,
    /// Keeps the channel mirrored.
    watch: Option<Box<WatchGuard>>,
    _permit: Option<SubscriptionPermit>,
}

enum Source {
    Known {
        channel: Arc<ChannelShared>,
        tracker: Weak<TrackerShared>,
        epoch: Epoch,
        cursor: Cursor,
    },
    /// The broker is being asked.
    Sought(Box<Sought>),
    Over,
}

struct Sought {
    name: ChannelName,
    tracker: Weak<TrackerShared>,
    options: SubscribeOptions,
}

/// One item of a [`ChannelSubscription`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ChannelFrame {
    /// Always the first: what became of the reader's position.
    Verdict(ChannelVerdict),
    /// An event.
    Event(ChannelDelivered),
    /// Something is missing that no later event supersedes.
    Gap(Gap),
    /// From here on another run of the channel is read, from its beginning: who numbers it has
    /// forgotten it.
    Reset(Epoch),
    /// The reader fell behind its buffer and had asked for
    /// [`OnLag::Close`](crate::OnLag::Close). Nothing follows.
    Lagged(Lagged),
    /// The subscription was not made. Nothing follows.
    Rejected(SubscribeError),
}

/// What became of a reader's position in a channel.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ChannelVerdict {
    /// The channel.
    pub channel: ChannelName,
    /// Its newest event.
    pub head: Position,
    /// What became of the position; never [`Resume::Ended`] or [`Resume::Unknown`].
    pub resume: Resume,
}

/// An event of a channel, as it comes to one reader.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ChannelDelivered {
    /// The event.
    pub event: Arc<ChannelEvent>,
    /// The first number that it stands for; its own number is the last.
    pub from: Seq,
}

impl ChannelDelivered {
    /// Returns the frame as JSON text; see [`ChannelEvent::to_json`].
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        self.event.to_json(self.from)
    }
}

impl ChannelSubscription {
    pub(crate) fn known(
        channel: Arc<ChannelShared>,
        tracker: &Arc<TrackerShared>,
        options: &SubscribeOptions,
        permit: SubscriptionPermit,
    ) -> Self {
        let mut this = Self::new(Source::Over, Some(permit), None);
        this.open(channel, Arc::downgrade(tracker), options);
        this
    }

    /// Asks the broker first; the verdict is the first thing that comes of it.
    pub(crate) fn sought(
        name: ChannelName,
        tracker: &Arc<TrackerShared>,
        options: SubscribeOptions,
        permit: SubscriptionPermit,
        watch: WatchGuard,
    ) -> Self {
        let source = Source::Sought(Box::new(Sought {
            name,
            tracker: Arc::downgrade(tracker),
            options,
        }));
        Self::new(source, Some(permit), Some(watch))
    }

    pub(crate) fn rejected(error: SubscribeError) -> Self {
        let mut this = Self::new(Source::Over, None, None);
        this.ready.push_back(ChannelFrame::Rejected(error));
        this
    }

    fn new(source: Source, permit: Option<SubscriptionPermit>, watch: Option<WatchGuard>) -> Self {
        Self {
            source,
            ready: VecDeque::new(),
            place: None,
            position: None,
            watch: watch.map(Box::new),
            _permit: permit,
        }
    }

    fn open(
        &mut self,
        channel: Arc<ChannelShared>,
        tracker: Weak<TrackerShared>,
        options: &SubscribeOptions,
    ) {
        let (epoch, head, resume, cursor, ahead) = {
            let inner = channel.inner.lock();
            let resume = verdict(inner.epoch, &inner.log, options);
            let (cursor, ahead) = cursor(&inner.log, options, resume);
            (inner.epoch, inner.log.head(), resume, cursor, ahead)
        };
        self.position = (resume != Resume::Fresh).then(|| Position::new(epoch, cursor.last()));
        self.ready.push_back(ChannelFrame::Verdict(ChannelVerdict {
            channel: channel.name.clone(),
            head: Position::new(epoch, head),
            resume,
        }));
        self.ready.extend(ahead.map(|to| {
            ChannelFrame::Gap(Gap {
                from: Seq::new(head.get() + 1),
                to,
                reason: GapReason::Ahead,
            })
        }));
        self.source = Source::Known {
            channel,
            tracker,
            epoch,
            cursor,
        };
    }

    /// Returns the position of the newest event that was yielded, or that the reader came with if
    /// it still holds. A later subscription [`after`](SubscribeOptions::after) it goes on there.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// Returns the position of the channel's newest event; none while the broker is asked, and
    /// once nothing follows.
    #[must_use]
    pub fn head(&self) -> Option<Position> {
        match &self.source {
            Source::Known { channel, .. } => Some(channel.head()),
            Source::Sought(_) | Source::Over => None,
        }
    }

    /// Makes the next read skip superseded State up to the head.
    pub fn conflate(&mut self) {
        if let Source::Known { cursor, .. } = &mut self.source {
            cursor.conflate();
        }
    }

    /// Waits for the next frame.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<ChannelFrame> {
        future::poll_fn(|cx| self.poll_frame(cx)).await
    }

    /// Waits until there are frames and appends all that are ready, about 64 at most unless
    /// they have to be taken at one instant; returns how many, 0 when nothing follows.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next_batch(&mut self, out: &mut Vec<ChannelFrame>) -> usize {
        future::poll_fn(|cx| self.poll_batch(cx, out)).await
    }

    /// Polls for frames and appends all that are ready; see [`next_batch`](Self::next_batch).
    pub fn poll_batch(&mut self, cx: &mut Context<'_>, out: &mut Vec<ChannelFrame>) -> Poll<usize> {
        ready!(self.poll_sought(cx));
        let before = out.len();
        if self.ready.is_empty() {
            ready!(self.poll_read(cx, out));
        } else {
            // Its memory goes too: it may sleep from now on.
            out.extend(std::mem::take(&mut self.ready));
        }
        let read = &out[before..];
        self.position = read.iter().rev().find_map(position).or(self.position);
        Poll::Ready(read.len())
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<ChannelFrame>> {
        ready!(self.poll_sought(cx));
        let mut frame = self.ready.pop_front();
        if frame.is_none() {
            let mut sink = FirstAndRest::new(std::mem::take(&mut self.ready));
            let read = self.poll_read(cx, &mut sink);
            (frame, self.ready) = (sink.first, sink.rest);
            if read.is_pending() {
                self.ready = VecDeque::new();
                return Poll::Pending;
            }
        }
        self.position = frame.as_ref().and_then(position).or(self.position);
        Poll::Ready(frame)
    }

    fn poll_sought(&mut self, cx: &Context<'_>) -> Poll<()> {
        let (Source::Sought(sought), Some(watch)) = (&self.source, &mut self.watch) else {
            return Poll::Ready(());
        };
        let located = ready!(watch.poll_located(cx));
        let (name, options) = (sought.name.clone(), sought.options.clone());
        let tracker = sought.tracker.clone();
        self.source = Source::Over;
        let Some(found) = tracker.upgrade().map(|tracker| tracker.channel(&name)) else {
            return Poll::Ready(());
        };
        match found {
            // Also one that the broker has not heard of: nothing was published there yet.
            Ok(channel) if located != Located::Down => self.open(channel, tracker, &options),
            Ok(_) => {
                let rejected = ChannelFrame::Rejected(SubscribeError::Unavailable);
                self.ready.push_back(rejected);
            }
            Err(error) => {
                let rejected = ChannelFrame::Rejected(SubscribeError::Channel(error));
                self.ready.push_back(rejected);
            }
        }
        Poll::Ready(())
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, sink: &mut impl Sink<ChannelFrame>) -> Poll<()> {
        let Source::Known {
            channel,
            tracker,
            epoch,
            cursor,
        } = &mut self.source
        else {
            return Poll::Ready(());
        };
        let mut guard = channel.inner.lock();
        let inner = &mut *guard;
        if inner.epoch != *epoch {
            *epoch = inner.epoch;
            *cursor = cursor.anew(&inner.log);
            sink.push(ChannelFrame::Reset(*epoch));
            return Poll::Ready(());
        }
        sink.reserve(inner.log.unread(cursor).min(BATCH));
        let mut nothing = true;
        let read = inner.log.read_with(cursor, BATCH, |item| {
            nothing = false;
            match item {
                Delivery::Item { item, from, .. } => sink
                    .push_with(move || ChannelFrame::Event(ChannelDelivered { event: item, from })),
                Delivery::Gap(gap) => sink.push(ChannelFrame::Gap(gap)),
            }
        });
        if nothing && read.is_ok() {
            if tracker.strong_count() == 0 {
                drop(guard);
                self.source = Source::Over;
                return Poll::Ready(());
            }
            inner.sleepers.arm(&mut self.place, cx.waker());
            return Poll::Pending;
        }
        drop(guard);
        if let Err(lagged) = read {
            sink.push(ChannelFrame::Lagged(lagged));
            self.leave();
        }
        Poll::Ready(())
    }

    fn leave(&mut self) {
        let source = std::mem::replace(&mut self.source, Source::Over);
        if let Source::Known {
            channel, tracker, ..
        } = source
        {
            if let Some(place) = self.place.take() {
                channel.inner.lock().sleepers.release(&place);
            }
            // With a link it goes when nobody has watched it for a while.
            if let Some(tracker) = tracker.upgrade().filter(|tracker| tracker.link.is_none()) {
                tracker.channels.leave(&channel);
            }
        }
    }
}

impl Stream for ChannelSubscription {
    type Item = ChannelFrame;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ChannelFrame>> {
        self.poll_frame(cx)
    }
}

impl Drop for ChannelSubscription {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for ChannelSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match &self.source {
            Source::Known { channel, .. } => Some(&channel.name),
            Source::Sought(sought) => Some(&sought.name),
            Source::Over => None,
        };
        f.debug_struct("ChannelSubscription")
            .field("channel", &name)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// Where a reader stands that was given a frame, if it moves it.
fn position(frame: &ChannelFrame) -> Option<Position> {
    match frame {
        ChannelFrame::Event(delivered) => Some(delivered.event.position()),
        ChannelFrame::Reset(epoch) => Some(Position::new(*epoch, Seq::ZERO)),
        _ => None,
    }
}
