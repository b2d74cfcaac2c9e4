//! What a YOLO says, as boxes in the picture.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    bounds::BoundingBox,
    coco::COCO,
    error::VisionError,
    letterbox::Mapping,
    nms::{Nms, all_finite, share},
};

/// How a YOLO lays out its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum YoloLayout {
    /// `[n, boxes, 5 + classes]`: one row a box, with x and y of its centre, width, height, whether
    /// it is anything at all, and which class then. YOLOv5, and v7 without its own suppression.
    V5,
    /// `[n, 4 + classes, boxes]`: one row for x, one for y and so on, and one for each class. YOLOv8,
    /// v9, v11 and v12.
    V8,
}

impl YoloLayout {
    /// YOLOv11 writes what [v8](Self::V8) does.
    pub const V11: Self = Self::V8;
}

/// One thing in a picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Detection {
    /// Where it is, in pixels of the picture.
    pub bounds: BoundingBox,
    /// How sure the model is, from 0 to 1.
    pub score: f32,
    /// What it is: the index of its class.
    pub class: usize,
}

/// Reads the output of a YOLO: decodes, keeps the wanted classes, suppresses doubles.
///
/// ```
/// use pipeline_gpu::vision::{Letterbox, Yolo};
///
/// // Persons alone; one box of a model with two classes, in the layout of v8.
/// let yolo = Yolo::default().names(["person", "dog"]).only([0]).confidence(0.5);
/// let output = [16.0, 16.0, 8.0, 8.0, 0.9, 0.1];
/// let mapping = Letterbox::yolo(32).mapping(64, 64)?;
/// let found = yolo.detect(&[1, 6, 1], &output, &mapping)?;
/// assert_eq!(found[0].bounds.left, 24.0);
/// assert_eq!(yolo.name(found[0].class), Some("person"));
/// # Ok::<(), pipeline_gpu::vision::VisionError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Yolo {
    layout: Option<YoloLayout>,
    names: Option<Arc<[String]>>,
    only: Option<Vec<usize>>,
    confidence: f32,
    nms: Nms,
}

impl Yolo {
    /// For the 80 classes of [`COCO`].
    #[must_use]
    pub fn coco() -> Self {
        Self::default().names(COCO)
    }

    /// Sets the layout. Default: told by the shape. With [names](Self::names) their number tells;
    /// without, or if that fits both, an output is taken to have more boxes than values a box, which
    /// a model with a tiny input may not have.
    #[must_use]
    pub fn layout(mut self, layout: YoloLayout) -> Self {
        self.layout = Some(layout);
        self
    }

    /// Names the classes, and so says how many there are. Default: as many as the output has, without
    /// names.
    #[must_use]
    pub fn names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Keeps these classes alone. Default: all.
    #[must_use]
    pub fn only(mut self, classes: impl IntoIterator<Item = usize>) -> Self {
        self.only = Some(classes.into_iter().collect());
        self
    }

    /// Sets the least score, from 0 to 1. Default: 0.25.
    #[must_use]
    pub fn confidence(mut self, confidence: f32) -> Self {
        self.confidence = confidence;
        self
    }

    /// Sets how doubles are suppressed. Default: [`Nms::new`].
    #[must_use]
    pub fn nms(mut self, nms: Nms) -> Self {
        self.nms = nms;
        self
    }

    /// The name of a class.
    #[must_use]
    pub fn name(&self, class: usize) -> Option<&str> {
        self.names.as_ref()?.get(class).map(String::as_str)
    }

    /// What is in a picture, best score first. `shape` and `output` are of one picture's run, whose
    /// input `mapping` came with.
    ///
    /// A box has one class, its best, also if that is none of the [wanted](Self::only); v5's score is
    /// that of the class times that of being anything.
    ///
    /// # Errors
    ///
    /// [`VisionError::Shape`], [`VisionError::Length`] or [`VisionError::AmbiguousLayout`] if the
    /// output is of another kind, [`VisionError::NotFinite`] if any value of it is not finite,
    /// [`VisionError::Option`] if an option makes no sense.
    pub fn detect(
        &self,
        shape: &[usize],
        output: &[f32],
        mapping: &Mapping,
    ) -> Result<Vec<Detection>, VisionError> {
        let mut found = self.detect_batch(shape, output, std::slice::from_ref(mapping))?;
        Ok(found.pop().unwrap_or_default())
    }

    /// As [`detect`](Self::detect), of many pictures that were run together: one list for each.
    ///
    /// # Errors
    ///
    /// As of [`detect`](Self::detect); the output has to have one item for each mapping.
    pub fn detect_batch(
        &self,
        shape: &[usize],
        output: &[f32],
        mappings: &[Mapping],
    ) -> Result<Vec<Vec<Detection>>, VisionError> {
        share("confidence", self.confidence)?;
        self.nms.check()?;
        let (layout, rows, columns) = self.read_shape(shape, mappings.len())?;
        let size = rows
            .checked_mul(columns)
            .filter(|size| size.checked_mul(mappings.len()) == Some(output.len()))
            .ok_or_else(|| VisionError::Length {
                output: OUTPUT,
                expected: shape.iter().fold(1, |all, &side| all.saturating_mul(side)),
                given: output.len(),
            })?;
        all_finite(OUTPUT, output)?;
        let items = output.chunks_exact(size).zip(mappings);
        items
            .map(|(item, mapping)| {
                let candidates = match layout {
                    YoloLayout::V5 => self.rows(item, columns),
                    YoloLayout::V8 => self.columns(item, columns),
                };
                self.choose(&candidates, mapping)
            })
            .collect()
    }

