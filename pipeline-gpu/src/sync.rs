//! A lock with poisoning handled in one place.

use std::sync::{self, MutexGuard, PoisonError};

/// A mutex that a panic elsewhere does not make unusable.
///
/// Every mutation under one keeps its invariants at each step, and no code of a stage runs under
/// any, so a poisoned lock guards sound data.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
