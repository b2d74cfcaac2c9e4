//! A reader that holds every frame against the truth.

use std::{
    collections::BTreeMap,
    task::{Context, Poll, Waker},
};

use progress_core::{
    Data, Delivered, Epoch, Frame, GapFrame, GapReason, OnLag, Position, Replay, ResetFrame,
    ResetReason, Resume, Retention, Snapshot, Status, SubscribeError, Subscription, TaskId,
    Verdict,
};

use super::{
    node::MILESTONES,
    truth::{Run, Truth, assert_same},
};

/// - G1: an event is the one that was given its number.
/// - G2: each range begins where the last ended, or where the verdict said; what it swallowed is
///   superseded, or counted, or was declared.
/// - G3: of milestones only those past the cap are missing, and a gap has said so.
/// - G4: one end, the last; the percent is under 100 before, and falls only if it was taken back.
/// - G8: every snapshot is the fold of all events up to its number.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) node: usize,
    pub(crate) task: TaskId,
    events: Subscription,
    after: Option<Position>,
    replay: Replay,
    on_lag: OnLag,
    /// Whether the node can be refused for want of the broker.
    pub(crate) rough: bool,
    seen: Seen,
    began: bool,
    over: bool,
}

/// What was seen of the present run.
#[derive(Debug, Default)]
struct Seen {
    epoch: Option<Epoch>,
    /// Where it began.
    start: u64,
    last: u64,
    /// Milestones up to here are declared lost.
    floor: u64,
    /// State and log lines up to here are declared skipped.
    lag: u64,
    /// The newest percent, and the number that had it.
    percent: Option<(u64, f64)>,
    /// Log lines swallowed, and those declared, since the last line that came.
    lines: (u64, u64),
    /// Whether it has read from the run's beginning, so that lines are counted exactly.
    whole: bool,
    newest: BTreeMap<String, u64>,
    ended: bool,
}

impl Reader {
    pub(crate) fn new(
        node: usize,
        task: TaskId,
        events: Subscription,
        after: Option<Position>,
        replay: Replay,
        on_lag: OnLag,
    ) -> Self {
        Self {
            node,
            task,
            events,
            after,
            replay,
            on_lag,
            rough: false,
            seen: Seen::default(),
            began: false,
            over: false,
        }
    }

