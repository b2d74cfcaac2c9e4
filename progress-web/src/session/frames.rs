//! What a session makes of the frames of its subscriptions.

use progress_core::{
    ChannelDelivered, ChannelFrame, ChannelVerdict, Data, Delivered, Frame, Position, Resume, Seq,
    Snapshot, Verdict,
};
use tokio::time::Instant;

use super::{
    machine::{Machine, Shape},
    topic::{Name, Phase, Place},
    writer::Writer,
};
use crate::{
    error::{ApiError, Code},
    wire::{ControlData, VerdictData},
};

impl Machine {
    /// Takes a frame of a task's subscription.
    pub(crate) fn on_frame(&mut self, index: usize, frame: &Frame, now: Instant) {
        if self.is_deaf(index) {
            return;
        }
        match frame {
            Frame::Event(delivered) => self.on_event(index, delivered, now),
            Frame::Verdict(verdict) => self.on_verdict(index, verdict, now),
            Frame::Gap(gap) => {
                let data = ControlData::Gap {
                    from: gap.from,
                    to: gap.to,
                    reason: gap.reason.as_str(),
                    snapshot: Some(&gap.snapshot),
                };
                self.say_of(index, "gap", data, None);
            }
            Frame::Reset(reset) => {
                if let Some(topic) = &mut self.topics[index] {
                    topic.phase = Phase::Live;
                    topic.place = Place::At(reset.position());
                }
                let data = ControlData::Reset {
                    epoch: reset.epoch,
                    seq: reset.snapshot.seq,
                    reason: reset.reason.as_str(),
                    snapshot: Some(&reset.snapshot),
                };
                let id = self.current_id();
                self.say_of(index, "reset", data, id);
            }
            Frame::Rejected(error) => self.reject(index, &ApiError::from(error.clone())),
            // Sessions conflate and never ask to be closed; a new kind of frame is of no use to
            // clients of this protocol.
            _ => {}
        }
    }

    /// Tells the task as it stands, where the client's format takes snapshots and there is another
    /// state than it was told. To be called before the frames of a batch, of which the last may be
    /// the end.
    pub(crate) fn on_state(
        &mut self,
        index: usize,
        head: Option<Position>,
        snapshot: impl FnOnce() -> Option<Snapshot>,
    ) {
        let (Writer::Format(format), Some(head)) = (&self.writer, head) else {
            return;
        };
        if self.is_deaf(index) || !format.takes_snapshots() {
            return;
        }
        let Some(topic) = &mut self.topics[index] else {
            return;
        };
        let Name::Task(task) = &topic.name else {
            return;
        };
        if topic.told.replace(head) == Some(head) {
            return;
        }
        let text = format.state(task, head, snapshot);
        if !text.is_empty() {
            self.push_text("snapshot", text, None, false);
        }
    }

    /// Takes a frame of a channel's subscription.
    pub(crate) fn on_channel_frame(&mut self, index: usize, frame: &ChannelFrame, now: Instant) {
        if self.is_deaf(index) {
            return;
        }
        match frame {
            ChannelFrame::Event(delivered) => self.on_channel_event(index, delivered, now),
            ChannelFrame::Verdict(verdict) => self.on_channel_verdict(index, verdict),
            ChannelFrame::Gap(gap) => {
                let data = ControlData::Gap {
                    from: gap.from,
                    to: gap.to,
                    reason: gap.reason.as_str(),
                    snapshot: None,
                };
                self.say_of(index, "gap", data, None);
            }
            ChannelFrame::Reset(epoch) => {
                if let Some(topic) = &mut self.topics[index] {
                    topic.place = Place::At(Position::new(*epoch, Seq::ZERO));
                }
                // What a channel holds is never folded: there is no snapshot to be at a number.
                let data = ControlData::Reset {
                    epoch: *epoch,
                    seq: Seq::ZERO,
                    reason: "restarted",
                    snapshot: None,
                };
                let id = self.current_id();
                self.say_of(index, "reset", data, id);
            }
            ChannelFrame::Rejected(error) => self.reject(index, &ApiError::from(error.clone())),
            _ => {}
        }
    }

    /// A topic's subscription has nothing more.
    pub(crate) fn on_over(&mut self, index: usize) {
        if !self.is_deaf(index) {
            // No end was seen: the tracker is going down.
            self.close(Code::Draining);
        }
    }

    fn on_verdict(&mut self, index: usize, verdict: &Verdict, now: Instant) {
        let wait = self.pace.unknown_wait;
        let Some(topic) = &mut self.topics[index] else {
            return;
        };
        let request_id = topic.request_id.take();
        topic.phase = Phase::Live;
        match verdict.resume {
            Resume::Unknown => {
                topic.phase = Phase::Unknown(now + wait);
                topic.place = Place::None;
            }
            Resume::Reset => topic.place = Place::None,
            _ => {}
        }
        let snapshot = verdict.snapshot.as_deref();
        let data = VerdictData {
            epoch: snapshot.map(|snapshot| snapshot.epoch),
            seq: snapshot.map_or(Seq::ZERO, |snapshot| snapshot.seq),
            resume: verdict.resume.as_str(),
            snapshot,
        };
        match self.shape {
            Shape::Streams | Shape::Sockets => {
                let data = ControlData::Subscribed {
                    request_id: request_id.as_deref(),
                    verdict: data,
                };
                self.say_of(index, "subscribed", data, None);
            }
            Shape::Socket | Shape::Stream => {
                self.say_of(index, "connected", self.connected(Some(data)), None);
            }
        }
        if verdict.resume == Resume::Ended {
            self.over(index);
        }
    }

    fn on_channel_verdict(&mut self, index: usize, verdict: &ChannelVerdict) {
        let Some(topic) = &mut self.topics[index] else {
            return;
        };
        topic.phase = Phase::Live;
        if verdict.resume == Resume::Reset {
            topic.place = Place::None;
        }
        let request_id = topic.request_id.take();
        let data = ControlData::SubscribedChannel {
            request_id: request_id.as_deref(),
            epoch: verdict.head.epoch(),
            seq: verdict.head.seq(),
            resume: verdict.resume.as_str(),
        };
        self.say_of(index, "subscribed", data, None);
    }

    fn on_event(&mut self, index: usize, delivered: &Delivered, now: Instant) {
        let ends = matches!(delivered.event.data(), Data::Complete(_));
        if let Some(topic) = &mut self.topics[index] {
            topic.place = Place::At(delivered.event.position());
            if ends {
                topic.phase = Phase::Over;
            }
        }
        let id = self.event_id(index, now);
        self.push_frame(delivered.event.event_type(), delivered.to_json(), id, ends);
        if ends {
            self.over(index);
        }
    }

    fn on_channel_event(&mut self, index: usize, delivered: &ChannelDelivered, now: Instant) {
        if let Some(topic) = &mut self.topics[index] {
            topic.place = Place::At(delivered.event.position());
        }
        let id = self.event_id(index, now);
        self.push_frame(delivered.event.event_type(), delivered.to_json(), id, false);
    }

    /// Whether what comes of a topic is for nobody any more.
    fn is_deaf(&self, index: usize) -> bool {
        let topic = self.topics.get(index).and_then(Option::as_ref);
        self.closed || topic.is_none_or(|topic| topic.phase == Phase::Over)
    }

    fn say_of(
        &mut self,
        index: usize,
        event_type: &'static str,
        data: ControlData<'_>,
        id: Option<String>,
    ) {
        let name = self.topics[index].as_ref().map(|topic| topic.name.clone());
        self.say(name.as_ref(), event_type, Some(data), id);
    }
}
