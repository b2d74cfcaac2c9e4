//! Finds people by their faces.

use std::time::Duration;

use progress_core::TaskError;

use super::{
    TO_STOP,
    eye::{Eye, Seen},
    misfit::Misfit,
    persons::{IfNobody, Person, Persons, Scene},
};
use crate::{
    context::Context,
    onnx::OnnxModel,
    stage::Stage,
    vision::{CenterFace, CenterFaceOutput, Letterbox},
};

/// Finds people by their faces, with CenterFace.
///
/// The model has one input, whose height and width are free, and gives heat map, scale, offset and landmarks, in that order. As it
/// is published it takes one size; [`ModelBuilder::input_shape`](crate::onnx::ModelBuilder::input_shape) frees it.
///
/// Metadata: `detected_persons`, and `selected_person` with `person_id`, `confidence` and the face's `bounds`
/// (`[left, top, right, bottom]`), or null. Fails with `NO_PERSON_FOUND`, unless [told](Self::if_nobody) not to.
#[derive(Debug, Clone)]
pub struct DetectFaces {
    eye: Eye,
    reader: CenterFace,
    letterbox: Letterbox,
    if_nobody: IfNobody,
}

impl DetectFaces {
    /// Detects with this model: faces from a score of 0.5, in pictures made smaller to 640 pixels.
    ///
    /// # Errors
    ///
    /// [`Misfit`] if the model has other inputs or outputs.
    pub fn new(model: &OnnxModel) -> Result<Self, Misfit> {
        Ok(Self {
            eye: Eye::new(model, 4)?,
            reader: CenterFace::new(),
            letterbox: Letterbox::center_face(640),
            if_nobody: IfNobody::default(),
        })
    }

    /// Sets how the output is read: the least score, and how doubles are suppressed (default [`CenterFace::new`]).
    #[must_use]
    pub fn reader(mut self, reader: CenterFace) -> Self {
        self.reader = reader;
        self
    }

    /// Sets the longest side of what the model is shown, up to [`Letterbox::MAX_SIDE`] (default 640). Faces below some 12 pixels
    /// there are not found; the time that it takes grows with the square.
    #[must_use]
    pub fn longest(mut self, pixels: u32) -> Self {
        self.letterbox = Letterbox::center_face(pixels);
        self
    }

    /// Sets what is done where nobody is found (default [`IfNobody::Fail`]).
    #[must_use]
    pub fn if_nobody(mut self, what: IfNobody) -> Self {
        self.if_nobody = what;
        self
    }
}

impl Stage<Scene, Persons> for DetectFaces {
    async fn run(&self, cx: Context, scene: Scene) -> Result<Persons, TaskError> {
        cx.reporter().message("Looking for faces");
        let seen = self.eye.look(&cx, self.letterbox, scene.picture).await?;
        let ([heatmap, scale, offset, landmarks], mapping): ([Seen; 4], _) = seen;
        let mut reader = self.reader.clone();
        if let Some(confidence) = scene.confidence {
            reader = reader.confidence(confidence);
        }
        let read = move || {
            let output = CenterFaceOutput {
                heatmap: &heatmap.values,
                scale: &scale.values,
                offset: &offset.values,
                landmarks: &landmarks.values,
            };
            Ok(reader.detect(&output, &mapping)?)
        };
        let faces = cx.pool().run(&cx, read).await?;
        let persons = faces.into_iter().map(|face| Person {
            bounds: face.bounds,
            confidence: face.score,
            face: Some(face),
        });
        Persons::settle(&cx, persons.collect(), self.if_nobody)
    }

    fn concurrency(&self) -> usize {
        self.eye.model().workers()
    }

    fn grace(&self) -> Duration {
        TO_STOP
    }

    fn is_opaque(&self) -> bool {
        true
    }
}
