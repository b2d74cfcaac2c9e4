//! `Reporter::inc` beside a bare atomic addition.

use std::{
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
};

use criterion::{Criterion, criterion_group, criterion_main};
use progress_benches::inc::on_two_threads;
use progress_core::ProgressTracker;

fn inc(c: &mut Criterion) {
    let tracker = ProgressTracker::new();
    let task = tracker.task("bench").start().unwrap();
    let reporter = task.stage("count").total(u64::MAX);
    let bare = AtomicU64::new(0);
    let add = || bare.fetch_add(black_box(1), Ordering::AcqRel);
    let inc = || reporter.inc(black_box(1));

    let mut group = c.benchmark_group("inc");
    group.bench_function("one_thread/fetch_add", |b| b.iter(add));
    group.bench_function("one_thread/reporter", |b| b.iter(inc));
    group.bench_function("two_threads/fetch_add", |b| {
        b.iter_custom(|iters| on_two_threads(iters, add));
    });
    group.bench_function("two_threads/reporter", |b| {
        b.iter_custom(|iters| on_two_threads(iters, inc));
    });
}

criterion_group! {
    name = benches;
    config = progress_benches::criterion();
    targets = inc
}
criterion_main!(benches);
