//! What a log must hold, worked out naively: every item ever pushed is kept.

use progress_core::log::{Class, Item, LogLimits, PushErrorKind};

/// What the tests push: numbered as the log should number it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) seq: u64,
    pub(crate) size: usize,
    /// How often the log has said that it left the window.
    pub(crate) released: u32,
}

impl Item for Token {
    fn size(&self) -> usize {
        self.size
    }

    fn release(&mut self) {
        self.released += 1;
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) window: usize,
    pub(crate) milestones: usize,
    pub(crate) logs: usize,
    pub(crate) keys: u32,
    pub(crate) bytes: usize,
}

impl Bounds {
    pub(crate) fn limits(self) -> LogLimits {
        LogLimits::default()
            .window(self.window)
            .milestones(self.milestones)
            .logs(self.logs)
            .keys(self.keys)
            .bytes(self.bytes)
    }
}

/// A number of the log's.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) what: What,
    pub(crate) size: usize,
    pub(crate) superseded: bool,
    /// Its key has had its day: what came behind it stands for it.
    pub(crate) retired: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Here(Class),
    /// Another log has it, or had it.
    Missing(Missing),
}

/// What another log has numbered, and never came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// State that something which comes supersedes.
    Conflated,
    Line,
    /// Said to be lost.
    Milestone,
}

impl Entry {
    pub(crate) fn is(&self, class: Class) -> bool {
        self.what == What::Here(class)
    }

    fn is_line(&self) -> bool {
        self.is(Class::Log) || self.what == What::Missing(Missing::Line)
    }

    fn is_state(&self) -> bool {
        matches!(self.what, What::Here(Class::State(_)))
    }
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) bounds: Bounds,
    items: Vec<Entry>,
    /// The newest number below the window.
    pub(crate) below: u64,
    /// The newest milestone dropped.
    dropped: u64,
    /// Up to here milestones were said to be lost before they came.
    lost: u64,
    /// The newest log line dropped.
    lines_floor: u64,
}

