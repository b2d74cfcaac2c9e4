//! What the handles of a tracker share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    task::Context,
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{
    channel::{ChannelName, Channels},
    error::StartError,
    event::Started,
    id::TaskId,
    limits::Limits,
    link::Link,
    position::{Epoch, Position},
    subscription::{SubscribeError, SubscribeOptions, Subscription, Wakers},
    sync::RwLock,
    task::{Family, Inner, Parent, Silence, TaskShared},
    time::{Clock, Timestamp},
    tracker::{
        once::Once,
        registry::{Registry, TaskCursor, TaskFilter, TaskPage, WaitingPlace},
        sampler::Sampler,
    },
    transport::{NodeId, Topic},
};

/// What the handles of a tracker share.
#[derive(Debug)]
pub(crate) struct TrackerShared {
    pub(crate) node: NodeId,
    pub(crate) channels: Channels,
    /// The way to other nodes, if there are any.
    pub(crate) link: Option<Arc<Link>>,
    /// Names used up, where there is no broker that remembers.
    pub(super) once: Once,
    pub(crate) limits: Arc<Limits>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) sampler: Sampler,
    /// Reports that no caller got an error for.
    pub(crate) refused: AtomicU64,
    pub(super) retention: Duration,
    /// What tasks have that were given none.
    pub(crate) stall_after: Option<Duration>,
    /// How long tasks without an owner may be silent before they count as stalled, if it was set.
    pub(crate) shared_silence: Option<Duration>,
    /// How long they may be silent before they are ended.
    pub(crate) shared_abandon_after: Duration,
    pub(super) registry: RwLock<Registry>,
    /// Tells those who drain the tracker that no task is live.
    pub(super) drained: Notify,
    /// The newest task that was looked at for room.
    hand: AtomicU64,
    /// Bytes of all retained logs. Signed: a log's loss may be settled before its gain.
    pub(super) bytes: AtomicI64,
    last_epoch: AtomicU64,
    pub(super) last_number: AtomicU64,
    pub(super) subscriptions: Arc<AtomicUsize>,
    /// Those of them whose task does not exist yet.
    pub(super) waiting: Arc<AtomicUsize>,
}

impl TrackerShared {
    pub(super) fn new(limits: Limits, retention: Duration, tick: Duration) -> Self {
        Self {
            node: NodeId::random(),
            channels: Channels::default(),
            link: None,
            once: Once::default(),
            limits: Arc::new(limits),
            clock: Arc::new(Clock::new()),
            sampler: Sampler::new(tick),
            refused: AtomicU64::new(0),
            retention,
            stall_after: None,
            shared_silence: None,
            shared_abandon_after: Duration::from_secs(3600),
            registry: RwLock::default(),
            drained: Notify::new(),
            hand: AtomicU64::new(0),
            bytes: AtomicI64::new(0),
            last_epoch: AtomicU64::new(0),
            last_number: AtomicU64::new(0),
            subscriptions: Arc::default(),
            waiting: Arc::default(),
        }
    }

    /// Makes a task and has its first event told by `open`, before those are woken who waited for it:
    /// the first that they see of it is how it began.
    pub(crate) fn create(
        self: &Arc<Self>,
        id: TaskId,
        (parent, family): (Option<Parent>, Family),
        about: Started,
        run: Run,
        open: impl FnOnce(&Arc<TaskShared>),
    ) -> Result<Arc<TaskShared>, StartError> {
        let number = self.next_number();
        let epoch = match &run.previous {
            Some(previous) => self.next_epoch_after(previous.epoch),
            None => self.next_epoch(),
        };
        let mut task = TaskShared::new(id, epoch, number, self, parent, family, about);
        task.stall_after = run.stall_after;
        if let Some(silence) = run.silence {
            task.disown(silence);
        }
        let previous = run.previous.as_ref();
        self.connect(&mut task, run.channels, run.restart, previous)?;
        let task = Arc::new(task);
        let mut evicted = None;
        let inserted = self.insert(&task, run.previous, &mut evicted);
        match evicted {
            // What it had to tell is told before the run that takes its place.
            Some(before) if before.id == task.id => self.forgotten(&before),
            Some(evicted) => self.give_up(&evicted),
            None => {}
        }
        let wakers = inserted?;
        self.sampler.ensure_running(self);
        open(&task);
        drop(wakers.wake());
        Ok(task)
    }

