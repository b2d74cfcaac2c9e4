//! What it costs and brings to run models through a pipeline, beside the runtime by itself and beside
//! Python: `cargo bench -p progress-benches --bench pipeline_onnx`. It takes the same options as
//! `validate`.
//!
//! The models and the runtime are those of `cargo xtask models`. Rows beside Python need one that has
//! `onnxruntime` 1.31.1, numpy and Pillow, by its path in `BENCH_PYTHON`; without it they are left out.
#![forbid(unsafe_code)]

mod bare;
mod contender;
mod counted;
mod cut_out;
mod files;
mod photo;

use std::{env, hint::black_box, num::NonZeroUsize, process::ExitCode, thread};

use futures_util::future::try_join_all;
use pipeline_gpu::{
    Cancel, Context, Pipeline,
    onnx::{Device, Inputs, OnnxModel, Outputs, Tensor},
};
use progress_benches::{
    rounds::{Effort, median, rounds, rounds_of},
    table::{self, Part, Row, Table},
};
use progress_core::{ProgressTracker, Reporter, TaskError};
use tokio::runtime::{Builder, Runtime};

use self::contender::{Contender, REST, Spent};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    let role = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        Some(&arguments[at + 1..])
    };
    if let Some(rest) = role(bare::ROLE) {
        return bare::serve(rest);
    }
    if let Some(rest) = role(counted::ROLE) {
        return counted::run(rest);
    }
    table::run(&PARTS)
}

const PARTS: [Part; 5] = [
    ("hop", hop),
    ("overlap", overlap),
    ("one", one),
    ("batch", batch),
    ("photo", photo::rows),
];

/// A thousandth of what u2netp takes for a picture on the 2 cores that this is developed on, when
/// nobody else is at work.
const HOP_MICROS: f64 = 230.0;

/// What it adds to a run that it goes to a session's thread, through a pipeline, and is told of. By a
/// model that takes no time, so that it shows.
fn hop(effort: Effort, table: &mut Table) {
    let runtime = one_thread();
    let (mut bare, model) = (Contender::bare("blob_det64", 1), model("blob_det64", 1, 1));
    let pipeline = runtime.block_on(async { of_model("bench", &model) });
    let items = effort.repeat(400);
    let [alone, run, silent, told] = rounds(
        effort,
        [
            &mut || bare.items(items).micros(items),
            &mut || Spent::of(|| runs(&model, items)).micros(items),
            &mut || Spent::of(|| silent(&runtime, &pipeline, items)).micros(items),
            &mut || Spent::of(|| told(&runtime, &pipeline, items)).micros(items),
        ],
    );
    table.push(Row::new(
        "a small model, by the session itself",
        alone.value,
        "us",
    ));
    for (name, with) in [
        ("what `OnnxModel::run` adds", run),
        ("what a pipeline adds to the session", silent),
        ("what a pipeline with a task adds", told),
    ] {
        table.push(Row::new(name, with.value - alone.value, "us").at_most(HOP_MICROS));
    }
    // Slow, and the same however often it is done: not where it only has to run.
    if effort.rounds > 1 {
        counted::rows(table);
    }
}

fn runs(model: &OnnxModel, items: u64) {
    for _ in 0..items {
        let outputs = model.run_blocking(small(), &Cancel::new());
        black_box(outputs.expect("it ran before"));
    }
}

fn silent(runtime: &Runtime, pipeline: &Pipeline<Inputs, Outputs>, items: u64) {
    let nobody = Reporter::noop();
    runtime.block_on(async {
        for _ in 0..items {
            black_box(pipeline.run(&nobody, small()).await.unwrap());
        }
    });
}

fn told(runtime: &Runtime, pipeline: &Pipeline<Inputs, Outputs>, items: u64) {
    let tracker = ProgressTracker::new();
    runtime.block_on(async {
        for n in 0..items {
            let task = tracker.task(format!("item-{n}"));
            let run = pipeline.item(small()).submit_with(task, |_| "done");
            black_box(run.unwrap().await.unwrap());
        }
    });
}

