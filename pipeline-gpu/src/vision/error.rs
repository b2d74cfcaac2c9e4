//! What can be wrong with a picture, or with what a model says of it.

use std::fmt;

use progress_core::TaskError;

/// A picture, an option or a model's output could not be used.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum VisionError {
    /// The file has no bytes.
    Empty,
    /// The file has more bytes than it can have.
    TooManyBytes {
        /// How many it has.
        bytes: usize,
        /// [`DecodeLimits::bytes`](super::DecodeLimits::bytes).
        limit: usize,
    },
    /// The bytes are of no format that can be read.
    UnknownFormat,
    /// The format can be read, but not this variant of it.
    Unsupported {
        /// What the decoder says.
        reason: String,
    },
    /// The file ends too early.
    Truncated,
    /// The file contradicts its format.
    Corrupt {
        /// What the decoder says.
        reason: String,
    },
    /// The picture has no pixels.
    NoPixels,
    /// The picture has more pixels than it can have.
    TooManyPixels {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
        /// [`DecodeLimits::pixels`](super::DecodeLimits::pixels).
        limit: u64,
    },
    /// The picture is wider or higher than it can be.
    SideTooLong {
        /// The longer side.
        side: u32,
        /// [`DecodeLimits::side`](super::DecodeLimits::side).
        limit: u32,
    },
    /// An option has a value that makes no sense.
    Option {
        /// Which one.
        field: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// A model's output has a shape that cannot be read.
    Shape {
        /// Which output.
        output: &'static str,
        /// What shape it has to have.
        expected: String,
        /// What shape it has.
        given: Vec<usize>,
    },
    /// A model's output has more or fewer values than its shape says.
    Length {
        /// Which output.
        output: &'static str,
        /// How many its shape says.
        expected: usize,
        /// How many there are.
        given: usize,
    },
    /// The shape of a detector's output fits more than one layout: say which.
    AmbiguousLayout {
        /// The shape.
        given: Vec<usize>,
    },
    /// A model's output holds NaN or an infinity.
    NotFinite {
        /// Which output.
        output: &'static str,
        /// The index of the first such value.
        index: usize,
    },
    /// The picture could not be written as PNG.
    Encode {
        /// What the encoder says.
        reason: String,
    },
}

impl VisionError {
    /// The code of the error as a task tells it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "IMAGE_EMPTY",
            Self::TooManyBytes { .. } | Self::TooManyPixels { .. } | Self::SideTooLong { .. } => {
                "IMAGE_TOO_LARGE"
            }
            Self::UnknownFormat | Self::Unsupported { .. } => "IMAGE_UNSUPPORTED",
            Self::Truncated => "IMAGE_TRUNCATED",
            Self::Corrupt { .. } | Self::NoPixels => "IMAGE_INVALID",
            Self::Option { .. } => "VISION_OPTION_INVALID",
            Self::Shape { .. } | Self::Length { .. } | Self::AmbiguousLayout { .. } => {
                "MODEL_OUTPUT_SHAPE"
            }
            Self::NotFinite { .. } => "MODEL_OUTPUT_NOT_FINITE",
            Self::Encode { .. } => "IMAGE_ENCODE_FAILED",
        }
    }

    fn solution(&self) -> Option<&'static str> {
        Some(match self {
            Self::Empty | Self::Truncated => "Upload the picture again: it did not arrive whole",
            Self::TooManyBytes { .. } | Self::TooManyPixels { .. } | Self::SideTooLong { .. } => {
                "Make the picture smaller"
            }
            Self::UnknownFormat | Self::Unsupported { .. } => {
                "Save the picture as JPEG, PNG or WebP"
            }
            Self::Corrupt { .. } | Self::NoPixels => {
                "Open the picture in an editor and save it again"
            }
            Self::Shape { .. } | Self::Length { .. } => {
                "Check that the model is of the kind that is configured"
            }
            Self::AmbiguousLayout { .. } => {
                "Name the layout of the model, or its number of classes"
            }
            Self::NotFinite { .. } => "Run the model in full precision, or on the CPU",
            Self::Option { .. } | Self::Encode { .. } => return None,
        })
    }
}

impl fmt::Display for VisionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the picture is empty"),
            Self::TooManyBytes { bytes, limit } => {
                write!(f, "the picture has {bytes} bytes, the limit is {limit}")
            }
            Self::UnknownFormat => f.write_str("the bytes are no picture that can be read"),
            Self::Unsupported { reason } => {
                write!(f, "this variant of the format cannot be read: {reason}")
            }
            Self::Truncated => f.write_str("the picture ends too early"),
            Self::Corrupt { reason } => write!(f, "the picture is damaged: {reason}"),
            Self::NoPixels => f.write_str("the picture has no pixels"),
            Self::TooManyPixels {
                width,
                height,
                limit,
            } => write!(
                f,
                "the picture has {width} x {height} pixels, the limit is {limit} in all"
            ),
            Self::SideTooLong { side, limit } => {
                write!(
                    f,
                    "a side of the picture is {side} long, the limit is {limit}"
                )
            }
            Self::Option { field, expected } => write!(f, "{field} has to be {expected}"),
            Self::Shape {
                output,
                expected,
                given,
            } => write!(f, "{output} has shape {given:?}, expected {expected}"),
            Self::Length {
                output,
                expected,
                given,
            } => write!(f, "{output} has {given} values, its shape says {expected}"),
            Self::AmbiguousLayout { given } => {
                write!(f, "an output of shape {given:?} fits more than one layout")
            }
            Self::NotFinite { output, index } => {
                write!(f, "value {index} of {output} is not finite")
            }
            Self::Encode { reason } => write!(f, "the picture cannot be written: {reason}"),
        }
    }
}

impl std::error::Error for VisionError {}

/// None is retryable: the same picture or the same model fails in the same way.
impl From<VisionError> for TaskError {
    fn from(error: VisionError) -> Self {
        let told = Self::new(error.code(), error.to_string());
        match error.solution() {
            Some(solution) => told.solution(solution),
            None => told,
        }
    }
}
