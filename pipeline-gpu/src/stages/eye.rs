//! A model that is shown one picture at a time.

use std::sync::Arc;

use image::RgbImage;
use progress_core::TaskError;

use super::misfit::Misfit;
use crate::{
    context::Context,
    onnx::{Dim, ElementType, OnnxModel, Tensor},
    vision::{ChwTensor, Letterbox, Mapping},
};

/// A model whose one input is a picture.
#[derive(Debug, Clone)]
pub(super) struct Eye {
    model: OnnxModel,
    input: String,
}

impl Eye {
    /// `outputs` is how many it has at least.
    pub(super) fn new(model: &OnnxModel, outputs: usize) -> Result<Self, Misfit> {
        match model.inputs() {
            [input]
                if input.element_type() == ElementType::F32
                    && input.shape().len() == 4
                    && model.outputs().len() >= outputs =>
            {
                Ok(Self {
                    model: model.clone(),
                    input: input.name().to_owned(),
                })
            }
            _ => Err(Misfit::new(
                model,
                format!("one input of 32-bit floats, [1, 3, h, w], and at least {outputs} outputs"),
            )),
        }
    }

    pub(super) fn model(&self) -> &OnnxModel {
        &self.model
    }

    /// Height and width of the pictures it takes, where it takes one size alone.
    pub(super) fn size(&self) -> Option<(u32, u32)> {
        let [_, _, Dim::Fixed(height), Dim::Fixed(width)] = self.model.inputs().first()?.shape()
        else {
            return None;
        };
        Some((u32::try_from(*height).ok()?, u32::try_from(*width).ok()?))
    }

    /// What it sees of a picture in a letterbox, and where in the picture that is.
    pub(super) async fn look<const OUTPUTS: usize>(
        &self,
        cx: &Context,
        letterbox: Letterbox,
        picture: Arc<RgbImage>,
    ) -> Result<([Seen; OUTPUTS], Mapping), TaskError> {
        let prepare = move || Ok(letterbox.apply(&picture)?);
        let (input, mapping) = cx.pool().run(cx, prepare).await?;
        Ok((self.see(cx, input).await?, mapping))
    }

    /// Its first outputs, in the model's order, each with its shape.
    pub(super) async fn see<const OUTPUTS: usize>(
        &self,
        cx: &Context,
        picture: ChwTensor,
    ) -> Result<[Seen; OUTPUTS], TaskError> {
        self.model.report_device(cx.reporter());
        let input = Tensor::new(picture.shape(), picture.into_data())?;
        let mut outputs = self
            .model
            .run_in(cx, [(self.input.as_str(), input)])
            .await?;
        let mut seen = Vec::with_capacity(OUTPUTS);
        for port in self.model.outputs().iter().take(OUTPUTS) {
            let tensor = outputs.take(port.name())?;
            let shape = tensor.shape().to_vec();
            seen.push(Seen {
                shape,
                values: tensor.into_vec()?,
            });
        }
        let outputs = seen.len();
        <[Seen; OUTPUTS]>::try_from(seen).map_err(|_| {
            let expected = format!("at least {OUTPUTS} outputs, it gave {outputs}");
            Misfit::new(&self.model, expected).into()
        })
    }
}

/// One output.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}