    pub(crate) fn position(&self) -> Option<Position> {
        let epoch = self.seen.epoch?;
        Some(Position::new(
            epoch,
            progress_core::Seq::new(self.seen.last),
        ))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether it has come to an end of the task.
    pub(crate) fn has_seen_end(&self) -> bool {
        self.seen.ended
    }

    pub(crate) fn conflate(&mut self) {
        self.events.conflate();
    }

    /// Reads so many batches, as far as there is something.
    pub(crate) fn read(&mut self, truth: &Truth, batches: usize) {
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..batches {
            let mut frames = Vec::new();
            match self.events.poll_batch(&mut cx, &mut frames) {
                Poll::Pending => return,
                Poll::Ready(0) => {
                    self.over = true;
                    return;
                }
                Poll::Ready(_) => {}
            }
            for frame in &frames {
                self.take(frame, truth);
            }
        }
    }

    fn take(&mut self, frame: &Frame, truth: &Truth) {
        assert!(
            !self.seen.ended || matches!(frame, Frame::Reset(_)),
            "after the end: {frame:?}"
        );
        match frame {
            Frame::Verdict(verdict) => self.verdict(verdict, truth),
            Frame::Event(delivered) => self.event(delivered, truth),
            Frame::Gap(gap) => self.gap(gap, truth),
            Frame::Reset(reset) => self.reset(reset, truth),
            Frame::Lagged(_) => assert_eq!(self.on_lag, OnLag::Close),
            Frame::Rejected(error) => {
                assert_eq!(*error, SubscribeError::Unavailable);
                assert!(self.rough, "refused, though nothing is wrong");
            }
            other => panic!("{other:?}"),
        }
    }

    fn verdict(&mut self, verdict: &Verdict, truth: &Truth) {
        assert!(!self.began, "a second verdict");
        self.began = true;
        if verdict.resume == Resume::Unknown {
            return;
        }
        let snapshot = verdict.snapshot.as_deref().expect("G8: no snapshot");
        self.check_snapshot(snapshot, truth);
        let head = snapshot.seq.get();
        let fresh = match self.replay {
            Replay::All => 0,
            Replay::Latest => head.saturating_sub(1),
            Replay::None if snapshot.state.is_ended() => head - 1,
            Replay::None => head,
        };
        let same = self.after.filter(|after| after.epoch() == snapshot.epoch);
        let start = match (verdict.resume, self.after, same) {
            (Resume::Fresh, None, _) | (Resume::Reset, Some(_), None) => fresh,
            (Resume::Gap, None, _) => 0,
            (Resume::Resumed | Resume::Gap, _, Some(after)) => after.seq().get().min(head),
            (Resume::Ended, _, Some(after)) => {
                assert!(snapshot.state.is_ended() && after.seq().get() >= head);
                self.seen.ended = true;
                head
            }
            _ => panic!("{verdict:?} to one that came after {:?}", self.after),
        };
        if let (Resume::Reset, Some(after)) = (verdict.resume, self.after) {
            // Back in time only if that run never counted, or was forgotten.
            let known = truth.run(&self.task, after.epoch());
            assert!(
                snapshot.epoch > after.epoch()
                    || known.is_none_or(|run| run.owned)
                    || truth.forgets > 0,
                "G8: an old run's verdict {verdict:?} to one that came after {after}"
            );
        }
        self.begin(snapshot.epoch, start);
    }

    fn begin(&mut self, epoch: Epoch, start: u64) {
        self.seen = Seen {
            epoch: Some(epoch),
            start,
            last: start,
            whole: start == 0,
            ended: self.seen.ended && start > 0,
            ..Seen::default()
        };
    }

    fn reset(&mut self, reset: &ResetFrame, truth: &Truth) {
        assert_ne!(self.seen.epoch, Some(reset.epoch), "{reset:?}");
        assert!(self.began && !self.seen.ended || reset.reason == ResetReason::Superseded);
        // A broker that forgot may take an older one in the place of one that has ended.
        if reset.reason != ResetReason::Superseded && truth.forgets == 0 {
            assert!(
                self.seen.epoch < Some(reset.epoch),
                "back to an old run: {reset:?}"
            );
        }
        self.seen.ended = false;
        self.check_snapshot(&reset.snapshot, truth);
        self.begin(reset.epoch, 0);
    }

    fn gap(&mut self, gap: &GapFrame, truth: &Truth) {
        self.check_snapshot(&gap.snapshot, truth);
        let run = self.run(truth);
        match gap.reason {
            GapReason::Floor => {
                assert_eq!(gap.from.get(), self.seen.last + 1);
                assert!(gap.to.get() > self.seen.last.max(self.seen.floor));
                let kept = run.milestones(gap.to.get() + 1..=u64::MAX);
                assert!(
                    kept >= MILESTONES,
                    "G3: a gap with {kept} milestones kept: {gap:?}"
                );
                self.seen.floor = gap.to.get();
            }
            GapReason::Lag => {
                assert_eq!(self.on_lag, OnLag::Gap);
                assert!(gap.from.get() > self.seen.last && gap.to >= gap.from);
                self.seen.lag = gap.to.get();
            }
            GapReason::Ahead => {
                let after = self.after.expect("only who has a position can be ahead");
                assert_eq!((gap.from.get(), gap.to), (self.seen.start + 1, after.seq()));
            }
            other => panic!("{other:?}"),
        }
    }

    fn event(&mut self, delivered: &Delivered, truth: &Truth) {
        let event = &delivered.event;
        let (from, seq) = (delivered.from.get(), event.seq().get());
        assert_eq!(Some(event.epoch()), self.seen.epoch, "{event:?}");
        let run = self.run(truth);
        match run.at(seq) {
            Some(known) => assert_same(known, event),
            None => panic!("G1: nobody numbered {event:?}"),
        }
        assert_eq!(from, self.seen.last + 1, "G2: {delivered:?} {self:?}");
        assert!(seq >= from);
        let newest = run.newest_of_keys();
        for swallowed in from..seq {
            let missing = run
                .at(swallowed)
                .expect("the range ends with one that was numbered");
            match missing.data().retention() {
                Retention::State(key) => assert!(
                    newest[&key] > swallowed || swallowed <= self.seen.lag,
                    "G2: {missing:?} is gone with {delivered:?}"
                ),
                Retention::Milestone => assert!(
                    swallowed <= self.seen.floor,
                    "G3: {missing:?} is gone with {delivered:?}"
                ),
                Retention::Log => self.seen.lines.0 += 1,
                Retention::Terminal => panic!("G4: {missing:?} is gone"),
            }
        }
        self.seen.lines.1 += u64::from(delivered.dropped_logs);
        self.seen.last = seq;
        match event.data() {
            Data::ProgressUpdate(update) => self.percent(run, seq, update.progress),
            Data::StageChange(change) => self.percent(run, seq, change.progress),
            Data::Complete(end) => {
                match end.status {
                    Status::Completed => assert_eq!(end.progress, 100.0, "G4"),
                    _ => self.percent(run, seq, end.progress),
                }
                self.seen.ended = true;
            }
            Data::Log(_) => {
                // Lines that a mirror never had are known by the number of the next.
                let (missing, declared) = std::mem::take(&mut self.seen.lines);
                assert!(
                    declared >= missing,
                    "G2: {missing} lines are gone, {declared} told"
                );
                assert!(
                    !self.seen.whole || declared == missing,
                    "{declared} told of {missing}"
                );
            }
            _ => {}
        }
        if let Retention::State(key) = event.data().retention() {
            self.seen.newest.insert(key, seq);
        }
    }

    fn percent(&mut self, run: &Run, seq: u64, percent: f64) {
        assert!((0.0..100.0).contains(&percent), "G4: {percent} at {seq}");
        if let Some((before, higher)) = self.seen.percent
            && percent < higher
        {
            let taken_back = run.resets.iter().any(|at| (before..seq).contains(at));
            assert!(
                taken_back,
                "G4: from {higher} at {before} to {percent} at {seq}"
            );
        }
        self.seen.percent = Some((seq, percent));
    }

    /// At rest: it stands at the head of its run, with the newest State of every key.
    pub(crate) fn check_converged(&self, truth: &Truth) {
        let Some(epoch) = self.seen.epoch else { return };
        // Without a first event it was claimed and no more.
        let Some(run) = truth.run(&self.task, epoch) else {
            return assert_eq!(self.seen.last, 0);
        };
        assert_eq!(self.seen.last, run.head(), "behind its head: {self:?}");
        for (key, newest) in run.newest_of_keys() {
            let known = newest <= self.seen.start.max(self.seen.lag);
            assert!(
                known || self.seen.newest.get(&key) == Some(&newest),
                "G2: the newest {key} is {newest}, but {self:?}"
            );
        }
    }

    pub(crate) fn epoch(&self) -> Option<Epoch> {
        self.seen.epoch
    }

    fn run<'a>(&self, truth: &'a Truth) -> &'a Run {
        let epoch = self.seen.epoch.expect("after a verdict");
        truth.run(&self.task, epoch).expect("somebody began it")
    }

    fn check_snapshot(&self, seen: &Snapshot, truth: &Truth) {
        let Some(run) = truth.run(&self.task, seen.epoch) else {
            assert_eq!(seen.seq.get(), 0, "G1: nobody began {seen:?}");
            return;
        };
        let seq = seen.seq.get();
        assert!(seq <= run.head(), "G1: nobody numbered {seq} of {seen:?}");
        let Some(expected) = run.snapshot(seq) else {
            return;
        };
        assert_eq!(seen.progress, expected.progress, "G8");
        // Milestones that are lost took their part of the story with them; and the end of a dead
        // node's run tells that run.
        if run.milestones(0..=seq) <= MILESTONES
            && (run.owned || run.events[0].event_type() != "complete")
        {
            assert_eq!(timeless(seen), timeless(&expected), "G8 at {seq}");
        }
    }
}

/// A snapshot without what moves between events.
fn timeless(snapshot: &Snapshot) -> Snapshot {
    let mut snapshot = snapshot.clone();
    snapshot.elapsed_ms = 0;
    snapshot.dropped_logs = 0;
    for stage in &mut snapshot.stages {
        stage.elapsed_ms = 0;
    }
    snapshot
}
