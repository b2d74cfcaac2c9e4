//! What the tests share; where the runtime and the models are, the tests of those know.

#[expect(dead_code, reason = "the tests of the runtime use more of it")]
#[path = "../onnx/support.rs"]
mod onnx;

use std::{ops::Range, path::Path, process::Command, sync::Arc};

use image::{Rgb, RgbImage};
use pipeline_gpu::{
    Context, Stage,
    audio::{AudioLimits, Sound, decode as decode_sound},
    onnx::{ModelBuilder, OnnxModel},
    vision::{DecodeLimits, decode},
};
use progress_core::{ProgressTracker, Snapshot, TaskError, TaskId};
use serde_json::Value;
use tempfile::TempDir;

use self::onnx::fetched;
pub(crate) use self::onnx::{builder, load, model, on_cpu, soon, until};

/// A model of others, which is fetched.
pub(crate) fn real(name: &str) -> ModelBuilder {
    on_cpu(OnnxModel::builder(fetched(name)))
}

/// What is told of the one stage of a task, with what the stage gave.
pub(crate) struct Told<Out> {
    pub(crate) result: Result<Out, TaskError>,
    pub(crate) snapshot: Snapshot,
}

impl<Out> Told<Out> {
    /// A value of the stage's metadata.
    pub(crate) fn metadata(&self, name: &str) -> Value {
        let stage = &self.snapshot.stages[0];
        let value = serde_json::to_value(&stage.metadata).unwrap();
        value.get(name).cloned().unwrap_or_default()
    }

    pub(crate) fn message(&self) -> String {
        let message = self.snapshot.stages[0].message.as_deref();
        message.unwrap_or_default().to_owned()
    }
}

/// Runs a stage by itself for a task that is watched.
pub(crate) async fn tell<In, Out>(stage: impl Stage<In, Out>, input: In) -> Told<Out> {
    let tracker = ProgressTracker::new();
    let task = tracker.task(TaskId::random()).start().unwrap();
    let id = task.id().clone();
    let cx = Context::detached("stage", task.reporter().stage("stage"));
    let result = soon(stage.run(cx, input)).await;
    task.complete(()).unwrap();
    let snapshot = tracker.snapshot(id).await.unwrap();
    Told { result, snapshot }
}

/// Grey, with a red rectangle.
pub(crate) fn red_on_grey(
    width: u32,
    height: u32,
    [columns, rows]: [Range<u32>; 2],
) -> Arc<RgbImage> {
    Arc::new(RgbImage::from_fn(width, height, move |x, y| {
        match columns.contains(&x) && rows.contains(&y) {
            true => Rgb([255, 0, 0]),
            false => Rgb([128; 3]),
        }
    }))
}

/// Somebody, who is portrayed.
pub(crate) fn portrait() -> Arc<RgbImage> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/portrait.jpg");
    Arc::new(decode(&std::fs::read(file).unwrap(), &DecodeLimits::default()).unwrap())
}

/// Text as a voice that is made by rule speaks it, at that voice's rate.
pub(crate) fn spoken(text: &str) -> Sound {
    let program = std::env::var("ESPEAK_NG").unwrap_or_else(|_| "espeak-ng".to_owned());
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("spoken.wav");
    let mut command = Command::new(program);
    let status = command
        .args(["-v", "en", "-w"])
        .arg(&file)
        .arg(text)
        .status();
    let status = status.expect("espeak-ng is needed; run: cargo xtask test");
    assert!(status.success());
    decode_sound(&std::fs::read(file).unwrap(), &AudioLimits::default()).unwrap()
}
