//! Takes the background away.

use std::{sync::Arc, time::Duration};

use image::{RgbImage, RgbaImage};
use progress_core::TaskError;

use super::{
    TO_STOP,
    eye::{Eye, Seen},
    misfit::Misfit,
};
use crate::{
    context::Context,
    onnx::OnnxModel,
    stage::Stage,
    vision::{BoundingBox, Matte, MatteModel, VisionError, compose},
};

/// A picture of which a part is to be kept.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Region {
    /// The picture.
    pub picture: Arc<RgbImage>,
    /// Where the one is who is to be kept, in pixels; everybody if it is none.
    pub only: Option<BoundingBox>,
}

impl Region {
    /// Whatever the model takes for foreground.
    pub fn new(picture: impl Into<Arc<RgbImage>>) -> Self {
        Self {
            picture: picture.into(),
            only: None,
        }
    }

    /// Keeps no more than what is in a box (default all).
    #[must_use]
    pub fn only(mut self, bounds: impl Into<Option<BoundingBox>>) -> Self {
        self.only = bounds.into();
        self
    }
}

/// What was cut out.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Figure {
    /// The picture, of its own size, with the matte as its alpha; opaque if there is a [background](CutOut::background).
    pub image: RgbaImage,
    /// The share of the picture that is kept, from 0 to 1.
    pub coverage: f32,
}

/// Takes the background away, with any model that a [`MatteModel`] describes.
///
/// Metadata: `coverage`, the share of the picture that is kept. Fails with `NOTHING_CUT_OUT` where that is next to nothing.
#[derive(Debug, Clone)]
pub struct CutOut {
    eye: Eye,
    preset: MatteModel,
    finish: Finish,
}

#[derive(Debug, Clone, Copy)]
struct Finish {
    margin: f32,
    threshold: Option<f32>,
    feather: f32,
    background: Option<[u8; 3]>,
    least: f32,
}

impl CutOut {
    /// Cuts out with the first output of this model.
    ///
    /// # Errors
    ///
    /// [`Misfit`] if the model has other inputs or outputs.
    pub fn new(model: &OnnxModel, preset: MatteModel) -> Result<Self, Misfit> {
        Ok(Self {
            eye: Eye::new(model, 1)?,
            preset,
            finish: Finish {
                margin: 0.1,
                threshold: None,
                feather: 0.0,
                background: None,
                least: 0.005,
            },
        })
    }

    /// Sets over which share of its sides a box [fades](Matte::within) out, from 0 to 1
    /// (default 0.1).
    #[must_use]
    pub fn margin(mut self, share: f32) -> Self {
        self.finish.margin = share;
        self
    }

    /// Hardens the matte at this alpha, from 0 to 1 (default not).
    #[must_use]
    pub fn threshold(mut self, threshold: f32) -> Self {
        self.finish.threshold = Some(threshold);
        self
    }

    /// Softens the edges by a blur of this sigma in pixels, from 0 to
    /// [`Matte::MAX_FEATHER`](crate::vision::Matte::MAX_FEATHER) (default 0).
    #[must_use]
    pub fn feather(mut self, sigma: f32) -> Self {
        self.finish.feather = sigma;
        self
    }

    /// Lays the figure over a colour (default none: what is cut away is transparent).
    #[must_use]
    pub fn background(mut self, colour: [u8; 3]) -> Self {
        self.finish.background = Some(colour);
        self
    }

    /// Sets the least share of the picture that has to be kept for it to be a figure, from 0 to 1
    /// (default 0.005).
    #[must_use]
    pub fn least_coverage(mut self, share: f32) -> Self {
        self.finish.least = share;
        self
    }
}

impl Stage<Region, Figure> for CutOut {
    async fn run(&self, cx: Context, region: Region) -> Result<Figure, TaskError> {
        cx.reporter().message("Cutting the figure out");
        let (preset, finish) = (self.preset, self.finish);
        let picture = Arc::clone(&region.picture);
        let input = cx
            .pool()
            .run(&cx, move || Ok(preset.input(&picture)?))
            .await?;
        let [output]: [Seen; 1] = self.eye.see(&cx, input).await?;
        let read = move || {
            let matte = preset.matte(&output.shape, &output.values, region.picture.dimensions())?;
            let matte = finish.matte(matte, region.only)?;
            Ok((
                matte.coverage(),
                compose(&region.picture, &matte, finish.background)?,
            ))
        };
        let (coverage, image) = cx.pool().run(&cx, read).await?;
        cx.reporter()
            .metadata("coverage", (f64::from(coverage) * 1e4).round() / 1e4);
        if coverage < finish.least {
            return Err(TaskError::new(
                "NOTHING_CUT_OUT",
                "The background could not be told from a figure",
            )
            .detail("coverage", f64::from(coverage))
            .solution("Take a picture in which the figure stands out from what is behind it"));
        }
        let percent = (coverage * 100.0).round();
        let text = format!("The figure is cut out: {percent} % of the picture");
        cx.reporter().message(text);
        Ok(Figure { image, coverage })
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

impl Finish {
    fn matte(&self, matte: Matte, only: Option<BoundingBox>) -> Result<Matte, VisionError> {
        let matte = match only {
            Some(bounds) => matte.within(&bounds, self.margin)?,
            None => matte,
        };
        let matte = match self.threshold {
            Some(threshold) => matte.thresholded(threshold)?,
            None => matte,
        };
        matte.feathered(self.feather)
    }
}
