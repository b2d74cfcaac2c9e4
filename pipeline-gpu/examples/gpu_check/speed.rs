//! How long a model takes to load, to run first, and to run.

use std::time::{Duration, Instant};

use pipeline_gpu::{
    Cancel,
    onnx::{OnnxError, OnnxModel},
};

use crate::{
    Done,
    figures::{Figures, millis, timed},
    place::{Place, load},
    report::Report,
    subject::{self, Subject},
};

pub(crate) fn check(place: &Place, report: &mut Report) -> Done {
    for subject in subject::ALL {
        let (model, loading) = timed(|| load(place.builder(&subject).without_warm_up()));
        let model = model?;
        let (first, warming) = timed(|| model.run_blocking((subject.inputs)(), &Cancel::new()));
        first?;
        let figures = runs(&model, &subject)?;
        report.line(format_args!(
            "{}: loaded in {}, first run {}, then {figures}",
            subject.name,
            millis(loading),
            millis(warming)
        ));
    }
    Ok(())
}

/// How long runs take, of a model that is warm.
pub(crate) fn runs(model: &OnnxModel, subject: &Subject) -> Result<Figures, OnnxError> {
    let (began, mut times) = (Instant::now(), Vec::new());
    while times.len() < 50 && (times.len() < 3 || began.elapsed() < Duration::from_secs(5)) {
        let inputs = (subject.inputs)();
        let (run, time) = timed(|| model.run_blocking(inputs, &Cancel::new()));
        run?;
        times.push(time);
    }
    Ok(Figures::of(times).expect("there were three at least"))
}
