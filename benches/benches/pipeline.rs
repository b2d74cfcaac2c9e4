//! What a pipeline costs and what it brings, in one table:
//! `cargo bench -p progress-benches --bench pipeline`. It takes the same options as `validate`.
//!
//! No model is run: what is measured is the pipeline itself, around work of a known length.
#![forbid(unsafe_code)]

use std::{
    env,
    hint::black_box,
    process::{Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use pipeline_gpu::{BatchContext, Batched, Context, CpuPool, Pipeline, blocking};
use progress_benches::{
    rounds::{Effort, median, quantile, rounds},
    table::{self, Part, Row, Table},
};
use progress_core::{ProgressTracker, Reporter, TaskError};
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    match arguments.iter().position(|argument| argument == COUNTED) {
        Some(at) => run_counted(&arguments[at + 1..]),
        None => table::run(&PARTS),
    }
}

/// The role of this program under valgrind: `--counted told 300` or `--counted silent 300`.
const COUNTED: &str = "--counted";

const PARTS: [Part; 3] = [
    ("reporting", reporting),
    ("overlap", overlap),
    ("batching", batching),
];

/// A thousandth of 50 ms, which is what the quickest detector takes for a picture on a CPU.
const REPORTING_MICROS: f64 = 50.0;
/// A thousandth of the instructions that one core does in that time at two each nanosecond.
const REPORTING_INSTRUCTIONS: f64 = 100_000.0;

/// What it costs that an item has a task with three stages that count to 30 and say something,
/// beside the same pipeline without a listener.
fn reporting(effort: Effort, table: &mut Table) {
    let runtime = one_thread();
    let pipeline = runtime.block_on(async { three_stages() });
    let items = effort.repeat(1_000);
    let [silent, told] = rounds(
        effort,
        [
            &mut || micros(silent(&runtime, &pipeline, items), items),
            &mut || micros(told(&runtime, &pipeline, items), items),
        ],
    );
    table.push(Row::new(
        "item of three stages, nobody listens",
        silent.value,
        "us",
    ));
    table.push(
        Row::new("what its task adds", told.value - silent.value, "us").at_most(REPORTING_MICROS),
    );
    let counted = "what its task adds, counted";
    // Slow, and the same however often it is done: not where it only has to run.
    if effort.rounds == 1 {
        println!("skipped: {counted}: only to see that it runs");
        return;
    }
    match (instructions("silent"), instructions("told")) {
        (Some(silent), Some(told)) => table.push(
            Row::new(counted, (told - silent) / 1e3, "k instructions")
                .at_most(REPORTING_INSTRUCTIONS / 1e3),
        ),
        _ => println!("skipped: {counted}: there is no valgrind that counts"),
    }
}

fn three_stages() -> Pipeline<u64, u64> {
    Pipeline::builder("bench")
        .stage("first", counting)
        .stage("second", counting)
        .stage("third", counting)
        .build()
        .unwrap()
}

async fn counting(cx: Context, n: u64) -> Result<u64, TaskError> {
    let count = cx.reporter().clone().total(30);
    cx.reporter().message("Counting");
    for _ in 0..30 {
        count.inc(1);
    }
    Ok(n)
}

fn silent(runtime: &Runtime, pipeline: &Pipeline<u64, u64>, items: u64) -> Duration {
    let nobody = Reporter::noop();
    let began = Instant::now();
    runtime.block_on(async {
        for n in 0..items {
            black_box(pipeline.run(&nobody, n).await.unwrap());
        }
    });
    began.elapsed()
}

fn told(runtime: &Runtime, pipeline: &Pipeline<u64, u64>, items: u64) -> Duration {
    let tracker = ProgressTracker::new();
    let began = Instant::now();
    runtime.block_on(async {
        for n in 0..items {
            let run = pipeline.submit(tracker.task(format!("item-{n}")), n);
            black_box(run.unwrap().await.unwrap());
        }
    });
    began.elapsed()
}

/// Instructions of an item, as valgrind counts them; none where there is no valgrind.
fn instructions(how: &str) -> Option<f64> {
    // What comes before the items is in both.
    let [few, many] = [100, 400].map(|items| counted(how, items));
    Some((many? - few?) / 300.0)
}

fn counted(how: &str, items: u64) -> Option<f64> {
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().ok()?)
        .args([COUNTED, how, &items.to_string()])
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let collected = said.lines().find_map(|line| line.split_once("Collected :"));
    collected?.1.trim().parse().ok()
}

fn run_counted(arguments: &[String]) -> ExitCode {
    let [how, items] = arguments else {
        return ExitCode::from(2);
    };
    let Ok(items) = items.parse() else {
        return ExitCode::from(2);
    };
    let runtime = one_thread();
    let pipeline = runtime.block_on(async { three_stages() });
    match how.as_str() {
        "told" => told(&runtime, &pipeline, items),
        _ => silent(&runtime, &pipeline, items),
    };
    ExitCode::SUCCESS
}

