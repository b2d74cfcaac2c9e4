//! Boxes around what was found.

use serde::{Deserialize, Serialize};

/// A box in pixels: x from the left, y from the top, both continuous, so that the first pixel lies
/// between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a box has four sides, and is made and taken apart everywhere"
)]
pub struct BoundingBox {
    /// Where it begins in x.
    pub left: f32,
    /// Where it begins in y.
    pub top: f32,
    /// Where it ends in x.
    pub right: f32,
    /// Where it ends in y.
    pub bottom: f32,
}

impl BoundingBox {
    /// A box by its sides.
    #[must_use]
    pub const fn new(left: f32, top: f32, right: f32, bottom: f32) -> Self {
        Self {
            left,
            top,
            right,
            bottom,
        }
    }

    /// A box by its centre and its size.
    #[must_use]
    pub fn around(x: f32, y: f32, width: f32, height: f32) -> Self {
        let (width, height) = (width / 2.0, height / 2.0);
        Self::new(x - width, y - height, x + width, y + height)
    }

    /// Its width; 0 if it ends before it begins.
    #[must_use]
    pub fn width(&self) -> f32 {
        (self.right - self.left).max(0.0)
    }

    /// Its height; 0 if it ends before it begins.
    #[must_use]
    pub fn height(&self) -> f32 {
        (self.bottom - self.top).max(0.0)
    }

    /// Its area in pixels.
    #[must_use]
    pub fn area(&self) -> f32 {
        self.width() * self.height()
    }

    /// Whether it holds nothing. A box with a side that is no number is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !(self.right > self.left && self.bottom > self.top)
    }

    /// What of it lies between 0 and `width`, and 0 and `height`; nothing if one of them is negative.
    #[must_use]
    pub fn within(&self, width: f32, height: f32) -> Self {
        Self::new(
            self.left.min(width).max(0.0),
            self.top.min(height).max(0.0),
            self.right.min(width).max(0.0),
            self.bottom.min(height).max(0.0),
        )
    }

    /// The box with `share` of its width more at the left and at the right, and of its height above
    /// and below.
    #[must_use]
    pub fn grown(&self, share: f32) -> Self {
        let (x, y) = (self.width() * share, self.height() * share);
        Self::new(self.left - x, self.top - y, self.right + x, self.bottom + y)
    }

    /// How far two boxes are the same: the area that they share over the area that they cover, from
    /// 0 to 1. It is 0 if either is empty.
    ///
    /// ```
    /// use pipeline_gpu::vision::BoundingBox;
    ///
    /// let one = BoundingBox::new(0.0, 0.0, 10.0, 10.0);
    /// let other = BoundingBox::new(5.0, 0.0, 15.0, 10.0);
    /// assert!((one.iou(&other) - 1.0 / 3.0).abs() < 1e-12);
    /// ```
    #[must_use]
    pub fn iou(&self, other: &Self) -> f64 {
        if self.is_empty() || other.is_empty() {
            return 0.0;
        }
        // In 64 bits: the boxes of a large picture have areas that 32 bits round.
        let wide = |of: &Self| [of.left, of.top, of.right, of.bottom].map(f64::from);
        let ([l1, t1, r1, b1], [l2, t2, r2, b2]) = (wide(self), wide(other));
        let shared = (r1.min(r2) - l1.max(l2)).max(0.0) * (b1.min(b2) - t1.max(t2)).max(0.0);
        let covered = (r1 - l1) * (b1 - t1) + (r2 - l2) * (b2 - t2) - shared;
        shared / covered
    }
}

/// Chooses whom a picture is of: the index of the box with the largest product of area and score.
/// Of equals it is the first; of none it is `None`.
///
/// ```
/// use pipeline_gpu::vision::{BoundingBox, select_largest};
///
/// let passer_by = (BoundingBox::new(0.0, 0.0, 20.0, 40.0), 0.9);
/// let portrayed = (BoundingBox::new(50.0, 10.0, 150.0, 200.0), 0.8);
/// assert_eq!(select_largest([passer_by, portrayed]), Some(1));
/// ```
#[must_use]
pub fn select_largest(found: impl IntoIterator<Item = (BoundingBox, f32)>) -> Option<usize> {
    let sizes = found
        .into_iter()
        .map(|(bounds, score)| bounds.area() * score);
    let largest = sizes
        .enumerate()
        .reduce(|best, next| if next.1 > best.1 { next } else { best });
    largest.map(|(index, _)| index)
}
