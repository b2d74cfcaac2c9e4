//! Outputs that nobody can use: typed errors where they are asked for.

use pipeline_gpu::{
    Cancel,
    onnx::{NotANumber, OnnxError, Tensor},
};
use progress_core::TaskError;

use crate::support::{builder, load, model, red_on_grey, run};

fn numbers(values: &[f32]) -> [(&'static str, Tensor); 1] {
    [("x", Tensor::new([values.len()], values.to_vec()).unwrap())]
}

#[test]
fn nan_and_infinity_fail_the_run_where_finite_outputs_are_asked_for() {
    let model = load(builder("not_finite").check_finite(true)).unwrap();
    let failed = |values: &[f32]| {
        let error = model
            .run_blocking(numbers(values), &Cancel::new())
            .unwrap_err();
        match &error {
            OnnxError::OutputNotFinite {
                name,
                index,
                value,
                count,
            } => (name.clone(), *index, *value, *count, error.clone()),
            other => panic!("{other}"),
        }
    };
    let (name, index, value, count, error) = failed(&[4.0, -1.0, 9.0, -2.0]);
    assert_eq!(
        (&*name, index, value, count),
        ("root", 1, NotANumber::Nan, 2)
    );
    let error = TaskError::from(error);
    assert_eq!(
        (error.code(), error.is_retryable()),
        ("ONNX_OUTPUT_NOT_FINITE", false)
    );
    assert!(!error.solutions().is_empty());

    let (name, index, value, ..) = failed(&[4.0, 0.0]);
    assert_eq!((&*name, index, value), ("inverse", 1, NotANumber::Infinity));
    let (.., value, _, _) = failed(&[-0.0]);
    assert_eq!(value, NotANumber::NegativeInfinity);
    // The session goes on.
    assert_eq!(
        run(&model, numbers(&[4.0]))
            .take_vec::<f32>("inverse")
            .unwrap(),
        [0.5]
    );
}

#[test]
fn without_the_check_nan_is_a_value_like_others() {
    let root = run(&model("not_finite"), numbers(&[4.0, -1.0]))
        .take_vec::<f32>("root")
        .unwrap();
    assert!(root[0] == 2.0 && root[1].is_nan(), "{root:?}");
}

#[test]
fn outputs_past_the_limit_are_not_copied() {
    // 84 rows of 64 cells, 4 bytes each.
    let bytes = 84 * 64 * 4;
    let model = load(builder("blob_det64").output_limit(bytes - 1)).unwrap();
    let error = model
        .run_blocking([("images", red_on_grey(64))], &Cancel::new())
        .unwrap_err();
    let expected = OnnxError::OutputTooLarge {
        name: "output0".into(),
        bytes,
        limit: bytes - 1,
    };
    assert_eq!(error, expected);
    assert_eq!(error.code(), "ONNX_OUTPUT_TOO_LARGE");
    let model = load(builder("blob_det64").output_limit(bytes)).unwrap();
    run(&model, [("images", red_on_grey(64))]);
}

#[test]
fn a_run_that_fails_says_why_and_the_session_goes_on() {
    // Made for 64 cells, and told that it takes pictures of any size.
    let free = [Some(1), Some(3), None, None];
    let model = load(builder("blob_det64").input_shape("images", free)).unwrap();
    let error = model
        .run_blocking([("images", red_on_grey(56))], &Cancel::new())
        .unwrap_err();
    let error = TaskError::from(error);
    assert_eq!(
        (error.code(), error.is_retryable()),
        ("ONNX_RUN_FAILED", false)
    );
    let reason = error.details().get("reason").unwrap().as_str().unwrap();
    assert!(reason.contains("Reshape"), "{reason}");
    assert!(!error.solutions().is_empty());
    run(&model, [("images", red_on_grey(64))]);
}

#[test]
fn a_model_that_gives_no_tensor_is_refused_when_it_is_loaded() {
    let error = load(builder("sequence")).unwrap_err();
    assert_eq!(error.code(), "ONNX_MODEL_UNSUPPORTED");
    assert!(error.to_string().contains("`parts`"), "{error}");
}
