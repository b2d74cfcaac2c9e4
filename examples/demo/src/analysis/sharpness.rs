use image::{DynamicImage, GrayImage, RgbaImage};

use super::{Sharpness, Verdict};

pub(super) fn measure(working: &DynamicImage) -> Sharpness {
    let luma = DynamicImage::from(on_white(working)).into_luma8();
    let score = (laplacian_variance(&luma) * 100.0).round() / 100.0;
    Sharpness {
        score,
        verdict: verdict(score),
    }
}

/// Lays a picture on white, so that what lies hidden under transparent pixels is not measured.
pub(super) fn on_white(image: &DynamicImage) -> RgbaImage {
    let mut image = image.to_rgba8();
    for pixel in image.pixels_mut() {
        let alpha = u16::from(pixel.0[3]);
        if alpha < 255 {
            for channel in &mut pixel.0[..3] {
                let mixed = (u16::from(*channel) * alpha + 255 * (255 - alpha)) / 255;
                // A mean of two bytes is a byte.
                *channel = mixed as u8;
            }
            pixel.0[3] = 255;
        }
    }
    image
}

/// Computed here because a convolution of five terms does not justify `imageproc`, which would bring
/// some fifty crates.
fn laplacian_variance(luma: &GrayImage) -> f64 {
    let (width, height) = luma.dimensions();
    let side = width as usize;
    let pixels = luma.as_raw();
    let mut sum = 0_i64;
    let mut squares = 0_i64;
    let mut count = 0_i64;
    // Border pixels lack neighbours; leaving them out is what keeps the frame from being an edge.
    for y in 1..(height as usize).saturating_sub(1) {
        let row = &pixels[y * side..(y + 1) * side];
        let above = &pixels[(y - 1) * side..y * side];
        let below = &pixels[(y + 1) * side..(y + 2) * side];
        for x in 1..side.saturating_sub(1) {
            let around = i64::from(row[x - 1])
                + i64::from(row[x + 1])
                + i64::from(above[x])
                + i64::from(below[x]);
            let value = around - 4 * i64::from(row[x]);
            sum += value;
            squares += value * value;
            count += 1;
        }
    }
    if count == 0 {
        return 0.0;
    }
    let mean = sum as f64 / count as f64;
    squares as f64 / count as f64 - mean * mean
}

fn verdict(score: f64) -> Verdict {
    if score < BLURRED_BELOW {
        Verdict::Blurred
    } else if score < SOFT_BELOW {
        Verdict::Soft
    } else {
        Verdict::Sharp
    }
}

const BLURRED_BELOW: f64 = 100.0;
const SOFT_BELOW: f64 = 400.0;
