//! Owned tensors, whose element type is known when the program runs.

use std::fmt;

use half::{bf16, f16};

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

/// None if there is no memory for it, which otherwise would end the process.
fn zeroed<T: Element>(len: usize) -> Option<Vec<T>> {
    let mut values = Vec::new();
    values.try_reserve_exact(len).ok()?;
    values.resize(len, T::default());
    Some(values)
}

/// A type that elements of a [`Tensor`] can have.
pub trait Element: sealed::Sealed + Copy + Default + Send + Sync + fmt::Debug + 'static {
    /// Its name.
    const TYPE: ElementType;

    #[doc(hidden)]
    fn into_data(values: Vec<Self>) -> TensorData;

    #[doc(hidden)]
    fn from_data(data: TensorData) -> Option<Vec<Self>>;

    #[doc(hidden)]
    fn of(data: &TensorData) -> Option<&[Self]>;
}

mod sealed {
    #[expect(unnameable_types, reason = "that is what seals it")]
    pub trait Sealed {}
}

/// One row a type: what it is called here, in Rust, and in the runtime.
macro_rules! elements {
    ($($variant:ident($rust:ident) = $runtime:ident;)*) => {
        /// The type of a tensor's elements.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ElementType {
            $(#[doc = concat!("`", stringify!($rust), "`")] $variant,)*
        }

        impl ElementType {
            /// Returns how many bytes an element takes.
            #[must_use]
            pub const fn bytes(self) -> usize {
                match self {
                    $(Self::$variant => size_of::<$rust>(),)*
                }
            }

            /// Its name in Rust.
            const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($rust),)*
                }
            }

            /// Ours for the runtime's; none for text, halves, complex and packed numbers.
            pub(super) fn of_runtime(kind: ort::value::TensorElementType) -> Option<Self> {
                match kind {
                    $(ort::value::TensorElementType::$runtime => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }

        /// The elements of a [`Tensor`].
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum TensorData {
            $(#[doc = concat!("Elements of type `", stringify!($rust), "`")] $variant(Vec<$rust>),)*
        }

        impl TensorData {
            /// Returns the type of the elements.
            #[must_use]
            pub const fn element_type(&self) -> ElementType {
                match self {
                    $(Self::$variant(_) => ElementType::$variant,)*
                }
            }

            /// Returns how many elements there are.
            #[must_use]
            pub const fn len(&self) -> usize {
                match self {
                    $(Self::$variant(values) => values.len(),)*
                }
            }

            /// Tells whether there are no elements.
            #[must_use]
            pub const fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Moves the elements of `other` to the end; not if they are of another type.
            pub(super) fn append(&mut self, other: &mut Self) -> bool {
                match (self, other) {
                    $((Self::$variant(all), Self::$variant(more)) => all.append(more),)*
                    _ => return false,
                }
                true
            }

            /// Takes the elements from `at` on.
            pub(super) fn split_off(&mut self, at: usize) -> Self {
                match self {
                    $(Self::$variant(values) => Self::$variant(values.split_off(at)),)*
                }
            }

            fn zeros(kind: ElementType, len: usize) -> Option<Self> {
                match kind {
                    $(ElementType::$variant => zeroed(len).map(Self::$variant),)*
                }
            }
        }

        impl Tensor {
            /// Gives the elements to the runtime.
            pub(super) fn into_value(self) -> ort::Result<ort::value::DynValue> {
                let shape = self.shape;
                match self.data {
                    $(TensorData::$variant(values) => {
                        Ok(ort::value::Tensor::from_array((shape, values))?.into_dyn())
                    })*
                }
            }

            /// Copies out what the runtime holds; none for types that this crate has not.
            pub(super) fn of_value(value: &ort::value::DynValue) -> ort::Result<Option<Self>> {
                let kind = value.dtype().tensor_type().and_then(ElementType::of_runtime);
                let (Some(kind), Some(shape)) = (kind, value.dtype().tensor_shape()) else {
                    return Ok(None);
                };
                let sizes = shape.iter().map(|size| usize::try_from(*size).unwrap_or(0));
                let sizes: Vec<usize> = sizes.collect();
                let data = match kind {
                    // Where there is nothing, the runtime has no address to give.
                    $(ElementType::$variant if sizes.contains(&0) => {
                        TensorData::$variant(Vec::new())
                    })*
                    $(ElementType::$variant => {
                        TensorData::$variant(value.try_extract_tensor::<$rust>()?.1.to_vec())
                    })*
                };
                Ok(Some(Self { shape: sizes, data }))
            }
        }

        $(
            impl sealed::Sealed for $rust {}

            impl Element for $rust {
                const TYPE: ElementType = ElementType::$variant;

                fn into_data(values: Vec<Self>) -> TensorData {
                    TensorData::$variant(values)
                }

                fn from_data(data: TensorData) -> Option<Vec<Self>> {
                    match data {
                        TensorData::$variant(values) => Some(values),
                        _ => None,
                    }
                }

                fn of(data: &TensorData) -> Option<&[Self]> {
                    match data {
                        TensorData::$variant(values) => Some(values),
                        _ => None,
                    }
                }
            }
        )*
    };
}

elements! {
    F32(f32) = Float32;
    F64(f64) = Float64;
    F16(f16) = Float16;
    Bf16(bf16) = Bfloat16;
    I8(i8) = Int8;
    I16(i16) = Int16;
    I32(i32) = Int32;
    I64(i64) = Int64;
    U8(u8) = Uint8;
    U16(u16) = Uint16;
    U32(u32) = Uint32;
    U64(u64) = Uint64;
    Bool(bool) = Bool;
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
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
