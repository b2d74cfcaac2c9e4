//! What the handles of a tracker share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    task::Context,
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    error::StartError,
    event::Started,
    id::TaskId,
    limits::Limits,
    position::Epoch,
    subscription::{SubscribeError, SubscribeOptions, Subscription, Wakers},
    sync::RwLock,
    task::{Family, Inner, Parent, TaskShared},
    time::{Clock, Timestamp},
    tracker::{
        registry::{Registry, TaskCursor, TaskFilter, TaskPage, WaitingPlace},
        sampler::Sampler,
    },
};

/// What the handles of a tracker share.
#[derive(Debug)]
pub(crate) struct TrackerShared {
    pub(crate) node: String,
    pub(crate) limits: Arc<Limits>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) sampler: Sampler,
    /// Reports that no caller got an error for.
    pub(crate) refused: AtomicU64,
    pub(super) retention: Duration,
    registry: RwLock<Registry>,
    /// Bytes of all retained logs. Signed: a log's loss may be settled before its gain.
    bytes: AtomicI64,
    last_epoch: AtomicU64,
    last_number: AtomicU64,
    subscriptions: Arc<AtomicUsize>,
    /// Those of them whose task does not exist yet.
    waiting: Arc<AtomicUsize>,
}

impl TrackerShared {
    pub(super) fn new(limits: Limits, retention: Duration, tick: Duration) -> Self {
        Self {
            node: uuid::Uuid::new_v4().simple().to_string(),
            limits: Arc::new(limits),
            clock: Arc::new(Clock::new()),
            sampler: Sampler::new(tick),
            refused: AtomicU64::new(0),
            retention,
            registry: RwLock::default(),
            bytes: AtomicI64::new(0),
            last_epoch: AtomicU64::new(0),
            last_number: AtomicU64::new(0),
            subscriptions: Arc::default(),
            waiting: Arc::default(),
        }
    }

    pub(crate) fn create(
        self: &Arc<Self>,
        id: TaskId,
        parent: Option<Parent>,
        family: Family,
        about: Started,
    ) -> Result<Arc<TaskShared>, StartError> {
        let number = self.last_number.fetch_add(1, Ordering::Relaxed) + 1;
        let task = Arc::new(TaskShared::new(
            id,
            self.next_epoch(),
            number,
            self,
            parent,
            family,
            about,
        ));
        let mut evicted = None;
        let inserted = self.insert(&task, &mut evicted);
        if let Some(evicted) = evicted {
            self.forgotten(&evicted);
        }
        drop(inserted?.wake());
        self.sampler.ensure_running(self);
        Ok(task)
    }

    /// Gives the wakers of those who waited for the task.
    fn insert(
        &self,
        task: &Arc<TaskShared>,
        evicted: &mut Option<Arc<TaskShared>>,
    ) -> Result<Wakers, StartError> {
        let mut registry = self.registry.write();
        // Before another task has to go for one that cannot be.
        self.check(
            &registry,
            &task.id,
            task.parent.as_ref().map(|parent| &*parent.task),
        )?;
        let limit = self.limits.tasks;
        if registry.len() >= limit {
            *evicted = registry.pop_ended(None, Instant::now());
            if evicted.is_none() {
                return Err(StartError::TooManyTasks { limit });
            }
        }
        if let Some(parent) = &task.parent {
            self.adopt(parent, task)?;
        }
        Ok(registry.insert(Arc::clone(task)))
    }

    fn adopt(&self, parent: &Parent, child: &Arc<TaskShared>) -> Result<(), StartError> {
        let mut inner = parent.task.inner.lock();
        self.check_parent(&parent.task, &inner)?;
        inner.family.add(child);
        inner.feed(parent.stage);
        Ok(())
    }

    /// Tells whether a task would be refused as things stand.
    pub(crate) fn check_start(
        &self,
        id: &TaskId,
        parent: Option<&TaskShared>,
    ) -> Result<(), StartError> {
        self.check(&self.registry.read(), id, parent)
    }

