//! Calls from one thread and from two.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

/// The time of so many calls.
pub fn on_one_thread<T>(iters: u64, call: impl Fn() -> T) -> Duration {
    let start = Instant::now();
    for _ in 0..iters {
        call();
    }
    start.elapsed()
}

/// The time from the first call of either thread to the last one, of `iters` each.
///
/// # Panics
///
/// If a call does.
pub fn on_two_threads<T>(iters: u64, call: impl Fn() -> T + Sync) -> Duration {
    let ready = Barrier::new(2);
    let calls = || {
        ready.wait();
        let start = Instant::now();
        for _ in 0..iters {
            call();
        }
        (start, Instant::now())
    };
    let (one, other) = thread::scope(|scope| {
        let other = scope.spawn(calls);
        (calls(), other.join().unwrap())
    });
    one.1.max(other.1) - one.0.min(other.0)
}
