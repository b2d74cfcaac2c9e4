//! Reading YOLOs.

use pipeline_gpu::vision::{
    COCO, Detection, Letterbox, Mapping, Nms, VisionError, Yolo, YoloLayout,
};
use serde_json::Value;

use crate::reference::{assert_close, floats, numbers, reference, sides};

#[test]
fn both_layouts_give_the_boxes_of_the_reference() {
    let reference = reference("yolo");
    let (boxes, classes) = (reference["boxes"].as_u64(), reference["classes"].as_u64());
    let (boxes, classes) = (boxes.unwrap() as usize, classes.unwrap() as usize);
    let size = numbers(&reference["picture"]);
    let side = reference["side"].as_u64().unwrap() as u32;
    let mapping = Letterbox::yolo(side).mapping(size[0], size[1]).unwrap();
    for (layout, shape) in [
        ("v8", [1, 4 + classes, boxes]),
        ("v5", [1, boxes, 5 + classes]),
    ] {
        let output = floats(&reference[layout]);
        let expected = reference[format!("expected_{layout}")].as_array().unwrap();
        let cases = reference["cases"].as_array().unwrap();
        assert_eq!(cases.len(), expected.len());
        for (case, expected) in cases.iter().zip(expected) {
            let found = configured(case).detect(&shape, &output, &mapping).unwrap();
            assert_same(
                &found,
                expected.as_array().unwrap(),
                &format!("{layout} {case}"),
            );
        }
    }
}

fn configured(case: &Value) -> Yolo {
    let float = |name: &str| case[name].as_f64().unwrap() as f32;
    let mut nms = Nms::new().iou(float("iou"));
    if case["agnostic"].as_bool().unwrap() {
        nms = nms.agnostic();
    }
    let yolo = Yolo::default().confidence(float("confidence")).nms(nms);
    match &case["only"] {
        Value::Null => yolo,
        only => yolo.only(numbers(only).into_iter().map(|class| class as usize)),
    }
}

fn assert_same(found: &[Detection], expected: &[Value], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    assert!(!expected.is_empty(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert_close(&sides(&found.bounds), &floats(&expected["bounds"]), 1e-3);
        assert_close(
            &[found.score],
            &[expected["score"].as_f64().unwrap() as f32],
            1e-5,
        );
        assert_eq!(
            found.class as u64,
            expected["class"].as_u64().unwrap(),
            "{what}"
        );
    }
}

#[test]
fn the_names_tell_the_layout_where_the_shape_alone_would_mislead() {
    // A tiny input has fewer boxes than a row of COCO has values.
    let mut output = vec![0.0; 84 * 64];
    for (row, value) in [20.0, 32.0, 22.0, 30.0, 0.9].into_iter().enumerate() {
        output[row * 64 + 7] = value;
    }
    let found = Yolo::coco()
        .detect(&[1, 84, 64], &output, &square(64))
        .unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(sides(&found[0].bounds), [9.0, 17.0, 31.0, 47.0]);
    assert_eq!(Yolo::coco().name(found[0].class), Some("person"));
    let told = Yolo::default().layout(YoloLayout::V11);
    assert_eq!(
        told.detect(&[1, 84, 64], &output, &square(64)).unwrap(),
        found
    );
}

#[test]
fn a_shape_that_fits_both_layouts_has_to_be_told() {
    let output = vec![0.0; 49];
    let error = Yolo::default().detect(&[1, 7, 7], &output, &square(64));
    assert_eq!(
        error,
        Err(VisionError::AmbiguousLayout {
            given: vec![1, 7, 7]
        })
    );
    let told = Yolo::default().layout(YoloLayout::V5);
    assert_eq!(told.detect(&[1, 7, 7], &output, &square(64)), Ok(vec![]));
}

#[test]
fn another_number_of_classes_is_refused_and_says_what_was_expected() {
    let error = Yolo::coco().detect(&[1, 26, 2100], &[0.0; 26 * 2100], &square(320));
    let error = error.unwrap_err();
    assert!(matches!(error, VisionError::Shape { .. }));
    let text = error.to_string();
    assert!(
        text.contains("[1, 26, 2100]") && text.contains("[1, 4 + 80, boxes]"),
        "{text}"
    );
    for shape in [&[84, 2100][..], &[2, 84, 2100], &[1, 84, 0], &[1, 0, 84]] {
        let error = Yolo::coco().detect(shape, &[], &square(320)).unwrap_err();
        assert!(matches!(error, VisionError::Shape { .. }), "{shape:?}");
    }
    let error = Yolo::coco().detect(&[1, 84, 10], &[0.0; 839], &square(320));
    assert!(matches!(
        error,
        Err(VisionError::Length {
            expected: 840,
            given: 839,
            ..
        })
    ));
}

#[test]
fn an_output_that_is_not_finite_is_refused_whole() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut output = vec![0.0; 84 * 10];
        output[835] = bad;
        let error = Yolo::coco()
            .detect(&[1, 84, 10], &output, &square(320))
            .unwrap_err();
        assert!(matches!(error, VisionError::NotFinite { index: 835, .. }));
        assert_eq!(error.code(), "MODEL_OUTPUT_NOT_FINITE");
    }
}

#[test]
fn pictures_run_together_are_told_apart_and_led_back_each_its_own_way() {
    let one = [16.0, 16.0, 8.0, 8.0, 0.9];
    let output: Vec<f32> = [one, [16.0, 16.0, 8.0, 8.0, 0.1]].concat();
    let mappings = [
        Letterbox::yolo(32).mapping(64, 64).unwrap(),
        Letterbox::yolo(32).mapping(32, 32).unwrap(),
    ];
    let yolo = Yolo::default();
    let found = yolo.detect_batch(&[2, 5, 1], &output, &mappings).unwrap();
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0]);
    let swapped = [mappings[1], mappings[0]];
    let found = yolo.detect_batch(&[2, 5, 1], &output, &swapped).unwrap();
    assert_eq!(sides(&found[0][0].bounds), [12.0, 12.0, 20.0, 20.0]);
}

#[test]
fn what_is_seen_in_the_filling_is_dropped() {
    // The picture fills rows 8 to 24 of the input; this is above it.
    let mapping = Letterbox::yolo(32).mapping(64, 32).unwrap();
    let found = Yolo::default().detect(&[1, 5, 1], &[16.0, 4.0, 8.0, 6.0, 0.9], &mapping);
    assert_eq!(found, Ok(vec![]));
}

#[test]
fn options_out_of_range_are_named() {
    for (yolo, name) in [
        (Yolo::default().confidence(1.5), "confidence"),
        (Yolo::default().confidence(f32::NAN), "confidence"),
        (Yolo::default().nms(Nms::new().iou(-0.1)), "iou"),
    ] {
        let error = yolo.detect(&[1, 5, 1], &[0.0; 5], &square(32)).unwrap_err();
        assert!(matches!(error, VisionError::Option { field, .. } if field == name));
    }
}

#[test]
fn coco_has_eighty_names_and_no_two_are_the_same() {
    let mut names = COCO.to_vec();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 80);
    assert_eq!(
        (COCO[0], COCO[16], COCO[62], COCO[79]),
        ("person", "dog", "tv", "toothbrush")
    );
}

fn square(side: u32) -> Mapping {
    Letterbox::yolo(side).mapping(side, side).unwrap()
}
