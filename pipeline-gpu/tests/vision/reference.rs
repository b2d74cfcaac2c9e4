//! What others make of the same numbers.

use image::RgbImage;
use pipeline_gpu::vision::BoundingBox;
use serde_json::Value;

pub(crate) fn reference(part: &str) -> Value {
    let mut all: Value = serde_json::from_str(include_str!("../fixtures/vision.json")).unwrap();
    all[part].take()
}

pub(crate) fn floats(value: &Value) -> Vec<f32> {
    let values = value.as_array().unwrap().iter();
    values.map(|value| value.as_f64().unwrap() as f32).collect()
}

pub(crate) fn numbers(value: &Value) -> Vec<u32> {
    let values = value.as_array().unwrap().iter();
    values.map(|value| value.as_u64().unwrap() as u32).collect()
}

pub(crate) fn picture(of: &Value) -> RgbImage {
    let size = numbers(&of["size"]);
    let bytes = numbers(&of["rgb"]).into_iter().map(|byte| byte as u8);
    RgbImage::from_raw(size[0], size[1], bytes.collect()).unwrap()
}

/// Asserts that no value is further away than `within`.
#[track_caller]
pub(crate) fn assert_close(given: &[f32], expected: &[f32], within: f32) {
    assert_eq!(given.len(), expected.len());
    for (at, (given, expected)) in given.iter().zip(expected).enumerate() {
        assert!(
            (given - expected).abs() <= within,
            "value {at} is {given}, the reference says {expected}"
        );
    }
}

pub(crate) fn sides(of: &BoundingBox) -> [f32; 4] {
    [of.left, of.top, of.right, of.bottom]
}
