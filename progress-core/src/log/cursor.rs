//! The reader's side: cursors, ranges, lag, gaps.

use std::{fmt, ops::ControlFlow};

use crate::position::Seq;

use super::compact::{Item, Log, Mark};

/// Where a cursor begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the wire's `replay` and `after`, whole"
)]
pub enum Start {
    /// Before the first item: everything retained is read.
    Beginning,
    /// After the item of this number. Past the head it means the head.
    After(Seq),
    /// One item before the head.
    Latest,
    /// At the head. On a log that has ended, one item before it: every reader sees the end.
    Head,
}

/// What happens to a cursor that is more than its buffer behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a fourth answer to lag would break every match that handles it"
)]
pub enum OnLag {
    /// It skips State that has been superseded, up to the head; ranges declare it. Milestones and
    /// retained log lines still come.
    #[default]
    Conflate,
    /// It skips all State and log lines but the newest `buffer` items and says so by a
    /// [`Gap`] (reason [`GapReason::Lag`]). Milestones still come.
    Gap,
    /// [`Log::read`] answers [`Lagged`], now and ever after.
    Close,
}

/// A reader's place in a [`Log`]: plain data, unknown to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    last: u64,
    /// [`Log::lines`] up to `last`, as far as is known.
    lines: u32,
    /// Whether `lines` may be too low: of an item that was not read here.
    resumed: bool,
    /// The floor that a gap has already declared to this reader.
    declared: u64,
    /// The head when the cursor was made: what the log held then is replay and never conflated.
    replay_to: u64,
    /// All but milestones is skipped up to here, as a gap of reason `lag` has declared.
    skip_to: u64,
    buffer: u64,
    on_lag: OnLag,
    conflate_next: bool,
}

/// One step of a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery<T> {
    /// An item, standing for the range `from..=seq`.
    #[non_exhaustive]
    Item {
        /// The item.
        item: T,
        /// The first number that the item stands for: one past the item delivered before it.
        from: Seq,
        /// The item's own number.
        seq: Seq,
        /// Log lines missing between the item delivered before and this one. Exact for a cursor
        /// that was there all the time, an upper bound after a resume.
        dropped_logs: u32,
    },
    /// Something is missing that no later item supersedes. It moves nothing: the next item's
    /// `from` is still one past the item before.
    Gap(Gap),
}

impl<T> Delivery<T> {
    /// Returns the item, if it is one.
    pub(crate) fn into_item(self) -> Option<T> {
        match self {
            Self::Item { item, .. } => Some(item),
            Self::Gap(_) => None,
        }
    }
}

/// A range in which items are missing for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Gap {
    /// The first number in question.
    pub from: Seq,
    /// The last number in question.
    pub to: Seq,
    /// What made the gap.
    pub reason: GapReason,
}

/// What made a [`Gap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// Milestones were dropped past the cap: the floor has risen over the reader.
    Floor,
    /// The reader fell behind its buffer and had asked for [`OnLag::Gap`].
    Lag,
    /// The reader claims a position past the head: the log it knew is not this one.
    Ahead,
}

impl GapReason {
    /// Returns the word on the wire: `floor`, `lag`, `ahead`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Lag => "lag",
            Self::Ahead => "ahead",
        }
    }
}

/// A cursor with [`OnLag::Close`] fell behind its buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lagged {
    /// How many items the cursor was behind.
    pub behind: u64,
}

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the reader fell {} events behind, more than its buffer",
            self.behind
        )
    }
}

impl std::error::Error for Lagged {}

impl Cursor {
    /// Makes a cursor that skips only what left the window.
    #[must_use]
    pub fn new<T: Item>(log: &Log<T>, start: Start) -> Self {
        let head = log.head().get();
        let last = match start {
            Start::Beginning => 0,
            Start::After(seq) => seq.get().min(head),
            Start::Head if !log.is_ended() => head,
            Start::Head | Start::Latest => head.saturating_sub(1),
        };
        Self {
            last,
            lines: log.lines_up_to(last),
            resumed: true,
            declared: 0,
            replay_to: head,
            skip_to: 0,
            buffer: u64::MAX,
            on_lag: OnLag::default(),
            conflate_next: false,
        }
    }

    /// Makes a cursor at the beginning of another log, with the same answer to lag.
    pub(crate) fn anew<T: Item>(&self, log: &Log<T>) -> Self {
        Self::new(log, Start::Beginning).buffer(self.buffer, self.on_lag)
    }

    /// Stands right behind an item that was read.
    pub(crate) fn stand_at(&mut self, seq: Seq) {
        self.last = seq.get();
        self.resumed = true;
    }

    /// Makes a cursor that stands before everything, whatever the log.
    pub(crate) fn at_start() -> Self {
        Self {
            last: 0,
            lines: 0,
            resumed: true,
            declared: 0,
            replay_to: 0,
            skip_to: 0,
            buffer: u64::MAX,
            on_lag: OnLag::default(),
            conflate_next: false,
        }
    }

    /// Sets how many items the cursor may fall behind, and what happens then. Replay of what the
    /// log held when the cursor was made does not count.
    #[must_use]
    pub fn buffer(mut self, items: u64, on_lag: OnLag) -> Self {
        self.buffer = items.max(1);
        self.on_lag = on_lag;
        self
    }

    /// Returns the number of the newest item that was read.
    #[must_use]
    pub fn last(&self) -> Seq {
        Seq::new(self.last)
    }

