//! Events as a channel numbers them.

use std::{
    fmt::Write as _,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;

use crate::{
    channel::ChannelName,
    event::{Custom, Data, Event, Retention},
    id::TaskId,
    log::Item,
    position::{Epoch, Position, Seq},
    time::Timestamp,
};

/// One event of a channel: a copy of a task's event, or one of no task.
///
/// Its number and epoch mean something only within the channel; a task's event inside keeps its
/// own. Its JSON text is made at most once, whoever asks first.
#[derive(Debug)]
pub struct ChannelEvent {
    channel: ChannelName,
    epoch: Epoch,
    seq: Seq,
    prev: Seq,
    body: ChannelBody,
    /// Boxed, since most are superseded before anybody asks.
    json: OnceLock<Box<Json>>,
}

/// What happened.
#[derive(Debug, Clone)]
#[expect(
    clippy::exhaustive_enums,
    reason = "an event is of a task or it is not"
)]
pub enum ChannelBody {
    /// An event of a task.
    Task(Arc<Event>),
    /// An event of no task.
    Own {
        /// What it says.
        custom: Box<Custom>,
        /// When it happened.
        timestamp: Timestamp,
    },
}

#[derive(Debug)]
struct Json {
    text: Bytes,
    /// Just behind the value of `channel_seq`.
    splice: usize,
}

impl ChannelEvent {
    pub(crate) fn new(
        channel: ChannelName,
        epoch: Epoch,
        seq: Seq,
        prev: Seq,
        body: ChannelBody,
    ) -> Self {
        Self {
            channel,
            epoch,
            seq,
            prev,
            body,
            json: OnceLock::new(),
        }
    }

    /// Returns the channel.
    #[must_use]
    pub fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// Returns where it stands in the channel.
    #[must_use]
    pub fn position(&self) -> Position {
        Position::new(self.epoch, self.seq)
    }

    /// Returns its number in the channel.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Returns the newest milestone of the channel before it, [`Seq::ZERO`] if there is none.
    #[must_use]
    pub fn prev(&self) -> Seq {
        self.prev
    }

    /// Returns what happened.
    #[must_use]
    pub fn body(&self) -> &ChannelBody {
        &self.body
    }

    /// Returns the task's event, if it is one.
    #[must_use]
    pub fn event(&self) -> Option<&Arc<Event>> {
        match &self.body {
            ChannelBody::Task(event) => Some(event),
            ChannelBody::Own { .. } => None,
        }
    }

    /// Returns the type of what happened, on the wire.
    #[must_use]
    pub fn event_type(&self) -> &str {
        match &self.body {
            ChannelBody::Task(event) => event.event_type(),
            ChannelBody::Own { custom, .. } => &custom.event_type,
        }
    }

    /// Tells what supersedes it in the channel: a task's State is State of the task's id; all else
    /// of a task, its end included, is a milestone.
    #[must_use]
    pub fn retention(&self) -> Retention {
        self.body.retention()
    }

    /// Returns the frame as one JSON object, as a reader gets it to whom it stands for
    /// `from..=seq`.
    #[must_use]
    pub fn to_json(&self, from: Seq) -> Bytes {
        let json = self.json.get_or_init(|| Box::new(self.encode()));
        if from == self.seq {
            return json.text.clone();
        }
        let (head, tail) = json.text.split_at(json.splice);
        let mut text = Vec::with_capacity(json.text.len() + 40);
        text.extend_from_slice(head);
        text.extend_from_slice(format!(",\"channel_from\":{from}").as_bytes());
        text.extend_from_slice(tail);
        text.into()
    }

    fn encode(&self) -> Json {
        // A name needs no escaping, by its character set.
        let mut text = String::with_capacity(128);
        let _infallible = write!(
            text,
            "{{\"channel\":\"{}\",\"channel_epoch\":\"{}\",\"channel_seq\":{}",
            self.channel, self.epoch, self.seq
        );
        let splice = text.len();
        text.push_str(",\"event\":");
        let mut text = text.into_bytes();
        match &self.body {
            ChannelBody::Task(event) => {
                text.extend_from_slice(&event.to_json(event.seq(), 0));
            }
            ChannelBody::Own { custom, timestamp } => {
                let key = match &custom.key {
                    Some(key) => format!(",\"key\":{}", serde_json::Value::from(&**key)),
                    None => String::new(),
                };
                text.extend_from_slice(
                    format!(
                        "{{\"event_type\":\"{}\"{key},\"timestamp\":\"{timestamp}\",\"data\":{}}}",
                        custom.event_type,
                        custom.data.json()
                    )
                    .as_bytes(),
                );
            }
        }
        text.push(b'}');
        Json {
            text: text.into(),
            splice,
        }
    }
}

impl ChannelBody {
    pub(crate) fn retention(&self) -> Retention {
        match self {
            Self::Task(event) => match event.data().retention() {
                Retention::State(_) => Retention::State(format!("@{}", event.task_id())),
                _ => Retention::Milestone,
            },
            Self::Own { custom, .. } => match &custom.key {
                Some(key) => Retention::State(format!("{} {key}", custom.event_type)),
                None => Retention::Milestone,
            },
        }
    }

    /// The key of State within this process, none of what is no State: a task's is its id, which
    /// has no space, another's its type and key, between which there is one.
    pub(super) fn key(&self) -> Option<Arc<str>> {
        match self {
            Self::Task(event) => match event.data() {
                Data::ProgressUpdate(_) | Data::Custom(Custom { key: Some(_), .. }) => {
                    Some(Arc::clone(event.task_id().text()))
                }
                _ => None,
            },
            Self::Own { custom, .. } => {
                let key = custom.key.as_ref()?;
                Some(Arc::from(format!("{} {key}", custom.event_type)))
            }
        }
    }

    /// The task whose State has had its day with this: one that has ended.
    pub(super) fn ended(&self) -> Option<&TaskId> {
        match self {
            Self::Task(event) if matches!(event.data(), Data::Complete(_)) => Some(event.task_id()),
            _ => None,
        }
    }

    /// The key that has had its day with this: that of a task which has ended.
    #[cfg(feature = "testing")]
    pub(crate) fn retires(&self) -> Option<String> {
        self.ended().map(|task_id| format!("@{task_id}"))
    }
}

impl Item for Arc<ChannelEvent> {
    /// What it takes besides the task's event, which that task's log accounts for, and its frame.
    fn size(&self) -> usize {
        let inside = match &self.body {
            ChannelBody::Task(event) => event.size(),
            ChannelBody::Own { custom, .. } => 2 * custom.data.json().len() + 128,
        };
        size_of::<ChannelEvent>() + inside
    }

    fn release(&mut self) {
        if self.json.get().is_some() {
            match Self::get_mut(self) {
                Some(event) => drop(event.json.take()),
                None => {
                    *self = Self::new(ChannelEvent::new(
                        self.channel.clone(),
                        self.epoch,
                        self.seq,
                        self.prev,
                        self.body.clone(),
                    ));
                }
            }
        }
    }
}
