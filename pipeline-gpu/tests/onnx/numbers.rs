//! What the committed models give, to the digits that their generator promises.

use pipeline_gpu::onnx::{Dim, ElementType, Inputs, Tensor, TensorError, bf16, f16};

use crate::support::{close, model, picture, red_on_grey, run, sine};

/// Element `[0, row, cell]`.
fn at(output: &Tensor, row: usize, cell: usize) -> f32 {
    output.as_slice::<f32>().unwrap()[row * output.shape()[2] + cell]
}

#[test]
fn a_red_blob_is_found_where_it_is() {
    for (name, size) in [("blob_det64", 64), ("blob_det320", 320)] {
        let output = run(&model(name), [("images", red_on_grey(size))])
            .take("output0")
            .unwrap();
        let cells = (size / 8) * (size / 8);
        assert_eq!(output.shape(), [1, 84, cells]);
        let inside: Vec<_> = (0..cells)
            .filter(|cell| at(&output, 4, *cell) > 0.5)
            .collect();
        assert_eq!(inside.len(), 12);
        for cell in inside {
            for (row, expected) in [20.0, 32.0, 22.627, 30.984, 1.0].into_iter().enumerate() {
                close(at(&output, row, cell), expected, 0.01);
            }
        }
        let others = &output.as_slice::<f32>().unwrap()[5 * cells..];
        assert!(others.iter().all(|score| *score == 0.0));
    }
}

#[test]
fn a_matte_is_one_inside_and_none_outside() {
    let matte = run(&model("blob_mask64"), [("images", red_on_grey(64))])
        .take("matte")
        .unwrap();
    assert_eq!(matte.shape(), [1, 1, 64, 64]);
    let matte = matte.into_vec::<f32>().unwrap();
    close(matte[30 * 64 + 20], 1.0, 1e-5);
    close(matte[5 * 64 + 50], 0.0025, 1e-4);
}

#[test]
fn one_model_takes_pictures_of_any_size() {
    let model = model("blob_mask_dyn");
    let [port] = model.inputs() else {
        panic!("it has one input")
    };
    assert_eq!(
        (port.name(), port.element_type()),
        ("images", ElementType::F32)
    );
    let free = |name: &str| Dim::Free(Some(name.into()));
    assert_eq!(
        port.shape(),
        [free("n"), Dim::Fixed(3), free("h"), free("w")]
    );
    for (width, height) in [(40, 60), (128, 96), (1, 1)] {
        let image = picture(width, height, |x, _| x < 20);
        let matte = run(&model, [("images", image)]).take("matte").unwrap();
        assert_eq!(matte.shape(), [1, 1, height, width]);
    }
}

#[test]
fn a_sine_has_the_loudness_of_a_sine() {
    let features = run(&model("prosody"), [("audio", sine(440.0, 1.0))])
        .take("features")
        .unwrap();
    assert_eq!(features.shape(), [1, 50, 2]);
    for frame in features.as_slice::<f32>().unwrap().chunks(2).skip(1) {
        close(frame[0], std::f32::consts::FRAC_1_SQRT_2, 0.01);
        // Twice the sine of half the angle between two samples, by the same factor.
        close(frame[1], 0.0863, 0.001);
    }
}

#[test]
fn twelve_layers_keep_the_mean_of_what_they_see() {
    let grey = picture(320, 320, |_, _| false);
    let mean = run(&model("heavy"), [("images", grey)])
        .take_vec::<f32>("mean")
        .unwrap();
    close(mean[0], 0.488_763, 1e-4);
}

