//! Wakers of parked readers.

use std::{num::NonZeroU32, task::Waker};

use crate::sync::wake_all;

/// The wakers of a log's sleeping readers, which a publisher takes away in one step.
///
/// Each taking ends a *round*. A [`Place`] is good for the round that it was given in, so that nobody
/// need tell the readers that their places are gone. Polling again uses a place again, and so does
/// whoever comes after a reader that left: a quiet log never makes it grow.
#[derive(Debug, Default)]
pub(crate) struct Sleepers {
    round: u64,
    armed: Vec<Option<Waker>>,
    /// What a log with few sleepers has no need of.
    more: Option<Box<More>>,
}

#[derive(Debug, Default)]
struct More {
    /// Places of this round whose readers have left.
    vacant: Vec<u32>,
    /// Where the round after this one is kept: the storage of the one before.
    spare: Vec<Option<Waker>>,
}

/// A reader's place among the sleepers.
#[derive(Debug)]
pub(crate) struct Place {
    round: u64,
    /// One more than its index, so that no place takes no room.
    number: NonZeroU32,
}

impl Place {
    fn at(&self) -> usize {
        self.number.get() as usize - 1
    }
}

impl Sleepers {
    /// Arms a reader.
    pub(crate) fn arm(&mut self, place: &mut Option<Place>, waker: &Waker) {
        if let Some(place) = place
            && place.round == self.round
        {
            match &mut self.armed[place.at()] {
                Some(armed) => armed.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
            return;
        }
        let waker = Some(waker.clone());
        let index = match self.more.as_mut().and_then(|more| more.vacant.pop()) {
            Some(index) => {
                self.armed[index as usize] = waker;
                index
            }
            None => {
                self.armed.push(waker);
                // The tracker's limit on subscriptions keeps this far below 2³².
                (self.armed.len() - 1) as u32
            }
        };
        *place = Some(Place {
            round: self.round,
            number: NonZeroU32::MIN.saturating_add(index),
        });
    }

    /// Takes all wakers, however many, in constant time; to be woken after the log is unlocked.
    pub(crate) fn take(&mut self) -> Wakers {
        let wakers = match self.armed.len() {
            0 => return Wakers::default(),
            // The usual one watcher needs no storage to be moved in.
            1 => self.armed.pop().flatten().map_or(Wakers::None, Wakers::One),
            _ => {
                let spare = self.more.as_mut().map(|more| &mut more.spare);
                let spare = spare.map_or_else(Vec::new, std::mem::take);
                Wakers::Many(std::mem::replace(&mut self.armed, spare))
            }
        };
        if let Some(more) = &mut self.more {
            more.vacant.clear();
        }
        self.round += 1;
        wakers
    }

    /// Takes back the storage of wakers that were woken.
    pub(crate) fn recycle(&mut self, storage: Vec<Option<Waker>>) {
        self.more.get_or_insert_default().spare = storage;
    }

    /// Gives a place back.
    pub(crate) fn release(&mut self, place: &Place) {
        if place.round == self.round {
            self.armed[place.at()] = None;
            let more = self.more.get_or_insert_default();
            more.vacant.push(place.at() as u32);
        }
    }
}

/// Wakers taken from the sleepers.
#[derive(Debug, Default)]
#[must_use]
pub(crate) enum Wakers {
    #[default]
    None,
    One(Waker),
    Many(Vec<Option<Waker>>),
}

impl Wakers {
    /// Wakes them in the order in which they went to sleep, as [`wake_all`] does. Returns storage to be
    /// [recycled](Sleepers::recycle), if it is worth a lock.
    pub(crate) fn wake(self) -> Option<Vec<Option<Waker>>> {
        match self {
            Self::None => None,
            Self::One(waker) => {
                wake_all([waker]);
                None
            }
            Self::Many(mut wakers) => {
                // Storage that was once needed for many more is not kept for ever.
                let fits = wakers.capacity() <= 4 * wakers.len();
                wake_all(wakers.drain(..).flatten());
                fits.then_some(wakers)
            }
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests;

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes and wakes; tells how many were woken.
    fn wake(sleepers: &mut Sleepers, count: &Arc<Count>) -> usize {
        let before = count.0.load(Ordering::Relaxed);
        if let Some(storage) = sleepers.take().wake() {
            sleepers.recycle(storage);
        }
        count.0.load(Ordering::Relaxed) - before
    }

    #[test]
    fn polling_again_and_dropping_over_a_quiet_log_do_not_grow() {
        let mut sleepers = Sleepers::default();
        for _ in 0..1_000 {
            let mut place = None;
            sleepers.arm(&mut place, Waker::noop());
            sleepers.arm(&mut place, Waker::noop());
            sleepers.release(&place.unwrap());
        }
        let vacant = &sleepers.more.as_ref().unwrap().vacant;
        assert_eq!((sleepers.armed.len(), vacant.len()), (1, 1));
    }

    #[test]
    fn everybody_but_those_who_left_is_woken_once() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut sleepers = Sleepers::default();
        for sleeping in [1, 2, 5, 3] {
            let mut places: Vec<_> = (0..sleeping).map(|_| None).collect();
            for place in &mut places {
                sleepers.arm(place, &waker);
                sleepers.arm(place, &waker);
            }
            if sleeping > 2 {
                sleepers.release(&places.swap_remove(1).unwrap());
                sleepers.release(&places.pop().flatten().unwrap());
            }
            assert_eq!(wake(&mut sleepers, &count), places.len());
            assert_eq!(wake(&mut sleepers, &count), 0);
            // Places of a round that is over mean nothing.
            let mut other = None;
            sleepers.arm(&mut other, &waker);
            places
                .iter()
                .flatten()
                .for_each(|old| sleepers.release(old));
            sleepers.arm(&mut places[0], &waker);
            assert_eq!(wake(&mut sleepers, &count), 2);
        }
    }

    #[test]
    fn storage_is_used_again_and_storage_for_many_more_is_not() {
        let mut sleepers = Sleepers::default();
        let arm = |sleepers: &mut Sleepers, many: usize| {
            for _ in 0..many {
                sleepers.arm(&mut None, Waker::noop());
            }
        };
        let count = Arc::new(Count::default());
        for _ in 0..2 {
            arm(&mut sleepers, 100);
            wake(&mut sleepers, &count);
        }
        let kept = |sleepers: &Sleepers| {
            let spare = &sleepers.more.as_ref().unwrap().spare;
            [sleepers.armed.capacity(), spare.capacity()]
        };
        assert!(kept(&sleepers).iter().all(|room| *room >= 100));
        for _ in 0..2 {
            arm(&mut sleepers, 2);
            wake(&mut sleepers, &count);
        }
        assert!(kept(&sleepers).iter().all(|room| *room < 100));
    }
}
