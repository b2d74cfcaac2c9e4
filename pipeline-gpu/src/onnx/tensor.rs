//! Owned tensors, whose element type is known when the program runs.

use std::fmt;

use super::element::{Element, ElementType, TensorData};

/// The values of one input or output of a model: a shape and its elements in row-major order.
///
/// The tensor owns its elements, so that it can wait in a queue and go to the thread of a session.
/// Giving one to a model moves it there; the elements are not copied.
///
/// ```
/// use pipeline_gpu::onnx::Tensor;
///
/// let image = Tensor::new([1, 3, 2, 2], vec![0.5_f32; 12])?;
/// assert_eq!(image.shape(), [1, 3, 2, 2]);
/// assert_eq!(image.as_slice::<f32>()?.len(), 12);
/// assert!(Tensor::new([1, 3], vec![0_u8; 4]).is_err());
/// # Ok::<(), pipeline_gpu::onnx::TensorError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    pub(super) shape: Vec<usize>,
    pub(super) data: TensorData,
}

impl Tensor {
    /// Makes a tensor of `shape`, whose last dimension varies fastest in `data`.
    ///
    /// # Errors
    ///
    /// [`TensorError::Length`] if `data` does not hold as many elements as `shape` says.
    pub fn new<T: Element>(
        shape: impl Into<Vec<usize>>,
        data: Vec<T>,
    ) -> Result<Self, TensorError> {
        let shape = shape.into();
        match elements(&shape) {
            Some(expected) if expected == data.len() => Ok(Self {
                shape,
                data: T::into_data(data),
            }),
            expected => Err(TensorError::Length {
                shape,
                expected,
                given: data.len(),
            }),
        }
    }

    /// Makes a tensor without dimensions, which holds one element.
    #[must_use]
    pub fn scalar<T: Element>(value: T) -> Self {
        Self {
            shape: Vec::new(),
            data: T::into_data(vec![value]),
        }
    }

    /// Makes a tensor of `shape` that holds nothing but 0, or false.
    ///
    /// # Errors
    ///
    /// [`TensorError::TooLarge`] if there is no memory for that many elements.
    pub fn zeros(kind: ElementType, shape: impl Into<Vec<usize>>) -> Result<Self, TensorError> {
        let shape = shape.into();
        match elements(&shape).and_then(|len| TensorData::zeros(kind, len)) {
            Some(data) => Ok(Self { shape, data }),
            None => Err(TensorError::TooLarge { shape }),
        }
    }

    /// Returns the size of each dimension; none for a scalar.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the elements.
    #[must_use]
    pub fn data(&self) -> &TensorData {
        &self.data
    }

    /// Returns the type of the elements.
    #[must_use]
    pub fn element_type(&self) -> ElementType {
        self.data.element_type()
    }

    /// Returns how many elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Tells whether there are no elements, because a dimension is 0.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the elements, which must be of type `T`.
    ///
    /// # Errors
    ///
    /// [`TensorError::Type`] if they are of another type.
    pub fn as_slice<T: Element>(&self) -> Result<&[T], TensorError> {
        T::of(&self.data).ok_or_else(|| self.not::<T>())
    }

    /// Takes the elements, which must be of type `T`, without copying them.
    ///
    /// # Errors
    ///
    /// [`TensorError::Type`] if they are of another type.
    pub fn into_vec<T: Element>(self) -> Result<Vec<T>, TensorError> {
        let error = self.not::<T>();
        T::from_data(self.data).ok_or(error)
    }

    /// Takes the tensor apart.
    #[must_use]
    pub fn into_parts(self) -> (Vec<usize>, TensorData) {
        (self.shape, self.data)
    }

    fn not<T: Element>(&self) -> TensorError {
        TensorError::Type {
            asked: T::TYPE,
            found: self.element_type(),
        }
    }

    /// The first element that is NaN or infinite, and how many such there are.
    pub(super) fn not_finite(&self) -> Option<NotFinite> {
        fn find(values: impl Iterator<Item = f64>) -> Option<NotFinite> {
            let mut found = values.enumerate().filter(|(_, value)| !value.is_finite());
            let (index, value) = found.next()?;
            let count = 1 + found.count();
            Some(NotFinite {
                index,
                value,
                count,
            })
        }
        match &self.data {
            TensorData::F32(values) => find(values.iter().copied().map(f64::from)),
            TensorData::F64(values) => find(values.iter().copied()),
            TensorData::F16(values) => find(values.iter().copied().map(f64::from)),
            TensorData::Bf16(values) => find(values.iter().copied().map(f64::from)),
            _ => None,
        }
    }
}

/// What [`Tensor::not_finite`] found.
pub(super) struct NotFinite {
    pub(super) index: usize,
    pub(super) value: f64,
    pub(super) count: usize,
}

/// How many elements a shape has; none if that is past what can be counted.
pub(super) fn elements(shape: &[usize]) -> Option<usize> {
    shape
        .iter()
        .try_fold(1_usize, |len, size| len.checked_mul(*size))
}

/// What is wrong with how a [`Tensor`] is made or read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TensorError {
    /// The shape says another number of elements than there are.
    Length {
        /// The shape.
        shape: Vec<usize>,
        /// How many elements it has; none if that is past what can be counted.
        expected: Option<usize>,
        /// How many were given.
        given: usize,
    },
    /// There is no memory for that many elements.
    TooLarge {
        /// The shape.
        shape: Vec<usize>,
    },
    /// The elements are of another type.
    Type {
        /// The type that was asked for.
        asked: ElementType,
        /// The type that they have.
        found: ElementType,
    },
    /// Tensors that are to be one are of different types, or of shapes that differ in more than the
    /// first dimension.
    Unlike {
        /// Which of them is unlike the first, counted from 0.
        index: usize,
    },
    /// A tensor has no first dimension that parts of equal size can be made of.
    Parts {
        /// Its shape.
        shape: Vec<usize>,
        /// How many parts were asked for.
        parts: usize,
    },
}

impl fmt::Display for TensorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length {
                shape,
                expected: Some(expected),
                given,
            } => write!(
                f,
                "a tensor of shape {shape:?} has {expected} elements, not {given}"
            ),
            Self::Length { shape, .. } | Self::TooLarge { shape } => {
                write!(f, "a tensor of shape {shape:?} is too large")
            }
            Self::Type { asked, found } => write!(f, "the tensor holds {found}, not {asked}"),
            Self::Unlike { index } => {
                write!(
                    f,
                    "tensor {index} is of another type or shape than the first"
                )
            }
            Self::Parts { shape, parts } => {
                write!(
                    f,
                    "a tensor of shape {shape:?} cannot be made {parts} equal parts"
                )
            }
        }
    }
}

impl std::error::Error for TensorError {}
