//! Wakers of parked readers.

use std::task::Waker;

/// A slab of wakers: a reader keeps its slot for life and is listed as armed only while it sleeps,
/// so that polling again, or subscribing and dropping over a quiet log, never makes it grow.
#[derive(Debug, Default)]
pub(crate) struct Sleepers {
    slots: Vec<Slot>,
    free: Vec<u32>,
    armed: Vec<u32>,
}

#[derive(Debug, Default)]
struct Slot {
    waker: Option<Waker>,
    /// Its place in `armed`, meaningful while there is a waker.
    place: u32,
}

impl Sleepers {
    /// Arms a reader's slot, which it gets at its first sleep.
    pub(crate) fn arm(&mut self, slot: &mut Option<u32>, waker: &Waker) {
        let index = *slot.get_or_insert_with(|| {
            self.free.pop().unwrap_or_else(|| {
                self.slots.push(Slot::default());
                // The tracker's limit on subscriptions keeps this far below 2³².
                (self.slots.len() - 1) as u32
            })
        });
        let entry = &mut self.slots[index as usize];
        match &mut entry.waker {
            Some(armed) => armed.clone_from(waker),
            none => {
                *none = Some(waker.clone());
                entry.place = self.armed.len() as u32;
                self.armed.push(index);
            }
        }
    }

    /// Takes all wakers of sleeping readers; to be woken after the log is unlocked.
    pub(crate) fn take(&mut self) -> Vec<Waker> {
        let slots = &mut self.slots;
        self.armed
            .drain(..)
            .filter_map(|index| slots[index as usize].waker.take())
            .collect()
    }

    /// Gives a slot back.
    pub(crate) fn release(&mut self, index: u32) {
        let entry = &mut self.slots[index as usize];
        if entry.waker.take().is_some() {
            let place = entry.place as usize;
            self.armed.swap_remove(place);
            if let Some(moved) = self.armed.get(place) {
                self.slots[*moved as usize].place = place as u32;
            }
        }
        self.free.push(index);
    }

    #[cfg(test)]
    fn sizes(&self) -> (usize, usize) {
        (self.slots.len(), self.armed.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polling_again_and_dropping_over_a_quiet_log_do_not_grow() {
        let mut sleepers = Sleepers::default();
        for _ in 0..1_000 {
            let mut slot = None;
            sleepers.arm(&mut slot, Waker::noop());
            sleepers.arm(&mut slot, Waker::noop());
            sleepers.release(slot.unwrap());
        }
        assert_eq!(sleepers.sizes(), (1, 0));
    }

    #[test]
    fn releasing_one_of_many_keeps_the_others_armed() {
        let mut sleepers = Sleepers::default();
        let mut slots = [None; 5];
        for slot in &mut slots {
            sleepers.arm(slot, Waker::noop());
        }
        sleepers.release(slots[1].unwrap());
        sleepers.release(slots[4].unwrap());
        assert_eq!(sleepers.take().len(), 3);
        assert_eq!(sleepers.take().len(), 0);
    }
}
