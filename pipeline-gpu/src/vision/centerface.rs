//! What CenterFace says, as faces in the picture.

use serde::{Deserialize, Serialize};

use super::{
    bounds::BoundingBox,
    error::VisionError,
    letterbox::Mapping,
    nms::{Nms, all_finite, share},
};

/// A face.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Face {
    /// Where it is, in pixels of the picture.
    pub bounds: BoundingBox,
    /// How sure the model is, from 0 to 1.
    pub score: f32,
    /// Where the picture's left eye, its right eye, the nose, the left and the right corner of the
    /// mouth are, as x and y in pixels of the picture. They may lie outside of it.
    pub landmarks: [(f32, f32); 5],
}

impl Face {
    /// Where in a picture of this size the rest of the person is likely to be: two faces to either
    /// side of the middle, most of one above for hair and hat, and all that is below. Made for
    /// [`Matte::within`](super::Matte::within), where a portrait shows more than one person.
    #[must_use]
    pub fn person(&self, picture: (u32, u32)) -> BoundingBox {
        let face = &self.bounds;
        let (width, height) = (picture.0 as f32, picture.1 as f32);
        let middle = (face.left + face.right) / 2.0;
        BoundingBox::new(
            middle - 2.0 * face.width(),
            face.top - 0.8 * face.height(),
            middle + 2.0 * face.width(),
            height,
        )
        .within(width, height)
    }
}

/// The four outputs of one run of CenterFace: maps of the input's size divided by 4.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by the caller, of the four outputs that the model has"
)]
pub struct CenterFaceOutput<'a> {
    /// `[1, 1, h, w]`: whether a face has its centre there.
    pub heatmap: &'a [f32],
    /// `[1, 2, h, w]`: the logarithms of its height and its width in cells.
    pub scale: &'a [f32],
    /// `[1, 2, h, w]`: how far below and right of the cell's centre it is, in cells.
    pub offset: &'a [f32],
    /// `[1, 10, h, w]`: y and x of five landmarks, as shares of the face.
    pub landmarks: &'a [f32],
}

/// Reads the outputs of CenterFace. Feed it by [`Letterbox::center_face`](super::Letterbox::center_face).
#[derive(Debug, Clone, PartialEq)]
pub struct CenterFace {
    confidence: f32,
    nms: Nms,
}

impl CenterFace {
    /// How many pixels of the input a cell of the maps stands for, in each direction.
    pub const STRIDE: u32 = 4;

    /// Faces from a score of 0.5, that overlap by at most 0.3.
    #[must_use]
    pub fn new() -> Self {
        Self {
            confidence: 0.5,
            nms: Nms::new().iou(0.3),
        }
    }

    /// Sets the least score, from 0 to 1. Default: 0.5.
    #[must_use]
    pub fn confidence(mut self, confidence: f32) -> Self {
        self.confidence = confidence;
        self
    }

    /// Sets how doubles are suppressed. Default: an overlap of 0.3, otherwise [`Nms::new`].
    #[must_use]
    pub fn nms(mut self, nms: Nms) -> Self {
        self.nms = nms;
        self
    }

    /// The faces of a picture, best score first.
    ///
    /// # Errors
    ///
    /// [`VisionError::Length`] if a map has another size than the input's divided by
    /// [`STRIDE`](Self::STRIDE), [`VisionError::NotFinite`] if any value is not finite,
    /// [`VisionError::Option`] if an option makes no sense.
    pub fn detect(
        &self,
        output: &CenterFaceOutput<'_>,
        mapping: &Mapping,
    ) -> Result<Vec<Face>, VisionError> {
        share("confidence", self.confidence)?;
        self.nms.check()?;
        let (width, height) = mapping.input();
        let columns = (width / Self::STRIDE) as usize;
        let cells = columns * (height / Self::STRIDE) as usize;
        for (name, planes, map) in [
            ("the heat map", 1, output.heatmap),
            ("the scale map", 2, output.scale),
            ("the offset map", 2, output.offset),
            ("the landmark map", 10, output.landmarks),
        ] {
            if map.len() != planes * cells {
                return Err(VisionError::Length {
                    output: name,
                    expected: planes * cells,
                    given: map.len(),
                });
            }
            all_finite(name, map)?;
        }
        let faces: Vec<Face> = (0..cells)
            .filter(|&cell| output.heatmap[cell] >= self.confidence)
            .map(|cell| face(output, cell, cells, columns, (width as f32, height as f32)))
            .collect();
        let boxes: Vec<_> = faces.iter().map(|face| face.bounds).collect();
        let scores: Vec<_> = faces.iter().map(|face| face.score).collect();
        let kept = self.nms.keep(&boxes, &scores, &vec![0; faces.len()])?;
        let told = kept.into_iter().map(|at| Face {
            bounds: mapping.to_picture(&faces[at].bounds),
            landmarks: faces[at]
                .landmarks
                .map(|(x, y)| mapping.point_to_picture(x, y)),
            ..faces[at]
        });
        Ok(told.filter(|face| !face.bounds.is_empty()).collect())
    }
}

impl Default for CenterFace {
    fn default() -> Self {
        Self::new()
    }
}

/// The face whose centre is in this cell, in pixels of the input.
fn face(
    output: &CenterFaceOutput<'_>,
    cell: usize,
    cells: usize,
    columns: usize,
    (most_x, most_y): (f32, f32),
) -> Face {
    let stride = CenterFace::STRIDE as f32;
    let of = |map: &[f32], plane: usize| map[plane * cells + cell];
    let (row, column) = (cell / columns, cell % columns);
    // No face is larger than e^10 cells; and the box of a finite logarithm stays finite.
    let size = |plane| of(output.scale, plane).min(10.0).exp() * stride;
    let (height, width) = (size(0), size(1));
    let centre = |at: usize, plane| (at as f32 + of(output.offset, plane) + 0.5) * stride;
    let left = (centre(column, 1) - width / 2.0).clamp(0.0, most_x);
    let top = (centre(row, 0) - height / 2.0).clamp(0.0, most_y);
    let landmarks = std::array::from_fn(|point| {
        (
            of(output.landmarks, 2 * point + 1) * width + left,
            of(output.landmarks, 2 * point) * height + top,
        )
    });
    Face {
        bounds: BoundingBox::new(
            left,
            top,
            (left + width).min(most_x),
            (top + height).min(most_y),
        ),
        score: output.heatmap[cell],
        landmarks,
    }
}
