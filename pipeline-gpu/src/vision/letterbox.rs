//! A picture of any shape in a model's input, and the way back.

use image::RgbImage;

use super::{bounds::BoundingBox, error::VisionError, resize, tensor::ChwTensor};

/// Where the picture lies in an input that it does not fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Anchor {
    /// In the middle, as Ultralytics' models were trained.
    Centre,
    /// At the top left.
    TopLeft,
}

/// Fits pictures into a model's input without distorting them, and fills what is left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Letterbox {
    target: Target,
    anchor: Anchor,
    fill: u8,
    divisor: f32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Target {
    /// Every input has this size; small pictures are enlarged.
    Size(u32, u32),
    /// The picture keeps its size unless a side is longer than this, and the input ends at the next
    /// multiples.
    Multiple { of: u32, longest: u32 },
}

impl Letterbox {
    /// The longest side that an input can have: 4 096.
    pub const MAX_SIDE: u32 = 4096;

    /// For an input of one size: centred, filled with 114, values from 0 to 1.
    #[must_use]
    pub const fn new(width: u32, height: u32) -> Self {
        Self {
            target: Target::Size(width, height),
            anchor: Anchor::Centre,
            fill: 114,
            divisor: 255.0,
        }
    }

    /// As YOLO models take it: a square of `side`, otherwise as [`new`](Self::new).
    #[must_use]
    pub const fn yolo(side: u32) -> Self {
        Self::new(side, side)
    }

    /// As CenterFace takes it: the picture in its own size, made smaller if a side is longer than
    /// `longest`, filled with black at the right and below up to multiples of 32, values from 0 to
    /// 255. The input's shape follows the picture's.
    #[must_use]
    pub const fn center_face(longest: u32) -> Self {
        Self {
            target: Target::Multiple { of: 32, longest },
            anchor: Anchor::TopLeft,
            fill: 0,
            divisor: 1.0,
        }
    }

    /// Sets where the picture lies.
    #[must_use]
    pub const fn anchor(mut self, anchor: Anchor) -> Self {
        self.anchor = anchor;
        self
    }

    /// Sets the grey around the picture, from 0 to 255.
    #[must_use]
    pub const fn fill(mut self, fill: u8) -> Self {
        self.fill = fill;
        self
    }

    /// Sets what the bytes 0 to 255 are divided by.
    #[must_use]
    pub const fn divisor(mut self, divisor: f32) -> Self {
        self.divisor = divisor;
        self
    }

    /// Makes the input of a picture, and what leads back to the picture.
    ///
    /// # Errors
    ///
    /// [`VisionError::NoPixels`] if the picture has none, [`VisionError::Option`] if the input's
    /// size is 0 or above [`MAX_SIDE`](Self::MAX_SIDE), or the divisor is no positive number.
    pub fn apply(&self, picture: &RgbImage) -> Result<(ChwTensor, Mapping), VisionError> {
        let mapping = self.mapping(picture.width(), picture.height())?;
        let (inner, (left, top)) = (mapping.inner, mapping.offset);
        let resized = resize::linear(picture, inner.0, inner.1)?;
        let (width, height) = mapping.input;
        let (row, line) = (3 * width as usize, 3 * inner.0 as usize);
        let mut bytes = vec![self.fill; row * height as usize];
        let first = row * top as usize + 3 * left as usize;
        for (target, source) in bytes[first..]
            .chunks_mut(row)
            .zip(resized.chunks_exact(line))
        {
            target[..line].copy_from_slice(source);
        }
        let tensor = ChwTensor::from_rgb(width, height, &bytes, |_, byte| {
            f32::from(byte) / self.divisor
        });
        Ok((tensor, mapping))
    }

