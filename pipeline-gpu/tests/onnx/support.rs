//! Where the runtime and the models are, and what the tests share.

use std::{
    env,
    future::Future,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use pipeline_gpu::{
    Cancel,
    onnx::{Device, ModelBuilder, OnnxError, OnnxModel, Outputs, Tensor},
};
use progress_core::Reporter;

/// The least that is known to be enough on a busy machine. What takes this long has hung.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The runtime that the tests run on.
pub(crate) fn runtime() -> PathBuf {
    let variable = env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty());
    variable.map_or_else(
        || fetched("onnxruntime-1.31.1/libonnxruntime.so.1.31.1"),
        PathBuf::from,
    )
}

/// A file that `cargo xtask models` fetched to `models` below the target directory, in which this
/// program is too.
pub(crate) fn fetched(name: &str) -> PathBuf {
    let program = env::current_exe().unwrap();
    let mut folders = program
        .ancestors()
        .map(|folder| folder.join("models").join(name));
    let found = folders.find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is not here; run: cargo xtask models"))
}

/// A model of those that are committed.
pub(crate) fn committed(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models");
    folder.join(format!("{name}.onnx"))
}

/// A committed model on the CPU, by one thread.
pub(crate) fn builder(name: &str) -> ModelBuilder {
    on_cpu(OnnxModel::builder(committed(name)))
}

pub(crate) fn on_cpu(builder: ModelBuilder) -> ModelBuilder {
    builder
        .device(Device::Cpu)
        .threads(NonZeroUsize::MIN)
        .library(runtime())
}

pub(crate) fn load(builder: ModelBuilder) -> Result<OnnxModel, OnnxError> {
    builder.load_blocking(&Reporter::noop(), &Cancel::new())
}

pub(crate) fn model(name: &str) -> OnnxModel {
    load(builder(name)).unwrap()
}

/// One run, not cancelled.
pub(crate) fn run<const N: usize>(model: &OnnxModel, inputs: [(&str, Tensor); N]) -> Outputs {
    model.run_blocking(inputs, &Cancel::new()).unwrap()
}

/// A grey picture, `[1, 3, size, size]`, in which x 8 to 32, y 16 to 48 is red.
pub(crate) fn red_on_grey(size: usize) -> Tensor {
    picture(size, size, |x, y| {
        (8..32).contains(&x) && (16..48).contains(&y)
    })
}

pub(crate) fn picture(width: usize, height: usize, red: impl Fn(usize, usize) -> bool) -> Tensor {
    let mut pixels = vec![0.5_f32; 3 * width * height];
    for y in 0..height {
        for x in (0..width).filter(|x| red(*x, y)) {
            for (channel, value) in [1.0, 0.0, 0.0].into_iter().enumerate() {
                pixels[(channel * height + y) * width + x] = value;
            }
        }
    }
    Tensor::new([1, 3, height, width], pixels).unwrap()
}

/// `seconds` of a sine at 16 kHz, `[1, samples]`.
pub(crate) fn sine(hertz: f64, seconds: f64) -> Tensor {
    let samples = (seconds * 16_000.0) as usize;
    let at = |sample| (f64::from(sample) / 16_000.0 * hertz * std::f64::consts::TAU).sin() as f32;
    Tensor::new([1, samples], (0..samples as u32).map(at).collect()).unwrap()
}

pub(crate) fn close(one: f32, other: f32, apart: f32) {
    assert!(
        (one - other).abs() <= apart,
        "{one} is not {other} ± {apart}"
    );
}

/// Waits for what is to come soon.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, future).await;
    waited.expect("it did not come")
}

/// Waits until something is so, which nothing announces.
pub(crate) async fn until(so: impl Fn() -> bool) {
    soon(async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Runs the test called `name` in a process of its own, with that environment, since a process has
/// one library for good; there it runs `body`.
pub(crate) fn in_own_process(name: &str, environment: &[(&str, &Path)], body: impl FnOnce()) {
    in_process_of(&env::current_exe().unwrap(), name, environment, body);
}

/// The same by that copy of this program.
pub(crate) fn in_process_of(
    program: &Path,
    name: &str,
    environment: &[(&str, &Path)],
    body: impl FnOnce(),
) {
    const INSIDE: &str = "PIPELINE_GPU_TEST_INSIDE";
    if env::var(INSIDE).is_ok_and(|inside| inside == name) {
        return body();
    }
    let mut child = Command::new(program);
    child.args([name, "--exact", "--nocapture", "--test-threads=1"]);
    child.env(INSIDE, name).env_remove("ORT_DYLIB_PATH");
    child.envs(environment.iter().copied());
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    // A name that is none would run nothing, and pass.
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{errors}"
    );
}
