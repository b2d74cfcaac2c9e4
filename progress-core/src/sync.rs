//! Locks, with poisoning handled in one place, and the atomics, all of which loom can stand in for.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::PoisonError,
    task::Waker,
};

#[cfg(all(test, loom))]
use loom::sync as locks;
#[cfg(not(all(test, loom)))]
use std::sync as locks;

pub(crate) use self::locks::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

/// A mutex that a panic elsewhere does not make unusable.
///
/// No user code runs under any lock of this crate but the clone and drop of wakers, and every mutation under one keeps its
/// invariants at each step, so a poisoned lock guards sound data.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(locks::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(locks::Mutex::new(value))
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A read-write lock of the same kind.
#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(locks::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes all, also those after one that panics: a watcher that is broken is no business of who
/// publishes, and none of the other watchers'. Call it without any lock.
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    let mut wakers = wakers.into_iter();
    let mut wake = || {
        for waker in wakers.by_ref() {
            waker.wake();
        }
    };
    // One frame for as many as go well.
    while catch_unwind(AssertUnwindSafe(&mut wake)).is_err() {}
}

pub(crate) mod atomic {
    #[cfg(all(test, loom))]
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
    #[cfg(not(all(test, loom)))]
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
}

#[cfg(all(test, loom))]
pub(crate) use crate::loom_support::Notify;
#[cfg(not(all(test, loom)))]
pub(crate) use tokio::sync::Notify;
