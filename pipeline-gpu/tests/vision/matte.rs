//! Cutting out.

use image::{Rgb, RgbImage, Rgba};
use pipeline_gpu::vision::{
    BoundingBox, DecodeLimits, Matte, MatteModel, MatteRange, VisionError, compose, decode,
    encode_png,
};

use crate::reference::{assert_close, floats, picture, reference};

#[test]
fn inputs_are_those_of_the_reference() {
    let reference = reference("matte");
    let picture = picture(&reference);
    for (name, model) in [
        ("u2net", MatteModel::u2net()),
        ("isnet", MatteModel::isnet()),
        ("birefnet", MatteModel::birefnet()),
    ] {
        let input = model.size(8, 8).input(&picture).unwrap();
        assert_eq!(input.shape(), [1, 3, 8, 8]);
        // Both round weights, each in its way: a byte and the brightest byte may differ by one.
        assert_close(
            input.data(),
            &floats(&reference[name]),
            2.01 / 187.0 / 0.224,
        );
    }
}

#[test]
fn mattes_come_back_in_the_pictures_size_as_the_reference_has_them() {
    let reference = reference("matte");
    let output = floats(&reference["output"]);
    for (name, model) in [
        ("stretched", MatteModel::u2net()),
        ("logits", MatteModel::birefnet()),
    ] {
        let matte = model.matte(&[1, 1, 8, 8], &output, (12, 9)).unwrap();
        assert_eq!((matte.width(), matte.height()), (12, 9));
        assert_close(matte.alpha(), &floats(&reference[name]), 1e-3);
    }
}

#[test]
fn a_black_picture_and_an_output_without_contrast_stay_finite() {
    let input = MatteModel::u2net()
        .size(4, 4)
        .input(&RgbImage::new(9, 9))
        .unwrap();
    assert!(input.data().iter().all(|value| value.is_finite()));
    let matte = MatteModel::u2net()
        .matte(&[4, 4], &[0.25; 16], (4, 4))
        .unwrap();
    assert_eq!(matte.alpha(), [0.25; 16]);
    assert_eq!(matte.coverage(), 0.25);
}

#[test]
fn outputs_of_another_kind_are_refused() {
    let model = MatteModel::u2net();
    for shape in [
        &[2, 1, 4, 4][..],
        &[1, 7, 4, 4],
        &[16],
        &[],
        &[1, 1, 0, 4],
        &[1, 1, 1, 4, 4],
    ] {
        let error = model.matte(shape, &[0.0; 16], (8, 8)).unwrap_err();
        assert!(matches!(error, VisionError::Shape { .. }), "{shape:?}");
    }
    let error = model.matte(&[1, 1, 4, 4], &[0.0; 15], (8, 8)).unwrap_err();
    assert!(matches!(
        error,
        VisionError::Length {
            expected: 16,
            given: 15,
            ..
        }
    ));
    let mut output = [0.0; 16];
    output[3] = f32::NAN;
    let error = model.matte(&[4, 4], &output, (8, 8)).unwrap_err();
    assert!(matches!(error, VisionError::NotFinite { index: 3, .. }));
    assert_eq!(
        model.matte(&[4, 4], &[0.0; 16], (0, 8)),
        Err(VisionError::NoPixels)
    );
    let error = model.size(0, 9).input(&RgbImage::new(2, 2)).unwrap_err();
    assert!(matches!(error, VisionError::Option { field: "width", .. }));
    let error = model
        .normalised([0.0; 3], [1.0, 0.0, 1.0])
        .input(&RgbImage::new(2, 2));
    assert!(matches!(
        error,
        Err(VisionError::Option {
            field: "deviation",
            ..
        })
    ));
}

#[test]
fn a_cut_out_is_written_as_png_and_keeps_its_colours_and_its_alpha() {
    let picture = RgbImage::from_fn(3, 1, |x, _| Rgb([x as u8 * 100, 7, 9]));
    let matte = alpha(3, 1, &[0.0, 0.5, 1.0]);
    let png = encode_png(&compose(&picture, &matte, None).unwrap()).unwrap();
    let read = image::load_from_memory(&png).unwrap().into_rgba8();
    let pixels: Vec<_> = read.pixels().copied().collect();
    assert_eq!(
        pixels,
        [
            Rgba([0, 7, 9, 0]),
            Rgba([100, 7, 9, 128]),
            Rgba([200, 7, 9, 255])
        ]
    );
}

