//! A reader that checks every step against the model.

use std::collections::BTreeMap;

use progress_core::{
    Seq,
    log::{Class, Cursor, Delivery, Gap, GapReason, Log, OnLag, Start},
};

use super::model::{Missing, Model, Token, What};

#[derive(Debug)]
pub(crate) struct Reader {
    cursor: Cursor,
    buffer: u64,
    on_lag: OnLag,
    /// Where it began.
    start: u64,
    /// What the log held when it began is replay.
    replay_to: u64,
    last: u64,
    /// All but milestones may be skipped up to here, as a gap has told.
    skip_to: u64,
    asked_to_conflate: bool,
    closed: bool,
    /// Whether `dropped_logs` must be exact: not before the first item after a resume.
    exact: bool,
    /// The floor that a gap has told of.
    declared: u64,
    /// Ranges that gaps of reason `lag` have told of.
    lagged: Vec<(u64, u64)>,
    /// The newest State seen of each key.
    folded: BTreeMap<u32, u64>,
}

/// An item, as one reader gets it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) from: u64,
    pub(crate) seq: u64,
    pub(crate) dropped_logs: u32,
}

/// What one read may do.
struct Terms {
    /// State that has been superseded may be skipped.
    conflating: bool,
    /// All up to here must come at one instant, however little was asked for.
    at_once_to: u64,
}

impl Reader {
    /// A reader that only skips what left the window, unless it is given a buffer.
    pub(crate) fn new(log: &Log<Token>, start: Start, lag: Option<(u64, OnLag)>) -> Self {
        let mut cursor = Cursor::new(log, start);
        if let Some((buffer, on_lag)) = lag {
            cursor = cursor.buffer(buffer, on_lag);
        }
        let (buffer, on_lag) = lag.unwrap_or((u64::MAX, OnLag::Conflate));
        let head = log.head().get();
        let begin = match start {
            Start::Beginning => 0,
            Start::After(seq) => seq.get().min(head),
            Start::Latest => head.saturating_sub(1),
            Start::Head => head - u64::from(log.is_ended()),
        };
        assert_eq!(cursor.last(), Seq::new(begin));
        Self {
            cursor,
            buffer: buffer.max(1),
            on_lag,
            start: begin,
            replay_to: head,
            last: begin,
            skip_to: 0,
            asked_to_conflate: false,
            closed: false,
            exact: !matches!(start, Start::After(_)),
            declared: 0,
            lagged: Vec::new(),
            folded: BTreeMap::new(),
        }
    }

    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn conflate(&mut self) {
        self.asked_to_conflate = true;
        self.cursor.conflate();
    }

    /// Reads once and checks what comes.
    pub(crate) fn read(&mut self, log: &Log<Token>, model: &Model, max: usize) -> Vec<Received> {
        let settled = self.last.max(self.replay_to).max(self.skip_to);
        let behind = model.head() - settled;
        let lagging = behind > self.buffer;
        let mut out = Vec::new();
        let result = log.read(&mut self.cursor, max, &mut out);

        let asked_to_conflate = std::mem::take(&mut self.asked_to_conflate);
        if self.on_lag == OnLag::Close && lagging {
            assert_eq!(result.unwrap_err().behind, behind);
            assert!(out.is_empty() && self.cursor.last() == Seq::new(self.last));
            self.closed = true;
            return Vec::new();
        }
        assert!(result.is_ok() && !self.closed);

        let conflating = asked_to_conflate || (lagging && self.on_lag == OnLag::Conflate);
        let mut out = out.into_iter();
        let mut gap = |reason, from, to| match out.next() {
            Some(Delivery::Gap(gap)) => assert_eq!(parts(gap), (reason, from, to)),
            other => panic!("no gap {reason:?} {from}..={to}, but {other:?}"),
        };
        if model.floor() > self.last.max(self.declared) {
            gap(GapReason::Floor, self.last + 1, model.floor());
            self.declared = model.floor();
        }
        if lagging && self.on_lag == OnLag::Gap {
            self.skip_to = model.head() - self.buffer;
            gap(GapReason::Lag, settled + 1, self.skip_to);
            self.lagged.push((settled + 1, self.skip_to));
        }
        let fell_out_of_window = settled.max(self.skip_to) < model.below;
        let terms = Terms {
            conflating,
            at_once_to: if conflating || fell_out_of_window {
                model.head()
            } else {
                model.below
            },
        };
        let received: Vec<_> = out
            .enumerate()
            .map(|(index, delivery)| {
                let received = self.receive(model, &terms, delivery);
                let at_once = received.seq <= terms.at_once_to;
                assert!(index < max || at_once, "more than {max} items");
                received
            })
            .collect();
        assert_eq!(self.cursor.last(), Seq::new(self.last));
        self.check_progress(model, &terms, received.len() >= max);
        received
    }