/// What `blob_det64` takes.
fn small() -> Inputs {
    Inputs::from([("images", zeros([1, 3, 64, 64]))])
}

/// Two stages, each a model on one thread, beside the same runs one after the other.
fn overlap(effort: Effort, table: &mut Table) {
    let runtime = one_thread();
    let (first, second) = (model("heavy", 1, 1), model("heavy", 1, 1));
    let pipeline = runtime.block_on(async {
        Pipeline::builder("bench")
            .stage("first", {
                let model = first.clone();
                move |cx: Context, inputs: Inputs| {
                    let model = model.clone();
                    async move {
                        model.run(inputs.clone(), cx.cancel()).await?;
                        Ok::<_, TaskError>(inputs)
                    }
                }
            })
            .stage("second", stage(&second))
            .build()
            .unwrap()
    });
    let items = effort.repeat(8);
    let inputs = || Inputs::from([("images", zeros([1, 3, 320, 320]))]);
    let nobody = Reporter::noop();
    let [pipelined, alone] = rounds(
        few(effort),
        [
            &mut || {
                let runs = || (0..items).map(|_| pipeline.run(&nobody, inputs()));
                let spent = Spent::of(|| runtime.block_on(try_join_all(runs())).unwrap());
                spent.micros(items) / 1e3
            },
            &mut || {
                let spent = Spent::of(|| {
                    for _ in 0..items {
                        for model in [&first, &second] {
                            model.run_blocking(inputs(), &Cancel::new()).unwrap();
                        }
                    }
                });
                spent.micros(items) / 1e3
            },
        ],
    );
    table.push(
        Row::new(
            "two models of one thread, overlapped",
            pipelined.value,
            "ms",
        )
        .beside(alone.value, alone.ratio)
        .ratio_at_least(1.6),
    );
}

/// One picture through u2netp at a time: the model alone beside the session itself, and with what comes
/// before and after it beside Python.
fn one(effort: Effort, table: &mut Table) {
    let cores = files::cores();
    let runtime = one_thread();
    let model = model("u2netp", 1, cores);
    let alone = runtime.block_on(async { of_model("bench", &model) });
    let mut session = Contender::bare("u2netp", cores);
    let nobody = Reporter::noop();
    let inputs = || Inputs::from([("input.1", zeros([1, 3, 320, 320]))]);
    let run = || runtime.block_on(alone.run(&nobody, inputs())).unwrap();
    let [piped, bare] = rounds(
        few(effort),
        [&mut || Spent::of(run).micros(1) / 1e3, &mut || {
            session.items(1).micros(1) / 1e3
        }],
    );
    table.push(
        Row::new("u2netp once, beside the session itself", piped.value, "ms")
            .beside(bare.value, bare.ratio),
    );
    let Some(mut python) = Contender::python("u2netp", &[1], None) else {
        return;
    };
    let pipeline = runtime.block_on(async { cut_out::pipeline(&model) });
    let mut ours = || Spent::of(|| cut_out::all(&runtime, &pipeline, 1));
    let name = "a picture";
    compare(effort, table, name, 1, 1.0, &mut ours, &mut python);
}

/// 32 pictures, all there from the beginning: by two sessions of one thread each here, and in Python by
/// the quicker of two ways, one session of all threads or a pool of threads with a session each. Nothing
/// but the model, in which all of them keep all cores at work, so that there is little to win; with
/// their files it is `photo`.
fn batch(effort: Effort, table: &mut Table) {
    const PICTURES: u64 = 32;
    let cores = files::cores();
    let runtime = one_thread();
    let model = model("u2netp", cores, 1);
    let pipeline = runtime.block_on(async { cut_out::pipeline(&model) });
    let pictures = effort.repeat(PICTURES);
    let Some(mut python) = Contender::python("u2netp", &[1, cores], None) else {
        return;
    };
    let mut ours = || Spent::of(|| cut_out::all(&runtime, &pipeline, pictures));
    let name = "a picture of 32";
    let effort = Effort {
        rounds: effort.rounds.min(3),
        ..effort
    };
    compare(effort, table, name, pictures, 1.0, &mut ours, &mut python);
}

