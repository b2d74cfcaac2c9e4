//! The check of `pipeline-gpu` on a machine with a GPU of the kind H100 or H200: one folder to carry
//! there.
//!
//! Such a machine may have no network, and its minutes cost. So the folder has all that is needed but
//! what NVIDIA's own packages bring, and is made beforehand.

mod bundle;
mod fatbin;

use std::env::consts::{ARCH, OS};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use self::bundle::Bundle;
use crate::models::{self, File, Package, Wheel};
use crate::needs::{self, User};
use crate::report::Outcome;
use crate::{Context, Gate};

/// What is copied there in seconds over most lines, and fits into what many services take as one file.
const LIMIT: u64 = 58 << 20;

/// Compute capability 9.0: H100, H200.
const ARCHITECTURE: u32 = 90;

/// ONNX Runtime for CUDA 13.
const RUNTIME: Package = Package {
    requirement: "onnxruntime-gpu==1.31.1",
    wheels: &[Wheel {
        os: "linux",
        arch: "x86_64",
        platform: "manylinux_2_28_x86_64",
        sha256: "05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7",
    }],
    files: &[
        File {
            inside: "onnxruntime/capi/libonnxruntime.so.1.31.1",
            name: LIBRARY,
        },
        File {
            inside: "onnxruntime/capi/libonnxruntime_providers_shared.so",
            name: SHARED,
        },
        File {
            inside: "onnxruntime/capi/libonnxruntime_providers_cuda.so",
            name: CUDA,
        },
    ],
};

const LIBRARY: &str = "libonnxruntime.so";
const SHARED: &str = "libonnxruntime_providers_shared.so";
const CUDA: &str = "libonnxruntime_providers_cuda.so";

const FETCHED: [&str; 3] = ["u2netp.onnx", "swift_f0.onnx", "silero_vad_16k.onnx"];
const COMMITTED: [&str; 3] = ["heavy.onnx", "slow.onnx", "blob_det320.onnx"];

/// What `cargo xtask gpu-check` runs.
pub(crate) const GATE: Gate = Gate {
    name: "gpu-check",
    run,
};

fn run(context: &Context) -> Result<Outcome> {
    if (OS, ARCH) != ("linux", "x86_64") {
        bail!("the check runs on Linux on x86_64, and is built where it could run");
    }
    needs::ensure(User::Bundle, &context.root)?;
    models::ensure(context)?;
    let folder = context.target_dir("gpu-check");
    let bundle = Bundle::open(&context.root, &folder)?;

    context
        .cargo(["rustc", "--release", "-p", "pipeline-gpu"])
        .args(["--example", "gpu_check", "--", "-C", "strip=symbols"])
        .run()?;
    bundle.copy(
        &context.target_dir("release/examples/gpu_check"),
        "gpu_check",
    )?;
    for name in FETCHED {
        let from = context.target_dir("models").join(name);
        bundle.copy(&from, &format!("models/{name}"))?;
    }
    for name in COMMITTED {
        let from = context.root.join("pipeline-gpu/tests/models").join(name);
        bundle.copy(&from, &format!("models/{name}"))?;
    }
    bundle.write("run.sh", include_str!("run.sh"))?;
    let made = runtime(context, &bundle, &folder)?;
    bundle.sum()?;

    let size = bundle.size()?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let note = format!(
        "{:.1} MiB in {}, {made} of 3 libraries made anew",
        mib(size),
        bundle.folder().display()
    );
    if size > LIMIT {
        return Ok(Outcome::Failed(format!(
            "{note}; at most {} MiB can be carried",
            LIMIT >> 20
        )));
    }
    Ok(Outcome::PassedWith(note))
}

/// Brings the runtime's libraries, those that are not there as they should be, and says how many
/// these were.
fn runtime(context: &Context, bundle: &Bundle, folder: &Path) -> Result<usize> {
    let sha256 = RUNTIME.wheels[0].sha256;
    // A change in how something is made belongs into its recipe.
    let plain = format!("{sha256} xz -6");
    let slim = format!("{sha256} sm_{ARCHITECTURE} among others, xz -6");
    let targets = [
        (LIBRARY, format!("{LIBRARY}.xz"), plain),
        (SHARED, SHARED.to_owned(), sha256.to_owned()),
        (CUDA, format!("{CUDA}.xz"), slim),
    ];
    let wanted: Vec<_> = targets
        .iter()
        .filter(|(_, name, recipe)| !bundle.is_made(name, recipe))
        .collect();
    if wanted.is_empty() {
        return Ok(0);
    }
    let work = folder.join("work");
    models::ensure_one(context, &RUNTIME, &work)?;
    for (from, name, recipe) in &wanted {
        let from = work.join(from);
        if name == SHARED {
            bundle.copy(&from, name)?;
        } else {
            if from.ends_with(CUDA) {
                slim_down(&from)?;
            }
            bundle.compress(&from, name)?;
        }
        bundle.note(name, recipe)?;
    }
    // The libraries were changed where they lie, and take 300 MB.
    fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()))?;
    Ok(wanted.len())
}

fn slim_down(library: &Path) -> Result<()> {
    let mut bytes =
        fs::read(library).with_context(|| format!("cannot read {}", library.display()))?;
    let kept = fatbin::keep_only(&mut bytes, ARCHITECTURE)?;
    fs::write(library, bytes).with_context(|| format!("cannot write {}", library.display()))?;
    println!("{kept}");
    Ok(())
}