    fn receive(&mut self, model: &Model, terms: &Terms, delivery: Delivery<Token>) -> Received {
        let Delivery::Item {
            item,
            from,
            seq,
            dropped_logs,
            ..
        } = delivery
        else {
            panic!("a gap behind an item: {delivery:?}");
        };
        let (from, seq) = (from.get(), seq.get());
        assert_eq!(from, self.last + 1, "ranges join");
        assert!(from <= seq && seq <= model.head(), "{from}..={seq}");
        let expected = Token {
            seq,
            size: model.at(seq).size,
            released: u32::from(seq <= model.below),
        };
        assert_eq!(item, expected);
        for swallowed in from..seq {
            self.check_swallowed(model, terms, swallowed, seq);
        }

        let dropped = model.lines(from..seq);
        if self.exact {
            assert_eq!(u64::from(dropped_logs), dropped, "lines in {from}..={seq}");
        } else {
            let most = model.lines(1..seq).min(seq - from);
            let bounds = dropped..=most;
            assert!(bounds.contains(&u64::from(dropped_logs)), "{dropped_logs}");
        }
        self.exact = true;
        self.last = seq;
        if let What::Here(Class::State(key)) = model.at(seq).what {
            self.folded.insert(key, seq);
        }
        Received {
            from,
            seq,
            dropped_logs,
        }
    }

    /// Whatever a range swallowed is superseded, a counted line, or inside a declared gap.
    fn check_swallowed(&self, model: &Model, terms: &Terms, swallowed: u64, by: u64) {
        match model.at(swallowed).what {
            What::Here(Class::State(key)) => {
                // A gap may have told of the newest instead; its snapshot holds that.
                let newest = model.newest(key).unwrap_or(0);
                let is_known =
                    newest >= by || self.is_in_lag_gap(newest) || model.is_retired(swallowed, key);
                assert!(is_known, "{swallowed}, of key {key}, is lost");
            }
            What::Here(Class::Milestone) | What::Missing(Missing::Milestone) => {
                assert!(swallowed <= self.declared, "{swallowed} is lost in silence");
            }
            What::Here(Class::Log) | What::Missing(Missing::Line | Missing::Conflated) => {}
            What::Here(Class::Terminal) => panic!("{by} follows the end"),
        }
        let may_skip = !model.is_retained(swallowed) || self.may_skip(model, terms, swallowed);
        assert!(may_skip, "{swallowed} is held, but not read");
    }

    /// Nothing that had to come has been left out at the end of a read.
    fn check_progress(&self, model: &Model, terms: &Terms, full: bool) {
        assert!(full || self.last == model.head(), "there was more to read");
        for seq in (self.last + 1..=terms.at_once_to).filter(|seq| model.is_retained(*seq)) {
            assert!(self.may_skip(model, terms, seq), "{seq} had to come");
        }
        if self.last < model.head() {
            return;
        }
        for key in 0..model.bounds.keys {
            let newest = model.newest(key).filter(|seq| *seq > self.start);
            if newest.is_some_and(|newest| !self.is_in_lag_gap(newest)) {
                assert_eq!(self.folded.get(&key).copied(), newest, "{key} is stale");
            }
        }
    }

    /// Whether a read may pass over what the log holds.
    fn may_skip(&self, model: &Model, terms: &Terms, seq: u64) -> bool {
        let entry = model.at(seq);
        let conflated = terms.conflating && entry.superseded;
        let given_up = seq <= self.skip_to && !entry.is(Class::Milestone);
        seq > self.replay_to && (conflated || given_up)
    }

    fn is_in_lag_gap(&self, seq: u64) -> bool {
        let mut gaps = self.lagged.iter();
        gaps.any(|(from, to)| (*from..=*to).contains(&seq))
    }
}

fn parts(gap: Gap) -> (GapReason, u64, u64) {
    (gap.reason, gap.from.get(), gap.to.get())
}
