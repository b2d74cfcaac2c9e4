//! Which provider really runs a model. The runtime of the tests is one without GPUs.

use std::path::Path;

use pipeline_gpu::{
    Cancel,
    onnx::{Device, OnnxModel, Provider},
};
use progress_core::{ProgressTracker, TaskError};
use serde_json::Value;

use crate::support::{committed, in_own_process, load, red_on_grey, run, runtime, until};

fn builder(device: Device) -> pipeline_gpu::onnx::ModelBuilder {
    OnnxModel::builder(committed("blob_det64"))
        .device(device)
        .library(runtime())
}

#[test]
fn on_the_cpu_a_measured_run_proves_it() {
    let placement = load(builder(Device::Cpu)).unwrap().placement().clone();
    assert_eq!(
        (placement.provider(), placement.gpu()),
        (Provider::Cpu, None)
    );
    assert!(placement.is_proven());
    let own = placement.share(Provider::Cpu).unwrap();
    assert!(own.operations >= 5, "{own:?}");
    assert_eq!(placement.share(Provider::Cuda).unwrap().operations, 0);
    assert_eq!(placement.fallback_reason(), None);

    let unmeasured = load(builder(Device::Cpu).profile(false)).unwrap();
    assert!(!unmeasured.placement().is_proven());
    assert_eq!(unmeasured.placement().share(Provider::Cpu), None);
}

#[tokio::test]
async fn without_a_gpu_it_runs_on_the_cpu_and_says_why() {
    let task = ProgressTracker::new().task("models").start().unwrap();
    let model = builder(Device::Auto)
        .load(&task, &Cancel::new())
        .await
        .unwrap();
    let placement = model.placement();
    assert_eq!(placement.device(), "cpu");
    let [fallback] = placement.fallbacks() else {
        panic!("{placement:?}")
    };
    assert_eq!(fallback.provider, Provider::Cuda);
    assert!(!fallback.reason.is_empty());
    model
        .run([("images", red_on_grey(64))], &Cancel::new())
        .await
        .unwrap();

    // Published with the next tick.
    until(|| task.snapshot().metadata.get("fallback_reason").is_some()).await;
    let metadata = task.snapshot().metadata;
    assert_eq!(metadata.get("device").unwrap(), "cpu");
    assert_eq!(metadata.get("provider_proven").unwrap(), true);
    let reason = metadata.get("fallback_reason").unwrap().as_str().unwrap();
    assert!(reason.starts_with("CUDAExecutionProvider: "), "{reason}");
    assert!(!reason.contains('/'), "{reason}");

    // Of a model that is where it was to be, it is not told.
    let other = builder(Device::Cpu);
    other.load(&task, &Cancel::new()).await.unwrap();
    until(|| task.snapshot().metadata.get("fallback_reason") == Some(&Value::Null)).await;
}

#[test]
fn a_gpu_that_was_asked_for_by_number_is_not_replaced() {
    for device in [Device::Cuda(0), Device::TensorRt(0)] {
        let error = load(builder(device)).unwrap_err();
        assert_eq!(error.code(), "ONNX_PROVIDER_UNAVAILABLE", "{error}");
        if cfg!(not(feature = "tensorrt")) && device == Device::TensorRt(0) {
            assert!(
                error.to_string().contains("the feature `tensorrt`"),
                "{error}"
            );
        }
        let error = TaskError::from(error);
        assert!(!error.is_retryable());
        assert!(
            error
                .details()
                .get("reason")
                .unwrap()
                .as_str()
                .unwrap()
                .contains("ExecutionProvider: ")
        );
        assert!(error.solutions()[0].contains("CPU"), "{error:?}");
    }
}

#[test]
fn providers_are_tried_in_the_order_that_is_given() {
    let all = [Provider::TensorRt, Provider::Cuda, Provider::Cpu];
    let model = load(builder(Device::Auto).providers(all)).unwrap();
    let tried: Vec<_> = model
        .placement()
        .fallbacks()
        .iter()
        .map(|one| one.provider)
        .collect();
    assert_eq!(tried, [Provider::TensorRt, Provider::Cuda]);
    assert_eq!(model.placement().provider(), Provider::Cpu);
    run(&model, [("images", red_on_grey(64))]);
    let none = load(builder(Device::Auto).providers([])).unwrap();
    assert_eq!(none.placement().provider(), Provider::Cpu);
}

#[test]
fn a_measured_run_leaves_no_file() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let name = "placement::a_measured_run_leaves_no_file";
    // Without the second, the runtime leaves one of its own.
    let environment = [
        ("TMPDIR", folder.path()),
        ("ORT_DISABLE_TELEMETRY", Path::new("1")),
    ];
    in_own_process(name, &environment, || {
        assert!(load(builder(Device::Auto)).unwrap().placement().is_proven());
        let left = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten();
        let left: Vec<_> = left.map(|file| file.path()).collect();
        assert!(left.is_empty(), "{left:?}");
    });
}
