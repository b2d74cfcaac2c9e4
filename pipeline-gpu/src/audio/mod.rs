//! Voices: what lies before and behind models that hear.
//!
//! Everything here is a plain synchronous function over values: no model, no runtime, no file, and
//! nothing waits. The way of a recording to its [`Prosody`]:
//!
//! ```text
//! file -> decode -> Sound -> resampled(16 kHz) -+-> Silero -> SpeechOptions ---+
//!                                               +-> SwiftF0 -> PitchTrack -----+-> Prosody
//!                                               +-> Energy --------------------+
//! ```
//!
//! Whatever runs the two models stands between; here a recording of silence, and what they would say:
//!
//! ```
//! use pipeline_gpu::audio::{PitchOptions, PitchTrack, Prosody, Silero, Sound, SpeechOptions};
//!
//! let sound = Sound::new(16_000, vec![0.0; 16_000])?;
//! let mut silero = Silero::new();
//! let mut probabilities = Vec::new();
//! for chunk in sound.samples().chunks(Silero::CHUNK) {
//!     let input = silero.next_input(chunk)?;
//!     // The model runs here, on input.audio and input.state.
//!     probabilities.push(silero.take(&[0.01], &input.state)?);
//! }
//! let speech = SpeechOptions::default().segments(&probabilities, sound.duration())?;
//! let pitch = PitchTrack::from_swift_f0(&[0.0; 62], &[0.0; 62], &sound, &PitchOptions::default())?;
//! let prosody = Prosody::measure(&sound, speech, pitch)?;
//! assert_eq!(prosody.summary().speech_s, 0.0);
//! # Ok::<(), pipeline_gpu::audio::AudioError>(())
//! ```
//!
//! # Bounds
//!
//! | What | Bound | Default |
//! |---|---|---|
//! | bytes of an encoded recording | [`AudioLimits::bytes`] | 64 MiB |
//! | samples of a decoded one, of 4 bytes | [`AudioLimits::samples`] | 28.8 million |
//! | its duration | [`AudioLimits::duration`] | 10 minutes |
//! | its channels | [`AudioLimits::channels`] | 8 |
//! | its sample rate | [`Sound::RATES`] | 4 to 384 kHz |
//!
//! All that is made of a recording is in proportion to its duration: 62.5 frames of pitch and of energy
//! a second, and at most as many segments.

mod decode;
mod energy;
mod error;
mod pitch;
mod prosody;
mod silero;
mod sound;
mod speaking_rate;
mod speech;

pub use self::{
    decode::{AudioLimits, decode},
    energy::Energy,
    error::AudioError,
    pitch::{PitchOptions, PitchTrack, Smoothing},
    prosody::{Prosody, ProsodySummary},
    silero::{Silero, SileroInput},
    sound::Sound,
    speaking_rate::syllables,
    speech::{Segment, SpeechOptions},
};
