//! A log, its model and its readers, moved together.

use progress_core::{
    Seq,
    log::{Class, Delivery, Log, OnLag, PushError, PushErrorKind, Start},
};

use super::{
    model::{Bounds, Missing, Model, Token},
    reader::{Reader, Received},
};

/// Something that happens. Numbers out of range wrap around, so that any number will do.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) enum Op {
    State {
        key: u8,
        size: u8,
    },
    Milestone {
        size: u8,
    },
    Line {
        size: u8,
    },
    End,
    /// An item that was numbered elsewhere comes, and what is [missing](missing) does not.
    Arrive {
        what: Arriving,
        size: u8,
        missing: u8,
    },
    /// Milestones are said to be lost, up to so many numbers before one past the next.
    Lose {
        back: u8,
    },
    /// Another milestone ends the day of a key.
    Retire {
        key: u8,
    },
    /// A reader that only skips what left the window.
    Subscribe(From),
    SubscribeWith {
        from: From,
        buffer: u8,
        lag: Lag,
    },
    Read {
        reader: u8,
        max: u8,
    },
    Conflate {
        reader: u8,
    },
    ShrinkTo {
        bytes: u8,
    },
    Page {
        limit: u8,
    },
}

#[derive(Debug, Clone, Copy)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) enum Arriving {
    State { key: u8 },
    Milestone,
    Line,
    End,
}

#[derive(Debug, Clone, Copy)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) enum From {
    Beginning,
    /// After the item so many before one past the head.
    After {
        back: u8,
    },
    Latest,
    Head,
}

#[derive(Debug, Clone, Copy)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub(crate) enum Lag {
    Conflate,
    Gap,
    Close,
}

#[derive(Debug)]
pub(crate) struct World {
    log: Log<Token>,
    model: Model,
    readers: Vec<Reader>,
    /// Numbers between the head and what comes next.
    owed: Vec<Missing>,
}