    /// Gives the wakers of those who waited for the task.
    fn insert(
        &self,
        task: &Arc<TaskShared>,
        previous: Option<Arc<TaskShared>>,
        evicted: &mut Option<Arc<TaskShared>>,
    ) -> Result<Wakers, StartError> {
        let mut registry = self.registry.write();
        // Before another task has to go for one that cannot be.
        self.check(
            &registry,
            &task.id,
            task.parent.as_ref().map(|parent| &*parent.task),
            previous.as_ref(),
        )?;
        // Forgotten meanwhile, it takes nobody's place.
        let previous = previous.filter(|_| registry.get(&task.id).is_some());
        let limit = self.limits.tasks;
        if previous.is_none() && registry.len() >= limit {
            *evicted = registry.pop_ended();
            if evicted.is_none() {
                return Err(StartError::TooManyTasks { limit });
            }
        }
        if let Some(parent) = &task.parent {
            self.adopt(parent, task, previous.as_deref())?;
        }
        if let Some(previous) = previous {
            *evicted = registry.remove(previous.number);
        }
        Ok(registry.insert(Arc::clone(task)))
    }

    fn adopt(
        &self,
        parent: &Parent,
        child: &Arc<TaskShared>,
        previous: Option<&TaskShared>,
    ) -> Result<(), StartError> {
        let again = previous.is_some_and(|previous| child.replaces(previous));
        let mut inner = parent.task.inner.lock();
        self.check_parent(&parent.task, &inner, again)?;
        if again {
            inner.family.add_again(child);
        } else {
            inner.family.add(child);
            inner.feed(parent.stage);
        }
        Ok(())
    }

    /// Tells whether a task would be refused as things stand.
    pub(crate) fn check_start(
        &self,
        id: &TaskId,
        parent: Option<&TaskShared>,
        previous: Option<&Arc<TaskShared>>,
    ) -> Result<(), StartError> {
        self.check(&self.registry.read(), id, parent, previous)
    }

    fn check(
        &self,
        registry: &Registry,
        id: &TaskId,
        parent: Option<&TaskShared>,
        previous: Option<&Arc<TaskShared>>,
    ) -> Result<(), StartError> {
        if registry.draining && parent.is_none() {
            return Err(StartError::Draining);
        }
        let current = registry.get(id);
        match (current, previous) {
            (None, _) => {}
            // It has ended, and an end is for good.
            (Some(current), Some(previous)) if Arc::ptr_eq(current, previous) => {}
            (Some(_), _) => return Err(StartError::AlreadyExists(id.clone())),
        }
        // The parent's lock under the registry's, which the order of locks allows.
        if let Some(parent) = parent {
            self.check_parent(parent, &parent.inner.lock(), previous.is_some())?;
        }
        let limit = self.limits.tasks;
        if current.is_none() && registry.len() >= limit && registry.ended() == 0 {
            return Err(StartError::TooManyTasks { limit });
        }
        Ok(())
    }

    fn check_parent(
        &self,
        parent: &TaskShared,
        inner: &Inner,
        again: bool,
    ) -> Result<(), StartError> {
        if inner.log.is_ended() {
            return Err(StartError::ParentEnded(parent.id.clone()));
        }
        let limit = self.limits.children;
        if !again && inner.family.total() >= limit as u64 {
            return Err(StartError::TooManyChildren { limit });
        }
        Ok(())
    }

    pub(crate) fn find(&self, id: &TaskId) -> Option<Arc<TaskShared>> {
        self.registry.read().get(id).cloned()
    }

    pub(crate) fn subscribe(
        self: &Arc<Self>,
        id: TaskId,
        options: SubscribeOptions,
    ) -> Subscription {
        let permit = match self.subscription_permit() {
            Ok(permit) => permit,
            Err(error) => return Subscription::rejected(error),
        };
        let known = self.find(&id);
        let own = is_own(known.as_deref(), options.after);
        let Some(link) = self.link.as_ref().filter(|_| !own) else {
            return match known {
                Some(task) => Subscription::known(task, &options, permit, None),
                None => self.awaited(id, options, permit),
            };
        };
        link.ensure_running(self);
        let topic = Topic::Task(id.clone());
        // Who comes from another node may be ahead of what is mirrored here.
        let ahead = known.is_none_or(|mirror| mirror.is_behind(options.after));
        let watch = match ahead {
            true => link.watch_anew(topic),
            false => link.watch(topic),
        };
        // Once more: from now on what is mirrored stays.
        match self.find(&id).filter(|_| !ahead) {
            Some(mirror) => Subscription::known(mirror, &options, permit, Some(watch)),
            None => Subscription::sought(id, self, options, permit, watch),
        }
    }

