//! Who is in a picture.

use std::sync::Arc;

use image::RgbImage;
use progress_core::{Level, TaskError};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    context::Context,
    vision::{BoundingBox, Face, select_largest},
};

/// A picture in which somebody is looked for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Scene {
    /// The picture.
    pub picture: Arc<RgbImage>,
    /// The least confidence, from 0 to 1, in place of the stage's.
    pub confidence: Option<f32>,
}

impl Scene {
    /// A picture, to be looked at as the stage is set.
    pub fn new(picture: impl Into<Arc<RgbImage>>) -> Self {
        Self {
            picture: picture.into(),
            confidence: None,
        }
    }

    /// Sets the least confidence for this picture, from 0 to 1 (default the stage's).
    #[must_use]
    pub fn confidence(mut self, confidence: impl Into<Option<f32>>) -> Self {
        self.confidence = confidence.into();
        self
    }
}

/// What is done about a picture in which nobody is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum IfNobody {
    /// The item fails, with `NO_PERSON_FOUND`.
    #[default]
    Fail,
    /// It goes on with the whole picture. Watchers are told: a warning in the log, `"selected_person": null` and
    /// `"fallback": "whole_picture"` in the metadata.
    WholePicture,
}

/// Somebody in a picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Person {
    /// Where they are, or, if it was a face that was found, where that is; in pixels of the picture.
    pub bounds: BoundingBox,
    /// How sure the model is, from 0 to 1.
    pub confidence: f32,
    /// The face, if it was a face that was found.
    pub face: Option<Face>,
}

impl Person {
    /// Where the whole of them is, in a picture of this width and height: the [bounds](Self::bounds), or what is about a
    /// [face](Face::person).
    #[must_use]
    pub fn figure(&self, picture: (u32, u32)) -> BoundingBox {
        match &self.face {
            Some(face) => face.person(picture),
            None => self.bounds.within(picture.0 as f32, picture.1 as f32),
        }
    }
}

/// Who is in a picture, and whom it is taken to be of.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Persons {
    /// All of them, the surest first. Their `person_id` is their place here, from 0.
    pub all: Vec<Person>,
    /// The `person_id` of the one whom the picture is of: the [largest](select_largest). None if nobody was found.
    pub selected: Option<usize>,
}

impl Persons {
    /// Returns the one whom the picture is of.
    #[must_use]
    pub fn selected(&self) -> Option<&Person> {
        self.all.get(self.selected?)
    }

    /// Returns the [figure](Person::figure) of the one whom the picture is of.
    #[must_use]
    pub fn selected_figure(&self, picture: (u32, u32)) -> Option<BoundingBox> {
        Some(self.selected()?.figure(picture))
    }

    /// Selects, and tells watchers.
    pub(super) fn settle(
        cx: &Context,
        all: Vec<Person>,
        if_nobody: IfNobody,
    ) -> Result<Self, TaskError> {
        let selected = select_largest(all.iter().map(|one| (one.bounds, one.confidence)));
        let reporter = cx.reporter();
        reporter.metadata("detected_persons", all.len());
        let told = selected.map(|person_id| {
            let Person {
                bounds, confidence, ..
            } = all[person_id];
            let sides = [bounds.left, bounds.top, bounds.right, bounds.bottom];
            json!({
                "person_id": person_id,
                // As many digits as mean something.
                "confidence": (f64::from(confidence) * 1e4).round() / 1e4,
                "bounds": sides.map(f32::round),
            })
        });
        reporter.metadata("selected_person", told);
        match (all.len(), if_nobody) {
            (0, IfNobody::Fail) => {
                return Err(
                    TaskError::new("NO_PERSON_FOUND", "Nobody was found in the picture")
                        .solution(
                            "Take a picture that shows one person from the front, in good light",
                        )
                        .solution("Lower the confidence threshold"),
                );
            }
            (0, IfNobody::WholePicture) => {
                reporter.metadata("fallback", "whole_picture");
                let text = "Nobody was found; the whole picture is taken for the person";
                reporter.log(Level::WARN, text);
                reporter.message(text);
            }
            (1, _) => reporter.message("One person was found"),
            (found, _) => {
                reporter.message(format!("{found} persons were found, the largest is taken"))
            }
        }
        Ok(Self { all, selected })
    }
}