    /// The layout, and how many rows and columns an item has. There is at least one of each.
    fn read_shape(
        &self,
        shape: &[usize],
        batch: usize,
    ) -> Result<(YoloLayout, usize, usize), VisionError> {
        let wrong = |expected: String| VisionError::Shape {
            output: OUTPUT,
            expected,
            given: shape.to_vec(),
        };
        let classes = self.names.as_ref().map(|names| names.len());
        let count = classes.map_or_else(|| "classes".to_owned(), |count| count.to_string());
        let v5 = || format!("[{batch}, boxes, 5 + {count}]");
        let v8 = || format!("[{batch}, 4 + {count}, boxes]");
        let either = || format!("{} or {}", v8(), v5());
        let &[items, rows, columns] = shape else {
            return Err(wrong(either()));
        };
        if items != batch || rows == 0 || columns == 0 {
            return Err(wrong(either()));
        }
        let fits = |values: usize, least: usize| match classes {
            Some(classes) => values == least + classes,
            None => values > least,
        };
        let layout = match self.layout {
            Some(YoloLayout::V5) if !fits(columns, 5) => return Err(wrong(v5())),
            Some(YoloLayout::V8) if !fits(rows, 4) => return Err(wrong(v8())),
            Some(layout) => layout,
            None => match (fits(rows, 4), fits(columns, 5)) {
                (false, false) => return Err(wrong(either())),
                (true, false) => YoloLayout::V8,
                (false, true) => YoloLayout::V5,
                // There are more boxes than classes in every model of use.
                (true, true) if rows < columns => YoloLayout::V8,
                (true, true) if rows > columns => YoloLayout::V5,
                (true, true) => {
                    return Err(VisionError::AmbiguousLayout {
                        given: shape.to_vec(),
                    });
                }
            },
        };
        Ok((layout, rows, columns))
    }

    fn rows(&self, item: &[f32], columns: usize) -> Candidates {
        let mut found = Candidates::default();
        for row in item.chunks_exact(columns) {
            // A class can only lower it: most rows need no look at their classes.
            if row[4] < self.confidence {
                continue;
            }
            let best = row[5..]
                .iter()
                .enumerate()
                .reduce(|best, next| if next.1 > best.1 { next } else { best });
            if let Some((class, score)) = best.filter(|(class, _)| self.wants(*class)) {
                let bounds = BoundingBox::around(row[0], row[1], row[2], row[3]);
                found.push(bounds, row[4] * score, class, self.confidence);
            }
        }
        found
    }

    fn columns(&self, item: &[f32], columns: usize) -> Candidates {
        let (boxes, scores) = item.split_at(4 * columns);
        // Class by class, for that is how they lie in memory.
        let mut best = vec![(f32::NEG_INFINITY, 0); columns];
        for (class, row) in scores.chunks_exact(columns).enumerate() {
            for (best, &score) in best.iter_mut().zip(row) {
                if score > best.0 {
                    *best = (score, class);
                }
            }
        }
        let mut found = Candidates::default();
        for (at, (score, class)) in best.into_iter().enumerate() {
            let side = |row: usize| boxes[row * columns + at];
            if score >= self.confidence && self.wants(class) {
                let bounds = BoundingBox::around(side(0), side(1), side(2), side(3));
                found.push(bounds, score, class, self.confidence);
            }
        }
        found
    }

    fn choose(&self, found: &Candidates, mapping: &Mapping) -> Result<Vec<Detection>, VisionError> {
        // In the input's pixels: what the model's thresholds were chosen for.
        let kept = self.nms.keep(&found.boxes, &found.scores, &found.classes)?;
        let detections = kept.into_iter().map(|at| Detection {
            bounds: mapping.to_picture(&found.boxes[at]),
            score: found.scores[at],
            class: found.classes[at],
        });
        Ok(detections
            .filter(|found| !found.bounds.is_empty())
            .collect())
    }

    fn wants(&self, class: usize) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(&class))
    }
}

impl Default for Yolo {
    /// Any number of classes, all of them, from a score of 0.25.
    fn default() -> Self {
        Self {
            layout: None,
            names: None,
            only: None,
            confidence: 0.25,
            nms: Nms::new(),
        }
    }
}

#[derive(Default)]
struct Candidates {
    boxes: Vec<BoundingBox>,
    scores: Vec<f32>,
    classes: Vec<usize>,
}

impl Candidates {
    fn push(&mut self, bounds: BoundingBox, score: f32, class: usize, least: f32) {
        if score >= least {
            self.boxes.push(bounds);
            self.scores.push(score);
            self.classes.push(class);
        }
    }
}

const OUTPUT: &str = "the detector's output";
