//! That a session takes no more of a GPU's memory than it may.

use crate::{
    Done,
    place::{Place, load, used},
    report::Report,
    subject::{self, U2NETP},
};
use pipeline_gpu::Cancel;

/// Less than one layer of u2netp takes: 64 channels of 320 × 320.
const TOO_LITTLE: usize = 16 << 20;
/// Several times what it needs.
const ENOUGH: usize = 2 << 30;
/// What CUDA and its libraries take beside what is computed, by the first session of a process and
/// by each.
const BESIDE: u64 = 2 << 30;

pub(crate) fn check(place: &Place, report: &mut Report) -> Done {
    if place.is_on_cpu() {
        report.skip("the limit", "the runtime has none for the CPU");
        return Ok(());
    }
    let before = place.usage();
    let refused = load(place.builder(&U2NETP).gpu_memory_limit(TOO_LITTLE));
    let name = format!("{} MiB are too little", TOO_LITTLE >> 20);
    match refused {
        Ok(_) => report.check(&name, false, "it ran within them"),
        Err(error) => {
            let codes = ["ONNX_OUT_OF_MEMORY", "ONNX_WARM_UP_FAILED"];
            report.check(
                &name,
                codes.contains(&error.code()),
                &format!("{}: {error}", error.code()),
            );
        }
    }
    let model = load(place.builder(&U2NETP).gpu_memory_limit(ENOUGH))?;
    for _ in 0..10 {
        let mut outputs = model.run_blocking((U2NETP.inputs)(), &Cancel::new())?;
        let overlap = subject::overlap_with_ellipse(&outputs.take_vec::<f32>("1959")?);
        if overlap <= 0.95 {
            let said = format!("{overlap:.3} of the ellipse");
            report.check("within its limit it runs as ever", false, &said);
        }
    }
    let name = format!("{} MiB are enough", ENOUGH >> 20);
    match (before, place.usage()) {
        (Some(before), Some(now)) => {
            let taken = now.memory_used.saturating_sub(before.memory_used);
            let said = format!("{} MiB taken, {}", taken >> 20, used(&now));
            report.check(&name, taken <= ENOUGH as u64 + BESIDE, &said);
        }
        _ => report.check(&name, false, "NVML does not say"),
    }
    Ok(())
}
