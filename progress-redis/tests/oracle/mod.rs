//! A watcher that checks all that it sees: positions grow, what is missing is declared, and it ends.
#![allow(dead_code, reason = "not every test file needs all of it")]

use std::{sync::Arc, time::Duration};

use progress_core::{
    Data, Epoch, Event, Frame, Position, ProgressTracker, ResetReason, Resume, Retention, Snapshot,
    SubscribeOptions, Subscription,
};

use crate::load::Measured;

/// Watches one task on one node.
pub(crate) struct Watcher {
    /// For the one who reads why a test failed.
    who: String,
    /// What is watched ends with the node.
    _node: ProgressTracker,
    frames: Subscription,
    /// The run that is being read; none before it is known.
    run: Option<Epoch>,
    last: u64,
    newest_milestone: u64,
    /// Up to where a gap has said that something is missing.
    declared: u64,
    /// The number of the newest log line, and how many have been declared missing since.
    line: u64,
    dropped: u64,
    /// The number of the next measurement, once one was seen.
    next_measured: Option<u64>,
    seen: Seen,
}

/// What a watcher has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) events: u64,
    pub(crate) gaps: u64,
    pub(crate) resets: u64,
    pub(crate) measured: u64,
    pub(crate) end: Option<Arc<Event>>,
    /// The task at the end, without what depends on when it is looked at.
    pub(crate) snapshot: Option<Snapshot>,
}

impl Watcher {
    /// Begins to watch; the task is known when it returns.
    pub(crate) async fn begin(node: &ProgressTracker, task: &str) -> Self {
        Self::after(node, task, None).await
    }

    /// Goes on after a position.
    pub(crate) async fn after(node: &ProgressTracker, task: &str, after: Option<Position>) -> Self {
        let patience = tokio::time::Instant::now() + Duration::from_secs(180);
        loop {
            let options = SubscribeOptions::new().after(after);
            let mut watcher = Self {
                who: format!("{task} on {}", node.node()),
                _node: node.clone(),
                frames: node.subscribe_with(task, options),
                run: None,
                last: 0,
                newest_milestone: 0,
                declared: 0,
                line: 0,
                dropped: 0,
                next_measured: None,
                seen: Seen::default(),
            };
            match watcher.frames.next().await {
                Some(Frame::Verdict(verdict)) => {
                    watcher.run = verdict.snapshot.as_ref().map(|snapshot| snapshot.epoch);
                    if let (Resume::Resumed | Resume::Gap | Resume::Ended, Some(after)) =
                        (verdict.resume, after)
                    {
                        watcher.last = after.seq().get();
                        watcher.newest_milestone = watcher.last;
                    }
                    return watcher;
                }
                // While Redis is away nobody knows whether there is such a task.
                Some(Frame::Rejected(_)) if tokio::time::Instant::now() < patience => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                other => panic!("{}: {other:?}", watcher.who),
            }
        }
    }

