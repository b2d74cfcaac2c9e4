//! Checks on this machine what the crate says of GPUs, with models that others made and ones of its
//! own: which device really runs them, that its numbers are the CPU's, how long stages take and how
//! they overlap, how soon a run stops, that memory keeps its limit, and that pipelines share a GPU.
//!
//! ```text
//! cargo run --release -p pipeline-gpu --example gpu_check -- [--cpu] --models FOLDER
//! ```
//!
//! With `--cpu` the same is done on the CPU, for machines without a GPU. ONNX Runtime is found by
//! `ORT_DYLIB_PATH`; the folder holds `u2netp.onnx`, `swift_f0.onnx`, `silero_vad_16k.onnx` and, of
//! the crate's tests, `heavy.onnx`, `slow.onnx` and `blob_det320.onnx`. `cargo xtask gpu-check`
//! gathers all of it in a folder to carry. The exit status is 0 if every check holds.

mod agreement;
mod control;
mod figures;
mod memory;
mod overlap;
mod place;
mod placement;
mod report;
mod sharing;
mod speed;
mod subject;

use std::{env, error::Error, process::ExitCode};

use self::{place::Place, report::Report};

/// A section that cannot go on fails.
type Done = Result<(), Box<dyn Error>>;

type Section = (&'static str, fn(&Place, &mut Report) -> Done);

const SECTIONS: [Section; 8] = [
    ("placement", placement::check),
    ("agreement with the CPU", agreement::check),
    ("speed", speed::check),
    ("stages", overlap::stages),
    ("overlap", overlap::check),
    ("cancellation", control::check),
    ("memory", memory::check),
    ("sharing", sharing::check),
];

fn main() -> ExitCode {
    let place = match Place::of(env::args().skip(1)) {
        Ok(place) => place,
        Err(error) => {
            eprintln!("error: {error}\nusage: gpu_check [--cpu] --models FOLDER");
            return ExitCode::from(2);
        }
    };
    let mut report = Report::default();
    place.describe(&mut report);
    for (name, section) in SECTIONS {
        report.section(name);
        if let Err(error) = section(&place, &mut report) {
            report.check(name, false, &explained(&*error));
        }
    }
    report.end()
}

/// An error with what it comes from: of the library, every place that was tried.
fn explained(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", explained(source)),
        None => error.to_string(),
    }
}
