//! Which tasks there are, which have ended, which are waited for.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    hash::{Hash, Hasher},
    num::NonZeroU64,
    str::FromStr,
    sync::Arc,
};

use tokio::time::Instant;

use crate::{
    event::TaskState,
    id::TaskId,
    snapshot::Snapshot,
    subscription::{Place, Sleepers, Wakers},
    task::TaskShared,
    tracker::stalls::Stalls,
};

/// The tasks of a tracker.
#[derive(Debug, Default)]
pub(super) struct Registry {
    by_id: HashSet<ById>,
    /// In the order of their creation.
    by_number: BTreeMap<u64, Kept>,
    /// When tasks ended and their numbers, by their place in the queue, which is the order of their
    /// ends.
    ended: BTreeMap<NonZeroU64, (Instant, u64)>,
    /// Those that were to go while a handle still held them, by number: they wait for its drop.
    parked: BTreeMap<u64, Instant>,
    last_place: u64,
    /// Readers of tasks that do not exist yet.
    awaited: HashMap<TaskId, Awaited>,
    last_list: u64,
    /// Of those that run elsewhere, how many have not ended.
    live_mirrors: usize,
    ends: u64,
    stalls: Stalls,
    /// Whether only children of tasks that are here may come.
    pub(super) draining: bool,
}

#[derive(Debug)]
struct Kept {
    task: Arc<TaskShared>,
    /// Its place among the ended.
    ended: Option<NonZeroU64>,
}

/// A task, found by its id without a copy of that.
#[derive(Debug)]
struct ById(Arc<TaskShared>);

impl Borrow<TaskId> for ById {
    fn borrow(&self) -> &TaskId {
        &self.0.id
    }
}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for ById {}

/// A reader's place among those who wait for a task.
#[derive(Debug)]
pub(crate) struct WaitingPlace {
    list: u64,
    slot: Place,
}

#[derive(Debug, Default)]
struct Awaited {
    /// Tells this list from an earlier one of the same id.
    list: u64,
    sleepers: Sleepers,
    readers: usize,
}

impl Registry {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn ended(&self) -> usize {
        self.ended.len() + self.parked.len()
    }

    /// Whether there is nothing left to wait for while it drains.
    pub(super) fn is_drained(&self) -> bool {
        self.draining && self.live() == 0
    }

    /// Tasks of this node that have not ended.
    pub(super) fn live(&self) -> usize {
        self.len() - self.ended() - self.live_mirrors
    }

    /// How many tasks of this node have ended so far, forgotten ones included.
    pub(super) fn ends(&self) -> u64 {
        self.ends
    }

    pub(super) fn get(&self, id: &TaskId) -> Option<&Arc<TaskShared>> {
        self.by_id.get(id).map(|ById(task)| task)
    }

    /// Adds a task whose id is free; gives the wakers of those who waited for it.
    pub(super) fn insert(&mut self, task: Arc<TaskShared>) -> Wakers {
        self.by_id.insert(ById(Arc::clone(&task)));
        let awaited = self.awaited.remove(&task.id);
        self.live_mirrors += usize::from(task.is_mirror());
        let kept = Kept { task, ended: None };
        self.by_number.insert(kept.task.number, kept);
        awaited.map_or(Wakers::None, |mut awaited| awaited.sleepers.take())
    }

