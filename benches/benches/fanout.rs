//! One task, a thousand subscribers that drain it: time per burst, throughput per delivery.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use progress_benches::fanout::{Fanout, Reading};

const SUBSCRIBERS: u64 = 1_000;

fn fanout(c: &mut Criterion) {
    let readings = [
        ("broadcast_stream", Reading::Broadcast),
        ("next", Reading::Next),
        ("next_batch", Reading::Batches),
    ];
    let mut group = c.benchmark_group("fanout");
    for burst in [32, 1] {
        group.throughput(Throughput::Elements(burst * SUBSCRIBERS));
        for (name, reading) in readings {
            group.bench_function(BenchmarkId::new(name, burst), |b| {
                let fanout = Fanout::new(reading, SUBSCRIBERS);
                b.iter_custom(|iters| fanout.run(iters, burst).whole);
            });
        }
    }
    drop(group);

    // The call alone, a sleeper at a time.
    let mut group = c.benchmark_group("wake");
    group.throughput(Throughput::Elements(SUBSCRIBERS));
    for (name, reading) in readings {
        group.bench_function(name, |b| {
            let fanout = Fanout::new(reading, SUBSCRIBERS);
            b.iter_custom(|iters| fanout.run(iters, 1).publishing);
        });
    }
}

criterion_group! {
    name = benches;
    config = progress_benches::criterion();
    targets = fanout
}
criterion_main!(benches);
