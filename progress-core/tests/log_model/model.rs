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

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) class: Class,
    pub(crate) size: usize,
    pub(crate) superseded: bool,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) bounds: Bounds,
    items: Vec<Entry>,
    /// The newest number below the window.
    pub(crate) below: u64,
    pub(crate) floor: u64,
    /// The newest log line dropped.
    lines_floor: u64,
}

impl Model {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            items: Vec::new(),
            below: 0,
            floor: 0,
            lines_floor: 0,
        }
    }

    pub(crate) fn head(&self) -> u64 {
        self.items.len() as u64
    }

    pub(crate) fn at(&self, seq: u64) -> &Entry {
        &self.items[seq as usize - 1]
    }

    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.items.last(), Some(last) if last.class == Class::Terminal)
    }

    pub(crate) fn push(&mut self, class: Class, size: usize) -> Result<u64, PushErrorKind> {
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
            if let Some(old) = old {
                self.items[old as usize - 1].superseded = true;
            }
        }
        self.items.push(Entry {
            class,
            size,
            superseded: false,
        });
        self.compact(self.bounds.bytes);
        Ok(self.head())
    }

    /// The window shrinks first, to one item at least; then log lines go, then milestones.
    pub(crate) fn compact(&mut self, bytes: usize) {
        loop {
            let window = (self.head() - self.below) as usize;
            if window <= self.bounds.window && (window <= 1 || self.bytes() <= bytes) {
                break;
            }
            self.below += 1;
            let milestones = self.below_window(Class::Milestone);
            if milestones.len() > self.bounds.milestones {
                self.floor = milestones[0];
            }
            let lines = self.below_window(Class::Log);
            if lines.len() > self.bounds.logs {
                self.lines_floor = lines[0];
            }
        }
        for line in self.below_window(Class::Log) {
            if self.bytes() > bytes {
                self.lines_floor = line;
            }
        }
        for milestone in self.below_window(Class::Milestone) {
            if self.bytes() > bytes {
                self.floor = milestone;
            }
        }
    }

    pub(crate) fn is_retained(&self, seq: u64) -> bool {
        let entry = self.at(seq);
        seq > self.below
            || match entry.class {
                Class::State(_) => !entry.superseded,
                Class::Milestone => seq > self.floor,
                Class::Log => seq > self.lines_floor,
                Class::Terminal => unreachable!("the end never leaves the window"),
            }
    }

    pub(crate) fn retained(&self) -> impl Iterator<Item = u64> {
        (1..=self.head()).filter(|seq| self.is_retained(*seq))
    }

    /// State that nothing supersedes.
    pub(crate) fn is_live_state(&self, seq: u64) -> bool {
        matches!(self.at(seq).class, Class::State(_)) && !self.at(seq).superseded
    }

    /// The newest State of a key.
    pub(crate) fn newest(&self, key: u32) -> Option<u64> {
        (1..=self.head()).rfind(|seq| self.at(*seq).class == Class::State(key))
    }

    pub(crate) fn newest_milestone(&self) -> u64 {
        let newest = (1..=self.head()).rfind(|seq| self.at(*seq).class == Class::Milestone);
        newest.unwrap_or(0)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.retained().map(|seq| self.at(seq).size).sum()
    }

    /// Log lines among the numbers of a range.
    pub(crate) fn lines(&self, range: std::ops::Range<u64>) -> u64 {
        range
            .filter(|seq| self.at(*seq).class == Class::Log)
            .count() as u64
    }

    pub(crate) fn dropped_lines(&self) -> u64 {
        (1..=self.head())
            .filter(|seq| self.at(*seq).class == Class::Log && !self.is_retained(*seq))
            .count() as u64
    }

    /// What is retained of a class below the window, the oldest first.
    fn below_window(&self, class: Class) -> Vec<u64> {
        (1..=self.below)
            .filter(|seq| self.at(*seq).class == class && self.is_retained(*seq))
            .collect()
    }
}
