//! Inputs that are not what a model takes: said before anything is run.

use pipeline_gpu::{
    Cancel,
    onnx::{ElementType, Inputs, OnnxError, Tensor, TensorError},
};
use progress_core::TaskError;

use crate::support::{model, red_on_grey};

fn refused(inputs: impl Into<Inputs> + Send) -> OnnxError {
    model("blob_det64")
        .run_blocking(inputs, &Cancel::new())
        .unwrap_err()
}

#[test]
fn a_wrong_shape_names_the_input_and_both_shapes() {
    let error = refused([("images", red_on_grey(32))]);
    assert_eq!(
        error.to_string(),
        "the input `images` takes the shape [1, 3, 64, 64], not [1, 3, 32, 32]"
    );
    let error = TaskError::from(error);
    assert_eq!(
        (error.code(), error.is_retryable()),
        ("ONNX_INPUT_SHAPE", false)
    );
    assert_eq!(error.details().get("given").unwrap(), "[1, 3, 32, 32]");
    assert!(error.solutions()[0].starts_with("Resize"), "{error:?}");
    // One dimension too few is no shorter shape.
    let flat = Tensor::zeros(ElementType::F32, [3, 64, 64]).unwrap();
    assert_eq!(refused([("images", flat)]).code(), "ONNX_INPUT_SHAPE");
}

#[test]
fn a_free_dimension_is_named_in_what_was_expected() {
    let tensor = Tensor::zeros(ElementType::F32, [1, 4, 8, 8]).unwrap();
    let error = model("blob_mask_dyn").run_blocking([("images", tensor)], &Cancel::new());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("[n, 3, h, w], not [1, 4, 8, 8]"), "{error}");
}

#[test]
fn a_wrong_type_names_the_input_and_both_types() {
    let bytes = Tensor::zeros(ElementType::U8, [1, 3, 64, 64]).unwrap();
    let error = refused([("images", bytes)]);
    assert_eq!(error.to_string(), "the input `images` takes f32, not u8");
    assert_eq!(TaskError::from(error).code(), "ONNX_INPUT_TYPE");
}

#[test]
fn inputs_that_are_unknown_missing_or_repeated_are_told_apart() {
    let image = || red_on_grey(64);
    let error = refused([("image", image())]);
    assert_eq!(
        error.to_string(),
        "the model has no input `image`; there are: images"
    );
    assert_eq!(error.code(), "ONNX_INPUT_UNKNOWN");
    assert_eq!(refused(Inputs::new()).code(), "ONNX_INPUT_MISSING");
    assert_eq!(
        refused([("images", image()), ("images", image())]).code(),
        "ONNX_INPUT_REPEATED"
    );
}

#[test]
fn an_output_is_taken_once() {
    let mut outputs = crate::support::run(&model("blob_det64"), [("images", red_on_grey(64))]);
    assert_eq!(
        outputs.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        ["output0"]
    );
    let wrong = outputs.clone().take_vec::<f64>("output0").unwrap_err();
    let expected = TensorError::Type {
        asked: ElementType::F64,
        found: ElementType::F32,
    };
    assert_eq!(wrong, OnnxError::Tensor(expected));
    assert!(outputs.take("output0").is_ok());
    assert_eq!(
        outputs.take("output0").unwrap_err().code(),
        "ONNX_OUTPUT_UNKNOWN"
    );
}

#[test]
fn a_tensor_has_as_many_elements_as_its_shape_says() {
    let error = Tensor::new([2, 3], vec![0.0_f32; 5]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a tensor of shape [2, 3] has 6 elements, not 5"
    );
    assert_eq!(TaskError::from(error).code(), "ONNX_TENSOR_LENGTH");
    for shape in [vec![usize::MAX, 2], vec![usize::MAX / 4]] {
        let error = Tensor::zeros(ElementType::U8, shape.clone()).unwrap_err();
        assert_eq!(error, TensorError::TooLarge { shape });
    }
}
