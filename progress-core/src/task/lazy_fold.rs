//! The fold of a task, for which a task with few events has no need.

use std::sync::Arc;

use crate::{
    event::{Data, Event, Origin, Started, TaskState},
    log::{Item as _, Log},
    snapshot::{Fold, Snapshot},
    time::Timestamp,
};

/// A task's [`Fold`]: made anew from the log whenever somebody asks while the log holds a few events,
/// all there ever were; kept, and told of each event, from then on.
///
/// Most tasks of a process are idle, and their folds would take more memory than their events.
#[derive(Debug)]
pub(crate) struct LazyFold {
    state: TaskState,
    origin: Arc<Origin>,
    kept: Option<Box<Fold>>,
}

/// What a fold is made from.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    log: &'a Log<Arc<Event>>,
    about: &'a Started,
    newest: Timestamp,
}

impl<'a> Sources<'a> {
    /// `newest`: when the newest event happened; while there is none, when the task was made.
    pub(super) fn new(log: &'a Log<Arc<Event>>, about: &'a Started, newest: Timestamp) -> Self {
        Self { log, about, newest }
    }
}

impl LazyFold {
    pub(super) fn new(origin: Arc<Origin>) -> Self {
        Self {
            state: TaskState::Queued,
            origin,
            kept: None,
        }
    }

    /// The run, for its events to share.
    pub(super) fn origin(&self) -> Arc<Origin> {
        Arc::clone(&self.origin)
    }

    /// Where the task stands: always at hand.
    pub(crate) fn state(&self) -> TaskState {
        self.state
    }

    /// The snapshot, whole.
    pub(super) fn to_snapshot(&self, sources: Sources<'_>) -> Snapshot {
        let snapshot = match &self.kept {
            Some(fold) => fold.to_snapshot(),
            None => fold(&self.origin, sources).to_snapshot(),
        };
        debug_assert_eq!(self.state, snapshot.state);
        snapshot
    }

    /// To be called before an event is appended: from when on the log may evict, or has more than a
    /// few, the fold is kept.
    #[inline]
    pub(super) fn before(&mut self, event: &Arc<Event>, sources: Sources<'_>) {
        if self.kept.is_some() {
            return;
        }
        let log = sources.log;
        let few = FEW.min(log.limits().window_len() as u64);
        if log.head().get() >= few || log.bytes() + event.size() > log.limits().byte_budget() {
            self.keep(sources);
        }
    }

    /// A fold of its own, made from the log.
    #[cfg(all(test, not(loom)))]
    pub(super) fn fold(&self, sources: Sources<'_>) -> Fold {
        fold(&self.origin, sources)
    }

    /// The fold itself, kept from now on.
    pub(super) fn full(&mut self, sources: Sources<'_>) -> &mut Fold {
        self.kept
            .get_or_insert_with(|| Box::new(fold(&self.origin, sources)))
    }

    /// To be called before the log is made to evict.
    pub(super) fn keep(&mut self, sources: Sources<'_>) {
        self.full(sources);
    }

    /// Takes account of an event that was appended.
    pub(super) fn apply(&mut self, event: &Arc<Event>) {
        match event.data() {
            Data::Queued(_) => self.state = TaskState::Queued,
            Data::Started(_) | Data::Resumed(_) | Data::Recovered(_) => {
                self.state = TaskState::Running;
            }
            Data::Paused(_) => self.state = TaskState::Paused,
            Data::Stalled(_) => self.state = TaskState::Stalled,
            Data::Complete(end) => self.state = end.status.into(),
            Data::StageChange(_)
            | Data::ProgressUpdate(_)
            | Data::Log(_)
            | Data::Error(_)
            | Data::CancelRequested(_)
            | Data::Custom(_) => {}
        }
        if let Some(fold) = &mut self.kept {
            fold.apply(event);
        }
    }
}

fn fold(origin: &Origin, sources: Sources<'_>) -> Fold {
    let mut fold = Fold::new(origin.task_id.clone(), origin.epoch, sources.newest);
    fold.describe(sources.about);
    sources.log.window().for_each(|event| fold.apply(event));
    fold
}

/// Folding so many takes a microsecond or two, and more would cost a list of many tasks too much.
const FEW: u64 = 16;
