//! What can go wrong with a model.

use std::fmt;

use super::{
    element::ElementType,
    library::LibraryError,
    placement::Fallback,
    port::{Dim, shown},
    tensor::TensorError,
};

/// What went wrong with a model.
///
/// It is written for who runs the service: it may name paths. What users are to see is the
/// [`TaskError`](progress_core::TaskError) made of it, which has a stable code, says what can be
/// done, and names no path.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum OnnxError {
    /// There is no ONNX Runtime to run models with.
    Library(LibraryError),
    /// The model's file is not there, or cannot be read.
    ModelMissing {
        /// The model.
        model: String,
        /// What the system says.
        reason: String,
    },
    /// The file is no model, or one that is damaged.
    ModelInvalid {
        /// The model.
        model: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The model needs what the runtime or this crate has not.
    ModelUnsupported {
        /// The model.
        model: String,
        /// What that is.
        reason: String,
    },
    /// The model runs on none of the providers that it may run on.
    ProviderUnavailable {
        /// Those that were tried, and why each was not taken.
        tried: Vec<Fallback>,
    },
    /// The model loaded, and the run that warms it up failed.
    WarmUp {
        /// The model.
        model: String,
        /// What the runtime says.
        reason: String,
    },
    /// The model has no input of that name.
    InputUnknown {
        /// The name.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// An input of the model was not given.
    InputMissing {
        /// Its name.
        name: String,
    },
    /// An input was given more than once.
    InputRepeated {
        /// Its name.
        name: String,
    },
    /// An input has elements of another type.
    InputType {
        /// Its name.
        name: String,
        /// The type that the model takes.
        expected: ElementType,
        /// The type that was given.
        given: ElementType,
    },
    /// An input has another shape.
    InputShape {
        /// Its name.
        name: String,
        /// The shape that the model takes.
        expected: Vec<Dim>,
        /// The shape that was given.
        given: Vec<usize>,
    },
    /// A tensor was made or read wrongly.
    Tensor(TensorError),
    /// The device has not enough memory for the model or the run.
    OutOfMemory {
        /// What the runtime says.
        reason: String,
    },
    /// A run failed.
    RunFailed {
        /// What the runtime says.
        reason: String,
        /// Whether it is the device that failed, so that the same may succeed later.
        device: bool,
    },
    /// An output holds NaN or infinity, and [finite ones](super::ModelBuilder::check_finite) were
    /// asked for.
    OutputNotFinite {
        /// Its name.
        name: String,
        /// The place of the first such element.
        index: usize,
        /// That element.
        value: NotANumber,
        /// How many there are.
        count: usize,
    },
    /// The outputs are larger than they [may be](super::ModelBuilder::output_limit).
    OutputTooLarge {
        /// The name of the one at which the limit was passed.
        name: String,
        /// The bytes of all outputs so far.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// An output is no tensor of a type that this crate has.
    OutputUnsupported {
        /// Its name.
        name: String,
        /// What it is.
        kind: String,
    },
    /// There is no output of that name, or it was taken.
    OutputUnknown {
        /// The name.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// It was told to stop.
    Cancelled,
    /// The model was closed.
    Closed,
    /// The thread of a session could not be started, ended unexpectedly, or a run panicked on it.
    Thread {
        /// What is known of it.
        reason: String,
    },
}

/// What an element is that is no finite number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are no others")]
pub enum NotANumber {
    /// NaN.
    Nan,
    /// Above all numbers.
    Infinity,
    /// Below all numbers.
    NegativeInfinity,
}

impl NotANumber {
    pub(super) fn of(value: f64) -> Self {
        if value.is_nan() {
            Self::Nan
        } else if value > 0.0 {
            Self::Infinity
        } else {
            Self::NegativeInfinity
        }
    }
}

impl fmt::Display for NotANumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nan => "NaN",
            Self::Infinity => "infinity",
            Self::NegativeInfinity => "-infinity",
        })
    }
}

impl OnnxError {
    /// What the runtime says of loading a model.
    pub(super) fn loading(model: &str, error: &ort::Error) -> Self {
        use ort::ErrorCode as Code;

        let failed = Self::running(error);
        let (model, reason) = match failed {
            Self::RunFailed {
                reason,
                device: false,
            } => (model.to_owned(), reason),
            other => return other,
        };
        match error.code() {
            Code::NoSuchFile => Self::ModelMissing { model, reason },
            Code::NotImplemented | Code::CompilationRequired | Code::NotFound => {
                Self::ModelUnsupported { model, reason }
            }
            Code::ModelLoadCanceled => Self::Cancelled,
            // The runtime has no code of its own for most of what it finds wrong with a graph.
            _ => Self::ModelInvalid { model, reason },
        }
    }

    /// What the runtime says of a run.
    pub(super) fn running(error: &ort::Error) -> Self {
        let reason = said(error.message());
        if is_out_of_memory(&reason) {
            return Self::OutOfMemory { reason };
        }
        let device = is_of_device(error.code(), &reason);
        Self::RunFailed { reason, device }
    }
}

/// What an error of the runtime says, without where in its source it says so:
/// `file.cc:12 function [ONNXRuntimeError] : 1 : FAIL : what`.
pub(super) fn said(message: &str) -> String {
    let after = message
        .split_once("[ONNXRuntimeError] : ")
        .map(|(_, after)| after);
    let what = after.and_then(|after| after.splitn(3, " : ").nth(2));
    what.unwrap_or(message).trim().to_owned()
}

