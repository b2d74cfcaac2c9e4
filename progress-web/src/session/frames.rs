//! What a session makes of the frames of its subscriptions.

use bytes::Bytes;
use progress_core::{
    ChannelBody, ChannelDelivered, ChannelFrame, ChannelVerdict, Data, Delivered, Frame, Position,
    Resume, Seq, Snapshot, Verdict,
};
use tokio::time::Instant;

use super::{
    machine::{Machine, Shape},
    topic::{Name, Phase, Place, Told},
    writer::{Made, Writer},
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
                self.tally.gap();
                let data = ControlData::Gap {
                    from: gap.from,
                    to: gap.to,
                    reason: gap.reason.as_str(),
                    snapshot: Some(&gap.snapshot),
                };
                self.say_of(index, "gap", data, None);
                self.tells(index, gap.snapshot.position());
            }
            Frame::Reset(reset) => {
                self.tally.reset();
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
                self.tells(index, reset.snapshot.position());
            }
            Frame::Rejected(error) => self.reject(index, &ApiError::from(error.clone())),
            // Sessions conflate and never ask to be closed; a new kind of frame is of no use to
            // clients of this protocol.
            _ => {}
        }
    }

    /// Whether the client's format tells the state of tasks, by [`on_state`](Self::on_state).
    pub(crate) fn takes_snapshots(&self) -> bool {
        matches!(&self.writer, Writer::Format(format) if format.takes_snapshots())
    }

    /// Tells the task as it stands, if that is another message than the last. To be called before the
    /// frames of a batch, of which the last may be the end.
    pub(crate) fn on_state(
        &mut self,
        index: usize,
        head: Position,
        snapshot: impl FnOnce() -> Option<Snapshot>,
    ) {
        if self.is_deaf(index) {
            return;
        }
        let (Writer::Format(format), Some(topic)) = (&self.writer, &mut self.topics[index]) else {
            return;
        };
        let Name::Task(task) = &topic.name else {
            return;
        };
        let told = topic.told.as_ref();
        if told.is_some_and(|told| told.head == head) {
            return;
        }
        let text = format.state(task, head, snapshot);
        let is_news = !text.is_empty() && told.is_none_or(|told| told.text != text);
        topic.told = Some(Box::new(Told {
            head,
            text: text.clone(),
        }));
        if is_news {
            self.push_text("snapshot", text, None, false);
        }
    }

    /// A frame with a snapshot goes out: what is at or before it is history from now on.
    fn tells(&mut self, index: usize, head: Position) {
        if let Writer::Format(format) = &self.writer
            && !format.takes_snapshots()
            && let Some(topic) = &mut self.topics[index]
        {
            let text = Bytes::new();
            topic.told = Some(Box::new(Told { head, text }));
        }
    }

    fn is_history(&self, index: usize, position: Position) -> bool {
        let told = self.topics[index]
            .as_ref()
            .and_then(|topic| topic.told.as_ref());
        told.is_some_and(|told| {
            told.head.epoch() == position.epoch() && position.seq() <= told.head.seq()
        })
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
                self.tally.gap();
                let data = ControlData::Gap {
                    from: gap.from,
                    to: gap.to,
                    reason: gap.reason.as_str(),
                    snapshot: None,
                };
                self.say_of(index, "gap", data, None);
            }
            ChannelFrame::Reset(epoch) => {
                self.tally.reset();
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
        self.tally.verdict(verdict.resume);
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
        if let Some(snapshot) = snapshot {
            self.tells(index, snapshot.position());
        }
        if verdict.resume == Resume::Ended {
            self.over(index);
        }
    }

    fn on_channel_verdict(&mut self, index: usize, verdict: &ChannelVerdict) {
        self.tally.verdict(verdict.resume);
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
        self.tally.event(
            delivered.from,
            delivered.event.seq(),
            delivered.dropped_logs,
            delivered.event.timestamp(),
        );
        let ends = matches!(delivered.event.data(), Data::Complete(_));
        if let Some(topic) = &mut self.topics[index] {
            topic.place = Place::At(delivered.event.position());
            if ends {
                topic.phase = Phase::Over;
            }
        }
        let is_history = self.is_history(index, delivered.event.position());
        let frame = Made {
            event_type: delivered.event.event_type(),
            json: delivered.to_json(),
            id: self.event_id(index, now),
            is_history,
        };
        self.push_frame(frame, ends);
        if ends {
            self.over(index);
        }
    }

    fn on_channel_event(&mut self, index: usize, delivered: &ChannelDelivered, now: Instant) {
        let published = match delivered.event.body() {
            ChannelBody::Task(event) => event.timestamp(),
            ChannelBody::Own { timestamp, .. } => *timestamp,
        };
        self.tally
            .event(delivered.from, delivered.event.seq(), 0, published);
        if let Some(topic) = &mut self.topics[index] {
            topic.place = Place::At(delivered.event.position());
        }
        let frame = Made {
            event_type: delivered.event.event_type(),
            json: delivered.to_json(),
            id: self.event_id(index, now),
            is_history: false,
        };
        self.push_frame(frame, false);
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
