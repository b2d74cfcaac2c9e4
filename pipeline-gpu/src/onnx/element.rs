//! The types that elements of a tensor can have.

use std::fmt;

use half::{bf16, f16};

use super::tensor::Tensor;

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

            /// Ours for the runtime's; none for text, complex and packed numbers.
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

            pub(super) fn zeros(kind: ElementType, len: usize) -> Option<Self> {
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

/// None if there is no memory for it, which otherwise would end the process.
fn zeroed<T: Element>(len: usize) -> Option<Vec<T>> {
    let mut values = Vec::new();
    values.try_reserve_exact(len).ok()?;
    values.resize(len, T::default());
    Some(values)
}