/// What CUDA's libraries say has no code of its own.
fn is_of_device(code: ort::ErrorCode, reason: &str) -> bool {
    use ort::ErrorCode as Code;

    let of_cuda = [
        "CUDA failure",
        "CUDNN failure",
        "CUBLAS failure",
        "CUFFT failure",
    ];
    let codes = [
        Code::ExecutionProviderFailure,
        Code::EngineError,
        Code::DeviceReset,
    ];
    codes.contains(&code) || of_cuda.iter().any(|words| reason.contains(words))
}

/// The runtime has no code for it: its allocators and CUDA's say it in these words.
fn is_out_of_memory(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    [
        "out of memory",
        "failed to allocate memory",
        "available memory of",
        "bad_alloc",
        "alloc_failed",
        "allocation_failed",
    ]
    .iter()
    .any(|words| reason.contains(words))
}

impl From<LibraryError> for OnnxError {
    fn from(error: LibraryError) -> Self {
        Self::Library(error)
    }
}

impl From<TensorError> for OnnxError {
    fn from(error: TensorError) -> Self {
        Self::Tensor(error)
    }
}

impl fmt::Display for OnnxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library(_) => f.write_str("ONNX Runtime cannot be used"),
            Self::ModelMissing { model, reason } => {
                write!(f, "the model `{model}` cannot be read: {reason}")
            }
            Self::ModelInvalid { model, reason } => {
                write!(f, "`{model}` is not a valid model: {reason}")
            }
            Self::ModelUnsupported { model, reason } => {
                write!(f, "the model `{model}` cannot be run here: {reason}")
            }
            Self::ProviderUnavailable { tried } => {
                f.write_str("the model runs on none of its providers")?;
                let mut sign = ": ";
                for Fallback { provider, reason } in tried {
                    write!(f, "{sign}{provider}: {reason}")?;
                    sign = "; ";
                }
                Ok(())
            }
            Self::WarmUp { model, reason } => {
                write!(f, "the first run of the model `{model}` failed: {reason}")
            }
            Self::InputUnknown { name, known } => write!(
                f,
                "the model has no input `{name}`; there are: {}",
                known.join(", ")
            ),
            Self::InputMissing { name } => write!(f, "the input `{name}` is missing"),
            Self::InputRepeated { name } => write!(f, "the input `{name}` is given twice"),
            Self::InputType {
                name,
                expected,
                given,
            } => write!(f, "the input `{name}` takes {expected}, not {given}"),
            Self::InputShape {
                name,
                expected,
                given,
            } => write!(
                f,
                "the input `{name}` takes the shape {}, not {}",
                shown(expected),
                shown(given)
            ),
            Self::Tensor(error) => error.fmt(f),
            Self::OutOfMemory { reason } => write!(f, "not enough memory: {reason}"),
            Self::RunFailed { reason, .. } => write!(f, "the run failed: {reason}"),
            Self::OutputNotFinite {
                name,
                index,
                value,
                count,
            } => write!(
                f,
                "the output `{name}` holds {count} elements that are no finite number; the first is {value}, \
                 at {index}"
            ),
            Self::OutputTooLarge { name, bytes, limit } => write!(
                f,
                "with the output `{name}` there are {bytes} bytes, {limit} at most"
            ),
            Self::OutputUnsupported { name, kind } => write!(f, "the output `{name}` is a {kind}"),
            Self::OutputUnknown { name, known } => write!(
                f,
                "there is no output `{name}`; there are: {}",
                known.join(", ")
            ),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Closed => f.write_str("the model is closed"),
            Self::Thread { reason } => write!(f, "a session's thread is lost: {reason}"),
        }
    }
}

impl std::error::Error for OnnxError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Library(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_and_not_where_in_the_runtimes_source() {
        let message = "/src/bridge.cc:2043 Provider& Get() [ONNXRuntimeError] : 1 : FAIL : \
                       Failed to load x.so with error: y.so: cannot open : no\n";
        let told = "Failed to load x.so with error: y.so: cannot open : no";
        assert_eq!(said(message), told);
        assert_eq!(
            said("Protobuf parsing failed.\n"),
            "Protobuf parsing failed."
        );
        assert_eq!(said("[ONNXRuntimeError] : 1"), "[ONNXRuntimeError] : 1");
    }

    #[test]
    fn a_device_that_fails_is_told_from_a_model_that_does() {
        use ort::ErrorCode as Code;

        assert!(is_of_device(Code::DeviceReset, ""));
        assert!(is_of_device(
            Code::GenericFailure,
            "CUDA failure 700: an illegal memory access"
        ));
        assert!(!is_of_device(
            Code::GenericFailure,
            "Non-zero status code returned"
        ));
    }

    #[test]
    fn memory_that_is_short_is_told_by_its_words() {
        for words in [
            "Failed to allocate memory for requested buffer of size 1",
            "Available memory of 1 is smaller than requested bytes of 2",
            "CUDA failure 2: out of memory ; GPU=0",
            "std::bad_alloc",
            "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0",
        ] {
            assert!(is_out_of_memory(words), "{words}");
        }
        assert!(!is_out_of_memory(
            "Non-zero status code returned while running Conv node"
        ));
    }
}
