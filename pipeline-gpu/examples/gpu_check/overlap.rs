//! Pipelines: what each stage takes, and what it brings that stages of different items overlap.

use std::{
    error::Error,
    hint::black_box,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use pipeline_gpu::{
    Context, Pipeline, blocking,
    onnx::{Inputs, OnnxModel},
};
use progress_core::{Reporter, TaskError};
use tokio::runtime::{Builder, Runtime};

use crate::{
    Done,
    figures::{millis, timed},
    place::{Place, load},
    report::Report,
    speed,
    subject::{self, HEAVY, U2NETP},
};

/// A picture on its way: to what of it is left, and how much of that is right.
pub(crate) fn stages(place: &Place, report: &mut Report) -> Done {
    let runtime = runtime()?;
    let (detector, matting) = (place.load(&subject::BLOB)?, place.load(&U2NETP)?);
    let _in_runtime = runtime.enter();
    let pipeline = Pipeline::builder("pictures")
        .stage(
            "prepare",
            blocking(|_cx: &Context, (): ()| Ok(subject::ellipse())),
        )
        .stage("detect", move |cx: Context, picture| {
            let detector = detector.clone();
            async move {
                let inputs = Inputs::from([("images", Clone::clone(&picture))]);
                detector.run(inputs, cx.cancel()).await?;
                Ok::<_, TaskError>(picture)
            }
        })
        .stage("matte", move |cx: Context, picture| {
            let matting = matting.clone();
            async move {
                let mut outputs = matting.run([("input.1", picture)], cx.cancel()).await?;
                Ok::<_, TaskError>(outputs.take_vec::<f32>("1959")?)
            }
        })
        .stage(
            "compare",
            blocking(|_cx: &Context, matte: Vec<f32>| Ok(subject::overlap_with_ellipse(&matte))),
        )
        .build()?;
    let items = place.times(32, 4);
    let (one_by_one, overlapped) = both(&runtime, &pipeline, items, || ())?;
    let prior = pipeline.prior();
    for stage in ["prepare", "detect", "matte", "compare"] {
        let time = prior.expected(stage).map_or_else(|| "?".into(), millis);
        report.line(format_args!(
            "{stage}: {time}, median of {}",
            prior.runs(stage)
        ));
    }
    let each = |(_, time): &(Vec<f64>, Duration)| millis(*time / items as u32);
    report.line(format_args!(
        "a picture: {} one after the other, {} overlapped",
        each(&one_by_one),
        each(&overlapped)
    ));
    let all = || one_by_one.0.iter().chain(&overlapped.0);
    let worst = all().copied().fold(f64::INFINITY, f64::min);
    let said = format!("{worst:.3} of what is in either");
    report.check("the ellipse is cut out", worst > 0.95, &said);
    runtime.block_on(pipeline.close());
    Ok(())
}

/// A stage on a thread of the CPU, and a model that takes as long.
pub(crate) fn check(place: &Place, report: &mut Report) -> Done {
    let runtime = runtime()?;
    let subject = if place.is_on_cpu() { HEAVY } else { U2NETP };
    let model = load(place.builder(&subject).threads(NonZeroUsize::MIN))?;
    let took = speed::runs(&model, &subject)?.median;
    let turns = turns(took);
    let _in_runtime = runtime.enter();
    let pipeline = Pipeline::builder("two")
        .stage(
            "reckon",
            blocking(move |_cx: &Context, inputs: Inputs| {
                black_box(reckon(turns));
                Ok(inputs)
            }),
        )
        .stage("model", runs_of(&model))
        .build()?;
    let items = place.times(64, 6);
    let ((_, alone), (_, together)) = both(&runtime, &pipeline, items, subject.inputs)?;
    let gain = alone.as_secs_f64() / together.as_secs_f64();
    let said = format!(
        "{gain:.2} times as many, {items} items in {} rather than {}, two stages of {}",
        millis(together),
        millis(alone),
        millis(took)
    );
    if place.is_on_cpu() {
        // Who shares the cores decides.
        report.line(said);
    } else {
        report.check("overlap", gain >= 1.3, &said);
    }
    runtime.block_on(pipeline.close());
    Ok(())
}

/// A model as a stage.
fn runs_of(
    model: &OnnxModel,
) -> impl Fn(Context, Inputs) -> std::pin::Pin<Box<dyn Future<Output = Result<(), TaskError>> + Send>>
+ Send
+ Sync
+ 'static {
    let model = model.clone();
    move |cx, inputs| {
        let model = model.clone();
        Box::pin(async move {
            model.run(inputs, cx.cancel()).await?;
            Ok(())
        })
    }
}

type Timed<T> = (Vec<T>, Duration);

/// Items through a pipeline, each when the one before is done; then all at once.
fn both<In: Send + 'static, Out: Send + 'static>(
    runtime: &Runtime,
    pipeline: &Pipeline<In, Out>,
    items: usize,
    input: impl Fn() -> In,
) -> Result<(Timed<Out>, Timed<Out>), Box<dyn Error>> {
    let nobody = Reporter::noop();
    let (alone, alone_took) = timed(|| {
        runtime.block_on(async {
            let mut outputs = Vec::new();
            for _ in 0..items {
                outputs.push(pipeline.run(&nobody, input()).await?);
            }
            Ok::<_, pipeline_gpu::RunError>(outputs)
        })
    });
    let (together, together_took) = timed(|| {
        runtime.block_on(async {
            let runs = (0..items).map(|_| pipeline.run(&nobody, input()));
            try_join_all(runs).await
        })
    });
    Ok(((alone?, alone_took), (together?, together_took)))
}

/// How often to [`reckon`] for it to take so long.
fn turns(time: Duration) -> u64 {
    let began = Instant::now();
    let mut turns = 0;
    while began.elapsed() < time {
        black_box(reckon(1_000));
        turns += 1_000;
    }
    turns
}

fn reckon(turns: u64) -> u64 {
    (0..turns).fold(0, |value, turn| {
        black_box((value ^ turn).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    })
}

pub(crate) fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
}
