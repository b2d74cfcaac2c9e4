//! How loud a voice is, moment by moment.

use serde::{Deserialize, Serialize};

use super::{error::AudioError, sound::Sound};

/// The level of a recording, one value for each [hop](Self::HOP).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Energy {
    /// The time from one value to the next, in seconds.
    pub hop_s: f64,
    /// The root mean square over two hops, in decibels below full scale: a sine that reaches 1 has
    /// -3. Nothing is below [`FLOOR_DB`](Self::FLOOR_DB).
    pub db: Vec<f32>,
}

impl Energy {
    /// Samples from one value to the next: 256 at 16 kHz, 16 ms, the frames of pitch.
    pub const HOP: usize = 256;

    /// What silence has: -100 dB.
    pub const FLOOR_DB: f32 = -100.0;

    /// The level of a recording at 16 kHz, with as many values as it has whole hops, and one at least.
    /// Each is that of the hop before the moment and the hop behind it.
    ///
    /// # Errors
    ///
    /// [`AudioError::Rate`] if the recording has another rate.
    pub fn of(sound: &Sound) -> Result<Self, AudioError> {
        sound.check_voice_rate()?;
        let power = |hop: &[f32]| {
            hop.iter()
                .map(|&of| f64::from(of) * f64::from(of))
                .sum::<f64>()
        };
        let mut before = 0.0;
        let db = frames(sound).map(|hop| {
            let behind = power(hop);
            let mean = (before + behind) / (2 * Self::HOP) as f64;
            before = behind;
            (10.0 * mean.log10()).max(f64::from(Self::FLOOR_DB)) as f32
        });
        Ok(Self {
            db: db.collect(),
            hop_s: HOP_S,
        })
    }
}

/// The hops of a recording: the whole ones, or all there is if there is not one.
pub(super) fn frames(sound: &Sound) -> impl Iterator<Item = &[f32]> {
    let samples = sound.samples();
    let whole = (samples.len() / Energy::HOP).max(1) * Energy::HOP;
    let samples = &samples[..whole.min(samples.len())];
    // Of no samples `chunks` makes no frame; one is empty then.
    let none: Option<&[f32]> = samples.is_empty().then_some(&[]);
    samples.chunks(Energy::HOP).chain(none)
}

/// [`Energy::HOP`] in seconds.
pub(super) const HOP_S: f64 = Energy::HOP as f64 / Sound::VOICE_RATE as f64;
