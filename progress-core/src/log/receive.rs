//! Items that were numbered elsewhere, and keys that have had their day.

use crate::position::Seq;

use super::{
    PushError,
    compact::{Class, Item, Log, Mark},
};

impl<T: Item> Log<T> {
    /// Appends an item that another log has numbered `seq`, which is past the head.
    ///
    /// Numbers between the head and it are State that something retained supersedes, or log lines:
    /// they were conflated on the way, and a reader's range closes over them. What is missing
    /// beyond that is said by [`lose`](Self::lose) beforehand.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    ///
    /// # Panics
    ///
    /// In debug builds, if `seq` is not past the head.
    pub fn push_at(&mut self, seq: Seq, class: Class, item: T) -> Result<Seq, PushError<T>> {
        debug_assert!(seq > self.head(), "{seq} is not past {}", self.head());
        if !self.is_ended() && seq > self.next_seq() {
            if let Class::State(key) = class
                && let Err(kind) = self.check_state(key, item.size())
            {
                return Err(kind.with(item));
            }
            self.skip_to(seq.get() - 1);
        }
        self.push(class, item)
    }

    /// Says that milestones up to `seq` are lost for good: raises the floor.
    pub fn lose(&mut self, seq: Seq) {
        self.floor = self.floor.max(seq.get());
        self.milestone = self.milestone.max(seq.get());
    }

    /// Says that, counting those that never came here, so many log lines precede the next item.
    pub fn count_lines(&mut self, lines: u64) {
        let missing = (lines as u32).wrapping_sub(self.lines);
        // Else it is behind: a number that wrapped, or one that was given twice.
        if missing < u32::MAX / 2 {
            self.lines = lines as u32;
            self.dropped_lines += u64::from(missing);
        }
    }

    /// Ends the life of a State key whose owner is done: its newest item counts as superseded by
    /// the newest of the log, and the number of the key is free again. What stands for it is to be
    /// appended first.
    pub fn retire(&mut self, key: u32) {
        let Some(newest) = self.newest.get_mut(key as usize) else {
            return;
        };
        let seq = std::mem::take(newest);
        if seq == 0 {
            return;
        }
        let base = self.below_window();
        if seq > base {
            let slot = &mut self.window[(seq - base - 1) as usize];
            slot.mark = Mark::Superseded;
            self.live_state -= slot.item.size();
        } else if let Some(slot) = self
            .below
            .as_mut()
            .and_then(|below| below.states.remove(&seq))
        {
            self.live_state -= slot.item.size();
            self.bytes -= slot.item.size();
        }
    }

    /// Returns the newest State of a key, unless the key was [retired](Self::retire) since.
    #[must_use]
    pub fn newest_of(&self, key: u32) -> Option<&T> {
        let seq = self.newest.get(key as usize).copied()?;
        let base = self.below_window();
        let slot = match seq {
            0 => None,
            seq if seq > base => self.window.get((seq - base - 1) as usize),
            seq => self.below.as_ref().and_then(|below| below.states.get(&seq)),
        };
        slot.map(|slot| &slot.item)
    }

    /// Moves the head over numbers that hold nothing: the window is of contiguous numbers, so
    /// what it holds goes below it.
    fn skip_to(&mut self, head: u64) {
        while !self.window.is_empty() {
            self.evict_oldest();
        }
        self.head = head;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Cursor, Delivery, LogLimits, Start};

    fn read(log: &Log<u64>, cursor: &mut Cursor) -> Vec<(u64, u64)> {
        let mut out = Vec::new();
        log.read(cursor, 64, &mut out).unwrap();
        out.iter()
            .map(|delivery| match delivery {
                Delivery::Item { from, seq, .. } => (from.get(), seq.get()),
                Delivery::Gap(gap) => (gap.from.get(), gap.to.get()),
            })
            .collect()
    }

