//! How soon a run stops.

use std::{
    thread,
    time::{Duration, Instant},
};

use pipeline_gpu::{
    Cancel,
    onnx::{OnnxError, OnnxModel},
};

use crate::{
    Done,
    figures::Figures,
    place::{Place, load},
    report::Report,
    speed,
    subject::{self, SLOW, Subject, U2NETP},
};

/// The longest that an operation of these models may take.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) fn check(place: &Place, report: &mut Report) -> Done {
    let slow = load(place.builder(&SLOW).without_warm_up())?;
    // Its first run is when the GPU allocates.
    stop(&slow, &SLOW, Duration::from_millis(300))?;
    let (mut times, mut ran) = (Vec::new(), 0);
    for n in 0..20 {
        match stop(&slow, &SLOW, Duration::from_millis(5 * n))? {
            Some(time) => times.push(time),
            None => ran += 1,
        }
    }
    told(report, "a loop", times, ran);

    let model = place.load(&U2NETP)?;
    let usual = speed::runs(&model, &U2NETP)?.median;
    let (mut times, mut ran) = (Vec::new(), 0);
    for n in 0..10 {
        match stop(&model, &U2NETP, usual * n / 12)? {
            Some(time) => times.push(time),
            // It was quicker than usual.
            None => ran += 1,
        }
    }
    told(report, "u2netp", times, ran);

    let mut outputs = model.run_blocking((U2NETP.inputs)(), &Cancel::new())?;
    let overlap = subject::overlap_with_ellipse(&outputs.take_vec::<f32>("1959")?);
    let said = format!("the ellipse is cut out, {overlap:.3}");
    report.check("a run after those that were stopped", overlap > 0.95, &said);
    Ok(())
}

fn told(report: &mut Report, name: &str, times: Vec<Duration>, ran: u32) {
    match Figures::of(times) {
        Some(figures) => {
            let said = format!("stopped after {figures}; {ran} were done before");
            report.check(name, figures.max <= PATIENCE, &said);
        }
        None => report.check(name, false, "no run was stopped"),
    }
}

/// Tells a run to stop that has run for so long, and says how long it took to; none if it was done
/// before.
fn stop(
    model: &OnnxModel,
    subject: &Subject,
    after: Duration,
) -> Result<Option<Duration>, OnnxError> {
    let cancel = Cancel::new();
    let inputs = (subject.inputs)();
    thread::scope(|scope| {
        let run = scope.spawn(|| {
            let run = model.run_blocking(inputs, &cancel);
            (run, Instant::now())
        });
        while model.running() == 0 && !run.is_finished() {
            thread::yield_now();
        }
        thread::sleep(after);
        let told = Instant::now();
        cancel.cancel();
        let (run, ended) = run.join().expect("a run does not panic");
        match run {
            Ok(_) => Ok(None),
            Err(OnnxError::Cancelled) => Ok(Some(ended.saturating_duration_since(told))),
            Err(error) => Err(error),
        }
    })
}
