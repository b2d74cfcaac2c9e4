//! Where frames go as they are read.

use std::{collections::VecDeque, iter};

/// Takes frames straight from the log, under its lock.
pub(super) trait Sink<F> {
    /// Makes room for so many frames, in all likelihood.
    fn reserve(&mut self, frames: usize);
    fn push(&mut self, frame: F);

    /// Pushes a frame that is made when there is room for it, hence in its place: written out first
    /// and copied, a frame took a third more time.
    fn push_with(&mut self, frame: impl FnOnce() -> F);
}

impl<F> Sink<F> for Vec<F> {
    fn reserve(&mut self, frames: usize) {
        Self::reserve(self, frames);
    }

    fn push(&mut self, frame: F) {
        Self::push(self, frame);
    }

    #[inline(always)]
    fn push_with(&mut self, frame: impl FnOnce() -> F) {
        self.extend(iter::once_with(frame));
    }
}

/// The first frame for a caller who takes one, and the queue for the rest: a frame that comes alone
/// needs no queue.
pub(super) struct FirstAndRest<F> {
    pub(super) first: Option<F>,
    pub(super) rest: VecDeque<F>,
}

impl<F> FirstAndRest<F> {
    pub(super) fn new(rest: VecDeque<F>) -> Self {
        Self { first: None, rest }
    }
}

impl<F> Sink<F> for FirstAndRest<F> {
    fn reserve(&mut self, frames: usize) {
        self.rest.reserve_exact(frames.saturating_sub(1));
    }

    fn push(&mut self, frame: F) {
        match &self.first {
            None => self.first = Some(frame),
            Some(_) => self.rest.push_back(frame),
        }
    }

    #[inline(always)]
    fn push_with(&mut self, frame: impl FnOnce() -> F) {
        match &self.first {
            None => self.first = Some(frame()),
            Some(_) => self.rest.extend(iter::once_with(frame)),
        }
    }
}

/// Frames read under one lock; measured as the best between lock traffic and latency.
pub(super) const BATCH: usize = 64;
