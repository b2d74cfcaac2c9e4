//! What can be wrong with a recording, or with what a model says of it.

use std::{fmt, time::Duration};

use progress_core::TaskError;

use super::sound::Sound;

/// A recording, an option or a model's output could not be used.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AudioError {
    /// The file has no bytes.
    Empty,
    /// The file has more bytes than it can have.
    TooManyBytes {
        /// How many it has.
        bytes: usize,
        /// [`AudioLimits::bytes`](super::AudioLimits::bytes).
        limit: usize,
    },
    /// The bytes are of no format that can be read.
    UnknownFormat,
    /// The format can be read, but not how its sound is encoded.
    UnsupportedCodec {
        /// What the decoder says.
        reason: String,
    },
    /// The file has no sound in it.
    NoAudioTrack,
    /// The file has a sound track, and not one sample on it.
    NoSamples,
    /// The file ends too early.
    Truncated,
    /// The file contradicts its format.
    Corrupt {
        /// What the decoder says.
        reason: String,
    },
    /// The recording is longer than it can be.
    TooLong {
        /// [`AudioLimits::duration`](super::AudioLimits::duration).
        limit: Duration,
    },
    /// The recording has more samples than it can have.
    TooManySamples {
        /// [`AudioLimits::samples`](super::AudioLimits::samples).
        limit: usize,
    },
    /// The recording has more channels than it can have.
    TooManyChannels {
        /// How many it has.
        channels: usize,
        /// [`AudioLimits::channels`](super::AudioLimits::channels).
        limit: usize,
    },
    /// The sample rate is outside of [`Sound::RATES`], or not the one that is needed here.
    Rate {
        /// The rate in Hz.
        given: u32,
        /// The rate that is needed, if there is but one.
        expected: Option<u32>,
    },
    /// An option has a value that makes no sense.
    Option {
        /// Which one.
        field: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// There are more or fewer values than there have to be.
    Length {
        /// Of what.
        of: &'static str,
        /// How many there have to be.
        expected: usize,
        /// How many there are.
        given: usize,
    },
    /// A recording or a model's output holds NaN or an infinity.
    NotFinite {
        /// Which one.
        of: &'static str,
        /// The index of the first such value.
        index: usize,
    },
    /// An output was taken without an input, or an input asked for while an output was due.
    OutOfTurn,
}

impl AudioError {
    /// The code of the error as a task tells it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty | Self::NoSamples => "AUDIO_EMPTY",
            Self::TooManyBytes { .. } => "AUDIO_TOO_LARGE",
            Self::UnknownFormat
            | Self::UnsupportedCodec { .. }
            | Self::TooManyChannels { .. }
            | Self::Rate { .. } => "AUDIO_UNSUPPORTED",
            Self::NoAudioTrack => "AUDIO_NO_TRACK",
            Self::Truncated => "AUDIO_TRUNCATED",
            Self::Corrupt { .. } => "AUDIO_INVALID",
            Self::TooLong { .. } | Self::TooManySamples { .. } => "AUDIO_TOO_LONG",
            Self::Option { .. } | Self::OutOfTurn => "AUDIO_OPTION_INVALID",
            Self::Length { .. } => "MODEL_OUTPUT_SHAPE",
            Self::NotFinite { .. } => "MODEL_OUTPUT_NOT_FINITE",
        }
    }

    fn solution(&self) -> Option<&'static str> {
        Some(match self {
            Self::Empty | Self::Truncated => "Upload the recording again: it did not arrive whole",
            Self::NoSamples | Self::NoAudioTrack => "Choose a file with sound in it",
            Self::TooManyBytes { .. } => "Save the recording as MP3",
            Self::UnknownFormat | Self::UnsupportedCodec { .. } | Self::Rate { .. } => {
                "Save the recording as WAV, MP3 or FLAC"
            }
            Self::TooManyChannels { .. } => "Mix the recording down to stereo or mono",
            Self::Corrupt { .. } => "Open the recording in an editor and save it again",
            Self::TooLong { .. } => "Cut the recording shorter",
            Self::TooManySamples { .. } => {
                "Cut the recording shorter, or save it at 48 kHz or less"
            }
            Self::Length { .. } => "Check that the model is of the kind that is configured",
            Self::NotFinite { .. } => {
                "Check that the recording plays, and run the model in full precision"
            }
            Self::Option { .. } | Self::OutOfTurn => return None,
        })
    }
}

impl fmt::Display for AudioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the recording is empty"),
            Self::TooManyBytes { bytes, limit } => {
                write!(f, "the recording has {bytes} bytes, the limit is {limit}")
            }
            Self::UnknownFormat => f.write_str("the bytes are no recording that can be read"),
            Self::UnsupportedCodec { reason } => {
                write!(f, "the recording's encoding cannot be read: {reason}")
            }
            Self::NoAudioTrack => f.write_str("the file has no sound in it"),
            Self::NoSamples => f.write_str("the recording has no samples"),
            Self::Truncated => f.write_str("the recording ends too early"),
            Self::Corrupt { reason } => write!(f, "the recording is damaged: {reason}"),
            Self::TooLong { limit } => {
                write!(f, "the recording is longer than {} s", limit.as_secs_f64())
            }
            Self::TooManySamples { limit } => {
                write!(f, "the recording has more than {limit} samples")
            }
            Self::TooManyChannels { channels, limit } => {
                write!(
                    f,
                    "the recording has {channels} channels, the limit is {limit}"
                )
            }
            Self::Rate {
                given,
                expected: Some(expected),
            } => write!(f, "the sample rate is {given} Hz, {expected} Hz is needed"),
            Self::Rate { given, .. } => write!(
                f,
                "the sample rate is {given} Hz, it has to be between {} and {} Hz",
                Sound::RATES.start(),
                Sound::RATES.end()
            ),
            Self::Option { field, expected } => write!(f, "{field} has to be {expected}"),
            Self::Length {
                of,
                expected,
                given,
            } => write!(f, "there are {given} values of {of}, expected {expected}"),
            Self::NotFinite { of, index } => write!(f, "value {index} of {of} is not finite"),
            Self::OutOfTurn => f.write_str("inputs and outputs have to take turns"),
        }
    }
}

impl std::error::Error for AudioError {}

/// None is retryable: the same recording or the same model fails in the same way.
impl From<AudioError> for TaskError {
    fn from(error: AudioError) -> Self {
        let told = Self::new(error.code(), error.to_string());
        match error.solution() {
            Some(solution) => told.solution(solution),
            None => told,
        }
    }
}

/// Refuses NaN and infinities.
pub(super) fn all_finite(of: &'static str, values: &[f32]) -> Result<(), AudioError> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(AudioError::NotFinite { of, index }),
        None => Ok(()),
    }
}

/// Refuses what is not between 0 and 1.
pub(super) fn share(field: &'static str, value: f32) -> Result<(), AudioError> {
    if (0.0..=1.0).contains(&value) {
        Ok(())
    } else {
        Err(AudioError::Option {
            field,
            expected: "between 0 and 1",
        })
    }
}

/// Refuses another number of values.
pub(super) fn length(of: &'static str, expected: usize, given: usize) -> Result<(), AudioError> {
    if expected == given {
        Ok(())
    } else {
        Err(AudioError::Length {
            of,
            expected,
            given,
        })
    }
}
