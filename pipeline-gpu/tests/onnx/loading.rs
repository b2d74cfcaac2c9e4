//! Models that cannot be loaded, what loading says meanwhile, and the first run.

use std::{fs, num::NonZeroUsize};

use pipeline_gpu::{
    Cancel,
    onnx::{Device, Dim, ElementType, ModelSource, OnnxError, OnnxModel, Provider, Tensor},
};
use progress_core::{ProgressTracker, Reporter, TaskError};
use serde_json::Value;

use crate::support::{
    builder, committed, load, model, on_cpu, picture, red_on_grey, run, runtime, soon, until,
};

fn refused(source: impl Into<ModelSource>) -> OnnxError {
    load(on_cpu(OnnxModel::builder(source))).unwrap_err()
}

#[test]
fn a_model_that_was_cut_off_is_invalid() {
    let whole = fs::read(committed("blob_det320")).unwrap();
    // Of a message of Protocol Buffers some beginnings are messages too; then what is in it is not
    // enough.
    for part in [1, 10, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        let error = refused(ModelSource::bytes("cut", &whole[..part]));
        assert_eq!(error.code(), "ONNX_MODEL_INVALID", "{part} bytes: {error}");
        let error = TaskError::from(error);
        assert!(!error.is_retryable());
        assert_eq!(error.message(), "cut is not a valid model");
        assert!(error.solutions()[0].contains("checksum"), "{error:?}");
    }
}

#[test]
fn what_is_no_model_is_invalid() {
    for bytes in [&b"not a model"[..], &[0xff; 4096], &[0; 64], b""] {
        let error = refused(bytes);
        assert_eq!(error.code(), "ONNX_MODEL_INVALID", "{bytes:?}: {error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.onnx");
    fs::write(&empty, "").unwrap();
    assert_eq!(refused(&empty).code(), "ONNX_MODEL_INVALID");
}

#[test]
fn a_model_that_is_not_there_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pitch.onnx");
    for path in [path.as_path(), folder.path()] {
        let error = refused(path);
        // Who runs the service is told the path, watchers are not.
        assert!(
            error.to_string().contains(&*path.to_string_lossy()),
            "{error}"
        );
        let error = TaskError::from(error);
        assert_eq!(error.code(), "ONNX_MODEL_MISSING");
        assert!(!format!("{error:?}").contains('/'), "{error:?}");
    }
}

#[test]
fn a_model_is_loaded_from_bytes() {
    let bytes = fs::read(committed("blob_det64")).unwrap();
    let source = ModelSource::bytes("detector", bytes);
    let model = load(on_cpu(OnnxModel::builder(source))).unwrap();
    assert_eq!(model.name(), "detector");
    let [input] = model.inputs() else {
        panic!("it has one input")
    };
    assert_eq!(input.shape(), [1, 3, 64, 64].map(Dim::Fixed));
    let [output] = model.outputs() else {
        panic!("it has one output")
    };
    assert_eq!(
        (output.name(), output.element_type()),
        ("output0", ElementType::F32)
    );
    run(&model, [("images", red_on_grey(64))]);
}