    fn awaited(
        self: &Arc<Self>,
        id: TaskId,
        options: SubscribeOptions,
        permit: SubscriptionPermit,
    ) -> Subscription {
        match self.waiting_permit() {
            Ok(waiting) => Subscription::awaited(id, self, options, permit, waiting),
            Err(error) => Subscription::rejected(error),
        }
    }

    pub(super) fn subscription_permit(&self) -> Result<SubscriptionPermit, SubscribeError> {
        let limit = self.limits.subscriptions;
        SubscriptionPermit::take(&self.subscriptions, limit)
            .ok_or(SubscribeError::TooMany { limit })
    }

    pub(crate) fn waiting_permit(&self) -> Result<SubscriptionPermit, SubscribeError> {
        let limit = self.limits.waiting;
        SubscriptionPermit::take(&self.waiting, limit)
            .ok_or(SubscribeError::TooManyWaiting { limit })
    }

    pub(crate) fn await_task(
        &self,
        id: &TaskId,
        place: &mut Option<WaitingPlace>,
        cx: &Context<'_>,
    ) -> Option<Arc<TaskShared>> {
        self.registry.write().await_task(id, place, cx.waker())
    }

    pub(crate) fn stop_awaiting(&self, id: &TaskId, place: &WaitingPlace) {
        self.registry.write().stop_awaiting(id, place);
    }

    pub(super) fn list(&self, filter: &TaskFilter) -> TaskPage {
        let limit = filter.page_len();
        let mut tasks = Vec::new();
        let mut before = filter.before();
        loop {
            // In chunks, so that a long search does not keep new tasks waiting.
            let chunk = self.registry.read().older(before, LIST_CHUNK);
            let Some(last) = chunk.last() else {
                return TaskPage { tasks, next: None };
            };
            before = last.number;
            for task in chunk {
                let snapshot = task.snapshot();
                if !filter.lets_through(&snapshot) {
                    continue;
                }
                tasks.push(snapshot);
                if tasks.len() == limit {
                    let next = Some(TaskCursor(task.number));
                    return TaskPage { tasks, next };
                }
            }
        }
    }

    pub(crate) fn task_ended(&self, task: &TaskShared) {
        let drained = {
            let mut registry = self.registry.write();
            registry.note_end(task, Instant::now());
            registry.draining && registry.live() == 0
        };
        if drained {
            self.drained.notify_waiters();
        }
        self.sampler.notify();
    }

    pub(super) fn forget(&self, number: u64) {
        let removed = self.registry.write().remove(number);
        if let Some(task) = removed {
            self.give_up(&task);
        }
    }

    /// Forgets some of the tasks whose retention is over; tells when to come again.
    pub(super) fn sweep(&self, now: Instant) -> Option<Instant> {
        let (forgotten, next) = {
            let mut registry = self.registry.write();
            let forgotten = match now.checked_sub(self.retention) {
                Some(then) => registry.pop_ended_by(then, SWEEP_CHUNK),
                None => Vec::new(),
            };
            let next = registry.oldest_end().map(|end| end + self.retention);
            (forgotten, next)
        };
        for task in &forgotten {
            self.forgotten(task);
        }
        next
    }

    /// Settles a log's growth; past the budget room is made at once.
    pub(crate) fn settle_bytes(&self, delta: isize, grown: &TaskShared) {
        let bytes = self.bytes.fetch_add(delta as i64, Ordering::Relaxed) + delta as i64;
        if delta <= 0 || !self.over_budget(bytes) {
            return;
        }
        while self.over_budget(self.bytes.load(Ordering::Relaxed)) {
            let oldest = self.registry.write().pop_ended();
            match oldest {
                Some(task) => self.give_up(&task),
                None => {
                    let largest = self.larger_log(grown);
                    let freed = largest.as_deref().unwrap_or(grown).shrink();
                    self.bytes.fetch_sub(freed as i64, Ordering::Relaxed);
                    return;
                }
            }
        }
    }