    #[test]
    fn a_range_closes_over_what_was_conflated_on_the_way() {
        let mut log = Log::new(LogLimits::default());
        log.push_at(Seq::new(1), Class::Milestone, 1).unwrap();
        let mut cursor = Cursor::new(&log, Start::Beginning);
        assert_eq!(read(&log, &mut cursor), [(1, 1)]);
        log.push_at(Seq::new(9), Class::State(0), 9).unwrap();
        log.push_at(Seq::new(10), Class::Milestone, 10).unwrap();
        assert_eq!(read(&log, &mut cursor), [(2, 9), (10, 10)]);
        let mut fresh = Cursor::new(&log, Start::Beginning);
        assert_eq!(read(&log, &mut fresh), [(1, 1), (2, 9), (10, 10)]);
    }

    #[test]
    fn a_lost_milestone_is_a_gap_for_those_before_it() {
        let mut log = Log::new(LogLimits::default());
        log.push_at(Seq::new(1), Class::Milestone, 1).unwrap();
        let mut cursor = Cursor::new(&log, Start::Head);
        log.lose(Seq::new(5));
        log.push_at(Seq::new(7), Class::Milestone, 7).unwrap();
        assert_eq!(read(&log, &mut cursor), [(2, 5), (2, 7)]);
    }

    #[test]
    fn a_floor_does_not_fall_when_what_is_below_it_goes() {
        let mut log = Log::new(LogLimits::default().window(1).milestones(0));
        log.push_at(Seq::new(1), Class::Milestone, 1).unwrap();
        log.lose(Seq::new(5));
        log.push_at(Seq::new(7), Class::State(0), 7).unwrap();
        assert_eq!((log.len(), log.floor()), (1, Seq::new(5)));
    }

    #[test]
    fn an_arrival_that_is_refused_moves_nothing() {
        let mut log = Log::new(LogLimits::default().keys(1));
        log.push_at(Seq::new(1), Class::State(0), 1).unwrap();
        let refused = log.push_at(Seq::new(9), Class::State(1), 9).unwrap_err();
        assert_eq!(refused.item, 9);
        assert_eq!(log.head(), Seq::new(1));
        log.push_at(Seq::new(10), Class::Milestone, 10).unwrap();
        let mut fresh = Cursor::new(&log, Start::Beginning);
        assert_eq!(read(&log, &mut fresh), [(1, 1), (2, 10)]);
    }

    #[test]
    fn a_retired_key_leaves_nothing_and_can_be_used_again() {
        let mut log = Log::new(LogLimits::default().window(1).keys(1));
        log.push(Class::State(0), 1).unwrap();
        log.push(Class::Milestone, 2).unwrap();
        log.retire(0);
        assert_eq!(log.len(), 1);
        log.push(Class::State(0), 3).unwrap();
        log.push(Class::Milestone, 4).unwrap();
        assert_eq!(log.len(), 3);
    }

    #[test]
    fn lines_that_never_came_are_counted() {
        let mut log = Log::new(LogLimits::default());
        log.push(Class::Log, 1).unwrap();
        let mut cursor = Cursor::new(&log, Start::Head);
        log.count_lines(4);
        log.push_at(Seq::new(6), Class::Log, 6).unwrap();
        let mut out = Vec::new();
        log.read(&mut cursor, 64, &mut out).unwrap();
        assert!(matches!(
            out[..],
            [Delivery::Item {
                dropped_logs: 3,
                ..
            }]
        ));
        assert_eq!(log.dropped_lines(), 3);
    }

    #[test]
    fn lines_that_never_came_before_a_milestone_are_declared_by_the_next_line() {
        let mut log = Log::new(LogLimits::default());
        log.push(Class::Log, 1).unwrap();
        let mut cursor = Cursor::new(&log, Start::Beginning);
        log.push_at(Seq::new(8), Class::Milestone, 8).unwrap();
        log.count_lines(5);
        log.push_at(Seq::new(9), Class::Log, 9).unwrap();
        let mut out = Vec::new();
        log.read(&mut cursor, 64, &mut out).unwrap();
        let dropped = |delivery: &Delivery<u64>| match delivery {
            Delivery::Item { dropped_logs, .. } => *dropped_logs,
            Delivery::Gap(_) => 0,
        };
        assert!(out.iter().map(dropped).eq([0, 0, 4]));
    }
}
