//! What a model takes and gives, and whether what it is given fits.

use std::fmt;

use super::{
    element::{Element, ElementType},
    error::OnnxError,
    tensor::Tensor,
};

/// An input or output of a model: a name, a type and a shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    name: String,
    element_type: ElementType,
    shape: Vec<Dim>,
}

impl Port {
    /// Reads what the runtime says of it; an error names what is no tensor of a type that this
    /// crate has.
    pub(super) fn of(outlet: &ort::value::Outlet) -> Result<Self, String> {
        let unsupported = || format!("`{}` is a {}", outlet.name(), outlet.dtype());
        let ort::value::ValueType::Tensor {
            ty,
            shape,
            dimension_symbols,
        } = outlet.dtype()
        else {
            return Err(unsupported());
        };
        let element_type = ElementType::of_runtime(*ty).ok_or_else(unsupported)?;
        let symbols = dimension_symbols
            .iter()
            .map(Some)
            .chain(std::iter::repeat(None));
        let shape = shape.iter().zip(symbols).map(|(size, symbol)| {
            usize::try_from(*size).map_or_else(
                |_| Dim::Free(symbol.filter(|name| !name.is_empty()).cloned()),
                Dim::Fixed,
            )
        });
        Ok(Self {
            name: outlet.name().to_owned(),
            element_type,
            shape: shape.collect(),
        })
    }

    /// Returns its name, which the model's author chose.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the type of its elements.
    #[must_use]
    pub fn element_type(&self) -> ElementType {
        self.element_type
    }

    /// Returns its dimensions; none for a scalar.
    #[must_use]
    pub fn shape(&self) -> &[Dim] {
        &self.shape
    }

    /// Returns its shape if every dimension is fixed.
    #[must_use]
    pub fn fixed_shape(&self) -> Option<Vec<usize>> {
        let sizes = self.shape.iter().map(|dim| match dim {
            Dim::Fixed(size) => Some(*size),
            Dim::Free(_) => None,
        });
        sizes.collect()
    }

    fn takes(&self, shape: &[usize]) -> bool {
        let fits = |(dim, size): (&Dim, &usize)| match dim {
            Dim::Fixed(fixed) => fixed == size,
            Dim::Free(_) => true,
        };
        self.shape.len() == shape.len() && self.shape.iter().zip(shape).all(fits)
    }
}

/// The size of one dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a dimension has a size or has none"
)]
pub enum Dim {
    /// Always the same.
    Fixed(usize),
    /// Any, given with each run; some models name it.
    Free(Option<String>),
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => write!(f, "{size}"),
            Self::Free(Some(name)) => f.write_str(name),
            Self::Free(None) => f.write_str("?"),
        }
    }
}

/// `[1, 3, h, w]`.
pub(super) fn shown(shape: &[impl ToString]) -> String {
    let sizes: Vec<_> = shape.iter().map(ToString::to_string).collect();
    format!("[{}]", sizes.join(", "))
}

/// The tensors of a run, by the names of the inputs.
///
/// ```
/// use pipeline_gpu::onnx::{Inputs, Tensor};
///
/// let audio = Tensor::new([1, 160], vec![0.0_f32; 160])?;
/// let inputs = Inputs::from([("audio", audio)]).with("rate", Tensor::scalar(16_000_i64));
/// assert_eq!(inputs.len(), 2);
/// # Ok::<(), pipeline_gpu::onnx::TensorError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Inputs(Vec<(String, Tensor)>);

impl Inputs {
    /// Makes a set without tensors.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, tensor: Tensor) -> Self {
        self.0.push((name.into(), tensor));
        self
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Tensor> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, tensor)| tensor)
    }

    pub(super) fn into_values(self) -> Vec<(String, Tensor)> {
        self.0
    }

    /// Says what of this the inputs of a model do not take, so that a run is not begun for nothing.
    pub(super) fn check(&self, ports: &[Port]) -> Result<(), OnnxError> {
        for (at, (name, tensor)) in self.0.iter().enumerate() {
            let Some(port) = ports.iter().find(|port| port.name == *name) else {
                return Err(OnnxError::InputUnknown {
                    name: name.clone(),
                    known: names(ports),
                });
            };
            if self.0[..at].iter().any(|(other, _)| other == name) {
                return Err(OnnxError::InputRepeated { name: name.clone() });
            }
            if tensor.element_type() != port.element_type {
                return Err(OnnxError::InputType {
                    name: name.clone(),
                    expected: port.element_type,
                    given: tensor.element_type(),
                });
            }
            if !port.takes(tensor.shape()) {
                return Err(OnnxError::InputShape {
                    name: name.clone(),
                    expected: port.shape.clone(),
                    given: tensor.shape().to_vec(),
                });
            }
        }
        match ports.iter().find(|port| self.get(&port.name).is_none()) {
            Some(port) => Err(OnnxError::InputMissing {
                name: port.name.clone(),
            }),
            None => Ok(()),
        }
    }
}

impl<N: Into<String>, const LEN: usize> From<[(N, Tensor); LEN]> for Inputs {
    fn from(tensors: [(N, Tensor); LEN]) -> Self {
        tensors.into_iter().collect()
    }
}

impl<N: Into<String>> From<Vec<(N, Tensor)>> for Inputs {
    fn from(tensors: Vec<(N, Tensor)>) -> Self {
        tensors.into_iter().collect()
    }
}

impl<N: Into<String>> FromIterator<(N, Tensor)> for Inputs {
    fn from_iter<I: IntoIterator<Item = (N, Tensor)>>(tensors: I) -> Self {
        let named = tensors
            .into_iter()
            .map(|(name, tensor)| (name.into(), tensor));
        Self(named.collect())
    }
}

/// What a run gave, by the names of the outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Outputs(Vec<(String, Tensor)>);

impl Outputs {
    pub(super) fn new(tensors: Vec<(String, Tensor)>) -> Self {
        Self(tensors)
    }

    /// Returns the output of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, tensor)| tensor)
    }

    /// Takes the output of that name.
    ///
    /// # Errors
    ///
    /// [`OnnxError::OutputUnknown`] if there is none, or it was taken.
    pub fn take(&mut self, name: &str) -> Result<Tensor, OnnxError> {
        match self.0.iter().position(|(known, _)| known == name) {
            Some(at) => Ok(self.0.remove(at).1),
            None => Err(OnnxError::OutputUnknown {
                name: name.to_owned(),
                known: self.0.iter().map(|(known, _)| known.clone()).collect(),
            }),
        }
    }

    /// Takes the elements of the output of that name, which must be of type `T`.
    ///
    /// # Errors
    ///
    /// [`OnnxError::OutputUnknown`], or [`OnnxError::Tensor`] if they are of another type.
    pub fn take_vec<T: Element>(&mut self, name: &str) -> Result<Vec<T>, OnnxError> {
        Ok(self.take(name)?.into_vec()?)
    }

    /// Goes through names and tensors, in the model's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(name, tensor)| (&**name, tensor))
    }
}

impl IntoIterator for Outputs {
    type Item = (String, Tensor);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

pub(super) fn names(ports: &[Port]) -> Vec<String> {
    ports.iter().map(|port| port.name.clone()).collect()
}
