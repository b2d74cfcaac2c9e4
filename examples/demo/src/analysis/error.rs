use std::error::Error;
use std::fmt;

use super::{Analysis, Step};

/// An analysis that did not complete.
///
/// The `Display` text is fit for users: it names neither paths nor the decoder. The cause, where there
/// is one, is in [`source`](Error::source) and belongs in a log.
#[derive(Debug)]
pub struct AnalysisError {
    kind: ErrorKind,
    step: Step,
    partial: Option<Box<Analysis>>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl AnalysisError {
    pub(super) fn new(kind: ErrorKind, step: Step) -> Self {
        Self {
            kind,
            step,
            partial: None,
            cause: None,
        }
    }

    pub(super) fn caused_by(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    pub(super) fn after(mut self, partial: Analysis) -> Self {
        self.partial = Some(Box::new(partial));
        self
    }

    /// Returns what went wrong.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the stable code of what went wrong, such as `IMAGE_DECODE_FAILED`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.kind.code()
    }

    /// Returns the step that failed, or before which the analysis was cancelled.
    #[must_use]
    pub const fn step(&self) -> Step {
        self.step
    }

    /// Says whether the same file may succeed when tried again.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::FileReadFailed)
    }

    /// Returns what the person who sent the file can do, the likeliest first; empty after a cancel.
    #[must_use]
    pub fn solutions(&self) -> Vec<String> {
        self.kind
            .solutions()
            .iter()
            .map(|&solution| solution.to_owned())
            .collect()
    }

    /// Returns the name, size and hash if the analysis came that far.
    #[must_use]
    pub fn partial(&self) -> Option<&Analysis> {
        self.partial.as_deref()
    }
}

impl fmt::Display for AnalysisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            ErrorKind::Cancelled => "the analysis was cancelled",
            ErrorKind::FileReadFailed => "the file could not be read",
            ErrorKind::ImageDecodeFailed => {
                "the picture is damaged or not the picture it claims to be"
            }
            ErrorKind::ImageFormatUnsupported => "pictures of this format cannot be decoded here",
            ErrorKind::ImageTooLarge => "the picture is too large to be decoded here",
        })
    }
}

impl Error for AnalysisError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause
            .as_deref()
            .map(|cause| cause as &(dyn Error + 'static))
    }
}

/// What can go wrong in an analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The observer asked to stop.
    Cancelled,
    /// The file could not be opened or read; the only kind worth a retry.
    FileReadFailed,
    /// A file that is a picture by its name, content type or first bytes does not decode.
    ImageDecodeFailed,
    /// A picture in a format, or a variant of one, for which there is no decoder.
    ImageFormatUnsupported,
    /// A picture beyond the [`Limits`](super::Limits).
    ImageTooLarge,
}

impl ErrorKind {
    /// Returns the stable code, such as `IMAGE_DECODE_FAILED`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Cancelled => "CANCELLED",
            Self::FileReadFailed => "FILE_READ_FAILED",
            Self::ImageDecodeFailed => "IMAGE_DECODE_FAILED",
            Self::ImageFormatUnsupported => "IMAGE_FORMAT_UNSUPPORTED",
            Self::ImageTooLarge => "IMAGE_TOO_LARGE",
        }
    }

    const fn solutions(self) -> &'static [&'static str] {
        match self {
            Self::Cancelled => &[],
            Self::FileReadFailed => &["Send the file again"],
            Self::ImageDecodeFailed => &[
                "Check that the file opens on your device, then send it again",
                "Save it again as PNG or JPEG",
                "If it is not a picture, give it the right extension",
            ],
            Self::ImageFormatUnsupported => &["Save the picture as PNG, JPEG or WebP"],
            Self::ImageTooLarge => &[
                "Scale the picture down",
                "Save it with fewer pixels or as 8 bits per channel",
            ],
        }
    }
}
