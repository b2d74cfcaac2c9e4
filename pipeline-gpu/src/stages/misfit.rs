//! Models that are not of the kind that a stage takes.

use std::fmt;

use progress_core::TaskError;

use crate::onnx::OnnxModel;

/// A model is not of the kind that a stage takes: told when the stage is made, not by the first item.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Misfit {
    /// The model.
    pub model: String,
    /// What the stage takes.
    pub expected: String,
    /// What the model has.
    pub found: String,
}

impl Misfit {
    pub(super) fn new(model: &OnnxModel, expected: impl Into<String>) -> Self {
        let names = |ports: &[crate::onnx::Port]| {
            let names: Vec<_> = ports.iter().map(|port| port.name()).collect();
            names.join(", ")
        };
        Self {
            model: model.name().to_owned(),
            expected: expected.into(),
            found: format!(
                "inputs {}; outputs {}",
                names(model.inputs()),
                names(model.outputs())
            ),
        }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            model,
            expected,
            found,
        } = self;
        write!(f, "{model} has {found}, expected {expected}")
    }
}

impl std::error::Error for Misfit {}

impl From<Misfit> for TaskError {
    fn from(misfit: Misfit) -> Self {
        Self::new("MODEL_MISFIT", misfit.to_string())
            .detail("model", misfit.model)
            .solution("Check that the model is of the kind that is configured")
    }
}
