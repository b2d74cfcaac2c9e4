//! The bounded queues in front of stages.

use std::{any::Any, collections::VecDeque, sync::Arc};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::{
    aside::Room,
    item::{Item, Job},
    turnstile::{Turn, Turnstile},
};
use crate::{place, sync::Mutex};

/// Items that wait for a stage, in their order. Those that are paused let others pass; those that
/// are to stop are [taken out](Holds::withdraw) at once.
///
/// Where somebody finds no place, one that is paused by itself gives up its own, as long as there is
/// room [aside](super::aside::Aside).
///
/// Locks: `telling` before `waiting`, and no other of this crate with either but an item's own.
pub(super) struct Line<T> {
    waiting: Mutex<Waiting<T>>,
    /// Held while places are told, so that an older one is not told after a newer.
    telling: Mutex<()>,
    arrived: Notify,
    places: Semaphore,
    /// Woken when who waits for a place is to look who is paused.
    paused: Notify,
    room: Room,
    turnstile: Option<Arc<Turnstile>>,
    kind: Kind,
    /// Set when no more items come.
    done: CancellationToken,
}

struct Waiting<T> {
    jobs: VecDeque<Waiter<T>>,
    /// Nobody takes from it any more, and nobody will.
    abandoned: bool,
}

struct Waiter<T> {
    job: Job<T>,
    place: Place,
    /// What it was told last, from 1.
    told: u64,
}

/// An item, and what it has of the stage that it was taken for.
pub(super) struct Taken<T> {
    pub(super) job: Job<T>,
    pub(super) turn: Option<Turn>,
    pub(super) desk: OwnedSemaphorePermit,
}

/// What an item has of a line.
enum Place {
    InLine,
    /// Not one of the line's.
    Aside(OwnedSemaphorePermit),
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

    /// Looks again who may go on, and who lets others pass.
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
        room: Room,
        done: CancellationToken,
    ) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                jobs: VecDeque::new(),
                abandoned: false,
            }),
            telling: Mutex::new(()),
            arrived: Notify::new(),
            places: Semaphore::new(places),
            paused: Notify::new(),
            room,
            turnstile,
            kind,
            done,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn room(&self) -> &Room {
        &self.room
    }

    /// Keeps a place, if one is free.
    pub(super) fn reserve(&self) -> Option<SemaphorePermit<'_>> {
        self.places.try_acquire().ok()
    }

    /// Puts an item into a place that was kept; gives it back if it is to stop, or nobody would take
    /// it.
    pub(super) fn put(&self, place: SemaphorePermit<'_>, job: Job<T>) -> Result<(), Job<T>> {
        let lets_pass = {
            let mut waiting = self.waiting.lock();
            // Under the lock: who stops it looks for it here afterwards.
            if waiting.abandoned || job.ticket.item.is_stopped() {
                return Err(job);
            }
            place.forget();
            let waiter = Waiter {
                job,
                place: Place::InLine,
                told: 0,
            };
            let lets_pass = waiter.lets_pass();
            waiting.jobs.push_back(waiter);
            lets_pass
        };
        self.arrived.notify_one();
        if lets_pass {
            // Who waits for a place has looked when this one was not here.
            self.paused.notify_waiters();
        }
        self.tell_places();
        Ok(())
    }

    /// Puts an item at the end when there is room; gives it back if it is to stop.
    pub(super) async fn push(&self, job: Job<T>) -> Result<(), Job<T>> {
        loop {
            let mut paused = std::pin::pin!(self.paused.notified());
            paused.as_mut().enable();
            let place = tokio::select! {
                biased;
                place = self.places.acquire() => place,
                () = job.ticket.item.cancel.cancelled() => return Err(job),
                aside = self.room.between(), if self.somebody_lets_pass() => {
                    self.set_aside(aside);
                    continue;
                }
                () = paused => continue,
            };
            return match place {
                Ok(place) => self.put(place, job),
                // It is never closed.
                Err(_) => Err(job),
            };
        }
    }

    /// Tells whether one is paused by itself and has a place.
    fn somebody_lets_pass(&self) -> bool {
        self.waiting.lock().jobs.iter().any(Waiter::lets_pass)
    }

    /// Has one that is paused by itself give up its place, if there still is one.
    fn set_aside(&self, aside: Option<OwnedSemaphorePermit>) {
        let mut waiting = self.waiting.lock();
        if let Some(aside) = aside
            && let Some(waiter) = waiting.jobs.iter_mut().find(|waiter| waiter.lets_pass())
        {
            waiter.place = Place::Aside(aside);
            self.places.add_permits(1);
        }
    }

    /// Takes the first item that may go on, as soon as there is a desk for it; none when no more
    /// come.
    pub(super) async fn take(&self) -> Option<Taken<T>> {
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            arrived.as_mut().enable();
            if let Some(taken) = self.try_take() {
                self.tell_places();
                return Some(taken);
            }
            tokio::select! {
                () = arrived => {}
                () = self.done.cancelled() => return None,
            }
        }
    }

    /// Has those who take from it look again: one that was paused goes on, or a desk is free.
    pub(super) fn look_again(&self) {
        self.arrived.notify_waiters();
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

    fn try_take(&self) -> Option<Taken<T>> {
        let mut waiting = self.waiting.lock();
        let first = match self.kind {
            Kind::Last => 0,
            _ => {
                let goes_on = |waiter: &Waiter<T>| !waiter.job.ticket.item.is_paused();
                waiting.jobs.iter().position(goes_on)?
            }
        };
        let desk = self.room.try_desk()?;
        let Waiter { job, place, .. } = waiting.jobs.remove(first)?;
        self.free(place);
        let turn = self.turnstile.as_ref().map(Turnstile::next);
        Some(Taken { job, turn, desk })
    }

    fn free(&self, place: Place) {
        match place {
            Place::InLine => self.places.add_permits(1),
            Place::Aside(aside) => drop(aside),
        }
    }

    /// Tells who waits of a place that has changed.
    fn tell_places(&self) {
        if self.kind != Kind::First {
            return;
        }
        let _telling = self.telling.lock();
        let mut news = Vec::new();
        {
            for (place, waiter) in (1..).zip(&mut self.waiting.lock().jobs) {
                if place::is_news(waiter.told, place) {
                    waiter.told = place;
                    news.push((Arc::clone(&waiter.job.ticket.item), place));
                }
            }
        }
        for (item, place) in news {
            item.tell_place(place);
        }
    }
}

impl<T> Waiter<T> {
    /// Tells whether it is to give up its place in line.
    fn lets_pass(&self) -> bool {
        matches!(self.place, Place::InLine) && self.job.ticket.item.lets_pass()
    }
}

impl<T: Send + 'static> Holds for Line<T> {
    fn withdraw(&self, item: &Item) -> Option<Box<dyn Any + Send>> {
        let Waiter { job, place, .. } = {
            let mut waiting = self.waiting.lock();
            let mut jobs = waiting.jobs.iter();
            let place = jobs.position(|waiter| waiter.job.ticket.item.id == item.id)?;
            waiting.jobs.remove(place)?
        };
        self.free(place);
        self.tell_places();
        Some(Box::new(job))
    }

    fn wake(&self) {
        self.look_again();
        self.paused.notify_waiters();
    }

    fn len(&self) -> usize {
        self.waiting.lock().jobs.len()
    }
}