    /// Only the way between a picture of this size and its input.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply).
    pub fn mapping(&self, width: u32, height: u32) -> Result<Mapping, VisionError> {
        self.check()?;
        if width == 0 || height == 0 {
            return Err(VisionError::NoPixels);
        }
        let (w, h) = (f64::from(width), f64::from(height));
        let (scale, input) = match self.target {
            Target::Size(to_w, to_h) => {
                let scale = (f64::from(to_w) / w).min(f64::from(to_h) / h);
                (scale, Some((to_w, to_h)))
            }
            Target::Multiple { longest, .. } => ((f64::from(longest) / w.max(h)).min(1.0), None),
        };
        let side = |of: f64, most: Option<u32>| {
            let side = ((of * scale).round() as u32).max(1);
            most.map_or(side, |most| side.min(most))
        };
        let inner = (side(w, input.map(|to| to.0)), side(h, input.map(|to| to.1)));
        let input = match self.target {
            Target::Size(to_w, to_h) => (to_w, to_h),
            Target::Multiple { of, .. } => {
                (inner.0.next_multiple_of(of), inner.1.next_multiple_of(of))
            }
        };
        // An odd rest has its larger half at the right and below, as Ultralytics rounds.
        let before = |input: u32, inner: u32| match self.anchor {
            Anchor::Centre => (input - inner) / 2,
            Anchor::TopLeft => 0,
        };
        Ok(Mapping {
            picture: (width, height),
            input,
            inner,
            offset: (before(input.0, inner.0), before(input.1, inner.1)),
        })
    }

    fn check(&self) -> Result<(), VisionError> {
        let (width, height) = match self.target {
            Target::Size(width, height) => (width, height),
            Target::Multiple { longest, .. } => (longest, longest),
        };
        for (field, side) in [("width", width), ("height", height)] {
            if !(1..=Self::MAX_SIDE).contains(&side) {
                return Err(VisionError::Option {
                    field,
                    expected: "between 1 and 4096",
                });
            }
        }
        if !(self.divisor.is_finite() && self.divisor > 0.0) {
            return Err(VisionError::Option {
                field: "divisor",
                expected: "a positive number",
            });
        }
        Ok(())
    }
}

/// Where a picture lies in a model's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    picture: (u32, u32),
    input: (u32, u32),
    inner: (u32, u32),
    offset: (u32, u32),
}

impl Mapping {
    /// Width and height of the picture.
    #[must_use]
    pub fn picture(&self) -> (u32, u32) {
        self.picture
    }

    /// Width and height of the model's input.
    #[must_use]
    pub fn input(&self) -> (u32, u32) {
        self.input
    }

    /// Width and height of the picture within the input.
    #[must_use]
    pub fn inner(&self) -> (u32, u32) {
        self.inner
    }

    /// Where the picture begins within the input, from the left and from the top.
    #[must_use]
    pub fn offset(&self) -> (u32, u32) {
        self.offset
    }

    /// From the input to the picture. The point may lie outside of the picture.
    #[must_use]
    pub fn point_to_picture(&self, x: f32, y: f32) -> (f32, f32) {
        let (scale, offset) = (self.scale(), self.offset);
        (
            (x - offset.0 as f32) / scale.0,
            (y - offset.1 as f32) / scale.1,
        )
    }

    /// From the picture to the input.
    #[must_use]
    pub fn point_to_input(&self, x: f32, y: f32) -> (f32, f32) {
        let (scale, offset) = (self.scale(), self.offset);
        (x * scale.0 + offset.0 as f32, y * scale.1 + offset.1 as f32)
    }

    /// From the input to the picture, cut at the picture's sides: what a model sees in the filling
    /// becomes an empty box.
    #[must_use]
    pub fn to_picture(&self, of: &BoundingBox) -> BoundingBox {
        let (left, top) = self.point_to_picture(of.left, of.top);
        let (right, bottom) = self.point_to_picture(of.right, of.bottom);
        let (width, height) = self.picture;
        BoundingBox::new(left, top, right, bottom).within(width as f32, height as f32)
    }

    /// From the picture to the input.
    #[must_use]
    pub fn to_input(&self, of: &BoundingBox) -> BoundingBox {
        let (left, top) = self.point_to_input(of.left, of.top);
        let (right, bottom) = self.point_to_input(of.right, of.bottom);
        BoundingBox::new(left, top, right, bottom)
    }

    /// The two differ a little, for each side has been rounded to whole pixels.
    fn scale(&self) -> (f32, f32) {
        (
            self.inner.0 as f32 / self.picture.0 as f32,
            self.inner.1 as f32 / self.picture.1 as f32,
        )
    }
}