    /// Checks what comes next; none after the end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let frame = self.frames.next().await?;
        match &frame {
            Frame::Event(delivered) => {
                self.dropped += u64::from(delivered.dropped_logs);
                self.check(&delivered.event, delivered.from.get());
            }
            Frame::Gap(gap) => {
                self.seen.gaps += 1;
                self.declared = self.declared.max(gap.to.get());
                assert_eq!(Some(gap.snapshot.epoch), self.run, "{}: {gap:?}", self.who);
            }
            Frame::Reset(reset) => {
                assert!(Some(reset.epoch) > self.run, "{}: {reset:?}", self.who);
                // Of all ends only that of an owner that was superseded does not count.
                let superseded = reset.reason == ResetReason::Superseded;
                assert!(
                    self.seen.end.take().is_none() || superseded,
                    "{}: {reset:?}",
                    self.who
                );
                self.seen.resets += u64::from(self.run.is_some());
                self.run = Some(reset.epoch);
                (self.last, self.newest_milestone, self.declared) = (0, 0, 0);
                (self.line, self.dropped, self.next_measured) = (0, 0, None);
            }
            other => panic!("{}: {other:?}", self.who),
        }
        Some(frame)
    }

    fn check(&mut self, event: &Arc<Event>, from: u64) {
        let who = &self.who;
        let seq = event.seq().get();
        assert!(self.seen.end.is_none(), "{who}: {event:?} behind the end");
        assert_eq!(Some(event.epoch()), self.run, "{who}: {event:?}");
        assert_eq!(from, self.last + 1, "{who}: {event:?}");
        assert!(seq >= from, "{who}: {event:?} comes again");
        assert!(
            event.prev().get() <= self.newest_milestone.max(self.declared),
            "{who}: a milestone before {event:?} is missing behind {}",
            self.newest_milestone,
        );
        self.last = seq;
        self.seen.events += 1;
        match event.data().retention() {
            Retention::Milestone => self.newest_milestone = seq,
            Retention::Terminal => self.seen.end = Some(Arc::clone(event)),
            _ => {}
        }
        match event.data() {
            Data::Log(line) => {
                assert!(line.n > self.line, "{who}: {event:?}");
                let missing = line.n - self.line - 1;
                let declared = self.dropped;
                assert!(
                    missing <= declared,
                    "{who}: {declared} of {missing} lines before {event:?} were declared"
                );
                (self.line, self.dropped) = (line.n, 0);
            }
            Data::Custom(custom) if &*custom.event_type == Measured::TYPE => {
                let n = Measured::read(custom.data.json());
                let next = self.next_measured.replace(n + 1);
                let is_next = next.is_none_or(|next| n == next || (n > next && self.declared > 0));
                assert!(is_next, "{who}: {n} is not {next:?}");
                self.seen.measured += 1;
            }
            _ => {}
        }
    }

    /// Where it is.
    pub(crate) fn position(&self) -> Option<Position> {
        self.frames.position()
    }

    /// Watches until it has seen a run up to a position.
    pub(crate) async fn up_to(&mut self, head: Position) {
        while self.run != Some(head.epoch()) || self.last < head.seq().get() {
            let next = self.next().await;
            next.unwrap_or_else(|| panic!("{}: it ends before {head}", self.who));
        }
    }

    /// Watches until it has seen so many measurements.
    pub(crate) async fn until_measured(&mut self, count: u64) {
        while self.seen.measured < count {
            let next = self.next().await;
            next.unwrap_or_else(|| panic!("{}: it ends", self.who));
        }
    }

    /// Goes on watching on another node, from where it is.
    pub(crate) async fn go_to(self, node: &ProgressTracker) -> Self {
        let task = self.who.split(' ').next().unwrap_or_default();
        let there = Self::after(node, task, self.position()).await;
        assert_eq!(
            there.frames.resume(),
            Some(Resume::Resumed),
            "{}",
            there.who
        );
        assert_eq!(
            (there.run, there.last),
            (self.run, self.last),
            "{}",
            there.who
        );
        Self {
            who: there.who,
            _node: there._node,
            frames: there.frames,
            // More lines may have been dropped than a cursor that resumes can know of.
            dropped: u64::MAX / 2,
            ..self
        }
    }

    /// Watches on to the end, which has to come.
    pub(crate) async fn until_the_end(mut self) -> Seen {
        while self.next().await.is_some() {}
        assert!(self.seen.end.is_some(), "{}: no end", self.who);
        self.seen.snapshot = self.frames.snapshot().map(timeless);
        self.seen
    }
}

/// A snapshot without what depends on when and how closely it was watched.
pub(crate) fn timeless(mut snapshot: Snapshot) -> Snapshot {
    (snapshot.elapsed_ms, snapshot.eta_ms, snapshot.dropped_logs) = (0, None, 0);
    for stage in &mut snapshot.stages {
        stage.elapsed_ms = 0;
    }
    snapshot
}
