//! A log, its model and its readers, moved together.

use progress_core::{
    Seq,
    log::{Class, Delivery, Log, OnLag, Start},
};

use super::{
    model::{Bounds, Model, Token},
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
}

impl World {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            log: Log::new(bounds.limits()),
            model: Model::new(bounds),
            readers: Vec::new(),
        }
    }

    pub(crate) fn apply(&mut self, op: Op) {
        let floor = self.log.floor();
        match op {
            Op::State { key, size } => {
                // One key more than there can be.
                let keys = self.model.bounds.keys + 1;
                self.push(Class::State(u32::from(key) % keys), size);
            }
            Op::Milestone { size } => self.push(Class::Milestone, size),
            Op::Line { size } => self.push(Class::Log, size),
            Op::End => self.push(Class::Terminal, 1),
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
            self.apply(Op::End);
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

    fn push(&mut self, class: Class, size: u8) {
        let item = Token {
            seq: self.log.next_seq().get(),
            size: usize::from(size % 16),
            released: 0,
        };
        let expected = self.model.push(class, item.size);
        match self.log.push(class, item.clone()) {
            Ok(seq) => assert_eq!(Ok(seq.get()), expected),
            Err(refused) => {
                assert_eq!(Err(refused.kind), expected);
                assert_eq!(refused.item, item);
            }
        }
        self.check_budget(self.model.bounds.bytes);
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
        assert_eq!(log.floor().get(), model.floor);
        assert_eq!(log.newest_milestone().get(), model.newest_milestone());
        assert_eq!(log.is_ended(), model.is_ended());
        assert_eq!(log.bytes(), model.bytes());
        assert_eq!(u64::from(log.lines()), model.lines(1..model.head() + 1));
        assert_eq!(log.dropped_lines(), model.dropped_lines());
        let (held, _) = log.page(Seq::ZERO, usize::MAX);
        let held: Vec<_> = held.iter().map(|item| received(item).seq).collect();
        assert_eq!(held, model.retained().collect::<Vec<_>>());
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
