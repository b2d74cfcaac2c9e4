//! A reader of a channel that holds every frame against the truth.

use std::task::{Context, Poll, Waker};

use progress_core::{
    ChannelDelivered, ChannelFrame, ChannelSubscription, Epoch, GapReason, OnLag, Position, Replay,
    Resume, Seq, SubscribeError,
};

use super::{
    node::MILESTONES,
    truth::{Truth, channel_key, is_superseded},
};

/// G1 to G3 of a channel, as of a task.
#[derive(Debug)]
pub(crate) struct ChannelReader {
    pub(crate) node: usize,
    events: ChannelSubscription,
    after: Option<Position>,
    replay: Replay,
    on_lag: OnLag,
    pub(crate) rough: bool,
    epoch: Option<Epoch>,
    last: u64,
    floor: u64,
    lag: u64,
    over: bool,
}

impl ChannelReader {
    pub(crate) fn new(
        node: usize,
        events: ChannelSubscription,
        after: Option<Position>,
        replay: Replay,
        on_lag: OnLag,
    ) -> Self {
        Self {
            node,
            events,
            after,
            replay,
            on_lag,
            rough: false,
            epoch: None,
            last: 0,
            floor: 0,
            lag: 0,
            over: false,
        }
    }

    pub(crate) fn position(&self) -> Option<Position> {
        Some(Position::new(self.epoch?, Seq::new(self.last)))
    }

    pub(crate) fn read(&mut self, truth: &Truth) {
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            let mut frames = Vec::new();
            match self.events.poll_batch(&mut cx, &mut frames) {
                Poll::Pending => return,
                Poll::Ready(0) => {
                    self.over = true;
                    return;
                }
                Poll::Ready(_) => {}
            }
            for frame in &frames {
                self.take(frame, truth);
            }
        }
    }

    fn take(&mut self, frame: &ChannelFrame, truth: &Truth) {
        match frame {
            ChannelFrame::Verdict(verdict) => {
                let head = verdict.head.seq().get();
                let same = self
                    .after
                    .filter(|after| after.epoch() == verdict.head.epoch());
                self.last = match (verdict.resume, same) {
                    (Resume::Resumed | Resume::Gap, Some(after)) => after.seq().get().min(head),
                    (Resume::Gap, None) => 0,
                    (Resume::Fresh | Resume::Reset, None) => match self.replay {
                        Replay::All => 0,
                        Replay::Latest => head.saturating_sub(1),
                        Replay::None => head,
                    },
                    _ => panic!("{verdict:?} to one that came after {:?}", self.after),
                };
                self.epoch = Some(verdict.head.epoch());
            }
            ChannelFrame::Event(delivered) => self.event(delivered, truth),
            ChannelFrame::Gap(gap) => match gap.reason {
                GapReason::Floor => {
                    assert!(gap.to.get() > self.last.max(self.floor));
                    let kept = self.events_of(truth)[gap.to.get() as usize..]
                        .iter()
                        .filter(|event| channel_key(event).is_none());
                    assert!(kept.count() >= MILESTONES, "G3: {gap:?}");
                    self.floor = gap.to.get();
                }
                GapReason::Lag => {
                    assert_eq!(self.on_lag, OnLag::Gap);
                    self.lag = gap.to.get();
                }
                _ => assert!(self.after.is_some_and(|after| after.seq() == gap.to)),
            },
            ChannelFrame::Reset(epoch) => {
                assert!(self.epoch < Some(*epoch), "back to an old run: {frame:?}");
                self.epoch = Some(*epoch);
                (self.last, self.floor, self.lag) = (0, 0, 0);
            }
            ChannelFrame::Lagged(_) => assert_eq!(self.on_lag, OnLag::Close),
            ChannelFrame::Rejected(error) => {
                assert_eq!(*error, SubscribeError::Unavailable);
                assert!(self.rough, "refused, though nothing is wrong");
            }
            other => panic!("{other:?}"),
        }
    }

    fn event(&mut self, delivered: &ChannelDelivered, truth: &Truth) {
        let event = &delivered.event;
        let (from, seq) = (delivered.from.get(), event.seq().get());
        assert_eq!(Some(event.position().epoch()), self.epoch, "{event:?}");
        let events = self.events_of(truth);
        let known = &events[seq as usize - 1];
        assert_eq!(known.to_json(known.seq()), event.to_json(event.seq()), "G1");
        assert_eq!(from, self.last + 1, "G2: {delivered:?} {self:?}");
        for swallowed in from..seq {
            let missing = &events[swallowed as usize - 1];
            let declared = match channel_key(missing) {
                Some(_) => is_superseded(events, swallowed) || swallowed <= self.lag,
                None => swallowed <= self.floor,
            };
            assert!(declared, "G2: {missing:?} is gone with {delivered:?}");
        }
        self.last = seq;
    }

    pub(crate) fn check_converged(&self, truth: &Truth) {
        if let (Some(epoch), false) = (self.epoch, self.over) {
            let head = truth.channel.get(&epoch).map_or(0, Vec::len);
            assert_eq!(self.last, head as u64, "behind its head: {self:?}");
            let newest = truth.channel.keys().next_back();
            assert!(
                newest.is_none_or(|newest| *newest <= epoch),
                "in an old run: {self:?}"
            );
        }
    }

    fn events_of<'a>(&self, truth: &'a Truth) -> &'a [std::sync::Arc<progress_core::ChannelEvent>] {
        &truth.channel[&self.epoch.expect("after a verdict")]
    }
}