    pub(super) fn note_end(&mut self, task: &TaskShared, now: Instant) {
        if let Some(kept) = self.by_number.get_mut(&task.number)
            && kept.ended.is_none()
        {
            let place = NonZeroU64::MIN.saturating_add(self.last_place);
            self.last_place += 1;
            kept.ended = Some(place);
            if kept.task.is_mirror() {
                self.live_mirrors -= 1;
            } else {
                self.ends += 1;
            }
            self.ended.insert(place, (now, task.number));
            self.stalls.disarm(task.number);
        }
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Arc<TaskShared>> {
        let Kept { task, ended } = self.by_number.remove(&number)?;
        self.stalls.disarm(number);
        if let Some(place) = ended {
            self.ended.remove(&place);
            self.parked.remove(&number);
        } else if task.is_mirror() {
            self.live_mirrors -= 1;
        }
        self.by_id.remove(&task.id);
        // What a crowd has needed is given back when it has gone, in steps as it was taken.
        if self.by_id.len() < self.by_id.capacity() / 4 {
            self.by_id.shrink_to(2 * self.by_id.len());
        }
        Some(task)
    }

    /// Puts a task in the place of the one of its id, if that is still the one it was, by number;
    /// gives the wakers of those who waited for it.
    pub(super) fn replace(
        &mut self,
        task: Arc<TaskShared>,
        present: Option<u64>,
    ) -> Option<(Wakers, Option<Arc<TaskShared>>)> {
        let number = self.get(&task.id).map(|present| present.number);
        if number != present {
            return None;
        }
        let replaced = number.and_then(|number| self.remove(number));
        Some((self.insert(task), replaced))
    }

    /// All tasks that run elsewhere.
    pub(super) fn mirrors(&self) -> Vec<Arc<TaskShared>> {
        let mirrors = self.by_number.values().filter(|kept| kept.task.is_mirror());
        mirrors.map(|kept| Arc::clone(&kept.task)).collect()
    }

    /// Takes out the oldest ended task that nobody holds. One that is held is set aside until its
    /// handle drops, so that it is met once.
    pub(super) fn pop_ended(&mut self) -> Option<Arc<TaskShared>> {
        while !self.ended.is_empty() {
            if let Some(task) = self.pop_or_park() {
                return Some(task);
            }
        }
        // Rather than grow without bound while the broker is away.
        let mut parked = self.parked.keys();
        let unsent = parked.find(|number| {
            let kept = self.by_number.get(number);
            kept.is_some_and(|kept| !kept.task.is_held())
        })?;
        let unsent = *unsent;
        self.remove(unsent)
    }

    /// The same for those that ended by then, looking at `count` of them at most.
    pub(super) fn pop_ended_by(&mut self, then: Instant, count: usize) -> Vec<Arc<TaskShared>> {
        let mut tasks = Vec::new();
        for _ in 0..count {
            if self.oldest_end().is_none_or(|at| at > then) {
                break;
            }
            tasks.extend(self.pop_or_park());
        }
        tasks
    }

    fn pop_or_park(&mut self) -> Option<Arc<TaskShared>> {
        let (_, (at, number)) = self.ended.pop_first()?;
        let kept = self.by_number.get(&number)?;
        // What the broker has not had yet goes last; its end's telling puts it back.
        if kept.task.park() || kept.task.is_unsent() {
            self.parked.insert(number, at);
            return None;
        }
        self.remove(number)
    }

    /// Puts a task that was set aside back to its place, its handle being dropped.
    pub(super) fn unpark(&mut self, number: u64) {
        if let Some(at) = self.parked.remove(&number)
            && let Some(Kept {
                ended: Some(place), ..
            }) = self.by_number.get(&number)
        {
            self.ended.insert(*place, (at, number));
        }
    }

    /// Has a live task looked at; tells whether it is the first to be.
    pub(super) fn arm_stall(&mut self, number: u64, at: Instant) -> bool {
        match self.by_number.get(&number) {
            Some(kept) if kept.ended.is_none() => self.stalls.arm(number, at),
            _ => false,
        }
    }

    pub(super) fn next_stall(&self) -> Option<Instant> {
        self.stalls.next()
    }

    /// Some of the tasks to be looked at, which are no longer armed.
    pub(super) fn take_stalls(&mut self, now: Instant, count: usize) -> Vec<Arc<TaskShared>> {
        let due = self.stalls.take(now, count);
        due.iter()
            .filter_map(|number| Some(Arc::clone(&self.by_number.get(number)?.task)))
            .collect()
    }

    pub(super) fn oldest_end(&self) -> Option<Instant> {
        self.ended.first_key_value().map(|(_, (at, _))| *at)
    }

    /// The task, or the reader is armed for when it appears.
    pub(super) fn await_task(
        &mut self,
        id: &TaskId,
        place: &mut Option<WaitingPlace>,
        waker: &std::task::Waker,
    ) -> Option<Arc<TaskShared>> {
        if let Some(task) = self.get(id) {
            return Some(Arc::clone(task));
        }
        let awaited = self.awaited.entry(id.clone()).or_insert_with(|| {
            self.last_list += 1;
            Awaited {
                list: self.last_list,
                ..Awaited::default()
            }
        });
        let mut slot = place
            .take()
            .filter(|place| place.list == awaited.list)
            .map(|place| place.slot);
        if slot.is_none() {
            awaited.readers += 1;
        }
        awaited.sleepers.arm(&mut slot, waker);
        *place = slot.map(|slot| WaitingPlace {
            list: awaited.list,
            slot,
        });
        None
    }

    pub(super) fn stop_awaiting(&mut self, id: &TaskId, place: &WaitingPlace) {
        let Some(awaited) = self.awaited.get_mut(id) else {
            return;
        };
        if awaited.list != place.list {
            return;
        }
        awaited.sleepers.release(&place.slot);
        awaited.readers -= 1;
        if awaited.readers == 0 {
            self.awaited.remove(id);
        }
    }

    /// All wakers of those who wait, when there is nothing left to wait for.
    pub(super) fn take_waiting(&mut self) -> Vec<Wakers> {
        self.awaited
            .drain()
            .map(|(_, mut awaited)| awaited.sleepers.take())
            .collect()
    }

    /// Up to `count` tasks newer than `after`, the oldest first.
    pub(super) fn newer(&self, after: u64, count: usize) -> Vec<Arc<TaskShared>> {
        self.by_number
            .range(after.saturating_add(1)..)
            .take(count)
            .map(|(_, kept)| Arc::clone(&kept.task))
            .collect()
    }

    /// Up to `count` tasks older than `before`, the newest first.
    pub(super) fn older(&self, before: u64, count: usize) -> Vec<Arc<TaskShared>> {
        self.by_number
            .range(..before)
            .rev()
            .take(count)
            .map(|(_, kept)| Arc::clone(&kept.task))
            .collect()
    }
}

/// Which tasks to list.
///
/// ```
/// use progress_core::TaskFilter;
///
/// let filter = TaskFilter::new().active().kind("video").label("user", "7").limit(20);
/// # drop(filter);
/// ```
#[derive(Debug, Clone, Default)]
pub struct TaskFilter {
    states: Option<Vec<TaskState>>,
    kind: Option<String>,
    labels: Vec<(String, String)>,
    parent: Option<TaskId>,
    limit: Option<usize>,
    cursor: Option<TaskCursor>,
}

impl TaskFilter {
    /// The most tasks on a page.
    pub const MAX_LIMIT: usize = 1_000;

