//! Which provider really runs each model.

use pipeline_gpu::onnx::{Library, Provider};

use crate::{Done, place::Place, report::Report, subject};

pub(crate) fn check(place: &Place, report: &mut Report) -> Done {
    let before = place.usage();
    let mut models = Vec::new();
    for subject in subject::ALL {
        let model = place.load(&subject)?;
        let placement = model.placement();
        let mut said = format!("{} by {}", placement.device(), placement.provider());
        for provider in [Provider::TensorRt, Provider::Cuda, Provider::Cpu] {
            let share = placement.share(provider);
            if let Some(share) = share.filter(|share| share.operations > 0) {
                said += &format!(", {} operations on {provider}", share.operations);
            }
        }
        if let Some(reason) = placement.fallback_reason() {
            said += &format!(", because {reason}");
        }
        let wanted = if place.is_on_cpu() {
            Provider::Cpu
        } else {
            Provider::Cuda
        };
        // Models that reckon with shapes do that on the CPU; how much it is, is told.
        let holds = placement.provider() == wanted || !subject.is_plain;
        report.check(subject.name, holds && placement.is_proven(), &said);
        models.push(model);
    }
    if let Some(library) = Library::in_use() {
        let (path, origin) = (library.path().display(), library.origin());
        report.line(format_args!("{path} ({origin})"));
        report.line(library.build());
    }
    match (before, place.usage()) {
        (Some(before), Some(now)) if !place.is_on_cpu() => {
            let mib = now.memory_used.saturating_sub(before.memory_used) >> 20;
            let said = format!("{mib} MiB for {} models", models.len());
            report.check("NVML sees them", mib > 0, &said);
        }
        _ => report.skip("NVML sees them", "without a GPU"),
    }
    Ok(())
}