#[test]
fn tensors_of_every_type_come_back_as_they_went() {
    let model = model("kinds");
    let inputs = Inputs::new()
        .with("f32", Tensor::new([2], vec![-0.5_f32, f32::MAX]).unwrap())
        .with("f64", Tensor::new([2], vec![-0.5_f64, f64::MAX]).unwrap())
        .with("f16", Tensor::new([2], vec![f16::MIN, f16::ONE]).unwrap())
        .with(
            "bf16",
            Tensor::new([2], vec![bf16::MIN, bf16::ONE]).unwrap(),
        )
        .with("i8", Tensor::new([2], vec![i8::MIN, i8::MAX]).unwrap())
        .with("i16", Tensor::new([2], vec![i16::MIN, i16::MAX]).unwrap())
        .with("i32", Tensor::new([2], vec![i32::MIN, i32::MAX]).unwrap())
        .with("i64", Tensor::new([2], vec![i64::MIN, i64::MAX]).unwrap())
        .with("u8", Tensor::new([2], vec![0, u8::MAX]).unwrap())
        .with("u16", Tensor::new([2], vec![0, u16::MAX]).unwrap())
        .with("u32", Tensor::new([2], vec![0, u32::MAX]).unwrap())
        .with("u64", Tensor::new([2], vec![0, u64::MAX]).unwrap())
        .with("bool", Tensor::new([2], vec![false, true]).unwrap())
        .with("scalar", Tensor::scalar(7.5_f32));
    let given: Vec<_> = model
        .inputs()
        .iter()
        .map(|port| port.name().to_owned())
        .collect();
    let mut outputs = model
        .run_blocking(inputs.clone(), &pipeline_gpu::Cancel::new())
        .unwrap();
    let back: Inputs = given
        .iter()
        .map(|name| (name.clone(), outputs.take(&format!("{name}_out")).unwrap()))
        .collect();
    assert_eq!(back, inputs);
}

#[test]
fn a_tensor_of_nothing_is_given_and_taken() {
    let empty = Tensor::new([0], Vec::<f32>::new()).unwrap();
    let mut outputs = run(&model("not_finite"), [("x", empty.clone())]);
    assert_eq!(outputs.take("root").unwrap(), empty);
}

#[test]
fn pictures_of_one_run_are_as_if_each_had_its_own() {
    let model = model("blob_mask_dyn");
    let pictures: Vec<_> = [10, 20, 30]
        .map(|edge| picture(40, 30, move |x, _| x < edge))
        .into();
    let all = Tensor::stack(pictures.clone()).unwrap();
    assert_eq!(all.shape(), [3, 3, 30, 40]);
    let mattes = run(&model, [("images", all)]).take("matte").unwrap();
    for (picture, matte) in pictures.into_iter().zip(mattes.split(3).unwrap()) {
        assert_eq!(
            run(&model, [("images", picture)]).take("matte").unwrap(),
            matte
        );
    }
}

#[test]
fn tensors_that_are_unlike_are_not_stacked() {
    let zeros = |kind, shape: &[usize]| Tensor::zeros(kind, shape).unwrap();
    let first = || zeros(ElementType::F32, &[1, 2]);
    for other in [
        zeros(ElementType::F64, &[1, 2]),
        zeros(ElementType::F32, &[1, 3]),
        zeros(ElementType::F32, &[1, 2, 1]),
        zeros(ElementType::F32, &[]),
    ] {
        let error = Tensor::stack(vec![first(), first(), other]).unwrap_err();
        assert_eq!(error, TensorError::Unlike { index: 2 });
    }
    assert!(Tensor::stack(Vec::new()).is_err());
    assert!(Tensor::stack(vec![Tensor::scalar(1.0_f32)]).is_err());
    let endless = || zeros(ElementType::F32, &[usize::MAX, 0]);
    let error = Tensor::stack(vec![endless(), endless()]).unwrap_err();
    assert_eq!(error, TensorError::Unlike { index: 1 });
    // More rows in one than in another are fine.
    let whole = Tensor::stack(vec![first(), zeros(ElementType::F32, &[3, 2])]).unwrap();
    assert_eq!(whole.shape(), [4, 2]);
    for parts in [0, 3] {
        assert!(whole.clone().split(parts).is_err());
    }
    assert_eq!(whole.split(4).unwrap().len(), 4);
    assert_eq!(zeros(ElementType::U8, &[0, 5]).split(2).unwrap().len(), 2);
}