    /// Makes a filter that lets every task through.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets through tasks in this state (several calls: in one of these).
    #[must_use]
    pub fn state(mut self, state: TaskState) -> Self {
        self.states.get_or_insert_default().push(state);
        self
    }

    /// Lets through tasks that have not ended.
    #[must_use]
    pub fn active(self) -> Self {
        self.state(TaskState::Queued)
            .state(TaskState::Running)
            .state(TaskState::Paused)
            .state(TaskState::Stalled)
    }

    /// Lets through tasks of this kind.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// Lets through tasks with this label (several calls: with all of these).
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push((name.into(), value.into()));
        self
    }

    /// Lets through children of this task.
    #[must_use]
    pub fn parent(mut self, parent: TaskId) -> Self {
        self.parent = Some(parent);
        self
    }

    /// Sets how many tasks a page holds (default 100, to [`TaskFilter::MAX_LIMIT`]).
    #[must_use]
    pub fn limit(mut self, tasks: usize) -> Self {
        self.limit = Some(tasks);
        self
    }

    /// Begins where the page before ended.
    #[must_use]
    pub fn after(mut self, cursor: impl Into<Option<TaskCursor>>) -> Self {
        self.cursor = cursor.into();
        self
    }

    /// Returns how many tasks a page holds.
    #[must_use]
    pub fn page_len(&self) -> usize {
        self.limit.unwrap_or(100).clamp(1, Self::MAX_LIMIT)
    }

    /// Returns the place before which the page begins, for a transport that lists by numbers.
    #[must_use]
    pub fn before(&self) -> u64 {
        self.cursor.map_or(u64::MAX, |cursor| cursor.0)
    }

    /// Tells whether the filter lets a task through, as it stands.
    #[must_use]
    pub fn lets_through(&self, snapshot: &Snapshot) -> bool {
        self.states
            .as_ref()
            .is_none_or(|states| states.contains(&snapshot.state))
            && self
                .kind
                .as_deref()
                .is_none_or(|kind| snapshot.kind.as_deref() == Some(kind))
            && self
                .parent
                .as_ref()
                .is_none_or(|parent| snapshot.parent.as_ref() == Some(parent))
            && self
                .labels
                .iter()
                .all(|(name, value)| snapshot.labels.get(name) == Some(value))
    }
}

/// Where a page of tasks ended; opaque text on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaskCursor(pub(super) u64);

impl TaskCursor {
    /// Makes the cursor behind the task of this number, for a transport that lists by numbers.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for TaskCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl FromStr for TaskCursor {
    type Err = InvalidTaskCursor;

    fn from_str(text: &str) -> Result<Self, InvalidTaskCursor> {
        u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| InvalidTaskCursor)
    }
}

/// A text is not a cursor of a list of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "carries nothing and never will")]
pub struct InvalidTaskCursor;

impl fmt::Display for InvalidTaskCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cursor is not one that a page of tasks ended with")
    }
}

impl std::error::Error for InvalidTaskCursor {}

/// A page of tasks.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TaskPage {
    /// The tasks, the newest first.
    pub tasks: Vec<Snapshot>,
    /// Where the next page begins, if there may be one.
    pub next: Option<TaskCursor>,
}

impl TaskPage {
    /// Makes a page.
    #[must_use]
    pub fn new(tasks: Vec<Snapshot>, next: Option<TaskCursor>) -> Self {
        Self { tasks, next }
    }
}
