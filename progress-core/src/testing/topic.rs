//! What the broker in memory keeps of one topic.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    channel::ChannelName,
    event::{Data, Event, Retention},
    id::TaskId,
    log::{Class, Item, Keys, Log, LogLimits, PushErrorKind},
    position::{Epoch, Position, Seq},
    testing::recent::Recent,
    transport::{AppendError, Draft, DraftBody, Owner, Page, Record, Request, Topic},
};

impl Item for Record {
    fn size(&self) -> usize {
        match self {
            Self::Task(event) => event.size(),
            Self::Channel(event) => event.size(),
        }
    }
}

/// One run of a topic: a log without a window, so that only what nothing supersedes is kept.
#[derive(Debug)]
pub(super) struct BusTopic {
    pub(super) epoch: Epoch,
    pub(super) owner: Owner,
    pub(super) channels: Vec<ChannelName>,
    pub(super) silence: Option<Duration>,
    pub(super) request: Option<Request>,
    /// The run that this one is the end of, and what was kept of it.
    pub(super) ends: Option<Epoch>,
    pub(super) ended_run: Vec<Arc<Event>>,
    pub(super) ended_at: Option<Instant>,
    pub(super) active_at: Instant,
    pub(super) quiet_told: bool,
    /// Creation, to list by.
    pub(super) number: u64,
    log: Log<Record>,
    lines: u64,
    keys: Keys,
    /// The newest ids and where their drafts went.
    seen: Recent<Arc<str>, Position>,
    /// How far the events of each task have been copied, and where the last of them went.
    copied: Recent<TaskId, ((Epoch, Seq), Position)>,
}