/// Rows of time beside each way of Python's, and of the processors' time, which does not depend on who else
/// is at work. What is aimed at is aimed at beside the quickest way.
fn compare(
    effort: Effort,
    table: &mut Table,
    name: &str,
    items: u64,
    at_least: f64,
    ours: &mut dyn FnMut() -> Spent,
    python: &mut [Contender],
) {
    let ways: Vec<_> = python.iter().map(|python| python.way.clone()).collect();
    let mut contenders: Vec<Box<dyn FnMut() -> Spent>> = vec![Box::new(ours)];
    for python in python {
        contenders.push(Box::new(move || python.items(items)));
    }
    let mut cpu = vec![Vec::new(); contenders.len()];
    let turns = contenders.iter_mut().zip(&mut cpu);
    let turns = turns.map(|(contender, cpu)| {
        move || {
            // From rest, whoever had the turn before.
            thread::sleep(REST);
            let spent = contender();
            cpu.push(spent.cpu.as_secs_f64() * 1e3 / items as f64);
            spent.micros(items) / 1e3
        }
    });
    let mut turns: Vec<_> = turns.collect();
    let medians = rounds_of(few(effort), &mut turns);
    // Without the first turn, which does not count.
    let cpu = cpu.into_iter().map(|cpu| median(cpu.into_iter().skip(1)));
    let cpu: Vec<_> = cpu.collect();

    let (here, there) = (medians[0], &medians[1..]);
    let mut order: Vec<_> = (0..there.len()).collect();
    order.sort_by(|one, other| there[*one].value.total_cmp(&there[*other].value));
    for (place, way) in order.iter().enumerate() {
        let python = &ways[*way];
        let row = |what: &str| {
            Row::new(
                format!("{name}, beside Python's {python}{what}"),
                here.value,
                "ms",
            )
            .beside(there[*way].value, there[*way].ratio)
        };
        table.push(match place {
            0 if ways.len() > 1 => row(", the quicker way").ratio_at_least(at_least),
            0 => row("").ratio_at_least(at_least),
            _ => row(""),
        });
    }
    let (cpu_ours, cpu_python) = (cpu[0], cpu[1 + order[0]]);
    let missed = there[order[0]].ratio < at_least;
    if missed && ways.len() > 1 && effort.rounds > 1 {
        let bound = cpu_python / cpu_ours;
        println!(
            "{name}: below {at_least}x; where both keep all cores at work, the processors' time bounds it, {bound:.2}x"
        );
    }
    table.push(
        Row::new(format!("{name}, the processors' time"), cpu_ours, "ms")
            .beside(cpu_python, cpu_python / cpu_ours),
    );
}

/// A committed or fetched model on the CPU.
fn model(name: &str, workers: usize, threads: usize) -> OnnxModel {
    let count = |count| NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN);
    OnnxModel::builder(files::model(name))
        .device(Device::Cpu)
        .library(files::runtime())
        .workers(count(workers))
        .threads(count(threads))
        .load_blocking(&Reporter::noop(), &Cancel::new())
        .unwrap()
}

fn stage(
    model: &OnnxModel,
) -> impl Fn(
    Context,
    Inputs,
) -> std::pin::Pin<Box<dyn Future<Output = Result<Outputs, TaskError>> + Send>>
+ Send
+ Sync
+ 'static {
    let model = model.clone();
    move |cx, inputs| {
        let model = model.clone();
        Box::pin(async move { Ok(model.run(inputs, cx.cancel()).await?) })
    }
}

fn of_model(name: &str, model: &OnnxModel) -> Pipeline<Inputs, Outputs> {
    let pipeline = Pipeline::builder(name).stage("model", stage(model));
    pipeline.build().unwrap()
}

fn zeros(shape: [usize; 4]) -> Tensor {
    Tensor::new(shape, vec![0.0_f32; shape.iter().product()]).unwrap()
}

/// Turns of seconds, so not many of them.
fn few(effort: Effort) -> Effort {
    Effort {
        rounds: effort.rounds.min(7),
        ..effort
    }
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}