impl World {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            log: Log::new(bounds.limits()),
            model: Model::new(bounds),
            readers: Vec::new(),
            owed: Vec::new(),
        }
    }

    pub(crate) fn apply(&mut self, op: Op) {
        let floor = self.log.floor();
        match op {
            Op::State { key, size } => self.push(self.state(key), size),
            Op::Milestone { size } => self.push(Class::Milestone, size),
            Op::Line { size } => self.push(Class::Log, size),
            Op::End => self.push(Class::Terminal, 1),
            Op::Arrive {
                what,
                size,
                missing: code,
            } => {
                let class = match what {
                    Arriving::State { key } => self.state(key),
                    Arriving::Milestone => Class::Milestone,
                    Arriving::Line => Class::Log,
                    Arriving::End => Class::Terminal,
                };
                self.arrive(class, size, &missing(code));
            }
            Op::Lose { back } => {
                let seq = (self.model.head() + 2).saturating_sub(u64::from(back));
                self.log.lose(Seq::new(seq));
                self.model.lose(seq);
            }
            Op::Retire { key } => {
                self.push(Class::Milestone, 1);
                self.retire(key);
            }
            Op::Subscribe(from) => self.subscribe(from, None),
            Op::SubscribeWith { from, buffer, lag } => {
                let on_lag = match lag {
                    Lag::Conflate => OnLag::Conflate,
                    Lag::Gap => OnLag::Gap,
                    Lag::Close => OnLag::Close,
                };
                self.subscribe(from, Some((u64::from(buffer % 16), on_lag)));
            }
            Op::Read { reader, max } => {
                let max = match max % 8 {
                    7 => usize::MAX,
                    max => usize::from(max),
                };
                let Self { log, model, .. } = self;
                if let Some(reader) = pick(&mut self.readers, reader) {
                    reader.read(log, model, max);
                }
            }
            Op::Conflate { reader } => {
                if let Some(reader) = pick(&mut self.readers, reader) {
                    reader.conflate();
                }
            }
            Op::ShrinkTo { bytes } => {
                self.log.shrink_to(usize::from(bytes));
                self.model.compact(usize::from(bytes));
                self.check_budget(usize::from(bytes));
            }
            Op::Page { limit } => self.page(usize::from(limit % 8) + 1),
        }
        assert!(self.log.floor() >= floor, "the floor has fallen");
        self.check();
    }

    /// Ends the log and lets everybody read on.
    pub(crate) fn finish(mut self) {
        if !self.model.is_ended() {
            // Any number of them may have been lost before it.
            self.apply(Op::Arrive {
                what: Arriving::End,
                size: 1,
                missing: self.model.head() as u8,
            });
        }
        for op in [
            Op::State { key: 0, size: 0 },
            Op::Milestone { size: 0 },
            Op::Line { size: 0 },
            Op::End,
            Op::Subscribe(From::Beginning),
            Op::Subscribe(From::Latest),
            Op::Subscribe(From::Head),
        ] {
            self.apply(op);
        }
        let Self {
            log,
            model,
            readers,
            ..
        } = self;
        for mut reader in readers {
            while reader.last() < model.head() && !reader.is_closed() {
                let before = reader.last();
                reader.read(&log, &model, 1);
                assert!(reader.last() > before || reader.is_closed(), "stuck");
            }
            assert!(reader.read(&log, &model, 1).is_empty(), "after the end");
        }
    }

    /// One key more than there can be.
    fn state(&self, key: u8) -> Class {
        Class::State(u32::from(key) % (self.model.bounds.keys + 1))
    }

    fn push(&mut self, class: Class, size: u8) {
        if !self.owed.is_empty() {
            return self.arrive(class, size, &[]);
        }
        let item = token(self.log.next_seq().get(), size);
        let expected = self.model.push(class, item.size);
        check_pushed(self.log.push(class, item.clone()), &item, expected);
        self.check_budget(self.model.bounds.bytes);
    }

    fn arrive(&mut self, class: Class, size: u8, missing: &[Missing]) {
        let mut before = std::mem::take(&mut self.owed);
        before.extend(missing);
        let (head, log) = (self.model.head(), &mut self.log);
        if !self.model.is_ended() {
            let is_lost = |kind: &Missing| *kind == Missing::Milestone;
            if let Some(index) = before.iter().rposition(is_lost) {
                let lost = head + 1 + index as u64;
                log.lose(Seq::new(lost));
                self.model.lose(lost);
            }
            let lines = self.model.lines(1..head + 1) + lines(&before);
            log.count_lines(lines);
            // A number that is behind says nothing.
            log.count_lines(lines.saturating_sub(1));
        }
        let item = token(head + 1 + before.len() as u64, size);
        let expected = self.model.push_after(&before, class, item.size);
        let pushed = log.push_at(Seq::new(item.seq), class, item.clone());
        check_pushed(pushed, &item, expected);
        if expected.is_err() && !self.model.is_ended() {
            // As if it had never come.
            before.push(Missing::Conflated);
            self.owed = before;
        }
        self.check_budget(self.model.bounds.bytes);
    }

    fn retire(&mut self, key: u8) {
        let Class::State(key) = self.state(key) else {
            return;
        };
        // After the end there is no milestone that could stand for it.
        if self.model.newest(key) < Some(self.model.head()) {
            self.log.retire(key);
            self.model.retire(key);
        }
    }

    fn subscribe(&mut self, from: From, lag: Option<(u64, OnLag)>) {
        let start = match from {
            From::Beginning => Start::Beginning,
            From::After { back } => {
                let past_head = self.model.head() + 1;
                Start::After(Seq::new(past_head.saturating_sub(back.into())))
            }
            From::Latest => Start::Latest,
            From::Head => Start::Head,
        };
        if self.readers.len() == MAX_READERS {
            self.readers.remove(0);
        }
        self.readers.push(Reader::new(&self.log, start, lag));
    }

    /// Pages hold what a fresh reader gets, whatever their size.
    fn page(&self, limit: usize) {
        let mut paged = Vec::new();
        let mut after = Some(Seq::ZERO);
        while let Some(from) = after {
            let (page, next) = self.log.page(from, limit);
            assert!(page.len() <= limit && (next.is_none() || page.len() == limit));
            paged.extend(page.iter().map(received));
            after = next;
        }
        let mut fresh = Reader::new(&self.log, Start::Beginning, None);
        assert_eq!(paged, fresh.read(&self.log, &self.model, usize::MAX));
    }

    fn check(&self) {
        let Self { log, model, .. } = self;
        assert_eq!(log.head().get(), model.head());
        assert_eq!(log.next_seq().get(), model.head() + 1);
        assert_eq!(log.floor().get(), model.floor());
        assert_eq!(log.newest_milestone().get(), model.newest_milestone());
        assert_eq!(log.is_ended(), model.is_ended());
        assert_eq!(log.bytes(), model.bytes());
        let owed = lines(&self.owed);
        assert_eq!(
            u64::from(log.lines()),
            model.lines(1..model.head() + 1) + owed
        );
        assert_eq!(log.dropped_lines(), model.dropped_lines() + owed);
        let (held, _) = log.page(Seq::ZERO, usize::MAX);
        let held: Vec<_> = held.iter().map(|item| received(item).seq).collect();
        assert_eq!(held, model.retained().collect::<Vec<_>>());
        for key in 0..=model.bounds.keys {
            let newest = log.newest_of(key).map(|token| token.seq);
            assert_eq!(newest, model.newest(key));
        }
        let newest = log.newest().map(|token| token.seq);
        let in_window = (model.head() > model.below).then(|| model.head());
        assert_eq!(newest, in_window);
        assert_eq!((log.len(), log.is_empty()), (held.len(), held.is_empty()));
    }

    /// Only the newest item and State that nothing supersedes can exceed a budget.
    fn check_budget(&self, bytes: usize) {
        let model = &self.model;
        let mut rest = model.retained().filter(|seq| *seq < model.head());
        assert!(model.bytes() <= bytes || rest.all(|seq| model.is_live_state(seq)));
    }
}

