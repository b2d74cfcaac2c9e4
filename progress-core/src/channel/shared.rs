//! The channels of a tracker.
//!
//! A channel's lock may be taken while a task's is held, so that the events of a task come into
//! its channels in their order; never the other way round.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use crate::{
    channel::{ChannelBody, ChannelEvent, ChannelName},
    event::Event,
    log::{Class, Keys, Log, LogLimits, PushErrorKind},
    position::{Epoch, Position, Seq},
    shared::Seen,
    subscription::{Sleepers, Wakers},
    sync::{Mutex, RwLock},
    transport::{Page, Record},
};

/// One channel: a log and who sleeps over it.
#[derive(Debug)]
pub(crate) struct ChannelShared {
    pub(crate) name: ChannelName,
    pub(crate) inner: Mutex<ChannelInner>,
}

#[derive(Debug)]
pub(crate) struct ChannelInner {
    pub(crate) epoch: Epoch,
    pub(crate) log: Log<Arc<ChannelEvent>>,
    pub(crate) sleepers: Sleepers,
    keys: Keys<Arc<str>>,
    /// None while nothing was published under an id.
    seen: Option<Box<Seen>>,
}

impl ChannelShared {
    fn new(name: ChannelName, epoch: Epoch, limits: &LogLimits) -> Self {
        Self {
            name,
            inner: Mutex::new(ChannelInner {
                epoch,
                log: Log::new(limits.clone()),
                sleepers: Sleepers::default(),
                keys: Keys::default(),
                seen: None,
            }),
        }
    }

    /// Numbers and appends; the wakers are to be woken when no lock is held.
    pub(crate) fn append(
        &self,
        body: ChannelBody,
        wakers: &mut Vec<Wakers>,
    ) -> Result<Position, PushErrorKind> {
        self.append_once(body, None, wakers)
    }

    /// As [`append`](Self::append), but a repetition is answered with the first one's position.
    pub(crate) fn append_once(
        &self,
        body: ChannelBody,
        id: Option<&Arc<str>>,
        wakers: &mut Vec<Wakers>,
    ) -> Result<Position, PushErrorKind> {
        let mut inner = self.inner.lock();
        let seen = inner.seen.as_deref();
        if let Some(first) = id.and_then(|id| seen?.position(id)) {
            return Ok(first);
        }
        let seq = inner.log.next_seq();
        let prev = inner.log.newest_milestone();
        let event = ChannelEvent::new(self.name.clone(), inner.epoch, seq, prev, body);
        inner.push(Arc::new(event))?;
        let position = Position::new(inner.epoch, seq);
        if let Some(id) = id {
            let seen = inner.seen.get_or_insert_default();
            seen.remember(id, position);
        }
        match inner.sleepers.take() {
            Wakers::None => {}
            sleeping => wakers.push(sleeping),
        }
        Ok(position)
    }

    /// Takes over a record that the broker has numbered. Past a hole it is refused, until what
    /// is missing has been [read](Self::merge).
    pub(crate) fn receive(&self, event: &Arc<ChannelEvent>) -> Result<(), Hole> {
        let wakers = {
            let mut inner = self.inner.lock();
            let epoch = event.position().epoch();
            if epoch < inner.epoch || (epoch == inner.epoch && event.seq() <= inner.log.head()) {
                return Ok(());
            }
            if epoch > inner.epoch || event.seq() > inner.log.next_seq() {
                return Err(Hole);
            }
            inner.push_received(event);
            inner.sleepers.take()
        };
        drop(wakers.wake());
        Ok(())
    }

    /// Takes over what the broker holds after a position; refuses what begins past what is held
    /// here. Calls `gap` if something of it is lost for good that was to come.
    pub(crate) fn merge(&self, page: &Page, after: Option<Position>, gap: impl FnOnce()) -> bool {
        let after = after
            .filter(|after| after.epoch() == page.epoch)
            .map_or(Seq::ZERO, Position::seq);
        let wakers = {
            let mut inner = self.inner.lock();
            if page.epoch < inner.epoch {
                return true;
            }
            if page.epoch > inner.epoch {
                inner.restart(page.epoch);
            }
            let before = inner.log.head();
            if after > before {
                return false;
            }
            inner.log.lose(page.floor);
            for record in &page.records {
                let Record::Channel(event) = record else {
                    continue;
                };
                if event.seq() > inner.log.head() {
                    inner.push_received(event);
                }
            }
            if before > Seq::ZERO && inner.log.floor() > before {
                gap();
            }
            inner.sleepers.take()
        };
        drop(wakers.wake());
        true
    }

    pub(crate) fn head(&self) -> Position {
        let inner = self.inner.lock();
        Position::new(inner.epoch, inner.log.head())
    }
}

/// Records before this one have not arrived.
#[derive(Debug)]
pub(crate) struct Hole;

