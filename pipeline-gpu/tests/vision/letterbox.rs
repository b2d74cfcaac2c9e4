//! There and back.

use image::{Rgb, RgbImage};
use pipeline_gpu::vision::{Anchor, BoundingBox, Letterbox, VisionError};
use proptest::prelude::*;

use crate::reference::{assert_close, numbers, picture, reference, sides};

#[test]
fn pixels_are_those_of_opencv() {
    for case in reference("letterbox").as_array().unwrap() {
        let side = case["side"].as_u64().unwrap() as u32;
        let letterbox = Letterbox::yolo(side).divisor(1.0);
        let (tensor, mapping) = letterbox.apply(&picture(case)).unwrap();
        let offset = numbers(&case["offset"]);
        assert_eq!(mapping.offset(), (offset[0], offset[1]));
        assert_eq!(tensor.shape(), [1, 3, side as usize, side as usize]);
        // OpenCV's pixels lie interleaved; and it rounds weights to eleven bits.
        let expected = numbers(&case["expected"]);
        let plane = (side * side) as usize;
        for channel in 0..3 {
            let expected: Vec<f32> = expected
                .iter()
                .skip(channel)
                .step_by(3)
                .map(|&byte| byte as f32)
                .collect();
            assert_close(&tensor.data()[channel * plane..][..plane], &expected, 1.0);
        }
    }
}

#[test]
fn a_tensor_holds_planes_of_red_green_and_blue_from_zero_to_one() {
    let picture = RgbImage::from_pixel(4, 4, Rgb([255, 51, 0]));
    let (tensor, _) = Letterbox::new(4, 4).apply(&picture).unwrap();
    let expected = [[1.0; 16], [0.2; 16], [0.0; 16]].concat();
    assert_close(tensor.data(), &expected, 1e-6);
    assert_eq!(tensor.clone().into_data(), tensor.data());
}

#[test]
fn center_face_gets_sides_that_are_multiples_of_32_and_the_picture_at_the_top_left() {
    let picture = RgbImage::from_pixel(33, 20, Rgb([9, 9, 9]));
    let (tensor, mapping) = Letterbox::center_face(640).apply(&picture).unwrap();
    assert_eq!(tensor.shape(), [1, 3, 32, 64]);
    assert_eq!((mapping.inner(), mapping.offset()), ((33, 20), (0, 0)));
    let row = &tensor.data()[19 * 64..][..64];
    assert!(
        row[..33].iter().all(|&value| value == 9.0) && row[33..].iter().all(|&value| value == 0.0)
    );
    let large = Letterbox::center_face(640).mapping(2000, 1000).unwrap();
    assert_eq!((large.input(), large.inner()), ((640, 320), (640, 320)));
}

#[test]
fn sizes_that_make_no_sense_are_named() {
    for (letterbox, name) in [
        (Letterbox::new(0, 10), "width"),
        (Letterbox::new(10, Letterbox::MAX_SIDE + 1), "height"),
        (Letterbox::center_face(0), "width"),
        (Letterbox::yolo(32).divisor(0.0), "divisor"),
        (Letterbox::yolo(32).divisor(f32::NAN), "divisor"),
    ] {
        let error = letterbox.mapping(8, 8).unwrap_err();
        assert!(
            matches!(error, VisionError::Option { field, .. } if field == name),
            "{error}"
        );
    }
    let error = Letterbox::yolo(32).apply(&RgbImage::new(0, 5)).unwrap_err();
    assert_eq!(error, VisionError::NoPixels);
}

proptest! {
    #[test]
    fn a_box_comes_back_to_where_it_was(
        width in 1..5000u32, height in 1..5000u32,
        input in prop_oneof![Just(Letterbox::yolo(640)), Just(Letterbox::new(320, 192)),
            Just(Letterbox::center_face(480)), Just(Letterbox::yolo(97).anchor(Anchor::TopLeft))],
        shares in prop::array::uniform4(0.0..=1.0f32),
    ) {
        let mapping = input.mapping(width, height).unwrap();
        let (w, h) = (width as f32, height as f32);
        let bounds = BoundingBox::new(shares[0] * w, shares[1] * h, shares[2] * w, shares[3] * h);
        let there = mapping.to_input(&bounds);
        let back = mapping.to_picture(&there);
        for (given, expected) in sides(&back).into_iter().zip(sides(&bounds)) {
            prop_assert!((given - expected).abs() < 1.0, "{back:?} is not {bounds:?}");
        }
        let (left, top) = (mapping.offset().0 as f32, mapping.offset().1 as f32);
        let inner = (mapping.inner().0 as f32, mapping.inner().1 as f32);
        for (x, y) in [(there.left, there.top), (there.right, there.bottom)] {
            prop_assert!((left - 0.01..=left + inner.0 + 0.01).contains(&x));
            prop_assert!((top - 0.01..=top + inner.1 + 0.01).contains(&y));
        }
    }

    #[test]
    fn a_picture_fits_its_input_and_touches_two_of_its_sides(
        width in 1..5000u32, height in 1..5000u32, to_width in 1..700u32, to_height in 1..700u32,
    ) {
        let mapping = Letterbox::new(to_width, to_height).mapping(width, height).unwrap();
        let (inner, offset) = (mapping.inner(), mapping.offset());
        prop_assert!(inner.0 >= 1 && inner.1 >= 1);
        prop_assert!(offset.0 + inner.0 <= to_width && offset.1 + inner.1 <= to_height);
        prop_assert!(inner.0 == to_width || inner.1 == to_height);
    }
}