fn pick(readers: &mut [Reader], index: u8) -> Option<&mut Reader> {
    let count = readers.len().max(1);
    readers.get_mut(usize::from(index) % count)
}

fn check_pushed(
    pushed: Result<Seq, PushError<Token>>,
    item: &Token,
    expected: Result<u64, PushErrorKind>,
) {
    match pushed {
        Ok(seq) => assert_eq!(Ok(seq.get()), expected),
        Err(refused) => {
            assert_eq!(Err(refused.kind), expected);
            assert_eq!(refused.item, *item);
        }
    }
}

fn lines(missing: &[Missing]) -> u64 {
    missing
        .iter()
        .filter(|kind| **kind == Missing::Line)
        .count() as u64
}

fn token(seq: u64, size: u8) -> Token {
    Token {
        seq,
        size: usize::from(size % 16),
        released: 0,
    }
}

/// Up to four numbers that do not come, from the digits of a number.
fn missing(code: u8) -> Vec<Missing> {
    let mut missing = Vec::new();
    let mut digits = code;
    while digits > 0 {
        match digits % 4 {
            1 => missing.push(Missing::Conflated),
            2 => missing.push(Missing::Line),
            3 => missing.push(Missing::Milestone),
            _ => {}
        }
        digits /= 4;
    }
    missing
}

fn received(delivery: &Delivery<Token>) -> Received {
    match delivery {
        Delivery::Item {
            from,
            seq,
            dropped_logs,
            ..
        } => Received {
            from: from.get(),
            seq: seq.get(),
            dropped_logs: *dropped_logs,
        },
        other => panic!("not an item: {other:?}"),
    }
}

/// Few, so that operations meet the same reader often.
const MAX_READERS: usize = 4;
