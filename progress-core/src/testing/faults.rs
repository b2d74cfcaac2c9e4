//! What can go wrong on the way, to order.

use std::time::Duration;

/// What happens to the records published to one node, and to the answers of its calls.
///
/// Chances are from 0 to 1 and drawn from a generator with a seed, so that a failure can be seen
/// again.
///
/// ```
/// use std::time::Duration;
/// use progress_core::testing::Faults;
///
/// let rough = Faults::none().drop(0.1).duplicate(0.1).reorder(0.2).delay(Duration::from_millis(5));
/// # drop(rough);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use]
pub struct Faults {
    pub(super) drop: f64,
    pub(super) duplicate: f64,
    pub(super) reorder: f64,
    pub(super) delay: Duration,
    pub(super) lose_answer: f64,
    pub(super) slow_answer: Duration,
}

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self {
            drop: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            delay: Duration::ZERO,
            lose_answer: 0.0,
            slow_answer: Duration::ZERO,
        }
    }

    /// Sets the chance that a published record never arrives, and nothing says so.
    pub fn drop(mut self, chance: f64) -> Self {
        self.drop = chance;
        self
    }

    /// Sets the chance that it arrives twice.
    pub fn duplicate(mut self, chance: f64) -> Self {
        self.duplicate = chance;
        self
    }

    /// Sets the chance that it arrives behind later ones.
    pub fn reorder(mut self, chance: f64) -> Self {
        self.reorder = chance;
        self
    }

    /// Sets how long records are under way.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sets the chance that a call takes effect and is answered by an error all the same.
    pub fn lose_answer(mut self, chance: f64) -> Self {
        self.lose_answer = chance;
        self
    }

    /// Sets how long answers are under way: a call takes effect at once, and the caller learns of it
    /// only when other things have happened.
    pub fn slow_answer(mut self, delay: Duration) -> Self {
        self.slow_answer = delay;
        self
    }
}

/// A small generator of chances: xorshift.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(super) fn falls(&mut self, chance: f64) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        chance > 0.0 && ((self.0 >> 11) as f64 / (1_u64 << 53) as f64) < chance
    }
}
