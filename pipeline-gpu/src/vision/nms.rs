//! Of the boxes around one thing, the best.

use super::{bounds::BoundingBox, error::VisionError};

/// Non-maximum suppression: of boxes that overlap, the one with the best score is kept.
///
/// What is kept does not depend on the order in which the boxes come: of equal scores the box of the
/// lower class goes first, then the one further left, further up, smaller.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nms {
    iou: f32,
    agnostic: bool,
    max_candidates: usize,
    max_detections: usize,
}

impl Nms {
    /// The default: 0.45, class by class, 30 000 candidates, 300 detections.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            iou: 0.45,
            agnostic: false,
            max_candidates: 30_000,
            max_detections: 300,
        }
    }

    /// Sets the largest [overlap](BoundingBox::iou) that two kept boxes can have, from 0 to 1.
    #[must_use]
    pub const fn iou(mut self, iou: f32) -> Self {
        self.iou = iou;
        self
    }

    /// Lets boxes of different classes suppress each other.
    #[must_use]
    pub const fn agnostic(mut self) -> Self {
        self.agnostic = true;
        self
    }

    /// Sets how many boxes, the best, are looked at. Work is at most this times
    /// [`max_detections`](Self::max_detections).
    #[must_use]
    pub const fn max_candidates(mut self, max: usize) -> Self {
        self.max_candidates = max;
        self
    }

    /// Sets how many boxes, the best, are kept, of all classes together.
    #[must_use]
    pub const fn max_detections(mut self, max: usize) -> Self {
        self.max_detections = max;
        self
    }

    /// The indices of the boxes that are kept, best score first. `boxes`, `scores` and `classes` are
    /// of one length. Empty boxes are not kept.
    ///
    /// ```
    /// use pipeline_gpu::vision::{BoundingBox, Nms};
    ///
    /// let boxes = [
    ///     BoundingBox::new(0.0, 0.0, 10.0, 10.0),
    ///     BoundingBox::new(1.0, 0.0, 11.0, 10.0),
    ///     BoundingBox::new(50.0, 0.0, 60.0, 10.0),
    /// ];
    /// let kept = Nms::new().keep(&boxes, &[0.6, 0.9, 0.5], &[0, 0, 0])?;
    /// assert_eq!(kept, [1, 2]);
    /// # Ok::<(), pipeline_gpu::vision::VisionError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`VisionError::NotFinite`] if a score or a side of a box is not finite,
    /// [`VisionError::Length`] if the lengths differ, [`VisionError::Option`] if the overlap is not
    /// between 0 and 1.
    pub fn keep(
        &self,
        boxes: &[BoundingBox],
        scores: &[f32],
        classes: &[usize],
    ) -> Result<Vec<usize>, VisionError> {
        self.check()?;
        for (output, given) in [("scores", scores.len()), ("classes", classes.len())] {
            if given != boxes.len() {
                return Err(VisionError::Length {
                    output,
                    expected: boxes.len(),
                    given,
                });
            }
        }
        all_finite("scores", scores)?;
        if let Some(index) = boxes
            .iter()
            .position(|of| !sides(of).iter().all(|side| side.is_finite()))
        {
            return Err(VisionError::NotFinite {
                output: "boxes",
                index,
            });
        }
        let mut order: Vec<usize> = (0..boxes.len())
            .filter(|&at| !boxes[at].is_empty())
            .collect();
        order.sort_unstable_by(|&a, &b| {
            let sides = sides(&boxes[a]).into_iter().zip(sides(&boxes[b]));
            let ties = sides
                .map(|(a, b)| a.total_cmp(&b))
                .find(|order| order.is_ne());
            scores[b]
                .total_cmp(&scores[a])
                .then(classes[a].cmp(&classes[b]))
                .then(ties.unwrap_or_else(|| a.cmp(&b)))
        });
        order.truncate(self.max_candidates);

        let mut kept: Vec<usize> = Vec::new();
        for at in order {
            if kept.len() == self.max_detections {
                break;
            }
            let is_taken = kept.iter().any(|&better| {
                (self.agnostic || classes[better] == classes[at])
                    && boxes[better].iou(&boxes[at]) > f64::from(self.iou)
            });
            if !is_taken {
                kept.push(at);
            }
        }
        Ok(kept)
    }

    pub(super) fn check(&self) -> Result<(), VisionError> {
        share("iou", self.iou)
    }
}

impl Default for Nms {
    fn default() -> Self {
        Self::new()
    }
}

/// Refuses what is not between 0 and 1.
pub(super) fn share(field: &'static str, value: f32) -> Result<(), VisionError> {
    if (0.0..=1.0).contains(&value) {
        Ok(())
    } else {
        Err(VisionError::Option {
            field,
            expected: "between 0 and 1",
        })
    }
}

/// Refuses NaN and infinities.
pub(super) fn all_finite(output: &'static str, values: &[f32]) -> Result<(), VisionError> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(VisionError::NotFinite { output, index }),
        None => Ok(()),
    }
}

fn sides(of: &BoundingBox) -> [f32; 4] {
    [of.left, of.top, of.right, of.bottom]
}
