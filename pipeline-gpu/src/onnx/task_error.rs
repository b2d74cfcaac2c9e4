//! What users and programs are told of an [`OnnxError`].

use progress_core::TaskError;

use super::{error::OnnxError, library::LibraryError, port::shown, tensor::TensorError};

impl OnnxError {
    /// Returns the code of the [`TaskError`] made of it: a stable name in `UPPER_SNAKE`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Library(error) => match error {
                LibraryError::Missing { .. } => "ONNX_LIBRARY_MISSING",
                LibraryError::TooOld { .. } => "ONNX_LIBRARY_TOO_OLD",
                LibraryError::Conflict { .. } => "ONNX_LIBRARY_CONFLICT",
                LibraryError::Unusable { .. } => "ONNX_LIBRARY_UNUSABLE",
            },
            Self::ModelMissing { .. } => "ONNX_MODEL_MISSING",
            Self::ModelInvalid { .. } => "ONNX_MODEL_INVALID",
            Self::ModelUnsupported { .. } => "ONNX_MODEL_UNSUPPORTED",
            Self::ProviderUnavailable { .. } => "ONNX_PROVIDER_UNAVAILABLE",
            Self::WarmUp { .. } => "ONNX_WARM_UP_FAILED",
            Self::InputUnknown { .. } => "ONNX_INPUT_UNKNOWN",
            Self::InputMissing { .. } => "ONNX_INPUT_MISSING",
            Self::InputRepeated { .. } => "ONNX_INPUT_REPEATED",
            Self::InputType { .. } => "ONNX_INPUT_TYPE",
            Self::InputShape { .. } => "ONNX_INPUT_SHAPE",
            Self::Tensor(TensorError::Length { .. }) => "ONNX_TENSOR_LENGTH",
            Self::Tensor(TensorError::TooLarge { .. }) => "ONNX_TENSOR_TOO_LARGE",
            Self::Tensor(TensorError::Type { .. }) => "ONNX_TENSOR_TYPE",
            Self::Tensor(TensorError::Unlike { .. }) => "ONNX_TENSOR_UNLIKE",
            Self::Tensor(TensorError::Parts { .. }) => "ONNX_TENSOR_PARTS",
            Self::OutOfMemory { .. } => "ONNX_OUT_OF_MEMORY",
            Self::RunFailed { .. } => "ONNX_RUN_FAILED",
            Self::OutputNotFinite { .. } => "ONNX_OUTPUT_NOT_FINITE",
            Self::OutputTooLarge { .. } => "ONNX_OUTPUT_TOO_LARGE",
            Self::OutputUnsupported { .. } => "ONNX_OUTPUT_UNSUPPORTED",
            Self::OutputUnknown { .. } => "ONNX_OUTPUT_UNKNOWN",
            Self::Cancelled => "ONNX_CANCELLED",
            Self::Closed => "ONNX_CLOSED",
            Self::Thread { .. } => "ONNX_THREAD_LOST",
        }
    }

    /// Tells whether the same thing may succeed if tried again: where memory or a device was short,
    /// and where a session's thread was lost. A model and its inputs are the same the next time.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::OutOfMemory { .. } | Self::RunFailed { device: true, .. } | Self::Thread { .. }
        )
    }

    /// What whoever sees the error can do about it.
    fn solutions(&self) -> &'static [&'static str] {
        match self {
            Self::Library(LibraryError::Missing { .. } | LibraryError::Unusable { .. }) => &[
                "Install ONNX Runtime 1.24 or later",
                "Set ORT_DYLIB_PATH to its library, or put the library beside the program",
            ],
            Self::Library(LibraryError::TooOld { .. }) => {
                &["Install ONNX Runtime 1.24 or later, or set ORT_DYLIB_PATH to such a library"]
            }
            Self::Library(LibraryError::Conflict { .. }) => {
                &["Give all models of a process the same library"]
            }
            Self::ModelMissing { .. } => &["Check that the model was fetched and can be read"],
            Self::ModelInvalid { .. } => &["Fetch the model again and compare its checksum"],
            Self::ModelUnsupported { .. } => &[
                "Use a newer ONNX Runtime",
                "Export the model with standard operators, and with plain tensors as inputs and outputs",
            ],
            Self::ProviderUnavailable { .. } => &[
                "Use the CPU, or a device that falls back to it",
                "Check that the GPU's driver and the libraries of the provider are installed",
            ],
            Self::WarmUp { .. } => {
                &["Give the model inputs that it can be warmed up with, or turn warming up off"]
            }
            Self::InputUnknown { .. } | Self::InputMissing { .. } | Self::InputRepeated { .. } => {
                &["Give each input of the model once, under the model's name for it"]
            }
            Self::InputType { .. } => &["Convert the input to the type that the model takes"],
            Self::InputShape { .. } => {
                &["Resize or pad the input to the shape that the model takes"]
            }
            Self::OutOfMemory { .. } => &[
                "Try again when the device is less busy",
                "Use smaller inputs, fewer workers, or a higher memory limit",
            ],
            Self::RunFailed { device: true, .. } | Self::Thread { .. } => {
                &["Try again; if it goes on, restart the service"]
            }
            Self::RunFailed { device: false, .. } => {
                &["Check that the inputs are what the model was made for"]
            }
            Self::OutputNotFinite { .. } => &[
                "Check that the input is neither empty nor out of range",
                "Run the model with full precision",
            ],
            Self::OutputTooLarge { .. } => &["Use smaller inputs, or raise the limit"],
            Self::OutputUnsupported { .. } => {
                &["Export the model with outputs that are plain tensors"]
            }
            Self::Tensor(_) | Self::OutputUnknown { .. } | Self::Cancelled | Self::Closed => &[],
        }
    }

    /// What users are told; the rest is for programs, or for the service's own log.
    fn message(&self) -> String {
        match self {
            Self::Library(error) => match error {
                LibraryError::Missing { .. } => "ONNX Runtime was not found".into(),
                LibraryError::TooOld { found, needed, .. } => {
                    format!("ONNX Runtime {found} is too old: {needed} or later is needed")
                }
                LibraryError::Conflict { .. } => {
                    "Another library of ONNX Runtime is in use in this process".into()
                }
                LibraryError::Unusable { .. } => "ONNX Runtime could not be started".into(),
            },
            Self::WarmUp { model, .. } => format!("The first run of the model {model} failed"),
            Self::OutOfMemory { .. } => "The device has not enough memory".into(),
            Self::RunFailed { .. } => "The model failed while it ran".into(),
            Self::ModelMissing { model, .. } => format!("The model {model} cannot be read"),
            Self::ModelInvalid { model, .. } => format!("{model} is not a valid model"),
            Self::ModelUnsupported { model, .. } => format!("The model {model} cannot be run here"),
            Self::ProviderUnavailable { .. } => {
                "The model cannot run on the device that was asked for".into()
            }
            other => sentence(&other.to_string()),
        }
    }

    /// What the runtime says of it.
    fn reason(&self) -> Option<String> {
        match self {
            Self::ModelMissing { reason, .. }
            | Self::ModelInvalid { reason, .. }
            | Self::ModelUnsupported { reason, .. }
            | Self::WarmUp { reason, .. }
            | Self::OutOfMemory { reason }
            | Self::RunFailed { reason, .. }
            | Self::Thread { reason } => Some(without_paths(reason)),
            Self::ProviderUnavailable { tried } => {
                let reasons = tried.iter().map(|one| {
                    let reason = without_paths(&one.reason);
                    format!("{}: {reason}", one.provider)
                });
                Some(reasons.collect::<Vec<_>>().join("; "))
            }
            _ => None,
        }
    }
}

