//! Samples of one channel.

use std::{ops::RangeInclusive, time::Duration};

use rubato::{Fft, FixedSync, Resampler as _, audioadapter_buffers::direct::InterleavedSlice};

use super::error::{AudioError, all_finite};

/// A recording of one channel: samples from -1 to 1, though louder ones are kept as they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Sound {
    rate: u32,
    samples: Vec<f32>,
}

impl Sound {
    /// The rate at which models of voices listen: 16 kHz.
    pub const VOICE_RATE: u32 = 16_000;

    /// The sample rates that a recording can have, in Hz.
    pub const RATES: RangeInclusive<u32> = 4_000..=384_000;

    /// A recording of samples.
    ///
    /// # Errors
    ///
    /// [`AudioError::Rate`] if the rate is outside of [`RATES`](Self::RATES),
    /// [`AudioError::NotFinite`] if a sample is not finite. Silence is none, nor is no sample at all.
    pub fn new(rate: u32, samples: Vec<f32>) -> Result<Self, AudioError> {
        check_rate(rate)?;
        all_finite("the recording", &samples)?;
        Ok(Self { rate, samples })
    }

    /// Samples a second.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// The samples.
    #[must_use]
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// How long it takes.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.samples.len() as f64 / f64::from(self.rate))
    }

    /// The same at another rate, without what that rate cannot carry, and without delay.
    ///
    /// ```
    /// use pipeline_gpu::audio::Sound;
    ///
    /// let sound = Sound::new(44_100, vec![0.0; 44_100])?.resampled(Sound::VOICE_RATE)?;
    /// assert_eq!((sound.rate(), sound.samples().len()), (16_000, 16_000));
    /// # Ok::<(), pipeline_gpu::audio::AudioError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`AudioError::Rate`] if the rate is outside of [`RATES`](Self::RATES), [`AudioError::NotFinite`]
    /// if samples are so loud that they overflow.
    pub fn resampled(self, rate: u32) -> Result<Self, AudioError> {
        check_rate(rate)?;
        if rate == self.rate || self.samples.is_empty() {
            return Ok(Self { rate, ..self });
        }
        let refused = |reason: &dyn std::fmt::Display| AudioError::Corrupt {
            reason: reason.to_string(),
        };
        // An odd number of blocks would leave half a sample of delay, which cannot be cut.
        let block = (self.rate / gcd(self.rate, rate)) as usize;
        let chunk = block * CHUNK.div_ceil(block).next_multiple_of(2);
        let (from, to) = (self.rate as usize, rate as usize);
        let mut resampler = Fft::<f32>::new(from, to, chunk, 1, FixedSync::Both)
            .map_err(|error| refused(&error))?;
        let frames = self.samples.len();
        let input =
            InterleavedSlice::new(&self.samples, 1, frames).map_err(|error| refused(&error))?;
        let output = resampler
            .process_all(&input, frames, None)
            .map_err(|error| refused(&error))?;
        Self::new(rate, output.take_data())
    }

    /// Refuses another rate than that of voices.
    pub(super) fn check_voice_rate(&self) -> Result<(), AudioError> {
        if self.rate == Self::VOICE_RATE {
            Ok(())
        } else {
            Err(AudioError::Rate {
                given: self.rate,
                expected: Some(Self::VOICE_RATE),
            })
        }
    }
}

pub(super) fn check_rate(rate: u32) -> Result<(), AudioError> {
    if Sound::RATES.contains(&rate) {
        Ok(())
    } else {
        Err(AudioError::Rate {
            given: rate,
            expected: None,
        })
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// What the resampler works on at once, or more: large enough that its transforms pay off.
const CHUNK: usize = 1024;
