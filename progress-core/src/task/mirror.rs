//! A task whose events are numbered elsewhere: by its owner on another node, or by the broker.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    event::{Data, Event, Retention, Started},
    id::TaskId,
    link::Outbox,
    log::{Class, Keys},
    position::{Epoch, Position, Seq},
    subscription::ResetReason,
    sync::atomic::AtomicU8,
    task::{
        Family,
        inner::Inner,
        shared::{FREE, TaskShared},
    },
    time::Timestamp,
    tracker::TrackerShared,
    transport::{Page, Record},
};

/// What a mirror knows besides its log.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    pub(super) keys: Keys,
    /// What arrived before something that is missing, by number.
    early: BTreeMap<u64, Arc<Event>>,
}

/// What became of an event that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// It stands in the log, if it had not before.
    Taken,
    /// Others before it are missing: they are to be read.
    Early,
    /// It is of a later run.
    OtherRun,
}

/// Another run that readers of this one are to go on with.
#[derive(Debug, Clone)]
pub(crate) struct Successor {
    pub(crate) task: Arc<TaskShared>,
    pub(crate) reason: ResetReason,
}

impl TaskShared {
    /// Takes an event as it arrives.
    pub(crate) fn receive(self: &Arc<Self>, event: &Arc<Event>) -> Received {
        match event.epoch().cmp(&self.epoch) {
            std::cmp::Ordering::Less => return Received::Taken,
            std::cmp::Ordering::Greater => return Received::OtherRun,
            std::cmp::Ordering::Equal => {}
        }
        let mut received = Received::Taken;
        let wall = self.clock.at(Instant::now());
        let _infallible = self.change(|inner, now| {
            if event.seq() > inner.log.next_seq() {
                received = Received::Early;
                if let Some(mirror) = inner.mirror() {
                    mirror.early.insert(event.seq().get(), Arc::clone(event));
                    if mirror.early.len() > MOST_EARLY {
                        // It will be read with all the others.
                        mirror.early.pop_last();
                    }
                }
                return Ok(());
            }
            inner.take_over(event, now, wall);
            inner.take_early(now, wall);
            Ok(())
        });
        received
    }

    /// Takes over what the broker holds of this run after a position: what is missing then up to
    /// the page's head is lost, or was superseded on the way. A page that begins past what is held
    /// here is refused: what lies between would be taken for lost.
    pub(crate) fn merge(self: &Arc<Self>, page: &Page, after: Option<Position>) -> bool {
        let after = after
            .filter(|after| after.epoch() == page.epoch)
            .map_or(Seq::ZERO, Position::seq);
        let wall = self.clock.at(Instant::now());
        let (mut merged, mut gap) = (true, false);
        let _infallible = self.change(|inner, now| {
            if after > inner.log.head() {
                merged = false;
                return Ok(());
            }
            let before = inner.log.head();
            if before == Seq::ZERO {
                for event in &page.ended_run {
                    // The run that this one ends: not in its log, but what the snapshot tells.
                    inner.fold.apply(event);
                }
                inner
                    .full_fold()
                    .stand_at(Position::new(self.epoch, Seq::ZERO));
            }
            inner.log.lose(page.floor);
            for record in &page.records {
                let Record::Task(event) = record else {
                    continue;
                };
                inner.take_early_to(event.seq().get() - 1, now, wall);
                inner.take_over(event, now, wall);
            }
            inner.take_early_to(page.head.get(), now, wall);
            gap = before > Seq::ZERO && inner.log.floor() > before;
            // What came past the page's head waits on for what comes between.
            inner.take_early(now, wall);
            Ok(())
        });
        if gap && let Some(tracker) = self.tracker.upgrade() {
            tracker.found_gap();
        }
        merged
    }

    /// Sends the readers of this run on to another.
    pub(crate) fn succeed(self: &Arc<Self>, task: Arc<Self>, reason: ResetReason) {
        let wakers = {
            let mut inner = self.inner.lock();
            inner.rare().successor = Some(Box::new(Successor { task, reason }));
            inner.sleepers.take()
        };
        drop(wakers.wake());
    }

    /// Makes a task whose events are numbered elsewhere.
    pub(crate) fn new_mirror(
        id: TaskId,
        epoch: Epoch,
        number: u64,
        tracker: &Arc<TrackerShared>,
    ) -> Self {
        let mut task = Self::new(
            id,
            epoch,
            number,
            tracker,
            None,
            Family::default(),
            Started::default(),
        );
        task.mirror = true;
        task.hold = AtomicU8::new(FREE);
        let inner = task.inner.get_mut();
        inner.rare().mirror = Some(Box::default());
        // Its log does not hold all that there ever was.
        inner.full_fold();
        task
    }

