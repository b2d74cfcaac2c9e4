//! Finds people with a YOLO.

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
    vision::{Letterbox, Yolo},
};

/// Finds people with a YOLO: v5, v8, v9 or v11, in the layout that [`Yolo`] tells by its shape.
///
/// Metadata: `detected_persons`, and `selected_person` with `person_id`, `confidence` and `bounds`
/// (`[left, top, right, bottom]`), or null. Fails with `NO_PERSON_FOUND`, unless [told](Self::if_nobody) not to.
#[derive(Debug, Clone)]
pub struct DetectYolo {
    eye: Eye,
    reader: Yolo,
    letterbox: Letterbox,
    if_nobody: IfNobody,
}

impl DetectYolo {
    /// Detects with this model, in pictures of the size that it takes, or of 640 x 640 if it takes any. What is found is taken for
    /// persons, so the reader is told to keep those alone: `Yolo::coco().only([0])` for the 80 classes of COCO.
    ///
    /// # Errors
    ///
    /// [`Misfit`] if the model has other inputs or outputs.
    pub fn new(model: &OnnxModel, reader: Yolo) -> Result<Self, Misfit> {
        let eye = Eye::new(model, 1)?;
        let (height, width) = eye.size().unwrap_or((640, 640));
        Ok(Self {
            eye,
            reader,
            letterbox: Letterbox::new(width, height),
            if_nobody: IfNobody::default(),
        })
    }

    /// Sets how pictures are fitted in (default as most YOLOs were trained: centred, filled with grey 114, values from 0 to 1).
    #[must_use]
    pub fn letterbox(mut self, letterbox: Letterbox) -> Self {
        self.letterbox = letterbox;
        self
    }

    /// Sets what is done where nobody is found (default [`IfNobody::Fail`]).
    #[must_use]
    pub fn if_nobody(mut self, what: IfNobody) -> Self {
        self.if_nobody = what;
        self
    }
}

impl Stage<Scene, Persons> for DetectYolo {
    async fn run(&self, cx: Context, scene: Scene) -> Result<Persons, TaskError> {
        cx.reporter().message("Looking for people");
        let seen = self.eye.look(&cx, self.letterbox, scene.picture).await?;
        let ([output], mapping): ([Seen; 1], _) = seen;
        let mut reader = self.reader.clone();
        if let Some(confidence) = scene.confidence {
            reader = reader.confidence(confidence);
        }
        let read = move || Ok(reader.detect(&output.shape, &output.values, &mapping)?);
        let found = cx.pool().run(&cx, read).await?;
        let persons = found.into_iter().map(|one| Person {
            bounds: one.bounds,
            confidence: one.score,
            face: None,
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
