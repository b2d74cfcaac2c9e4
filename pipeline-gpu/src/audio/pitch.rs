//! How high a voice is, moment by moment.

use serde::{Deserialize, Serialize};

use super::{
    energy::{HOP_S, frames},
    error::{AudioError, all_finite, length, share},
    sound::Sound,
};

/// What of a pitch detector's output is taken for a voice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PitchOptions {
    confidence: f32,
    range: (f32, f32),
    smoothing: Smoothing,
}

impl PitchOptions {
    /// Sets the least confidence, from 0 to 1. Default: 0.5, for which SwiftF0 is calibrated.
    #[must_use]
    pub fn confidence(mut self, confidence: f32) -> Self {
        self.confidence = confidence;
        self
    }

    /// Sets the lowest and the highest pitch, in Hz. Default: 46.875 to 2093.75, which is all that
    /// SwiftF0 knows; speech lies between 60 and 500.
    #[must_use]
    pub fn range(mut self, lowest: f32, highest: f32) -> Self {
        self.range = (lowest, highest);
        self
    }

    /// Sets how the track is smoothed. Default: not.
    #[must_use]
    pub fn smoothing(mut self, smoothing: Smoothing) -> Self {
        self.smoothing = smoothing;
        self
    }

    fn check(&self) -> Result<(), AudioError> {
        share("confidence", self.confidence)?;
        let (lowest, highest) = self.range;
        if !(lowest > 0.0 && lowest < highest && highest.is_finite()) {
            return Err(AudioError::Option {
                field: "range",
                expected: "two positive numbers, the lower first",
            });
        }
        match self.smoothing {
            Smoothing::Median { frames } if frames % 2 == 0 || frames > Smoothing::MAX_FRAMES => {
                Err(AudioError::Option {
                    field: "smoothing",
                    expected: "an odd number of frames up to 99",
                })
            }
            _ => Ok(()),
        }
    }
}

impl Default for PitchOptions {
    fn default() -> Self {
        Self {
            confidence: 0.5,
            range: (46.875, 2093.75),
            smoothing: Smoothing::Off,
        }
    }
}

/// How a track of pitches loses its jumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Smoothing {
    /// Not at all.
    Off,
    /// Each voiced frame becomes the median of the voiced ones among so many around it, an odd
    /// number. Five frames, which are 80 ms, take out a detector's jumps by an octave.
    Median {
        /// How many, up to [`MAX_FRAMES`](Smoothing::MAX_FRAMES).
        frames: usize,
    },
}

impl Smoothing {
    /// The most frames of a median: 99, which are 1.6 s.
    pub const MAX_FRAMES: usize = 99;
}

/// The pitch of a voice, one frame every 16 ms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PitchTrack {
    /// The time from one frame to the next, in seconds. The first is at 0.
    pub hop_s: f64,
    /// The pitch in Hz; `None` where there is no voice.
    pub hz: Vec<Option<f32>>,
    /// How sure the detector is that there is a voice, from 0 to 1.
    pub confidence: Vec<f32>,
}

impl PitchTrack {
    /// Frames whose loudest sample is quieter than this have no pitch: on digital silence SwiftF0
    /// answers with voices at random.
    pub const SILENCE: f32 = 1e-3;

    /// Of the outputs of SwiftF0 for a recording at 16 kHz: `pitch` in Hz and `confidence`, each with
    /// a value for every whole 256 samples, and one at least.
    ///
    /// # Errors
    ///
    /// [`AudioError::Rate`] if the recording has another rate, [`AudioError::Length`] if there are
    /// more or fewer values, [`AudioError::NotFinite`] if one is not finite, [`AudioError::Option`]
    /// if an option makes no sense.
    pub fn from_swift_f0(
        pitch: &[f64],
        confidence: &[f32],
        sound: &Sound,
        options: &PitchOptions,
    ) -> Result<Self, AudioError> {
        options.check()?;
        sound.check_voice_rate()?;
        let count = frames(sound).count();
        length("SwiftF0's pitch", count, pitch.len())?;
        length("SwiftF0's confidence", count, confidence.len())?;
        let pitch: Vec<f32> = pitch.iter().map(|&hz| hz as f32).collect();
        all_finite("SwiftF0's pitch", &pitch)?;
        all_finite("SwiftF0's confidence", confidence)?;

        let heard = frames(sound).zip(confidence).map(|(frame, &confidence)| {
            let peak = frame.iter().copied().map(f32::abs).fold(0.0, f32::max);
            if peak < Self::SILENCE {
                0.0
            } else {
                confidence.clamp(0.0, 1.0)
            }
        });
        let confidence: Vec<f32> = heard.collect();
        let (lowest, highest) = options.range;
        let voiced = pitch.iter().zip(&confidence).map(|(&hz, &confidence)| {
            let is_voiced = confidence >= options.confidence && (lowest..=highest).contains(&hz);
            is_voiced.then_some(hz)
        });
        let hz: Vec<Option<f32>> = voiced.collect();
        Ok(Self {
            hop_s: HOP_S,
            hz: match options.smoothing {
                Smoothing::Off => hz,
                Smoothing::Median { frames } => smoothed(&hz, frames / 2),
            },
            confidence,
        })
    }

    /// Whether there is a voice, frame by frame.
    pub fn voiced(&self) -> impl Iterator<Item = bool> + '_ {
        self.hz.iter().map(Option::is_some)
    }

    /// The share of frames with a voice, from 0 to 1.
    #[must_use]
    pub fn voiced_share(&self) -> f32 {
        self.voiced().filter(|voiced| *voiced).count() as f32 / self.hz.len().max(1) as f32
    }

    /// The pitches in Hz, without the frames that have none, lowest first.
    pub(super) fn sorted(&self) -> Vec<f32> {
        let mut pitches: Vec<f32> = self.hz.iter().copied().flatten().collect();
        pitches.sort_unstable_by(f32::total_cmp);
        pitches
    }
}

fn smoothed(hz: &[Option<f32>], reach: usize) -> Vec<Option<f32>> {
    let mut near = Vec::with_capacity(2 * reach + 1);
    let around = |at: usize| &hz[at.saturating_sub(reach)..(at + reach + 1).min(hz.len())];
    let median = |at: usize| {
        near.clear();
        near.extend(around(at).iter().copied().flatten());
        near.sort_unstable_by(f32::total_cmp);
        // The lower of two in the middle: a pitch that was there, not one between.
        near[(near.len() - 1) / 2]
    };
    let mut median = median;
    hz.iter()
        .enumerate()
        .map(|(at, hz)| hz.map(|_| median(at)))
        .collect()
}