/// Items through two stages of one thread each, beside the same work one after the other.
fn overlap(effort: Effort, table: &mut Table) {
    const WORK: u64 = 6_000_000;
    let work = effort.repeat(WORK);
    let items = effort.repeat(16);
    let runtime = one_thread();
    let pool = CpuPool::new("bench", 2).unwrap();
    let pipeline = runtime.block_on(async {
        Pipeline::builder("bench")
            .pool(&pool)
            .stage(
                "first",
                blocking(move |_cx: &Context, n: u64| Ok(spin(n, work))),
            )
            .stage(
                "second",
                blocking(move |_cx: &Context, n: u64| Ok(spin(n, work))),
            )
            .build()
            .unwrap()
    });
    let nobody = Reporter::noop();
    let one_after_the_other = || {
        let began = Instant::now();
        for n in 0..items {
            black_box(spin(spin(n, work), work));
        }
        micros(began.elapsed(), items) / 1e3
    };
    let pipelined = || {
        let began = Instant::now();
        runtime.block_on(join_all((0..items).map(|n| pipeline.run(&nobody, n))));
        micros(began.elapsed(), items) / 1e3
    };
    // The most that two threads can bring on this machine now: no item is handed over.
    let bare = || {
        let stage = || (0..items).map(|n| spin(n, work)).fold(0, u64::wrapping_add);
        let began = Instant::now();
        thread::scope(|scope| {
            let other = scope.spawn(stage);
            black_box((stage(), other.join().unwrap()));
        });
        micros(began.elapsed(), items) / 1e3
    };
    let [pipelined, alone, bare] = rounds(
        effort,
        [&mut { pipelined }, &mut { one_after_the_other }, &mut {
            bare
        }],
    );
    table.push(
        Row::new("an item of two stages, overlapped", pipelined.value, "ms")
            .beside(alone.value, alone.ratio)
            .ratio_at_least(1.6),
    );
    table.push(
        Row::new("the same beside two bare threads", pipelined.value, "ms")
            .beside(bare.value, bare.ratio)
            .ratio_at_least(0.8),
    );
}

/// What it adds where there is little to do that items may be gathered.
fn batching(effort: Effort, table: &mut Table) {
    let runtime = one_thread();
    // Longer than a batch waits for others.
    let apart = Duration::from_millis(6);
    let [without, with] = runtime.block_on(one_caller(effort.repeat(400), apart));
    added(table, "gathering adds", &without, &with);
    let [without, with] = runtime.block_on(one_caller(effort.repeat(4_000), Duration::ZERO));
    added(table, "it adds to a caller in a loop", &without, &with);
    let [without, with] = runtime.block_on(at_random(effort.repeat(500)));
    added(table, "it adds to items at random", &without, &with);
}

/// How much longer items take, or wait, with than without.
fn added(table: &mut Table, what: &str, without: &[f64], with: &[f64]) {
    let p50 = |times: &[f64]| median(times.iter().copied());
    let p99 = |times: &[f64]| quantile(times.iter().copied(), 0.99);
    let (usual, most) = (p50(with) - p50(without), p99(with) - p99(without));
    table.push(Row::new(format!("what {what}, p50"), usual, "us"));
    table.push(Row::new(format!("what {what}, p99"), most, "us").at_most(1_000.0));
}

/// Micros of items of one caller, who gives the next some time after the last is done.
async fn one_caller(items: u64, apart: Duration) -> [Vec<f64>; 2] {
    let pipelines = plain_and_batched(Duration::ZERO);
    let mut times = [Vec::new(), Vec::new()];
    let nobody = Reporter::noop();
    // In turns: a machine that is busy is so for both.
    for _ in 0..items.div_ceil(TURN) {
        for (pipeline, times) in pipelines.iter().zip(&mut times) {
            for _ in 0..TURN.min(items) {
                if !apart.is_zero() {
                    tokio::time::sleep(apart).await;
                }
                let began = Instant::now();
                black_box(pipeline.run(&nobody, began).await.unwrap());
                times.push(micros(began.elapsed(), 1));
            }
        }
    }
    times
}
const TURN: u64 = 10;

/// Micros that items wait for a model that is busy a tenth of the time. They come as callers do who
/// know nothing of each other, and to both pipelines together.
async fn at_random(items: u64) -> [Vec<f64>; 2] {
    const MODEL: Duration = Duration::from_millis(3);
    let pipelines = plain_and_batched(MODEL);
    let nobody = Reporter::noop();
    let mut runs = Vec::new();
    let mut seed = 1;
    for n in 0..items as usize {
        tokio::time::sleep(MODEL.mul_f64(10.0 * exponential(&mut seed))).await;
        let now = Instant::now();
        // Each is first every other time.
        let first = n % 2;
        let one = pipelines[first].item(now).run(&nobody);
        let other = pipelines[1 - first].item(now).run(&nobody);
        runs.push(if first == 0 {
            [one, other]
        } else {
            [other, one]
        });
    }
    let mut waits = [Vec::new(), Vec::new()];
    for run in runs {
        for (run, waits) in run.into_iter().zip(&mut waits) {
            waits.push(micros(run.await.unwrap(), 1));
        }
    }
    waits
}

/// A model that takes so long, by itself and gathering. Items are when they were given, and become
/// how long it was until the model had them.
fn plain_and_batched(takes: Duration) -> [Pipeline<Instant, Duration>; 2] {
    let work = move || async move {
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
    };
    let plain = move |_cx: Context, given: Instant| async move {
        let waited = given.elapsed();
        work().await;
        Ok::<_, TaskError>(waited)
    };
    let batched = move |_cx: BatchContext, given: Vec<Instant>| async move {
        let waited = given.iter().map(Instant::elapsed).map(Ok).collect();
        work().await;
        Ok(waited)
    };
    let plain = Pipeline::builder("plain").stage("model", plain);
    let batched = Pipeline::builder("batched").stage("model", Batched::new(batched));
    [plain.build().unwrap(), batched.build().unwrap()]
}

/// Times between events that know nothing of each other, 1 in the mean.
fn exponential(seed: &mut u64) -> f64 {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    // From above 0 to 1.
    let even = ((*seed >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    -even.ln()
}

/// Work that one thread does alone.
fn spin(seed: u64, times: u64) -> u64 {
    (0..times).fold(seed, |value, n| {
        black_box(value.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ n)
    })
}

fn micros(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / count as f64
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}
