//! The two ways in which pictures change size here.

use fast_image_resize::{
    FilterType, ResizeAlg, ResizeError, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::{F32, U8x3},
};
use image::RgbImage;

use super::error::VisionError;

/// By two neighbours a side, as OpenCV's `INTER_LINEAR`: what detectors were trained on.
pub(super) fn linear(picture: &RgbImage, width: u32, height: u32) -> Result<Vec<u8>, VisionError> {
    rgb(
        picture,
        width,
        height,
        ResizeAlg::Interpolation(FilterType::Bilinear),
    )
}

/// By Lanczos with a kernel that grows with the reduction, as Pillow's: what mattes are made with.
pub(super) fn lanczos(picture: &RgbImage, width: u32, height: u32) -> Result<Vec<u8>, VisionError> {
    rgb(
        picture,
        width,
        height,
        ResizeAlg::Convolution(FilterType::Lanczos3),
    )
}

/// One channel of floats, by Lanczos.
pub(super) fn lanczos_f32(
    values: &[f32],
    from: (u32, u32),
    to: (u32, u32),
) -> Result<Vec<f32>, VisionError> {
    if from == to {
        return Ok(values.to_vec());
    }
    let pixels: Vec<F32> = values.iter().map(|&value| F32::new(value)).collect();
    let source = TypedImageRef::new(from.0, from.1, &pixels).map_err(|_| VisionError::NoPixels)?;
    let mut target = TypedImage::<F32>::new(to.0, to.1);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    Resizer::new()
        .resize_typed(&source, &mut target, &options)
        .map_err(|error| told(&error))?;
    Ok(target.pixels().iter().map(|pixel| pixel.0).collect())
}

fn rgb(
    picture: &RgbImage,
    width: u32,
    height: u32,
    algorithm: ResizeAlg,
) -> Result<Vec<u8>, VisionError> {
    if picture.width() == 0 || picture.height() == 0 {
        return Err(VisionError::NoPixels);
    }
    if picture.dimensions() == (width, height) {
        return Ok(picture.as_raw().clone());
    }
    // By the type of its pixels, which compiles the algorithms for one type instead of for thirteen.
    let source = TypedImageRef::<U8x3>::from_buffer(picture.width(), picture.height(), picture)
        .map_err(|_| VisionError::NoPixels)?;
    let mut resized = vec![0; width as usize * height as usize * size_of::<U8x3>()];
    let mut target = TypedImage::<U8x3>::from_buffer(width, height, &mut resized)
        .map_err(|_| VisionError::NoPixels)?;
    let options = ResizeOptions::new().resize_alg(algorithm);
    Resizer::new()
        .resize_typed(&source, &mut target, &options)
        .map_err(|error| told(&error))?;
    Ok(resized)
}

fn told(error: &ResizeError) -> VisionError {
    VisionError::Unsupported {
        reason: error.to_string(),
    }
}