    /// Makes the next read skip superseded State up to the head, as if the cursor had lagged.
    pub fn conflate(&mut self) {
        self.conflate_next = true;
    }

    /// The number up to which nothing counts as lag: it was read, is replay, or was given up.
    fn settled(&self) -> u64 {
        self.last.max(self.replay_to).max(self.skip_to)
    }
}

impl<T: Item> Log<T> {
    /// Reads on from a cursor: at most `max` items from the window, but all from below it; and all
    /// up to the head at one instant while the cursor conflates, or if it has fallen out of the
    /// window, so that no key starves however slow the reader is. Appends to `out`.
    ///
    /// # Errors
    ///
    /// [`Lagged`] if the cursor's policy is [`OnLag::Close`] and it is too far behind; nothing is
    /// appended to `out`.
    pub fn read(
        &self,
        cursor: &mut Cursor,
        max: usize,
        out: &mut Vec<Delivery<T>>,
    ) -> Result<(), Lagged> {
        self.read_with(cursor, max, |delivery| out.push(delivery))
    }

    /// Reads as [`read`](Self::read) does and hands each step to `take`.
    ///
    /// # Errors
    ///
    /// [`Lagged`] as [`read`](Self::read); `take` has not been called then.
    pub fn read_with(
        &self,
        cursor: &mut Cursor,
        max: usize,
        mut take: impl FnMut(Delivery<T>),
    ) -> Result<(), Lagged> {
        let head = self.head().get();
        let behind = head - cursor.settled().min(head);
        let mut conflate = std::mem::take(&mut cursor.conflate_next);
        let mut lag_gap = None;
        if behind > cursor.buffer {
            match cursor.on_lag {
                OnLag::Close => return Err(Lagged { behind }),
                OnLag::Conflate => conflate = true,
                OnLag::Gap => {
                    let from = cursor.settled() + 1;
                    cursor.skip_to = head - cursor.buffer;
                    lag_gap = Some(Gap {
                        from: Seq::new(from),
                        to: Seq::new(cursor.skip_to),
                        reason: GapReason::Lag,
                    });
                }
            }
        }
        if let Some(gap) = self.undeclared_floor(cursor) {
            cursor.declared = gap.to.get();
            take(Delivery::Gap(gap));
        }
        if let Some(gap) = lag_gap {
            take(Delivery::Gap(gap));
        }

        let (replay_to, skip_to) = (cursor.replay_to, cursor.skip_to);
        // Fallen out of the window, a reader that took a part of it would fall out again and could
        // miss the same keys each time.
        let at_once_to = if conflate || cursor.settled() < self.below_window() {
            head
        } else {
            self.below_window()
        };
        let mut taken = 0;
        let _all_or_max = self.visit_after(cursor.last, |seq, slot| {
            if taken >= max && seq > at_once_to {
                return ControlFlow::Break(());
            }
            let live = seq > replay_to;
            let state = matches!(slot.mark, Mark::Live | Mark::Superseded);
            let skipped = (live && conflate && slot.mark == Mark::Superseded)
                || (live && seq <= skip_to && (state || slot.mark == Mark::Log));
            if !skipped {
                take(cursor.deliver(seq, slot.lines, slot.mark, slot.item.clone()));
                taken += 1;
            }
            ControlFlow::Continue(())
        });
        Ok(())
    }

    /// Reads up to `limit` retained items after `after`, and the cursor's next place if more
    /// remain: a page of history, as everything stands now, for a reader without a cursor.
    #[must_use]
    pub fn page(&self, after: Seq, limit: usize) -> (Vec<Delivery<T>>, Option<Seq>) {
        let mut cursor = Cursor::new(self, Start::After(after));
        let mut out = Vec::new();
        let read = self.visit_after(cursor.last, |seq, slot| {
            if out.len() >= limit {
                return ControlFlow::Break(());
            }
            out.push(cursor.deliver(seq, slot.lines, slot.mark, slot.item.clone()));
            ControlFlow::Continue(())
        });
        (out, read.is_break().then_some(cursor.last()))
    }

    /// How many retained items a cursor has before it: exact inside the window, at most so below it.
    #[must_use]
    pub fn unread(&self, cursor: &Cursor) -> usize {
        match cursor.last.checked_sub(self.below_window()) {
            Some(read) => self.window_len() - read as usize,
            None => self.len(),
        }
    }

    fn undeclared_floor(&self, cursor: &Cursor) -> Option<Gap> {
        let floor = self.floor().get();
        (floor > cursor.last.max(cursor.declared)).then(|| Gap {
            from: Seq::new(cursor.last + 1),
            to: Seq::new(floor),
            reason: GapReason::Floor,
        })
    }
}

impl Cursor {
    // Every read runs through it.
    #[inline(always)]
    fn deliver<T>(&mut self, seq: u64, lines: u32, mark: Mark, item: T) -> Delivery<T> {
        let mut missing = lines.wrapping_sub(self.lines).wrapping_sub(mark.lines());
        if self.resumed {
            // More may have been dropped before the range than is known. Later ones count all: of a
            // log that is numbered elsewhere, lines missing before a milestone are first known by the
            // next line.
            let swallowed = u32::try_from(seq - self.last - 1).unwrap_or(u32::MAX);
            missing = missing.min(swallowed);
            self.resumed = false;
        }
        let delivery = Delivery::Item {
            item,
            from: Seq::new(self.last + 1),
            seq: Seq::new(seq),
            dropped_logs: missing,
        };
        self.last = seq;
        self.lines = lines;
        delivery
    }
}
