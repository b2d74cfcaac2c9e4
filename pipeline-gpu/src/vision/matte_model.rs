//! How models that cut out want their pictures, and how they say what to keep.

use image::RgbImage;

use super::{
    error::VisionError, letterbox::Letterbox, matte::Matte, nms::all_finite, resize,
    tensor::ChwTensor,
};

/// What the bytes of a picture are divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PixelScale {
    /// By 255.
    Full,
    /// By the brightest byte of the picture, as U²-Net was trained. A black picture stays black.
    Brightest,
}

/// How a model's output becomes alpha from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MatteRange {
    /// It is alpha already; what lies outside is cut.
    Alpha,
    /// The least value becomes 0 and the largest 1. An output of one value has no contrast to
    /// stretch, and is taken as [`Alpha`](Self::Alpha).
    Stretch,
    /// It is logits: through a sigmoid.
    Logits,
}

/// What has to be known of a matting model to feed it and to read it.
///
/// ```
/// use image::RgbImage;
/// use pipeline_gpu::vision::MatteModel;
///
/// let model = MatteModel::u2net();
/// let picture = RgbImage::new(30, 20);
/// assert_eq!(model.input(&picture)?.shape(), [1, 3, 320, 320]);
/// let matte = model.matte(&[1, 1, 320, 320], &[0.5; 320 * 320], picture.dimensions())?;
/// assert_eq!((matte.width(), matte.height()), (30, 20));
/// # Ok::<(), pipeline_gpu::vision::VisionError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MatteModel {
    width: u32,
    height: u32,
    mean: [f32; 3],
    deviation: [f32; 3],
    scale: PixelScale,
    range: MatteRange,
}

impl MatteModel {
    /// U²-Net and its small form u2netp: 320 x 320, divided by the brightest, mean and deviation of
    /// ImageNet, stretched. Of its seven outputs the first is the one to take.
    #[must_use]
    pub const fn u2net() -> Self {
        Self {
            width: 320,
            height: 320,
            mean: IMAGENET_MEAN,
            deviation: IMAGENET_DEVIATION,
            scale: PixelScale::Brightest,
            range: MatteRange::Stretch,
        }
    }

    /// IS-Net (DIS): 1024 x 1024, mean 0.5 and deviation 1, stretched.
    #[must_use]
    pub const fn isnet() -> Self {
        Self {
            width: 1024,
            height: 1024,
            mean: [0.5; 3],
            deviation: [1.0; 3],
            scale: PixelScale::Full,
            range: MatteRange::Stretch,
        }
    }

    /// BiRefNet: 1024 x 1024, mean and deviation of ImageNet, logits.
    #[must_use]
    pub const fn birefnet() -> Self {
        Self {
            width: 1024,
            height: 1024,
            mean: IMAGENET_MEAN,
            deviation: IMAGENET_DEVIATION,
            scale: PixelScale::Full,
            range: MatteRange::Logits,
        }
    }

    /// Sets the size of the input in pixels, each side from 1 to [`Letterbox::MAX_SIDE`]. Pictures are
    /// distorted to it, as these models were trained.
    #[must_use]
    pub const fn size(mut self, width: u32, height: u32) -> Self {
        self.width = width;
        self.height = height;
        self
    }

    /// Sets what is subtracted from each channel, and what it is divided by then.
    #[must_use]
    pub const fn normalised(mut self, mean: [f32; 3], deviation: [f32; 3]) -> Self {
        self.mean = mean;
        self.deviation = deviation;
        self
    }

    /// Sets what bytes are divided by, before all.
    #[must_use]
    pub const fn scale(mut self, scale: PixelScale) -> Self {
        self.scale = scale;
        self
    }

    /// Sets how the output becomes alpha.
    #[must_use]
    pub const fn range(mut self, range: MatteRange) -> Self {
        self.range = range;
        self
    }