    fn check(
        &self,
        registry: &Registry,
        id: &TaskId,
        parent: Option<&TaskShared>,
    ) -> Result<(), StartError> {
        if registry.get(id).is_some() {
            return Err(StartError::AlreadyExists(id.clone()));
        }
        // The parent's lock under the registry's, which the order of locks allows.
        if let Some(parent) = parent {
            self.check_parent(parent, &parent.inner.lock())?;
        }
        let limit = self.limits.tasks;
        if registry.len() >= limit && registry.ended() == 0 {
            return Err(StartError::TooManyTasks { limit });
        }
        Ok(())
    }

    fn check_parent(&self, parent: &TaskShared, inner: &Inner) -> Result<(), StartError> {
        if inner.log.is_ended() {
            return Err(StartError::ParentEnded(parent.id.clone()));
        }
        let limit = self.limits.children;
        if inner.family.total() >= limit as u64 {
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
        let limit = self.limits.subscriptions;
        let Some(permit) = SubscriptionPermit::take(&self.subscriptions, limit) else {
            return Subscription::rejected(SubscribeError::TooMany { limit });
        };
        if let Some(task) = self.find(&id) {
            return Subscription::known(task, &options, permit);
        }
        let limit = self.limits.waiting;
        match SubscriptionPermit::take(&self.waiting, limit) {
            Some(waiting) => Subscription::awaited(id, self, options, permit, waiting),
            None => Subscription::rejected(SubscribeError::TooManyWaiting { limit }),
        }
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
        self.registry.write().note_end(task, Instant::now());
        self.sampler.notify();
    }

    pub(super) fn forget(&self, number: u64) {
        let removed = self.registry.write().remove(number);
        if let Some(task) = removed {
            self.forgotten(&task);
        }
    }

    /// Forgets some of the tasks whose retention is over; tells when to come again.
    pub(super) fn sweep(&self, now: Instant) -> Option<Instant> {
        let before = now.checked_sub(self.retention);
        let mut forgotten = Vec::new();
        let next = {
            let mut registry = self.registry.write();
            while forgotten.len() < SWEEP_CHUNK
                && let Some(before) = before
                && let Some(task) = registry.pop_ended(Some(before), now)
            {
                forgotten.push(task);
            }
            registry.oldest_end().map(|end| end + self.retention)
        };
        // Only what is held was found: it is no use to come back at once.
        let next = match forgotten.is_empty() {
            true => next.map(|at| at.max(now + self.sampler.tick())),
            false => next,
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
            let oldest = self.registry.write().pop_ended(None, Instant::now());
            match oldest {
                Some(task) => self.forgotten(&task),
                None => {
                    let freed = grown.shrink();
                    self.bytes.fetch_sub(freed as i64, Ordering::Relaxed);
                    return;
                }
            }
        }
    }

    pub(crate) fn wake_sampler(self: &Arc<Self>) {
        self.sampler.ensure_running(self);
        self.sampler.notify();
    }

    pub(super) fn stats(&self) -> TrackerStats {
        let registry = self.registry.read();
        TrackerStats {
            tasks: registry.len(),
            ended: registry.ended(),
            waiting: self.waiting.load(Ordering::Relaxed),
            subscriptions: self.subscriptions.load(Ordering::Relaxed),
            bytes: usize::try_from(self.bytes.load(Ordering::Relaxed)).unwrap_or(0),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    fn forgotten(&self, task: &TaskShared) {
        self.bytes
            .fetch_sub(task.forget() as i64, Ordering::Relaxed);
    }

    fn over_budget(&self, bytes: i64) -> bool {
        usize::try_from(bytes).is_ok_and(|bytes| bytes > self.limits.bytes)
    }

    fn next_epoch(&self) -> Epoch {
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
    }
}

/// Counts of a tracker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TrackerStats {
    /// Tasks that are kept.
    pub tasks: usize,
    /// Those of them that have ended.
    pub ended: usize,
    /// Those of the subscriptions that wait for their task to come into being.
    pub waiting: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Bytes of the events that are kept, about: charged in steps, up to an
    /// eighth ahead while logs grow.
    pub bytes: usize,
    /// Reports that were refused without an error to their caller.
    pub refused: u64,
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
const LIST_CHUNK: usize = 512;
/// Tasks forgotten under one lock.
const SWEEP_CHUNK: usize = 1_024;