impl BusTopic {
    pub(super) fn new(epoch: Epoch, owner: Owner, number: u64, now: Instant) -> Self {
        Self {
            epoch,
            owner,
            channels: Vec::new(),
            silence: None,
            request: None,
            ends: None,
            ended_run: Vec::new(),
            ended_at: None,
            active_at: now,
            quiet_told: false,
            number,
            log: Log::new(LogLimits::default().window(1)),
            lines: 0,
            keys: Keys::default(),
            seen: Recent::default(),
            copied: Recent::default(),
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.log.is_ended()
    }

    /// Takes an event that its owner has numbered; tells whether it is new.
    pub(super) fn append(&mut self, record: &Record, now: Instant) -> Result<bool, AppendError> {
        let seq = record.position().seq();
        if seq <= self.log.head() {
            return Ok(false);
        }
        if self.log.is_ended() {
            return Err(AppendError::AlreadyComplete);
        }
        self.push(record.clone(), seq, now)?;
        Ok(true)
    }

    /// Numbers a draft; none if it was seen before, or says what is superseded already.
    pub(super) fn number(
        &mut self,
        topic: &Topic,
        draft: &Draft,
        now: Instant,
    ) -> Result<(Position, Option<Record>), AppendError> {
        if let Some(first) = draft.id.as_ref().and_then(|id| self.seen.get(id)) {
            return Ok((*first, None));
        }
        if let Some(later) = self.superseded_copy(draft) {
            return Ok((later, None));
        }
        if self.log.is_ended() {
            return Err(AppendError::AlreadyComplete);
        }
        let seq = self.log.next_seq();
        let is_line = matches!(
            &draft.body,
            DraftBody::Data(data) if data.retention() == Retention::Log
        );
        let lines = self.lines + u64::from(is_line);
        let record = draft.number(topic, self.epoch, seq, self.log.newest_milestone(), lines)?;
        self.push(record.clone(), seq, now)?;
        let position = Position::new(self.epoch, seq);
        if let Some(id) = &draft.id {
            self.seen.insert(Arc::clone(id), position);
        }
        if let DraftBody::Event(event) = &draft.body {
            let (task, reached) = (event.task_id(), (event.epoch(), event.seq()));
            if self
                .copied
                .get(task)
                .is_none_or(|(last, _)| *last < reached)
            {
                self.copied.insert(task.clone(), (reached, position));
            }
        }
        Ok((position, Some(record)))
    }

    /// Where something later of its task went, if the draft is a copy of State that comes after it.
    fn superseded_copy(&self, draft: &Draft) -> Option<Position> {
        let DraftBody::Event(event) = &draft.body else {
            return None;
        };
        let is_state = matches!(event.data().retention(), Retention::State(_));
        let (last, at) = self.copied.get(event.task_id()).filter(|_| is_state)?;
        (*last > (event.epoch(), event.seq())).then_some(*at)
    }

    fn push(&mut self, record: Record, seq: Seq, now: Instant) -> Result<(), AppendError> {
        let retention = record.retention();
        let class = match &retention {
            Retention::State(name) => Class::State(self.keys.number(name)),
            Retention::Milestone => Class::Milestone,
            Retention::Log => Class::Log,
            Retention::Terminal => Class::Terminal,
        };
        if let Record::Task(event) = &record
            && event.prev() > self.log.newest_milestone()
        {
            // The owner has dropped milestones that never came here.
            self.log.lose(event.prev());
        }
        let life = Life::of(&record);
        let retires = match &record {
            Record::Channel(event) => event.body().retires(),
            Record::Task(_) => None,
        };
        self.log
            .push_at(seq, class, record)
            .map_err(|refused| match refused.kind {
                PushErrorKind::Ended => AppendError::AlreadyComplete,
                kind => AppendError::Refused {
                    reason: kind.to_string(),
                },
            })?;
        match (retention, class) {
            (Retention::State(name), Class::State(key)) => self.keys.keep(name, key),
            (Retention::Log, _) => self.lines += 1,
            (Retention::Terminal, _) => self.ended_at = Some(now),
            _ => {}
        }
        if let Some(key) = retires.and_then(|name| self.keys.retire(&name)) {
            self.log.retire(key);
        }
        match life {
            Life::Sign => {
                self.active_at = now;
                self.quiet_told = false;
            }
            Life::Stall => self.quiet_told = true,
            Life::None => {}
        }
        Ok(())
    }

    pub(super) fn page(&self, after: Option<Position>) -> Page {
        let after = after
            .filter(|after| after.epoch() == self.epoch)
            .map_or(Seq::ZERO, Position::seq);
        let mut page = Page::new(
            self.epoch,
            self.log.head(),
            self.log.floor(),
            self.owner.clone(),
        );
        page.records = self.retained(after);
        page.ended_run.clone_from(&self.ended_run);
        page.channels.clone_from(&self.channels);
        page.request.clone_from(&self.request);
        page
    }

    /// The events of a task that are kept.
    pub(super) fn events(&self) -> Vec<Arc<Event>> {
        self.retained(Seq::ZERO)
            .into_iter()
            .filter_map(|record| match record {
                Record::Task(event) => Some(event),
                Record::Channel(_) => None,
            })
            .collect()
    }

    /// The events of the run, or of the one that it was to end.
    pub(super) fn into_events(self) -> Vec<Arc<Event>> {
        let events = self.events();
        if events.is_empty() {
            self.ended_run
        } else {
            events
        }
    }

    fn retained(&self, after: Seq) -> Vec<Record> {
        self.log
            .page(after, usize::MAX)
            .0
            .into_iter()
            .filter_map(crate::log::Delivery::into_item)
            .collect()
    }
}

/// What a record says of the work's being alive.
#[derive(Debug, Clone, Copy)]
enum Life {
    Sign,
    Stall,
    None,
}

impl Life {
    fn of(record: &Record) -> Self {
        match record {
            Record::Task(event) => match event.data() {
                Data::Stalled(_) => Self::Stall,
                Data::CancelRequested(_) => Self::None,
                _ => Self::Sign,
            },
            Record::Channel(_) => Self::Sign,
        }
    }
}