#[tokio::test]
async fn what_is_done_meanwhile_is_reported_in_stages() {
    let task = ProgressTracker::new().task("models").start().unwrap();
    let two = NonZeroUsize::new(2).unwrap();
    let detector = builder("blob_det64").workers(two);
    detector.load(&task, &Cancel::new()).await.unwrap();
    let pitch = builder("prosody").stage("voice/model");
    pitch.load(&task, &Cancel::new()).await.unwrap();

    // What is counted is published with the next tick.
    until(|| {
        task.snapshot()
            .stage("voice/model/load")
            .is_some_and(|stage| stage.progress == 100.0)
    })
    .await;
    let snapshot = task.snapshot();
    let done = |path: &str| {
        let stage = snapshot.stage(path)?;
        Some((stage.progress, stage.current, stage.total))
    };
    assert_eq!(done("blob_det64/load"), Some((100.0, Some(2), Some(2))));
    assert_eq!(done("blob_det64/warm-up"), Some((100.0, Some(2), Some(2))));
    assert_eq!(done("voice/model/load"), Some((100.0, Some(1), Some(1))));
    // Its input has no fixed shape, and nobody gave one.
    assert_eq!(done("voice/model/warm-up"), None);
    let message = snapshot
        .stage("blob_det64/load")
        .unwrap()
        .message
        .as_deref();
    assert_eq!(message, Some("loading blob_det64 for CPUExecutionProvider"));
    assert_eq!(snapshot.metadata.get("device").unwrap(), "cpu");
    assert_eq!(
        snapshot.metadata.get("provider").unwrap(),
        "CPUExecutionProvider"
    );
    assert_eq!(snapshot.metadata.get("fallback_reason"), Some(&Value::Null));
}

#[test]
fn bounds_that_are_too_large_are_cut_down() {
    let most = NonZeroUsize::MAX;
    let model = load(builder("blob_det64").queue(most)).unwrap();
    run(&model, [("images", red_on_grey(64))]);
    assert_eq!(model.waiting(), 0);
}

#[cfg(feature = "tensorrt")]
#[tokio::test]
async fn an_engine_is_built_in_a_stage_of_its_own() {
    let task = ProgressTracker::new().task("models").start().unwrap();
    let wanted = builder("blob_det64").device(Device::TensorRt(0));
    // Without a GPU there is none.
    let said = match wanted.load(&task, &Cancel::new()).await {
        Ok(_) => "building the engine of blob_det64",
        Err(error) => {
            assert_eq!(error.code(), "ONNX_PROVIDER_UNAVAILABLE", "{error}");
            "no engine of blob_det64 is used"
        }
    };
    until(|| {
        let snapshot = task.snapshot();
        let stage = snapshot.stage("blob_det64/engine");
        stage.is_some_and(|stage| stage.message.as_deref() == Some(said))
    })
    .await;
    assert!(task.snapshot().stage("blob_det64/load").is_none());
}

#[cfg(feature = "tensorrt")]
#[tokio::test]
async fn an_engine_that_is_not_built_does_not_stay_begun() {
    let task = ProgressTracker::new().task("models").start().unwrap();
    let wanted = builder("blob_det64").providers([Provider::TensorRt, Provider::Cpu]);
    wanted.load(&task, &Cancel::new()).await.unwrap();
    until(|| {
        let snapshot = task.snapshot();
        let stage = snapshot.stage("blob_det64/engine");
        stage.is_some_and(|stage| stage.progress == 100.0)
    })
    .await;
}

#[test]
fn a_model_of_free_shapes_is_warmed_up_with_shapes_that_are_given() {
    assert!(!model("blob_mask_dyn").placement().is_proven());
    let given = builder("blob_mask_dyn").warm_up_shape("images", [2, 3, 16, 16]);
    let placement = load(given).unwrap().placement().clone();
    assert!(placement.is_proven());
    assert!(placement.share(Provider::Cpu).unwrap().operations >= 2);
    let inputs = [("audio", Tensor::zeros(ElementType::F32, [1, 640]).unwrap())];
    let given = builder("prosody").warm_up_inputs(inputs);
    assert!(load(given).unwrap().placement().is_proven());
}

#[test]
fn a_first_run_that_cannot_be_is_said_so_when_the_model_is_loaded() {
    let error = |builder| load(builder).unwrap_err();
    let wrong = error(builder("blob_mask_dyn").warm_up_shape("images", [1, 4, 8, 8]));
    assert_eq!(wrong.code(), "ONNX_INPUT_SHAPE");
    let unknown = error(builder("blob_mask_dyn").warm_up_shape("image", [1, 3, 8, 8]));
    assert_eq!(unknown.code(), "ONNX_INPUT_UNKNOWN");
    // One of many.
    let missing = error(builder("kinds").warm_up_shape("f32", [1]));
    assert_eq!(missing.code(), "ONNX_INPUT_MISSING");
    // Made for 64 cells, and told that it takes pictures of any size.
    let free = builder("blob_det64").input_shape("images", [Some(1), Some(3), None, None]);
    let failed = error(free.warm_up_shape("images", [1, 3, 32, 32]));
    assert_eq!(failed.code(), "ONNX_WARM_UP_FAILED", "{failed}");
}

