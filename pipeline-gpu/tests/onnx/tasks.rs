//! What a model cannot do ends its item's task, with a code, the stage and a way out; and the pipeline
//! goes on.

use std::{fs, path::Path};

use pipeline_gpu::{
    Cancel, Context, Pipeline, blocking,
    onnx::{Device, ModelSource, OnnxError, OnnxModel, Tensor},
};
use progress_core::{ProgressTracker, TaskState};
use tokio::runtime::Builder;

use crate::support::{
    builder, committed, fetched, in_own_process, load, model, on_cpu, red_on_grey,
};

/// Loads or runs a model in a stage, and looks at the task that fails of it.
#[track_caller]
fn fails(code: &str, work: impl Fn() -> Result<(), OnnxError> + Send + Sync + 'static) {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let (task, next) = runtime.block_on(async {
        let tracker = ProgressTracker::new();
        let stage = blocking(move |_cx: &Context, is_bad: bool| match is_bad {
            true => Ok(work()?),
            false => Ok(()),
        });
        let pipeline = Pipeline::builder("models").stage("model", stage).build();
        let pipeline = pipeline.unwrap();
        let error = pipeline.submit(tracker.task("bad"), true).unwrap().await;
        error.unwrap_err();
        let next = pipeline.submit(tracker.task("good"), false).unwrap();
        let task = tracker.snapshot("bad").await.unwrap();
        (task, next.await)
    });
    next.unwrap();
    let error = task.error.as_ref().unwrap();
    assert_eq!((task.state, error.code()), (TaskState::Failed, code));
    let told = serde_json::to_value(error).unwrap();
    assert_eq!(told["stage"], "model", "{told}");
    assert!(!error.is_retryable(), "{error:?}");
    assert!(!error.solutions().is_empty(), "{error:?}");
    // Where files are is for who runs the service, in the log.
    assert!(!format!("{error:?}").contains("onnxruntime-"), "{error:?}");
}

fn loads(builder: pipeline_gpu::onnx::ModelBuilder) -> Result<(), OnnxError> {
    load(builder).map(drop)
}

#[test]
fn a_model_that_cannot_be_loaded_fails_the_task() {
    let cut = fs::read(committed("blob_det320")).unwrap();
    let cut = ModelSource::bytes("cut", &cut[..cut.len() / 2]);
    fails("ONNX_MODEL_INVALID", move || {
        loads(on_cpu(OnnxModel::builder(cut.clone())))
    });
    fails("ONNX_MODEL_MISSING", || loads(builder("nowhere")));
}

#[test]
fn inputs_and_outputs_that_do_not_fit_fail_the_task() {
    let small = model("blob_det64");
    fails("ONNX_INPUT_SHAPE", move || {
        let run = small.run_blocking([("images", red_on_grey(32))], &Cancel::new());
        run.map(drop)
    });
    let roots = load(builder("not_finite").check_finite(true)).unwrap();
    fails("ONNX_OUTPUT_NOT_FINITE", move || {
        let negative = Tensor::new([1], vec![-1.0_f32])?;
        roots
            .run_blocking([("x", negative)], &Cancel::new())
            .map(drop)
    });
}

#[test]
fn a_missing_library_fails_the_task() {
    in_own_process("tasks::a_missing_library_fails_the_task", &[], || {
        fails("ONNX_LIBRARY_MISSING", || {
            loads(of_library(Path::new("/nowhere/libonnxruntime.so")))
        });
    });
}

#[test]
fn a_library_that_is_too_old_fails_the_task() {
    in_own_process(
        "tasks::a_library_that_is_too_old_fails_the_task",
        &[],
        || {
            let old = fetched("onnxruntime-1.23.2/libonnxruntime.so.1.23.2");
            fails("ONNX_LIBRARY_TOO_OLD", move || loads(of_library(&old)));
        },
    );
}

fn of_library(path: &Path) -> pipeline_gpu::onnx::ModelBuilder {
    OnnxModel::builder(committed("blob_det64"))
        .device(Device::Cpu)
        .library(path)
}