impl Model {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            items: Vec::new(),
            below: 0,
            dropped: 0,
            lost: 0,
            lines_floor: 0,
        }
    }

    pub(crate) fn head(&self) -> u64 {
        self.items.len() as u64
    }

    pub(crate) fn floor(&self) -> u64 {
        self.dropped.max(self.lost)
    }

    pub(crate) fn at(&self, seq: u64) -> &Entry {
        &self.items[seq as usize - 1]
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.items
            .last()
            .is_some_and(|last| last.is(Class::Terminal))
    }

    pub(crate) fn push(&mut self, class: Class, size: usize) -> Result<u64, PushErrorKind> {
        self.push_after(&[], class, size)
    }

    /// Numbers that hold nothing come before it.
    pub(crate) fn push_after(
        &mut self,
        missing: &[Missing],
        class: Class,
        size: usize,
    ) -> Result<u64, PushErrorKind> {
        if self.is_ended() {
            return Err(PushErrorKind::Ended);
        }
        if let Class::State(key) = class {
            if key >= self.bounds.keys {
                let limit = self.bounds.keys;
                return Err(PushErrorKind::TooManyKeys { limit });
            }
            let old = self.newest(key);
            let others: usize = (1..=self.head())
                .filter(|seq| Some(*seq) != old && self.is_live_state(*seq))
                .map(|seq| self.at(seq).size)
                .sum();
            if others + size > self.bounds.bytes {
                let limit = self.bounds.bytes;
                return Err(PushErrorKind::Full { limit });
            }
            self.miss(missing);
            if let Some(old) = old {
                self.items[old as usize - 1].superseded = true;
            }
        } else {
            self.miss(missing);
        }
        self.add(What::Here(class), size);
        self.compact(self.bounds.bytes);
        Ok(self.head())
    }

    /// The window begins anew behind numbers that hold nothing.
    fn miss(&mut self, missing: &[Missing]) {
        if missing.is_empty() {
            return;
        }
        while self.below < self.head() {
            self.evict_oldest();
        }
        for missing in missing {
            self.add(What::Missing(*missing), 0);
        }
        self.below = self.head();
    }

    /// Milestones up to a number are lost, before they came or again.
    pub(crate) fn lose(&mut self, seq: u64) {
        self.lost = self.lost.max(seq);
    }

    /// What came behind the newest State of a key stands for it.
    pub(crate) fn retire(&mut self, key: u32) {
        if let Some(newest) = self.newest(key) {
            let entry = &mut self.items[newest as usize - 1];
            (entry.superseded, entry.retired) = (true, true);
        }
    }

    /// The window shrinks first, to one item at least; then log lines go, then milestones.
    pub(crate) fn compact(&mut self, bytes: usize) {
        loop {
            let window = (self.head() - self.below) as usize;
            if window <= self.bounds.window && (window <= 1 || self.bytes() <= bytes) {
                break;
            }
            self.evict_oldest();
        }
        for line in self.below_window(Class::Log) {
            if self.bytes() > bytes {
                self.lines_floor = line;
            }
        }
        for milestone in self.below_window(Class::Milestone) {
            if self.bytes() > bytes {
                self.dropped = milestone;
            }
        }
    }

    pub(crate) fn is_retained(&self, seq: u64) -> bool {
        let entry = self.at(seq);
        let What::Here(class) = entry.what else {
            return false;
        };
        seq > self.below
            || match class {
                Class::State(_) => !entry.superseded,
                Class::Milestone => seq > self.dropped,
                Class::Log => seq > self.lines_floor,
                Class::Terminal => unreachable!("the end never leaves the window"),
            }
    }

    pub(crate) fn retained(&self) -> impl Iterator<Item = u64> {
        (1..=self.head()).filter(|seq| self.is_retained(*seq))
    }

    /// State that nothing supersedes.
    pub(crate) fn is_live_state(&self, seq: u64) -> bool {
        self.at(seq).is_state() && !self.at(seq).superseded
    }

    /// The newest State of a key that has not had its day.
    pub(crate) fn newest(&self, key: u32) -> Option<u64> {
        let newest = (1..=self.head()).rfind(|seq| self.at(*seq).is(Class::State(key)));
        newest.filter(|seq| !self.at(*seq).retired)
    }

    /// Whether the key to which an item belongs has had its day since.
    pub(crate) fn is_retired(&self, seq: u64, key: u32) -> bool {
        (seq..=self.head()).any(|seq| {
            let entry = self.at(seq);
            entry.is(Class::State(key)) && entry.retired
        })
    }

    pub(crate) fn newest_milestone(&self) -> u64 {
        let newest = (1..=self.head()).rfind(|seq| self.at(*seq).is(Class::Milestone));
        newest.unwrap_or(0).max(self.lost)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.retained().map(|seq| self.at(seq).size).sum()
    }

    /// Log lines among the numbers of a range.
    pub(crate) fn lines(&self, range: std::ops::Range<u64>) -> u64 {
        range.filter(|seq| self.at(*seq).is_line()).count() as u64
    }

    pub(crate) fn dropped_lines(&self) -> u64 {
        (1..=self.head())
            .filter(|seq| self.at(*seq).is_line() && !self.is_retained(*seq))
            .count() as u64
    }

    fn add(&mut self, what: What, size: usize) {
        self.items.push(Entry {
            what,
            size,
            superseded: false,
            retired: false,
        });
    }

    /// Takes the oldest out of the window, and over the caps what is the oldest below it.
    fn evict_oldest(&mut self) {
        self.below += 1;
        let milestones = self.below_window(Class::Milestone);
        if milestones.len() > self.bounds.milestones {
            self.dropped = milestones[0];
        }
        let lines = self.below_window(Class::Log);
        if lines.len() > self.bounds.logs {
            self.lines_floor = lines[0];
        }
    }

    /// What is retained of a class below the window, the oldest first.
    fn below_window(&self, class: Class) -> Vec<u64> {
        (1..=self.below)
            .filter(|seq| self.at(*seq).is(class) && self.is_retained(*seq))
            .collect()
    }
}