#[test]
fn zeros_need_not_make_sense_to_warm_up_with() {
    let strict = builder("not_finite").check_finite(true).output_limit(1);
    assert!(
        load(strict.warm_up_shape("x", [8]))
            .unwrap()
            .placement()
            .is_proven()
    );
}

#[tokio::test]
async fn loading_stops_in_the_first_run() {
    let task = ProgressTracker::new().task("models").start().unwrap();
    let cancel = Cancel::new();
    let loading = tokio::spawn({
        let (reporter, cancel) = (task.reporter(), cancel.clone());
        // Its first run takes minutes.
        async move { builder("slow").load(&reporter, &cancel).await.map(drop) }
    });
    until(|| task.snapshot().stage("slow/warm-up").is_some()).await;
    cancel.cancel();
    assert_eq!(soon(loading).await.unwrap(), Err(OnnxError::Cancelled));
    let noop = Reporter::noop();
    let again = builder("slow").load(&noop, &cancel);
    assert_eq!(soon(again).await.unwrap_err(), OnnxError::Cancelled);
}

/// The threads of this process whose name begins so, as the system knows them: by 15 bytes.
#[cfg(target_os = "linux")]
fn threads(name: &str) -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|comm| comm.starts_with(name)).count()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn each_session_has_a_thread_that_ends_with_the_model() {
    let bytes = fs::read(committed("blob_det64")).unwrap();
    let three = NonZeroUsize::new(3).unwrap();
    let source = ModelSource::bytes("named\0", bytes);
    let builder = on_cpu(OnnxModel::builder(source)).workers(three);
    let model = builder
        .load(&Reporter::noop(), &Cancel::new())
        .await
        .unwrap();
    let count = || {
        (0..3)
            .map(|number| threads(&format!("onnx-{number}-named")))
            .sum::<usize>()
    };
    assert_eq!(count(), 3);
    drop(model);
    until(|| count() == 0).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_load_that_nobody_waits_for_stops() {
    let source = ModelSource::bytes("left", fs::read(committed("slow")).unwrap());
    let loading = tokio::spawn(async move {
        let builder = on_cpu(OnnxModel::builder(source));
        builder
            .load(&Reporter::noop(), &Cancel::new())
            .await
            .map(drop)
    });
    until(|| threads("onnx-0-left") == 1).await;
    loading.abort();
    until(|| threads("onnx-0-left") == 0).await;
}

#[test]
fn a_model_of_one_size_takes_others_once_its_inputs_have_other_shapes() {
    let free = [Some(1), Some(3), None, None];
    let model = load(builder("blob_mask64").input_shape("images", free)).unwrap();
    let shape = model.inputs()[0].shape();
    assert!(
        matches!(
            shape,
            [Dim::Fixed(1), Dim::Fixed(3), Dim::Free(_), Dim::Free(_)]
        ),
        "{shape:?}"
    );
    let image = picture(48, 32, |x, _| x < 24);
    let matte = run(&model, [("images", image)]).take("matte").unwrap();
    assert_eq!(matte.shape(), [1, 1, 32, 48]);

    let unknown = load(builder("blob_mask64").input_shape("image", free)).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "the model has no input `image`; there are: images"
    );
    let source = ModelSource::bytes("text", &b"not a model"[..]);
    let builder = OnnxModel::builder(source)
        .library(runtime())
        .input_shape("images", free);
    assert_eq!(load(builder).unwrap_err().code(), "ONNX_MODEL_INVALID");
}