impl ChannelInner {
    /// A broker that has forgotten the channel numbers it anew.
    fn restart(&mut self, epoch: Epoch) {
        self.epoch = epoch;
        self.log = Log::new(self.log.limits().clone());
        self.keys.clear();
    }

    fn push_received(&mut self, event: &Arc<ChannelEvent>) {
        if event.prev() > self.log.head() {
            self.log.lose(event.prev());
        }
        // A bound of this node that the broker does not have: the range of the next record
        // closes over it, and the floor says so if it was a milestone.
        if self.push(Arc::clone(event)).is_err() {
            tracing::debug!(channel = %event.channel(), "event past this node's bounds");
        }
    }

    fn push(&mut self, event: Arc<ChannelEvent>) -> Result<(), PushErrorKind> {
        let seq = event.seq();
        let ended = event.body().ended().cloned();
        let key = event.body().key();
        let class = match &key {
            Some(key) => Class::State(self.keys.number(key)),
            None => Class::Milestone,
        };
        self.log
            .push_at(seq, class, event)
            .map_err(|refused| refused.kind)?;
        if let (Class::State(number), Some(key)) = (class, key) {
            self.keys.keep(key, number);
        }
        if let Some(number) = ended.and_then(|id| self.keys.retire(id.as_str())) {
            self.log.retire(number);
        }
        Ok(())
    }
}

/// The channels of this process that a task's events are copied into.
#[derive(Debug)]
pub(crate) struct Feeds {
    /// The live list of tasks.
    pub(crate) list: Arc<ChannelShared>,
    pub(crate) channels: Box<[Arc<ChannelShared>]>,
}

impl Feeds {
    /// Tells whether any channel is to have an event.
    pub(crate) fn take(&self, event: &Event) -> bool {
        !self.channels.is_empty() || event.data().is_listed()
    }

    /// Copies an event, with its task's lock held: so that a task's events keep their order.
    pub(crate) fn copy(
        &self,
        event: &Arc<Event>,
        wakers: &mut Vec<Wakers>,
    ) -> Result<(), PushErrorKind> {
        let list = event.data().is_listed().then_some(&self.list);
        let mut copied = Ok(());
        for channel in list.into_iter().chain(&self.channels) {
            // The others get it all the same.
            let one = channel.append(ChannelBody::Task(Arc::clone(event)), wakers);
            copied = one.map(drop).and(copied);
        }
        copied
    }
}

/// The channels that there are.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    by_name: RwLock<HashMap<ChannelName, Arc<ChannelShared>>>,
    /// Shared by all tasks that feed the live list and nothing else, which is most of them.
    pub(crate) list_alone: OnceLock<Arc<Feeds>>,
}

impl Channels {
    pub(crate) fn get(&self, name: &ChannelName) -> Option<Arc<ChannelShared>> {
        self.by_name.read().get(name).cloned()
    }

    /// How many there are beside the library's own.
    pub(crate) fn len(&self) -> usize {
        let by_name = self.by_name.read();
        by_name.keys().filter(|name| !name.is_reserved()).count()
    }

    /// Forgets a channel that a reader leaves, if nobody else has it and nothing was ever
    /// published there: readers alone do not make channels.
    pub(crate) fn leave(&self, channel: &Arc<ChannelShared>) {
        let mut by_name = self.by_name.write();
        let unused = Arc::strong_count(channel) <= 2 && channel.inner.lock().log.is_empty();
        if unused && !channel.name.is_reserved() {
            by_name.remove(&channel.name);
        }
    }

    /// Forgets a channel that the broker keeps.
    pub(crate) fn remove(&self, name: &ChannelName) {
        self.by_name.write().remove(name);
    }

    /// Wakes all readers, when nothing more is to come.
    pub(crate) fn close(&self) {
        let channels: Vec<_> = self.by_name.write().drain().collect();
        for (_, channel) in channels {
            let wakers = channel.inner.lock().sleepers.take();
            drop(wakers.wake());
        }
    }

    /// Finds a channel or makes it, unless there are `limit` already.
    pub(crate) fn get_or_make(
        &self,
        name: &ChannelName,
        limit: usize,
        make: impl FnOnce() -> (Epoch, LogLimits),
    ) -> Option<Arc<ChannelShared>> {
        if let Some(channel) = self.get(name) {
            return Some(channel);
        }
        let mut by_name = self.by_name.write();
        if let Some(channel) = by_name.get(name) {
            return Some(Arc::clone(channel));
        }
        if by_name.len() >= limit && !name.is_reserved() {
            return None;
        }
        let (epoch, limits) = make();
        let channel = Arc::new(ChannelShared::new(name.clone(), epoch, &limits));
        by_name.insert(name.clone(), Arc::clone(&channel));
        Some(channel)
    }
}
