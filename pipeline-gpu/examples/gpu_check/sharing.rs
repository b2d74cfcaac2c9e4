//! Two pipelines that share the GPU: one at a time, in turns.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use futures_util::future::{join, try_join_all};
use pipeline_gpu::{
    Admission, Cancel, Context, Pipeline, Stage,
    onnx::{Inputs, OnnxModel, Outputs},
};
use progress_core::{Reporter, TaskError};

use crate::{
    Done,
    figures::{millis, timed},
    overlap,
    place::{Place, used},
    report::Report,
    subject::{HEAVY, Subject, U2NETP},
};

pub(crate) fn check(place: &Place, report: &mut Report) -> Done {
    let runtime = overlap::runtime()?;
    let _in_runtime = runtime.enter();
    let device = Admission::new("cuda:0", 1);
    let at_work = Arc::new(AtWork::default());
    let mut alone = Vec::new();
    let mut pipelines = Vec::new();
    for subject in [U2NETP, HEAVY] {
        let model = place.load(&subject)?;
        alone.push(model.run_blocking((subject.inputs)(), &Cancel::new())?);
        pipelines.push(pipeline(&subject, model, &device, &at_work)?);
    }
    let items = place.times(32, 4);
    let nobody = Reporter::noop();
    let ends = [(); 2].map(|()| Mutex::new(Vec::new()));
    let all = |at: usize, subject: Subject| {
        let (pipeline, ends, nobody) = (&pipelines[at], &ends[at], &nobody);
        try_join_all((0..items).map(move |_| async move {
            let outputs = pipeline.run(nobody, (subject.inputs)()).await?;
            let mut ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
            ends.push(Instant::now());
            Ok::<_, pipeline_gpu::RunError>(outputs)
        }))
    };
    let (both, took) = timed(|| runtime.block_on(join(all(0, U2NETP), all(1, HEAVY))));
    let outputs = [both.0?, both.1?];

    for (at, subject) in [U2NETP, HEAVY].iter().enumerate() {
        let same = |found: &Outputs| {
            let output = subject.outputs[0];
            close(&alone[at], found, output)
        };
        let right = outputs[at].iter().filter(|found| same(found)).count();
        let said = format!("{right} of {items} as alone");
        report.check(subject.name, right == items, &said);
    }
    let most = at_work.most.load(Ordering::SeqCst);
    report.check(
        "one at a time",
        most == 1,
        &format!("{most} at once at most"),
    );
    let ends = ends.map(|ends| ends.into_inner().unwrap_or_else(PoisonError::into_inner));
    let [one, other] = &ends;
    let in_turns = one.first() < other.last() && other.first() < one.last();
    let said = format!("{} items in {}", 2 * items, millis(took));
    report.check("in turns", in_turns, &said);
    if let Some(gpu) = place.usage() {
        report.line(used(&gpu));
    }
    Ok(())
}

fn pipeline(
    subject: &Subject,
    model: OnnxModel,
    device: &Admission,
    at_work: &Arc<AtWork>,
) -> Result<Pipeline<Inputs, Outputs>, pipeline_gpu::BuildError> {
    let at_work = Arc::clone(at_work);
    let stage = move |cx: Context, inputs: Inputs| {
        let (model, at_work) = (model.clone(), Arc::clone(&at_work));
        async move {
            let _one_more = at_work.enter();
            Ok::<_, TaskError>(model.run(inputs, cx.cancel()).await?)
        }
    };
    Pipeline::builder(subject.name)
        .stage("model", stage.on(device))
        .concurrency(2)
        .build()
}

/// How many are on the device, and were at most.
#[derive(Default)]
struct AtWork {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl AtWork {
    fn enter(&self) -> Entered<'_> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        Entered(self)
    }
}

struct Entered<'a>(&'a AtWork);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether two runs on one device gave the same.
fn close(one: &Outputs, other: &Outputs, name: &str) -> bool {
    let values = |outputs: &Outputs| {
        let tensor = outputs.get(name)?;
        Some(tensor.as_slice::<f32>().ok()?.to_vec())
    };
    let (Some(one), Some(other)) = (values(one), values(other)) else {
        return false;
    };
    let pairs = one.iter().zip(&other);
    one.len() == other.len()
        && pairs
            .into_iter()
            .all(|(one, other)| (one - other).abs() <= 1e-3 * one.abs().max(1.0))
}
