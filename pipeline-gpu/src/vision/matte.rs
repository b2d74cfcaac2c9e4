//! What of a picture is kept.

use image::{ImageBuffer, Luma, imageops};

use super::{bounds::BoundingBox, error::VisionError, nms::share};

/// How much of each pixel is kept: one alpha from 0 to 1 for each pixel of a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Matte {
    width: u32,
    height: u32,
    alpha: Vec<f32>,
}

impl Matte {
    /// The largest sigma of [`feathered`](Self::feathered), in pixels.
    pub const MAX_FEATHER: f32 = 100.0;

    /// Of as many values as the sides say; a filter may have left the range by a little.
    pub(super) fn new(width: u32, height: u32, mut alpha: Vec<f32>) -> Self {
        for alpha in &mut alpha {
            *alpha = alpha.clamp(0.0, 1.0);
        }
        Self {
            width,
            height,
            alpha,
        }
    }

    /// Its width, which is the picture's.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Its height, which is the picture's.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Every alpha, row by row.
    #[must_use]
    pub fn alpha(&self) -> &[f32] {
        &self.alpha
    }

    /// The share of the picture that is kept, from 0 to 1. Close to 0 the model has found nothing.
    #[must_use]
    pub fn coverage(&self) -> f32 {
        let sum: f64 = self.alpha.iter().copied().map(f64::from).sum();
        (sum / self.alpha.len().max(1) as f64) as f32
    }

    /// Hardens it: from `threshold` on a pixel is kept whole, below not at all.
    ///
    /// # Errors
    ///
    /// [`VisionError::Option`] if the threshold is not between 0 and 1.
    pub fn thresholded(mut self, threshold: f32) -> Result<Self, VisionError> {
        share("threshold", threshold)?;
        for alpha in &mut self.alpha {
            *alpha = if *alpha >= threshold { 1.0 } else { 0.0 };
        }
        Ok(self)
    }

    /// Softens its edges by a blur of this sigma, in pixels; 0 leaves it as it is.
    ///
    /// # Errors
    ///
    /// [`VisionError::Option`] if sigma is not between 0 and [`MAX_FEATHER`](Self::MAX_FEATHER).
    pub fn feathered(self, sigma: f32) -> Result<Self, VisionError> {
        if !(0.0..=Self::MAX_FEATHER).contains(&sigma) {
            return Err(VisionError::Option {
                field: "sigma",
                expected: "between 0 and 100",
            });
        }
        let (width, height) = (self.width, self.height);
        // Below this the blur takes no neighbour in.
        if sigma < 0.1 {
            return Ok(self);
        }
        let buffer: ImageBuffer<Luma<f32>, Vec<f32>> =
            ImageBuffer::from_raw(width, height, self.alpha).ok_or(VisionError::NoPixels)?;
        let blurred = imageops::fast_blur(&buffer, sigma);
        Ok(Self::new(width, height, blurred.into_raw()))
    }

    /// Keeps the person in a box alone: nothing outside of it, where "outside" begins at a margin of
    /// this share of the box's sides, over which the rest fades. A detector's box is often too tight
    /// for hair and hands; 0.1 leaves them room.
    ///
    /// # Errors
    ///
    /// [`VisionError::Option`] if the margin is not between 0 and 1, or the box is empty.
    pub fn within(mut self, bounds: &BoundingBox, margin: f32) -> Result<Self, VisionError> {
        share("margin", margin)?;
        if bounds.is_empty() {
            return Err(VisionError::Option {
                field: "bounds",
                expected: "a box that is not empty",
            });
        }
        let columns = fade(bounds.left, bounds.right, margin, self.width);
        let rows = fade(bounds.top, bounds.bottom, margin, self.height);
        let lines = self.alpha.chunks_exact_mut(self.width as usize);
        for (line, row) in lines.zip(rows) {
            for (alpha, column) in line.iter_mut().zip(&columns) {
                *alpha *= row * column;
            }
        }
        Ok(self)
    }
}

/// How much is kept of each line of pixels: 1 between `from` and `to`, then less, down to 0.
fn fade(from: f32, to: f32, margin: f32, lines: u32) -> Vec<f32> {
    let margin = (to - from) * margin;
    (0..lines)
        .map(|line| {
            let centre = line as f32 + 0.5;
            let outside = (from - centre).max(centre - to).max(0.0);
            if outside == 0.0 {
                1.0
            } else if margin > 0.0 {
                (1.0 - outside / margin).max(0.0)
            } else {
                0.0
            }
        })
        .collect()
}
