//! The writer's side: append, supersede, evict.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    iter::Peekable,
    ops::ControlFlow,
    sync::Arc,
};

use crate::{
    log::{LogLimits, PushError, PushErrorKind},
    position::Seq,
    stage_index::push_exact,
};

/// What a log holds: cheap to clone, of known size.
pub trait Item: Clone {
    /// Bytes the item occupies, counted against [`LogLimits::bytes`]. Must not change while the
    /// item is in a log.
    fn size(&self) -> usize {
        size_of::<Self>()
    }

    /// Called once when the item leaves the window: caches that serve live readers can go.
    fn release(&mut self) {}
}

impl Item for &str {}
impl Item for u64 {}

/// Decides what supersedes an item and how long it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "these four decide everything; a fifth would be another log"
)]
pub enum Class {
    /// The whole present value of a key, numbered 0, 1, 2… by the caller without holes.
    State(u32),
    /// Something that happened and stays true.
    Milestone,
    /// A line of a log.
    Log,
    /// The end: nothing can follow.
    Terminal,
}

/// The compacting log; see the [module's page](super).
#[derive(Clone)]
pub struct Log<T> {
    limits: Arc<LogLimits>,
    pub(super) head: u64,
    /// The newest item lost for good; 0 while nothing is.
    pub(super) floor: u64,
    ended: bool,
    /// The newest milestone appended, kept or not; 0 while there is none.
    pub(super) milestone: u64,
    /// Log lines appended so far. It wraps, and only differences of it are used.
    pub(super) lines: u32,
    /// Log lines lost for good.
    pub(super) dropped_lines: u64,
    pub(super) bytes: usize,
    /// Bytes of State that nothing supersedes, wherever it stands: what eviction cannot free.
    pub(super) live_state: usize,
    /// The newest `window.len()` items without a hole: sequence number to index is a subtraction.
    pub(super) window: VecDeque<Slot<T>>,
    /// None until something that is kept has left the window.
    pub(super) below: Option<Box<Below<T>>>,
    /// Sequence number of each key's newest State, 0 for none.
    pub(super) newest: Vec<u64>,
    /// The item dropped last, if it was small.
    spare: Option<T>,
}

/// What is kept below the window.
#[derive(Clone)]
pub(super) struct Below<T> {
    milestones: VecDeque<(u64, Slot<T>)>,
    logs: VecDeque<(u64, Slot<T>)>,
    pub(super) states: BTreeMap<u64, Slot<T>>,
}

impl<T> Default for Below<T> {
    fn default() -> Self {
        Self {
            milestones: VecDeque::new(),
            logs: VecDeque::new(),
            states: BTreeMap::new(),
        }
    }
}

impl<T> Below<T> {
    fn len(&self) -> usize {
        self.milestones.len() + self.logs.len() + self.states.len()
    }
}

#[derive(Debug, Clone)]
pub(super) struct Slot<T> {
    pub(super) item: T,
    /// Log lines up to and including this item, wrapping.
    pub(super) lines: u32,
    pub(super) mark: Mark,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Live,
    Superseded,
    Milestone,
    Log,
    Terminal,
}

impl Mark {
    /// How many log lines such an item is.
    pub(super) fn lines(self) -> u32 {
        u32::from(self == Self::Log)
    }
}

impl<T: Item> Log<T> {
    /// Makes an empty log.
    #[must_use]
    pub fn new(limits: impl Into<Arc<LogLimits>>) -> Self {
        Self {
            limits: limits.into(),
            head: 0,
            floor: 0,
            ended: false,
            milestone: 0,
            lines: 0,
            dropped_lines: 0,
            bytes: 0,
            live_state: 0,
            window: VecDeque::new(),
            below: None,
            newest: Vec::new(),
            spare: None,
        }
    }

    /// Returns the bounds.
    #[must_use]
    pub fn limits(&self) -> &LogLimits {
        &self.limits
    }

