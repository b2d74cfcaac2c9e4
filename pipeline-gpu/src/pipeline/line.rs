//! The bounded queues in front of stages.

use std::{any::Any, collections::VecDeque, sync::Arc};

use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::{
    item::{Item, Job},
    turnstile::{Turn, Turnstile},
};
use crate::sync::Mutex;

/// Items that wait for a stage, in their order. Those that are paused let others pass; those that
/// are to stop are [taken out](Holds::withdraw) at once.
///
/// Locks: `telling` before `waiting`, and no other of this crate with either but an item's own.
pub(super) struct Line<T> {
    waiting: Mutex<Waiting<T>>,
    /// Held while places are told, so that an older one is not told after a newer.
    telling: Mutex<()>,
    arrived: Notify,
    room: Semaphore,
    turnstile: Option<Arc<Turnstile>>,
    kind: Kind,
    /// Set when no more items come.
    done: CancellationToken,
}

struct Waiting<T> {
    jobs: VecDeque<Job<T>>,
    /// What each was told last, from 1.
    told: VecDeque<u64>,
    /// Nobody takes from it any more, and nobody will.
    abandoned: bool,
}

/// Which of a pipeline's lines it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// In front of the first stage: who waits here is told its place.
    First,
    Between,
    /// Behind the last stage: what comes here is done, paused or not.
    Last,
}

/// A line, of whatever is in it.
pub(super) trait Holds: Send + Sync {
    /// Takes an item out that is to stop, if it is here.
    fn withdraw(&self, item: &Item) -> Option<Box<dyn Any + Send>>;

    /// Looks again who may go on.
    fn wake(&self);

    /// How many are here.
    fn len(&self) -> usize;
}

impl<T> Line<T> {
    /// A line of so many places. With a turnstile, those that are taken learn their turn.
    pub(super) fn new(
        kind: Kind,
        places: usize,
        turnstile: Option<Arc<Turnstile>>,
        done: CancellationToken,
    ) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                jobs: VecDeque::new(),
                told: VecDeque::new(),
                abandoned: false,
            }),
            telling: Mutex::new(()),
            arrived: Notify::new(),
            room: Semaphore::new(places),
            turnstile,
            kind,
            done,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Keeps a place, if one is free.
    pub(super) fn reserve(&self) -> Option<SemaphorePermit<'_>> {
        self.room.try_acquire().ok()
    }

    /// Puts an item into a place that was kept; gives it back if it is to stop, or nobody would take
    /// it.
    pub(super) fn put(&self, place: SemaphorePermit<'_>, job: Job<T>) -> Result<(), Job<T>> {
        {
            let mut waiting = self.waiting.lock();
            // Under the lock: who stops it looks for it here afterwards.
            if waiting.abandoned || job.ticket.item.is_stopped() {
                return Err(job);
            }
            place.forget();
            waiting.jobs.push_back(job);
            waiting.told.push_back(0);
        }
        self.arrived.notify_one();
        self.tell_places();
        Ok(())
    }

    /// Puts an item at the end when there is room; gives it back if it is to stop.
    pub(super) async fn push(&self, job: Job<T>) -> Result<(), Job<T>> {
        let place = tokio::select! {
            biased;
            place = self.room.acquire() => place,
            () = job.ticket.item.cancel.cancelled() => return Err(job),
        };
        match place {
            Ok(place) => self.put(place, job),
            // It is never closed.
            Err(_) => Err(job),
        }
    }

    /// Takes the first item that may go on; none when no more come.
    pub(super) async fn take(&self) -> Option<(Job<T>, Option<Turn>)> {
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            arrived.as_mut().enable();
            if let Some(taken) = self.try_take() {
                self.room.add_permits(1);
                self.tell_places();
                return Some(taken);
            }
            tokio::select! {
                () = arrived => {}
                () = self.done.cancelled() => return None,
            }
        }
    }

    /// Loses all who wait: the workers are gone before their time, with their runtime.
    pub(super) fn abandon(&self) {
        if self.done.is_cancelled() {
            return;
        }
        let lost = {
            let mut waiting = self.waiting.lock();
            waiting.abandoned = true;
            std::mem::take(&mut waiting.jobs)
        };
        drop(lost);
    }

    fn try_take(&self) -> Option<(Job<T>, Option<Turn>)> {
        let mut waiting = self.waiting.lock();
        let first = match self.kind {
            Kind::Last => 0,
            _ => {
                let goes_on = |job: &Job<T>| !job.ticket.item.is_paused();
                waiting.jobs.iter().position(goes_on)?
            }
        };
        waiting.told.remove(first);
        let job = waiting.jobs.remove(first)?;
        let turn = self.turnstile.as_ref().map(Turnstile::next);
        Some((job, turn))
    }

    /// Tells everybody who waits a place that has changed.
    fn tell_places(&self) {
        if self.kind != Kind::First {
            return;
        }
        let _telling = self.telling.lock();
        let mut news = Vec::new();
        {
            let Waiting { jobs, told, .. } = &mut *self.waiting.lock();
            for ((place, job), told) in (1..).zip(jobs).zip(told) {
                if *told != place {
                    *told = place;
                    news.push((Arc::clone(&job.ticket.item), place));
                }
            }
        }
        for (item, place) in news {
            item.tell_place(place);
        }
    }
}

impl<T: Send + 'static> Holds for Line<T> {
    fn withdraw(&self, item: &Item) -> Option<Box<dyn Any + Send>> {
        let job = {
            let mut waiting = self.waiting.lock();
            let mut jobs = waiting.jobs.iter();
            let place = jobs.position(|job| job.ticket.item.id == item.id)?;
            waiting.told.remove(place);
            waiting.jobs.remove(place)?
        };
        self.room.add_permits(1);
        self.tell_places();
        Some(Box::new(job))
    }

    fn wake(&self) {
        self.arrived.notify_waiters();
    }

    fn len(&self) -> usize {
        self.waiting.lock().jobs.len()
    }
}