#[test]
fn a_background_shows_where_nothing_is_kept() {
    let picture = RgbImage::from_pixel(3, 1, Rgb([200, 100, 0]));
    let matte = alpha(3, 1, &[0.0, 0.5, 1.0]);
    let composed = compose(&picture, &matte, Some([0, 200, 50])).unwrap();
    let pixels: Vec<_> = composed.pixels().copied().collect();
    let expected = [
        Rgba([0, 200, 50, 255]),
        Rgba([100, 150, 25, 255]),
        Rgba([200, 100, 0, 255]),
    ];
    assert_eq!(pixels, expected);
}

#[test]
fn a_matte_of_another_picture_is_refused() {
    let error = compose(&RgbImage::new(4, 2), &alpha(2, 4, &[1.0; 8]), None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the matte has shape [4, 2], expected [2, 4]"
    );
}

#[test]
fn one_person_is_kept_and_what_is_outside_of_the_box_fades() {
    let bounds = BoundingBox::new(2.0, 0.0, 4.0, 1.0);
    let hard = alpha(8, 1, &[1.0; 8]).within(&bounds, 0.0).unwrap();
    assert_eq!(hard.alpha(), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    // The margin is as wide as the box: two pixels, whose centres are at a quarter and at three.
    let soft = alpha(8, 1, &[0.8; 8]).within(&bounds, 1.0).unwrap();
    assert_close(
        soft.alpha(),
        &[0.2, 0.6, 0.8, 0.8, 0.6, 0.2, 0.0, 0.0],
        1e-6,
    );
}

#[test]
fn edges_can_be_hardened_and_softened() {
    let matte = alpha(
        8,
        8,
        &std::array::from_fn::<_, 64, _>(|at| if at % 8 < 4 { 0.2 } else { 0.8 }),
    );
    let hard = matte.clone().thresholded(0.5).unwrap();
    assert!(
        hard.alpha()
            .iter()
            .all(|&alpha| alpha == 0.0 || alpha == 1.0)
    );
    assert_eq!(hard.coverage(), 0.5);
    let soft = hard.clone().feathered(1.5).unwrap();
    let row = &soft.alpha()[..8];
    assert!(row.windows(2).all(|pair| pair[0] <= pair[1]), "{row:?}");
    assert!(row[3] > 0.1 && row[4] < 0.9, "{row:?}");
    assert!((soft.coverage() - 0.5).abs() < 0.02);
    assert_eq!(hard.clone().feathered(0.0).unwrap(), hard);
}

#[test]
fn options_out_of_range_are_named() {
    let matte = || alpha(2, 2, &[0.5; 4]);
    let bounds = BoundingBox::new(0.0, 0.0, 1.0, 1.0);
    let none = BoundingBox::new(1.0, 1.0, 1.0, 1.0);
    for (result, name) in [
        (matte().thresholded(1.1), "threshold"),
        (matte().feathered(-1.0), "sigma"),
        (matte().feathered(Matte::MAX_FEATHER + 1.0), "sigma"),
        (matte().within(&bounds, f32::NAN), "margin"),
        (matte().within(&none, 0.1), "bounds"),
    ] {
        assert!(matches!(result, Err(VisionError::Option { field, .. }) if field == name));
    }
}

#[test]
fn a_cut_out_is_laid_over_white_when_it_is_read_as_a_picture() {
    let picture = RgbImage::from_pixel(1, 1, Rgb([0, 0, 0]));
    let png = encode_png(&compose(&picture, &alpha(1, 1, &[0.5]), None).unwrap()).unwrap();
    let read = decode(&png, &DecodeLimits::default()).unwrap();
    assert_eq!(read.get_pixel(0, 0), &Rgb([127, 127, 127]));
}

fn alpha(width: u32, height: u32, alpha: &[f32]) -> Matte {
    let model = MatteModel::u2net().range(MatteRange::Alpha);
    model
        .matte(&[height as usize, width as usize], alpha, (width, height))
        .unwrap()
}