    /// Makes the input of a picture.
    ///
    /// # Errors
    ///
    /// [`VisionError::NoPixels`] if the picture has none, [`VisionError::Option`] if the size or a
    /// deviation makes no sense.
    pub fn input(&self, picture: &RgbImage) -> Result<ChwTensor, VisionError> {
        let sides = [("width", self.width), ("height", self.height)];
        if let Some((field, _)) = sides
            .into_iter()
            .find(|(_, side)| !(1..=Letterbox::MAX_SIDE).contains(side))
        {
            return Err(VisionError::Option {
                field,
                expected: "between 1 and 4096",
            });
        }
        if !self.deviation.iter().all(|of| of.is_finite() && *of > 0.0) {
            return Err(VisionError::Option {
                field: "deviation",
                expected: "three positive numbers",
            });
        }
        let bytes = resize::lanczos(picture, self.width, self.height)?;
        let divisor = match self.scale {
            PixelScale::Full => 255.0,
            PixelScale::Brightest => f32::from(bytes.iter().copied().max().unwrap_or(0)).max(1e-6),
        };
        Ok(ChwTensor::from_rgb(
            self.width,
            self.height,
            &bytes,
            |channel, byte| {
                (f32::from(byte) / divisor - self.mean[channel]) / self.deviation[channel]
            },
        ))
    }

    /// Makes the matte of a picture with these sides. The output's shape is `[1, 1, h, w]`, or with
    /// fewer ones before; its size does not have to be the input's.
    ///
    /// # Errors
    ///
    /// [`VisionError::Shape`] or [`VisionError::Length`] if the output is of another kind,
    /// [`VisionError::NotFinite`] if any value of it is not finite, [`VisionError::NoPixels`] if the
    /// picture has none.
    pub fn matte(
        &self,
        shape: &[usize],
        output: &[f32],
        picture: (u32, u32),
    ) -> Result<Matte, VisionError> {
        if picture.0 == 0 || picture.1 == 0 {
            return Err(VisionError::NoPixels);
        }
        let from = map_size(shape)?;
        let expected = from.0 as usize * from.1 as usize;
        if output.len() != expected {
            return Err(VisionError::Length {
                output: OUTPUT,
                expected,
                given: output.len(),
            });
        }
        all_finite(OUTPUT, output)?;
        let alpha = resize::lanczos_f32(&self.alpha(output), from, picture)?;
        Ok(Matte::new(picture.0, picture.1, alpha))
    }

    fn alpha(&self, output: &[f32]) -> Vec<f32> {
        let map = |value: &dyn Fn(f32) -> f32| output.iter().map(|&of| value(of)).collect();
        match self.range {
            MatteRange::Alpha => map(&|of| of.clamp(0.0, 1.0)),
            MatteRange::Logits => map(&|of| 1.0 / (1.0 + (-of).exp())),
            MatteRange::Stretch => {
                let least = output.iter().copied().fold(f32::INFINITY, f32::min);
                let most = output.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let span = most - least;
                if span > 1e-6 {
                    map(&|of| (of - least) / span)
                } else {
                    map(&|of| of.clamp(0.0, 1.0))
                }
            }
        }
    }
}

/// Width and height of a map with ones before them.
fn map_size(shape: &[usize]) -> Result<(u32, u32), VisionError> {
    let side = |side: usize| {
        u32::try_from(side)
            .ok()
            .filter(|side| (1..=Letterbox::MAX_SIDE).contains(side))
    };
    match shape {
        [ones @ .., height, width] if ones.len() <= 2 && ones.iter().all(|&one| one == 1) => {
            side(*width).zip(side(*height))
        }
        _ => None,
    }
    .ok_or_else(|| VisionError::Shape {
        output: OUTPUT,
        expected: "[1, 1, height, width], each side up to 4096".to_owned(),
        given: shape.to_vec(),
    })
}

const OUTPUT: &str = "the matting model's output";
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];
