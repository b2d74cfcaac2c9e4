//! Reading CenterFace.

use pipeline_gpu::vision::{BoundingBox, CenterFace, CenterFaceOutput, Letterbox, VisionError};

use crate::reference::{assert_close, floats, numbers, reference, sides};

#[test]
fn faces_and_landmarks_are_those_of_the_reference() {
    let reference = reference("center_face");
    let input = numbers(&reference["input"]);
    let maps = ["heatmap", "scale", "offset", "landmarks"].map(|name| floats(&reference[name]));
    let mapping = Letterbox::center_face(1000)
        .mapping(input[0], input[1])
        .unwrap();
    let faces = CenterFace::new()
        .confidence(reference["confidence"].as_f64().unwrap() as f32)
        .detect(&output(&maps), &mapping)
        .unwrap();
    let expected = reference["expected"].as_array().unwrap();
    assert_eq!(faces.len(), expected.len());
    for (face, expected) in faces.iter().zip(expected) {
        assert_close(&sides(&face.bounds), &floats(&expected["bounds"]), 1e-3);
        let marks: Vec<f32> = face.landmarks.iter().flat_map(|&(x, y)| [x, y]).collect();
        assert_close(&marks, &floats(&expected["landmarks"]), 1e-3);
        assert_close(
            &[face.score],
            &[expected["score"].as_f64().unwrap() as f32],
            1e-5,
        );
    }
}

#[test]
fn a_face_is_led_back_to_a_picture_that_was_made_smaller() {
    // 400 x 200 becomes 128 x 64; a cell in the middle holds a face of 8 x 8 cells.
    let mapping = Letterbox::center_face(128).mapping(400, 200).unwrap();
    assert_eq!(mapping.input(), (128, 64));
    let mut maps = empty(128, 64);
    let cell = 8 * 32 + 16;
    maps[0][cell] = 0.9;
    maps[1][cell] = 8f32.ln();
    maps[1][512 + cell] = 8f32.ln();
    let faces = CenterFace::new().detect(&output(&maps), &mapping).unwrap();
    assert_eq!(faces.len(), 1);
    // (16.5 * 4 - 16) * 400 / 128, and so on.
    assert_close(
        &sides(&faces[0].bounds),
        &[156.25, 56.25, 256.25, 156.25],
        1e-3,
    );
}

#[test]
fn a_face_without_measure_fills_the_picture_and_no_more() {
    let mapping = Letterbox::center_face(64).mapping(64, 64).unwrap();
    let mut maps = empty(64, 64);
    maps[0][0] = 1.0;
    maps[1][0] = 1e30;
    maps[1][256] = 1e30;
    let faces = CenterFace::new().detect(&output(&maps), &mapping).unwrap();
    assert_eq!(sides(&faces[0].bounds), [0.0, 0.0, 64.0, 64.0]);
    assert!(
        faces[0]
            .landmarks
            .iter()
            .all(|(x, y)| x.is_finite() && y.is_finite())
    );
}

#[test]
fn a_face_tells_where_its_person_is_within_the_picture() {
    let mapping = Letterbox::center_face(128).mapping(400, 200).unwrap();
    let mut maps = empty(128, 64);
    let cell = 8 * 32 + 16;
    maps[0][cell] = 0.9;
    maps[1][cell] = 8f32.ln();
    maps[1][512 + cell] = 8f32.ln();
    let face = CenterFace::new().detect(&output(&maps), &mapping).unwrap()[0];
    // The face is 156 to 256 wide and 56 to 156 high.
    assert_close(
        &sides(&face.person((400, 200))),
        &[6.25, 0.0, 400.0, 200.0],
        1e-3,
    );
}

#[test]
fn maps_of_another_size_or_with_nan_are_refused() {
    let mapping = Letterbox::center_face(64).mapping(64, 64).unwrap();
    let mut maps = empty(64, 64);
    maps[2][17] = f32::NAN;
    let error = CenterFace::new().detect(&output(&maps), &mapping);
    assert_eq!(
        error,
        Err(VisionError::NotFinite {
            output: "the offset map",
            index: 17
        })
    );
    let error = CenterFace::new().detect(&output(&empty(64, 32)), &mapping);
    assert_eq!(
        error,
        Err(VisionError::Length {
            output: "the heat map",
            expected: 256,
            given: 128
        })
    );
}

fn empty(width: usize, height: usize) -> [Vec<f32>; 4] {
    [1, 2, 2, 10].map(|planes| vec![0.0; planes * width * height / 16])
}

fn output(maps: &[Vec<f32>; 4]) -> CenterFaceOutput<'_> {
    CenterFaceOutput {
        heatmap: &maps[0],
        scale: &maps[1],
        offset: &maps[2],
        landmarks: &maps[3],
    }
}

#[test]
fn what_of_a_box_is_within_a_picture_can_always_be_told() {
    let bounds = BoundingBox::new(-1.0, 2.0, 7.0, f32::INFINITY);
    let within = BoundingBox::new(0.0, 2.0, 4.0, 3.0);
    assert_eq!(bounds.within(4.0, 3.0), within);
    for side in [0.0, -1.0, f32::NEG_INFINITY] {
        assert!(bounds.within(side, 3.0).is_empty(), "{side}");
    }
    let unknown = BoundingBox::new(f32::NAN, 0.0, f32::NAN, 1.0).within(f32::NAN, 2.0);
    assert!(unknown.is_empty(), "{unknown:?}");
}
