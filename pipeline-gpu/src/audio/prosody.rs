//! How something is said, apart from what.

use serde::{Deserialize, Serialize};

use super::{
    energy::Energy,
    error::{AudioError, length},
    pitch::PitchTrack,
    sound::Sound,
    speaking_rate::syllables,
    speech::Segment,
};

/// The prosody of a recording: when there is speech, how high, how loud and how fast it is.
///
/// It grows with the recording: 62.5 frames a second, and at most as many segments. A task's metadata
/// takes the [`summary`](Self::summary), which does not grow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Prosody {
    /// How long the recording takes, in seconds.
    pub duration_s: f64,
    /// Where there is speech, in order and without overlap.
    pub speech: Vec<Segment>,
    /// How high it is.
    pub pitch: PitchTrack,
    /// How loud it is. Its frames are those of the pitch.
    pub energy: Energy,
    /// How many [syllables](syllables()) there are.
    pub syllables: usize,
}

impl Prosody {
    /// Measures what is left to measure: level and syllables. The recording has 16 kHz; `speech` and
    /// `pitch` are of it.
    ///
    /// # Errors
    ///
    /// [`AudioError::Rate`] if the recording has another rate, [`AudioError::Length`] if the pitch
    /// has not its frames, [`AudioError::Option`] if a segment lies outside of it or they are out of
    /// order.
    pub fn measure(
        sound: &Sound,
        speech: Vec<Segment>,
        pitch: PitchTrack,
    ) -> Result<Self, AudioError> {
        let duration_s = sound.duration().as_secs_f64();
        let mut last = 0.0;
        for segment in &speech {
            let is_fine = segment.start_s >= last
                && segment.end_s >= segment.start_s
                && segment.end_s <= duration_s + 1e-6;
            if !is_fine {
                return Err(AudioError::Option {
                    field: "speech",
                    expected: "segments in order, within the recording",
                });
            }
            last = segment.end_s;
        }
        let energy = Energy::of(sound)?;
        length("the pitch", energy.db.len(), pitch.hz.len())?;
        let syllables = syllables(&energy, &pitch, &speech)?;
        Ok(Self {
            duration_s,
            speech,
            pitch,
            energy,
            syllables,
        })
    }

    /// The time with speech, in seconds.
    #[must_use]
    pub fn speech_s(&self) -> f64 {
        self.speech.iter().map(Segment::duration_s).sum()
    }

    /// Syllables a second of speech; 0 without any. People speak with 3 to 7.
    #[must_use]
    pub fn speaking_rate(&self) -> f64 {
        let speech = self.speech_s();
        if speech > 0.0 {
            self.syllables as f64 / speech
        } else {
            0.0
        }
    }

    /// What can be said of it in a few numbers.
    #[must_use]
    pub fn summary(&self) -> ProsodySummary {
        let pitches = self.pitch.sorted();
        let at = |share: f64| {
            let last = pitches.len().checked_sub(1)?;
            Some(pitches[(last as f64 * share).round() as usize])
        };
        let spoken = self.speech.iter().flat_map(|segment| {
            let frame = |time: f64| (time / self.energy.hop_s) as usize;
            let frames = frame(segment.start_s)..frame(segment.end_s).min(self.energy.db.len());
            self.energy.db.get(frames).unwrap_or_default()
        });
        let (mut power, mut frames) = (0.0, 0);
        for &db in spoken {
            power += 10f64.powf(f64::from(db) / 10.0);
            frames += 1;
        }
        ProsodySummary {
            duration_s: self.duration_s,
            speech_s: self.speech_s(),
            segments: self.speech.len(),
            voiced_share: self.pitch.voiced_share(),
            pitch_median_hz: at(0.5),
            pitch_low_hz: at(0.05),
            pitch_high_hz: at(0.95),
            level_db: (frames > 0).then(|| (10.0 * (power / f64::from(frames)).log10()) as f32),
            syllables: self.syllables,
            speaking_rate: self.speaking_rate(),
        }
    }
}

/// [`Prosody`] in a few numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProsodySummary {
    /// How long the recording takes, in seconds.
    pub duration_s: f64,
    /// How much of it is speech, in seconds.
    pub speech_s: f64,
    /// In how many parts.
    pub segments: usize,
    /// The share of frames with a voice, from 0 to 1.
    pub voiced_share: f32,
    /// The middle pitch in Hz, if there is a voice.
    pub pitch_median_hz: Option<f32>,
    /// The pitch below which a twentieth of the frames is.
    pub pitch_low_hz: Option<f32>,
    /// The pitch above which a twentieth of the frames is.
    pub pitch_high_hz: Option<f32>,
    /// The mean level of the speech in decibels below full scale, if there is speech.
    pub level_db: Option<f32>,
    /// How many syllables there are.
    pub syllables: usize,
    /// Syllables a second of speech.
    pub speaking_rate: f64,
}