    /// Returns the number of the newest item, [`Seq::ZERO`] if there is none.
    #[must_use]
    pub fn head(&self) -> Seq {
        Seq::new(self.head)
    }

    /// Returns the number that the next item will get.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        Seq::new(self.head + 1)
    }

    /// Returns the number of the newest item lost for good, [`Seq::ZERO`] if none is. Only a
    /// dropped milestone raises it.
    #[must_use]
    pub fn floor(&self) -> Seq {
        Seq::new(self.floor)
    }

    /// Returns the number of the newest milestone, [`Seq::ZERO`] if there was none: a reader that
    /// has it misses nothing but State and log lines.
    #[must_use]
    pub fn newest_milestone(&self) -> Seq {
        Seq::new(self.milestone)
    }

    /// Tells whether the end was appended.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Returns the sum of the retained items' sizes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns how many log lines were appended, wrapping at 2³².
    #[must_use]
    pub fn lines(&self) -> u32 {
        self.lines
    }

    /// Returns how many log lines were dropped from the ring.
    #[must_use]
    pub fn dropped_lines(&self) -> u64 {
        self.dropped_lines
    }

    /// Returns how many items are retained.
    #[must_use]
    pub fn len(&self) -> usize {
        self.window.len() + self.below.as_ref().map_or(0, |below| below.len())
    }

    /// Tells whether nothing is retained, which is so only before the first item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends an item and evicts what the bounds no longer allow.
    ///
    /// # Errors
    ///
    /// [`PushError`] with the item if the log has ended, the State key is past
    /// [`LogLimits::keys`], or the State that nothing supersedes would alone exceed
    /// [`LogLimits::bytes`]. Nothing has changed then.
    pub fn push(&mut self, class: Class, item: T) -> Result<Seq, PushError<T>> {
        if self.ended {
            return Err(PushErrorKind::Ended.with(item));
        }
        let size = item.size();
        let mark = match class {
            Class::State(key) => match self.supersede(key, size) {
                Ok(()) => Mark::Live,
                Err(kind) => return Err(kind.with(item)),
            },
            Class::Milestone => {
                // One that was said to be lost may be behind it.
                self.milestone = self.milestone.max(self.head + 1);
                Mark::Milestone
            }
            Class::Log => {
                self.lines = self.lines.wrapping_add(1);
                Mark::Log
            }
            Class::Terminal => {
                self.ended = true;
                Mark::Terminal
            }
        };
        self.head += 1;
        self.bytes += size;
        self.window.push_back(Slot {
            item,
            lines: self.lines,
            mark,
        });
        self.compact(self.limits.window, self.limits.bytes);
        Ok(self.head())
    }

    /// The items in the window, in order: all there ever were while nothing has left it.
    pub(crate) fn window(&self) -> impl Iterator<Item = &T> {
        self.window.iter().map(|slot| &slot.item)
    }

    /// Returns the newest item.
    #[must_use]
    pub fn newest(&self) -> Option<&T> {
        self.window.back().map(|slot| &slot.item)
    }

    /// Takes an item that was dropped, so that the next one can use its storage: of a full log each
    /// item takes the place of another.
    pub fn take_spare(&mut self) -> Option<T> {
        self.spare.take()
    }

    /// Evicts down to `bytes`, in the order of [`LogLimits::bytes`], whatever the log's own budget
    /// is: for an owner that holds many logs under one common budget.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.compact(self.limits.window, bytes);
    }

    /// The items appended after `seq`, which must be in the window or above.
    pub(crate) fn since(&self, seq: Seq) -> impl Iterator<Item = &T> {
        let skip = seq.get().saturating_sub(self.below_window()) as usize;
        self.window
            .range(skip.min(self.window.len())..)
            .map(|slot| &slot.item)
    }

    /// The number of the item before the window's first.
    pub(super) fn below_window(&self) -> u64 {
        self.head - self.window.len() as u64
    }

    /// Log lines up to and including `seq` as far as is still known: exact for a retained item
    /// and for the one before the window, else too low by the lines dropped before it.
    pub(super) fn lines_up_to(&self, seq: u64) -> u32 {
        if seq > self.below_window() {
            let index = (seq - self.below_window() - 1) as usize;
            return self.window.get(index).map_or(self.lines, |slot| slot.lines);
        }
        if let Some(first) = self.window.front()
            && seq == self.below_window()
        {
            return first.lines.wrapping_sub(first.mark.lines());
        }
        let Some(below) = &self.below else { return 0 };
        let newest_of = |ring: &VecDeque<(u64, Slot<T>)>| {
            let after = ring.partition_point(|(at, _)| *at <= seq);
            after.checked_sub(1).map_or((0, 0), |index| {
                let (at, slot) = &ring[index];
                (*at, slot.lines)
            })
        };
        let state = below
            .states
            .range(..=seq)
            .next_back()
            .map_or((0, 0), |(at, slot)| (*at, slot.lines));
        [newest_of(&below.milestones), newest_of(&below.logs), state]
            .into_iter()
            .max()
            .map_or(0, |(_, lines)| lines)
    }

    pub(super) fn window_len(&self) -> usize {
        self.window.len()
    }

    /// Visits all retained items after `seq` in order, until the visitor breaks: a merge of three
    /// below the window, then the window.
    pub(super) fn visit_after<'a>(
        &'a self,
        seq: u64,
        mut visit: impl FnMut(u64, &'a Slot<T>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let base = self.below_window();
        // A reader inside the window, the usual one, is spared the search below it.
        if seq < base {
            self.visit_below(seq, &mut visit)?;
        }
        let skip = seq.saturating_sub(base).min(self.window.len() as u64) as usize;
        self.window
            .range(skip..)
            .zip(base + skip as u64 + 1..)
            .try_for_each(|(slot, at)| visit(at, slot))
    }

    fn visit_below<'a>(
        &'a self,
        seq: u64,
        visit: &mut impl FnMut(u64, &'a Slot<T>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some(below) = &self.below else {
            return ControlFlow::Continue(());
        };
        let mut milestones = ring_after(&below.milestones, seq).peekable();
        let mut logs = ring_after(&below.logs, seq).peekable();
        let mut states = below
            .states
            .range(seq.saturating_add(1)..)
            .map(|(at, slot)| (*at, slot))
            .peekable();
        loop {
            let at = |next: Option<&(u64, &Slot<T>)>| next.map_or(u64::MAX, |(at, _)| *at);
            let (m, l, s) = (at(milestones.peek()), at(logs.peek()), at(states.peek()));
            // By runs: what stands before the next of the other two needs no comparing of three.
            if m < l.min(s) {
                visit_until(&mut milestones, l.min(s), visit)?;
            } else if l < s {
                visit_until(&mut logs, m.min(s), visit)?;
            } else if s < u64::MAX {
                visit_until(&mut states, m.min(l), visit)?;
            } else {
                return ControlFlow::Continue(());
            }
        }
    }

    /// Tells whether a State of a key would be refused, and how large the one is that it supersedes.
    pub(super) fn check_state(&self, key: u32, size: usize) -> Result<usize, PushErrorKind> {
        if key >= self.limits.keys {
            return Err(PushErrorKind::TooManyKeys {
                limit: self.limits.keys,
            });
        }
        let old_size = self.newest_of(key).map_or(0, Item::size);
        if self.live_state - old_size + size > self.limits.bytes {
            return Err(PushErrorKind::Full {
                limit: self.limits.bytes,
            });
        }
        Ok(old_size)
    }

    /// Takes the place of the key's newest State, which from now on is superseded.
    fn supersede(&mut self, key: u32, size: usize) -> Result<(), PushErrorKind> {
        let old_size = self.check_state(key, size)?;
        let index = key as usize;
        let old = self.newest.get(index).copied().unwrap_or(0);
        let base = self.below_window();
        self.live_state = self.live_state - old_size + size;
        if old > base {
            self.window[(old - base - 1) as usize].mark = Mark::Superseded;
        } else if let Some(below) = &mut self.below
            && let Some(slot) = below.states.remove(&old)
        {
            self.drop_item(slot.item, old_size);
        }
        while self.newest.len() <= index {
            push_exact(&mut self.newest, 0);
        }
        self.newest[index] = self.head + 1;
        Ok(())
    }

    fn compact(&mut self, window: usize, bytes: usize) {
        // The newest item stays in the window, so that the end is never evicted.
        while self.window.len() > window || (self.bytes > bytes && self.window.len() > 1) {
            self.evict_oldest();
        }
        while self.bytes > bytes && self.drop_line() {}
        while self.bytes > bytes && self.drop_milestone() {}
    }

    pub(super) fn evict_oldest(&mut self) {
        let seq = self.below_window() + 1;
        let Some(mut slot) = self.window.pop_front() else {
            return;
        };
        if slot.mark == Mark::Superseded {
            let size = slot.item.size();
            return self.drop_item(slot.item, size);
        }
        slot.item.release();
        let below = self.below.get_or_insert_default();
        match slot.mark {
            Mark::Live => {
                below.states.insert(seq, slot);
            }
            Mark::Log => {
                below.logs.push_back((seq, slot));
                if below.logs.len() > self.limits.logs {
                    self.drop_line();
                }
            }
            Mark::Milestone | Mark::Terminal | Mark::Superseded => {
                below.milestones.push_back((seq, slot));
                if below.milestones.len() > self.limits.milestones {
                    self.drop_milestone();
                }
            }
        }
    }

    /// Drops the oldest log line below the window; tells whether there was one.
    fn drop_line(&mut self) -> bool {
        let below = self.below.as_mut();
        let line = below.and_then(|below| below.logs.pop_front());
        let dropped = line.is_some();
        if let Some((_, slot)) = line {
            let size = slot.item.size();
            self.drop_item(slot.item, size);
            self.dropped_lines += 1;
        }
        dropped
    }

    /// Drops the oldest milestone below the window; tells whether there was one.
    fn drop_milestone(&mut self) -> bool {
        let below = self.below.as_mut();
        let milestone = below.and_then(|below| below.milestones.pop_front());
        let dropped = milestone.is_some();
        if let Some((seq, slot)) = milestone {
            let size = slot.item.size();
            self.drop_item(slot.item, size);
            // Later ones may have been lost before they came.
            self.floor = self.floor.max(seq);
        }
        dropped
    }

    fn drop_item(&mut self, item: T, size: usize) {
        self.bytes -= size;
        if size <= LARGEST_SPARE {
            self.spare = Some(item);
        }
    }
}

impl<T> fmt::Debug for Log<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("head", &self.head)
            .field("floor", &self.floor)
            .field("ended", &self.ended)
            .field("bytes", &self.bytes)
            .field("window", &self.window.len())
            .field("below", &self.below.as_ref().map_or(0, |below| below.len()))
            .finish_non_exhaustive()
    }
}

fn visit_until<'a, T: 'a>(
    items: &mut Peekable<impl Iterator<Item = (u64, &'a Slot<T>)>>,
    before: u64,
    visit: &mut impl FnMut(u64, &'a Slot<T>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    while let Some((at, slot)) = items.next_if(|(at, _)| *at < before) {
        visit(at, slot)?;
    }
    ControlFlow::Continue(())
}

fn ring_after<T>(
    ring: &VecDeque<(u64, Slot<T>)>,
    seq: u64,
) -> impl Iterator<Item = (u64, &Slot<T>)> {
    ring.range(ring.partition_point(|(at, _)| *at <= seq)..)
        .map(|(at, slot)| (*at, slot))
}

/// What a dropped item may hold on to until the next one comes, uncounted.
const LARGEST_SPARE: usize = 1024;