impl From<OnnxError> for TaskError {
    fn from(error: OnnxError) -> Self {
        Self::from(&error)
    }
}

impl From<&OnnxError> for TaskError {
    fn from(error: &OnnxError) -> Self {
        let mut made = Self::new(error.code(), error.message()).retryable(error.is_retryable());
        for solution in error.solutions() {
            made = made.solution(*solution);
        }
        if let Some(reason) = error.reason() {
            made = made.detail("reason", reason);
        }
        match error {
            OnnxError::InputShape {
                name,
                expected,
                given,
            } => made
                .detail("input", &**name)
                .detail("expected", shown(expected))
                .detail("given", shown(given)),
            OnnxError::InputType {
                name,
                expected,
                given,
            } => made
                .detail("input", &**name)
                .detail("expected", expected.to_string())
                .detail("given", given.to_string()),
            OnnxError::OutputNotFinite { name, count, .. } => {
                made.detail("output", &**name).detail("count", *count)
            }
            _ => made,
        }
    }
}

impl From<TensorError> for TaskError {
    fn from(error: TensorError) -> Self {
        OnnxError::from(error).into()
    }
}

/// Begins a text with a capital.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// What the runtime says names this machine, files of it and of the one that it was built on: of each
/// file only the last part is left, and of it all no more than watchers can use.
pub(super) fn without_paths(text: &str) -> String {
    const LONGEST: usize = 500;
    let words = text.split_whitespace();
    // So begins in what CUDA's errors say the name of the machine.
    let words = words.filter(|word| !word.starts_with("hostname="));
    let words = words.map(|word| {
        let is_path = |c| c == '/' || c == '\\';
        match word.trim_end_matches(is_path).rsplit_once(is_path) {
            Some((_, last)) => last,
            None => word,
        }
    });
    let short = words.collect::<Vec<_>>().join(" ");
    match short.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &short[..end]),
        None => short,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_not_told_to_watchers() {
        let said = "Load model from /srv/models/u2netp.onnx failed:/onnxruntime_src/core/graph.cc:12 \
                    C:\\models\\a.onnx is bad";
        let told = "Load model from u2netp.onnx graph.cc:12 a.onnx is bad";
        assert_eq!(without_paths(said), told);
        assert_eq!(without_paths("shape [1, 3] and x"), "shape [1, 3] and x");
        assert_eq!(
            without_paths("CUDA failure 2 ; hostname=gpu-7 ;"),
            "CUDA failure 2 ; ;"
        );
        assert_eq!(without_paths(&"é".repeat(900)).chars().count(), 501);
    }
}