    /// Takes note that another run is the one that counts: what is reported here goes nowhere.
    pub(crate) fn supersede(&self) {
        let wakers = {
            let mut inner = self.inner.lock();
            inner.superseded = true;
            inner.sleepers.take()
        };
        if let Some(outbox) = &self.outbox {
            outbox.supersede(self.epoch);
        }
        self.stop.raise();
        // Readers have the run that counts looked for.
        drop(wakers.wake());
    }

    pub(crate) fn is_superseded(&self) -> bool {
        self.inner.lock().superseded
    }

    /// Tells whether it has something to tell that the broker has not had.
    pub(crate) fn is_unsent(&self) -> bool {
        let unsent = self
            .outbox
            .as_ref()
            .is_some_and(|outbox| !outbox.end_is_told() && !outbox.is_closed());
        unsent && !self.is_superseded()
    }

    /// Tells whether the broker has had its end.
    pub(crate) fn end_is_told(&self) -> bool {
        self.outbox.as_deref().is_some_and(Outbox::end_is_told)
    }

    /// Where to read on from.
    pub(crate) fn received(&self) -> Option<Position> {
        let head = self.head();
        (head.seq() > Seq::ZERO).then_some(head)
    }

    /// Tells whether a reader's position is past what is held here.
    pub(crate) fn is_behind(&self, after: Option<Position>) -> bool {
        !self.mirror
            || after.is_some_and(|after| {
                let head = self.head();
                after.epoch() > head.epoch()
                    || (after.epoch() == head.epoch() && after.seq() > head.seq())
            })
    }

    /// Tells whether it is known here only through the broker.
    pub(crate) fn is_mirror(&self) -> bool {
        self.mirror
    }

    /// Its later run's generation is above this.
    pub(crate) fn is_before(&self, epoch: Epoch) -> bool {
        self.epoch < epoch
    }
}

impl Inner {
    /// The run that readers are to go on with. One that has come to its end is read to it, unless
    /// that end does not count.
    pub(crate) fn next_run(&self) -> Option<Successor> {
        let successor = self.rare.as_ref()?.successor.as_deref()?;
        let superseded = successor.reason == ResetReason::Superseded;
        (superseded || !self.log.is_ended()).then(|| successor.clone())
    }

    /// Appends an event under its number, unless it is there.
    fn take_over(&mut self, event: &Arc<Event>, now: Instant, wall: Timestamp) {
        let seq = event.seq();
        if seq <= self.log.head() {
            return;
        }
        if event.prev() > self.log.head() {
            self.log.lose(event.prev());
        }
        if let Data::Started(about) = event.data() {
            self.about.clone_from(about);
            // So that the time it has run goes on between its events.
            let ran = u64::try_from(wall.as_millis() - about.started_at.as_millis()).unwrap_or(0);
            self.started = now.checked_sub(Duration::from_millis(ran));
        }
        let retention = event.data().retention();
        let class = match &retention {
            Retention::State(name) => match self.mirror() {
                Some(mirror) => Class::State(mirror.keys.number(name)),
                None => return,
            },
            Retention::Milestone => Class::Milestone,
            Retention::Log => Class::Log,
            Retention::Terminal => Class::Terminal,
        };
        if let Data::Log(line) = event.data() {
            self.log.count_lines(line.n.saturating_sub(1));
        }
        match self.log.push_at(seq, class, Arc::clone(event)) {
            Ok(_) => {
                if let (Class::State(key), Retention::State(name), Some(mirror)) =
                    (class, retention, self.mirror())
                {
                    mirror.keys.keep(name, key);
                }
                self.newest = self.newest.max(event.timestamp());
                self.fold.apply(event);
            }
            Err(refused) => {
                // A bound of this node that the owner's does not have: its readers are told.
                self.log.lose(seq);
                tracing::warn!(task = %event.task_id(), error = %refused.kind, "event not mirrored");
            }
        }
    }

    /// Takes those early arrivals whose turn it is.
    fn take_early(&mut self, now: Instant, wall: Timestamp) {
        loop {
            let next = self.log.next_seq().get();
            let Some(mirror) = self.mirror() else { return };
            let Some(first) = mirror.early.first_entry() else {
                return;
            };
            if *first.key() > next {
                return;
            }
            let event = first.remove();
            self.take_over(&event, now, wall);
        }
    }

    /// Takes early arrivals up to a number, before which nothing more is to come.
    fn take_early_to(&mut self, seq: u64, now: Instant, wall: Timestamp) {
        while let Some(mirror) = self.mirror()
            && let Some(first) = mirror.early.first_entry()
            && *first.key() <= seq
        {
            let event = first.remove();
            self.take_over(&event, now, wall);
        }
    }
}

/// Early arrivals that are kept until what is missing has been read.
const MOST_EARLY: usize = 1_024;
