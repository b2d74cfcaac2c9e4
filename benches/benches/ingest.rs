//! What publishing over HTTP costs a core, without the socket: the body of a request to its answer.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http::{Method, Request, request::Parts};
use progress_core::ProgressTracker;
use progress_web::{Gateway, Open};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

const LINES: u64 = 10_000;
const TASKS: u64 = 1_000;

fn ingest(c: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let mut group = c.benchmark_group("ingest");
    group.throughput(Throughput::Elements(LINES));
    for (name, line) in [
        (
            "custom",
            r##"{"event_type":"photo_approved","data":{"photo":#,"by":"somebody"}}"##,
        ),
        (
            "custom_keyed",
            r##"{"event_type":"score","key":"face-1","data":{"score":#}}"##,
        ),
        (
            "custom_id",
            r##"{"event_type":"photo_approved","data":{"photo":#},"id":"w-@-#"}"##,
        ),
        (
            "log",
            r##"{"event_type":"log","data":{"level":"INFO","message":"decoding frame #"}}"##,
        ),
        (
            "progress",
            r##"{"event_type":"progress_update","data":{"progress":41.5,"message":"frame #"}}"##,
        ),
        (
            "stage",
            r##"{"event_type":"progress_update","data":{"stage":"render","current":#,"total":10000}}"##,
        ),
    ] {
        // What it is compared to: the same lines, only read.
        group.bench_function(BenchmarkId::new("only_read", name), |b| {
            let body = lines(line, 0);
            b.iter(|| {
                for line in body
                    .split(|byte| *byte == b'\n')
                    .filter(|line| !line.is_empty())
                {
                    let event: progress_core::EventInput = serde_json::from_slice(line).unwrap();
                    black_box(event);
                }
            });
        });
        group.bench_function(BenchmarkId::new("ndjson", name), |b| {
            let gateway = gateway(&runtime, 1);
            let request = post("application/x-ndjson");
            let mut round = 0;
            b.iter_batched(
                || {
                    round += 1;
                    lines(line, round)
                },
                |body| {
                    let response =
                        runtime.block_on(gateway.publish(&request, "task-0", body.into()));
                    let answer: Value = serde_json::from_slice(response.body()).unwrap();
                    assert_eq!(answer["accepted"], LINES);
                    response
                },
                criterion::BatchSize::LargeInput,
            );
        });
    }
    group.throughput(Throughput::Elements(TASKS));
    group.bench_function("one_each_to_1000_tasks", |b| {
        let gateway = gateway(&runtime, TASKS);
        let request = post("application/json");
        let ids: Vec<_> = (0..TASKS).map(|n| format!("task-{n}")).collect();
        let event = Bytes::from_static(br#"{"event_type":"photo_approved","data":{"photo":9}}"#);
        b.iter(|| {
            runtime.block_on(async {
                for id in &ids {
                    let response = gateway.publish(&request, id, event.clone().into()).await;
                    assert_eq!(response.status(), 202);
                }
            });
        });
    });
}

fn lines(line: &str, round: u64) -> Bytes {
    let round = round.to_string();
    let lines = (0..LINES).map(|n| line.replace('#', &n.to_string()).replace('@', &round) + "\n");
    lines.collect::<String>().into()
}

fn gateway(runtime: &Runtime, tasks: u64) -> Gateway {
    let tracker = ProgressTracker::new();
    runtime.block_on(async {
        for n in 0..tasks {
            tracker.task(format!("task-{n}")).share().await.unwrap();
        }
    });
    Gateway::builder(tracker)
        .authorizer(Open::new().publishing())
        .build()
}

fn post(media: &str) -> Parts {
    let request = Request::builder()
        .method(Method::POST)
        .uri("/")
        .header("content-type", media);
    request.body(()).unwrap().into_parts().0
}

criterion_group! {
    name = benches;
    config = progress_benches::criterion();
    targets = ingest
}
criterion_main!(benches);