    /// The largest log of the next few tasks, round and round, if it is larger than the one that
    /// grew: so that those that are idle give way too, at a cost that does not grow with their
    /// number.
    fn larger_log(&self, grown: &TaskShared) -> Option<Arc<TaskShared>> {
        let some = {
            let registry = self.registry.read();
            let some = registry.newer(self.hand.load(Ordering::Relaxed), HAND);
            let hand = match &*some {
                [.., last] if some.len() == HAND => last.number,
                // Round again.
                _ => 0,
            };
            self.hand.store(hand, Ordering::Relaxed);
            some
        };
        some.into_iter()
            .map(|task| (task.log_bytes(), task))
            .filter(|(bytes, _)| *bytes > grown.log_bytes())
            .max_by_key(|(bytes, _)| *bytes)
            .map(|(_, task)| task)
    }

    /// A task that has ended, and that was to go, is no longer held.
    pub(crate) fn released(&self, task: &TaskShared) {
        self.registry.write().unpark(task.number);
        self.sampler.notify();
    }

    pub(crate) fn wake_sampler(self: &Arc<Self>) {
        self.sampler.ensure_running(self);
        self.sampler.notify();
    }

    /// Gives up what the broker has not had of a task that is to be forgotten for good.
    pub(super) fn give_up(&self, task: &TaskShared) {
        if let (true, Some(outbox), Some(link)) = (task.is_unsent(), &task.outbox, &self.link) {
            outbox.drop_unsent();
            link.counts.unsent.fetch_add(1, Ordering::Relaxed);
        }
        self.forgotten(task);
    }

    pub(super) fn forgotten(&self, task: &TaskShared) {
        self.bytes
            .fetch_sub(task.forget() as i64, Ordering::Relaxed);
    }

    fn over_budget(&self, bytes: i64) -> bool {
        usize::try_from(bytes).is_ok_and(|bytes| bytes > self.limits.bytes)
    }

    pub(crate) fn next_epoch_after(&self, epoch: Epoch) -> Epoch {
        self.seen_epoch(epoch);
        self.next_epoch()
    }

    /// From now on only later ones are minted.
    pub(crate) fn seen_epoch(&self, epoch: Epoch) {
        self.last_epoch
            .fetch_max(epoch.generation(), Ordering::Relaxed);
    }

    pub(crate) fn next_epoch(&self) -> Epoch {
        let now = u64::try_from(Timestamp::now().as_millis()).unwrap_or(1);
        let mut epoch = 0;
        let _always = self
            .last_epoch
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                epoch = now.max(last + 1);
                Some(epoch)
            });
        Epoch::new(epoch)
    }
}

impl Drop for TrackerShared {
    fn drop(&mut self) {
        let waiting = self.registry.write().take_waiting();
        for wakers in waiting {
            drop(wakers.wake());
        }
        self.sampler.notify();
        self.channels.close();
        let mirrors = self.registry.read().mirrors();
        for mirror in mirrors {
            let wakers = mirror.inner.lock().sleepers.take();
            drop(wakers.wake());
        }
        if let Some(link) = &self.link {
            link.close();
        }
    }
}

/// Tells whether a task is this node's own and has not ended, so that nobody knows more of it; save
/// who comes from a later run, which another node has begun.
fn is_own(known: Option<&TaskShared>, after: Option<Position>) -> bool {
    known.is_some_and(|task| {
        !task.is_mirror()
            && !task.is_ended()
            && !after.is_some_and(|after| task.is_before(after.epoch()))
    })
}

/// What else a new task is given.
#[derive(Debug)]
pub(crate) struct Run {
    /// After how long without a change it counts as stalled.
    pub(crate) stall_after: Option<Duration>,
    /// The channels that its events are copied into.
    pub(crate) channels: Vec<ChannelName>,
    /// Whether it may follow a run that has ended, on whatever node.
    pub(crate) restart: bool,
    /// The ended run of the same id whose place it takes.
    pub(crate) previous: Option<Arc<TaskShared>>,
    /// Of a task without an owner.
    pub(crate) silence: Option<Silence>,
}

/// A place among the subscriptions, or among those that wait, given back on drop.
#[derive(Debug)]
pub(crate) struct SubscriptionPermit(Arc<AtomicUsize>);

impl SubscriptionPermit {
    fn take(count: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        if count.fetch_add(1, Ordering::Relaxed) >= limit {
            count.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self(Arc::clone(count)))
    }
}

impl Drop for SubscriptionPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tasks looked at under one lock while listing.
pub(super) const LIST_CHUNK: usize = 512;
/// Tasks whose logs are compared when one is to give way.
const HAND: usize = 8;
/// Tasks forgotten under one lock.
const SWEEP_CHUNK: usize = 1_024;
